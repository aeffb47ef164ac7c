//! Watches the drivers' folders and the catalogue, has loaded what is new, and says which drivers
//! there are.
//!
//! Nothing here waits for a compiler or for the database: both work on tasks of their own, so that
//! one component that takes its time delays no other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use congress_plugins::Driver;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::DriverEvent;
use super::builds::{Build, Builds, Loading, Place, Stage, Version};
use super::catalogue::{Entry, Listed, Outbox, Report};
use super::folder::{DriverFolders, FileKey, Listing, Stamp, file_name, list};
use super::load::{Loader, NotLoaded};
use super::state::{DriverState, LoadState};
use super::writers::Writers;

/// How often the folders are looked at.
const SCAN_PERIOD: Duration = Duration::from_millis(250);

/// A file that has changed less than this ago may still be being written.
const QUIET: Duration = Duration::from_millis(800);

/// How long copies that are under way hold up the end of the start.
const START_COPIES: Duration = Duration::from_secs(5);

/// After how long a driver is fetched again that could not be fetched.
const RETRY: Duration = Duration::from_secs(2);

/// What a load came to.
type Loaded = (Place, Version, Result<Driver, NotLoaded>);

/// See the module.
pub(super) struct Watcher {
    pub(super) folders: DriverFolders,
    pub(super) loader: Loader,
    pub(super) outbox: Outbox,
    pub(super) reports: mpsc::Receiver<Report>,
    pub(super) events: mpsc::Sender<DriverEvent>,
    pub(super) shown: watch::Sender<Arc<[DriverState]>>,
    /// Becomes true once all drivers that the catalogue has can be used, or have failed.
    pub(super) promised: watch::Sender<bool>,
    pub(super) memory: Memory,
}

/// What it knows.
#[derive(Default)]
pub(super) struct Memory {
    builds: Builds,
    loads: JoinSet<Loaded>,
    /// What everybody has been told to use, by the driver's id.
    told: BTreeMap<String, Told>,
    /// The catalogue, once it was read or could not be.
    catalogue: Option<Vec<Listed>>,
    was_read: bool,
    /// Drivers that are to be removed from the catalogue, and may still be in it.
    leaving: BTreeSet<String>,
    unreadable: BTreeMap<PathBuf, String>,
    writers: Writers,
    /// Single files that are not there, with their ids.
    absent: Vec<(String, PathBuf)>,
    /// Entries of folders that cannot be opened, and why.
    broken: BTreeMap<PathBuf, String>,
    /// Files of which was said that another one has their driver.
    duplicates: BTreeSet<PathBuf>,
    /// The folders have been looked at.
    has_looked: bool,
}

/// What everybody has been told of one driver.
struct Told {
    place: Place,
    hash: String,
    problem: Option<String>,
}

impl Watcher {
    /// Works until told to stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let begun = Instant::now();
        let mut settled = false;
        let mut timer = tokio::time::interval(SCAN_PERIOD);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first thing to be known is what files there are.
        self.scan().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = timer.tick() => self.scan().await,
                Some(report) = self.reports.recv() => self.on_report(report).await,
                Some(ended) = self.memory.loads.join_next() => match ended {
                    Ok((place, version, result)) => self.on_load(&place, &version, result),
                    // Its file has gone or changed.
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => tracing::error!(%error, "loading a driver has failed"),
                },
            }
            let copies_too = begun.elapsed() < START_COPIES;
            let files_known = settled || !self.memory.builds.are_loading(copies_too);
            if files_known {
                self.use_catalogue();
            }
            if self.tell().await.is_none() {
                return;
            }
            self.show();
            if !*self.promised.borrow() && self.keeps_promises() {
                self.promised.send_replace(true);
            }
            let all_known = self.memory.catalogue.is_some()
                && files_known
                && !self.memory.builds.are_loading(copies_too);
            if !settled && all_known {
                settled = true;
                if self.events.send(DriverEvent::Settled).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Whether all drivers of the catalogue can be used here, or cannot be helped.
    fn keeps_promises(&self) -> bool {
        let Some(listed) = self.memory.catalogue.as_ref().filter(|_| self.memory.was_read) else {
            return false;
        };
        let used = self.memory.builds.used();
        listed.iter().all(|driver| {
            let has_failed = self.memory.builds.has_failed(&driver.id);
            used.contains_key(driver.id.as_str())
                || has_failed
                || self.memory.leaving.contains(&driver.id)
                || self.folders.disabled.contains(&driver.id)
        })
    }

    /// Looks at the folders once.
    async fn scan(&mut self) {
        let singles = self.folders.files.iter().filter_map(|(_, path)| path.parent());
        let folders = self.folders.folders.iter().map(PathBuf::as_path);
        self.memory.writers.look(folders.chain(singles));
        let listing = list(&self.folders).await;
        self.note_unreadable(&listing);
        self.memory.absent = self
            .folders
            .files
            .iter()
            .filter(|(_, path)| {
                !listing.files.contains_key(&FileKey { rank: 0, path: path.clone() })
            })
            .cloned()
            .collect();
        self.memory.builds.all.retain(|place, _| match place {
            Place::File(key) => listing.files.contains_key(key) || !listing.is_gone(&key.path),
            Place::Stored(_) => true,
        });
        for (key, stamp) in listing.files {
            self.see(key, stamp);
        }
        self.memory.has_looked = true;
        let again: Vec<_> = self
            .memory
            .builds
            .all
            .iter()
            .filter(|(_, build)| {
                matches!(&build.stage, Stage::Postponed(_, at) if at.elapsed() >= RETRY)
            })
            .map(|(place, _)| place.clone())
            .collect();
        for place in again {
            self.load(&place);
        }
    }

    fn note_unreadable(&mut self, listing: &Listing) {
        for (place, error) in &listing.unreadable {
            if !self.memory.unreadable.contains_key(place) {
                tracing::warn!(
                    place = %place.display(), %error,
                    "drivers cannot be looked for there; those loaded from there run on"
                );
            }
        }
        self.memory.unreadable.clone_from(&listing.unreadable);
        for (path, why) in &listing.broken {
            if !self.memory.broken.contains_key(path) {
                tracing::warn!(file = %path.display(), "this is no driver's file: {why}");
            }
        }
        self.memory.broken.clone_from(&listing.broken);
    }

    /// Takes note of a file, and has it loaded once nobody seems to write to it any more.
    fn see(&mut self, key: FileKey, stamp: Stamp) {
        let place = Place::File(key.clone());
        let (version, has_looked) = (Version::File(stamp), self.memory.has_looked);
        let build = self
            .memory
            .builds
            .all
            .entry(place.clone())
            .or_insert_with(|| Build::new(version.clone(), !has_looked));
        if build.version != version {
            build.replace(version);
        }
        // Clocks may disagree about a file's age, so what was seen here counts too.
        let is_quiet =
            build.since.elapsed() >= QUIET || stamp.age().is_some_and(|age| age >= QUIET);
        if build.stage == Stage::Copying && is_quiet && !self.memory.writers.has(&key.path) {
            self.load(&place);
        }
    }

    /// Has a place's version loaded.
    fn load(&mut self, place: &Place) {
        let Some(build) = self.memory.builds.all.get_mut(place) else { return };
        if let Place::File(key) = place
            && key.path.to_str().is_none()
        {
            let file = file_name(&key.path);
            tracing::error!(file = %key.path.display(), "the driver's file has a name that is not UTF-8");
            build.stage = Stage::Failed(format!(
                "the name of driver file {file}, or of its folder, is not UTF-8 (� stands for what \
                 is not); rename it"
            ));
            return;
        }
        build.stage = Stage::Compiling;
        let (place, version) = (place.clone(), build.version.clone());
        let loader = self.loader.clone();
        match (&place, &version) {
            (Place::File(key), Version::File(stamp)) => {
                let (path, stamp) = (key.path.clone(), *stamp);
                let expected = self.folders.expected_id(&path).map(str::to_owned);
                let load = self.memory.loads.spawn(async move {
                    let result = loader.file(path, stamp, expected).await;
                    (place, version, result)
                });
                build.loading = Some(Loading(load));
            }
            (Place::Stored(id), Version::Stored(hash)) => {
                let (id, hash) = (id.clone(), hash.clone());
                let load = self.memory.loads.spawn(async move {
                    let result = loader.stored(id, hash).await;
                    (place, version, result)
                });
                build.loading = Some(Loading(load));
            }
            // A file has a stamp and a stored one a hash.
            _ => {}
        }
    }

    fn on_load(&mut self, place: &Place, version: &Version, result: Result<Driver, NotLoaded>) {
        let Some(build) = self.memory.builds.all.get_mut(place) else { return };
        if build.version != *version {
            return;
        }
        let from = match place {
            Place::File(key) => key.path.display().to_string(),
            Place::Stored(_) => "the database".to_owned(),
        };
        match result {
            Ok(driver) => {
                let id = driver.metadata().id.clone();
                if self.folders.disabled.contains(&id) {
                    tracing::info!(driver = %id, %from, "the driver is disabled by disabled_drivers");
                    build.stage = Stage::Disabled;
                    build.driver = None;
                    return;
                }
                tracing::info!(
                    driver = %id, version = %driver.metadata().version,
                    world = %driver.world_version(), hash = %driver.hash(), %from,
                    ms = driver.load_time().as_millis(), cached = driver.is_from_cache(),
                    "driver loaded"
                );
                build.stage = Stage::Done;
                build.driver = Some(driver);
            }
            Err(NotLoaded::Changed) => build.replace(version.clone()),
            Err(NotLoaded::Incomplete) => {
                tracing::warn!(
                    file = %from,
                    "the driver's file is incomplete: it is being copied, or was cut"
                );
                build.stage = Stage::Incomplete;
            }
            Err(NotLoaded::Refused(reason)) => {
                tracing::error!(%from, "{reason}");
                build.stage = Stage::Failed(reason);
            }
            Err(NotLoaded::Unavailable(reason)) => {
                build.stage = Stage::Postponed(reason, Instant::now());
            }
        }
    }

    async fn on_report(&mut self, report: Report) {
        match report {
            Report::Catalogue(listed) => {
                if !std::mem::replace(&mut self.memory.was_read, true) {
                    self.drop_removed(&listed).await;
                }
                self.memory.catalogue = Some(listed);
            }
            Report::Removed(id) => {
                self.memory.leaving.remove(&id);
                if let Some(listed) = &mut self.memory.catalogue {
                    listed.retain(|driver| driver.id != id);
                }
            }
            Report::Unavailable => {
                self.memory.catalogue.get_or_insert_default();
            }
        }
    }

    /// Removes drivers whose files were on this host and were taken away while no node watched.
    async fn drop_removed(&mut self, listed: &[Listed]) {
        for driver in listed {
            let Some(origin) = driver.origin.as_ref().filter(|origin| origin.is_here()) else {
                continue;
            };
            let folder = origin.path.parent().unwrap_or(&origin.path);
            let is_gone = self.folders.would_load(&origin.path)
                && !self.memory.unreadable.contains_key(folder)
                && !tokio::fs::try_exists(&origin.path).await.unwrap_or(true);
            if is_gone {
                tracing::warn!(
                    driver = %driver.id, file = %origin.path.display(),
                    "the driver's file was removed; its datasources stop until it is back"
                );
                self.memory.leaving.insert(driver.id.clone());
                self.outbox.put(&driver.id, Entry::Remove);
            }
        }
    }

    /// Has loaded from the database what no file here has.
    fn use_catalogue(&mut self) {
        let memory = &mut self.memory;
        let Some(listed) = &memory.catalogue else { return };
        let mut wanted = BTreeMap::new();
        for driver in listed {
            let path = driver.origin.as_ref().filter(|o| o.is_here()).map(|o| &o.path);
            let stored = Place::Stored(driver.id.clone());
            // What runs from the database goes on until the file's build is there.
            let is_awaited = !memory.builds.all.contains_key(&stored)
                && path.is_some_and(|path| memory.builds.is_open(path));
            if !memory.builds.in_file(&driver.id)
                && !is_awaited
                && !memory.leaving.contains(&driver.id)
                && !self.folders.disabled.contains(&driver.id)
            {
                wanted.insert(stored, driver.hash.clone());
            }
        }
        memory
            .builds
            .all
            .retain(|place, _| matches!(place, Place::File(_)) || wanted.contains_key(place));
        for (place, hash) in wanted {
            let version = Version::Stored(hash);
            match self.memory.builds.all.get_mut(&place) {
                Some(build) if build.version == version => continue,
                Some(build) => build.replace(version),
                None => {
                    self.memory.builds.all.insert(place.clone(), Build::new(version, false));
                }
            }
            self.load(&place);
        }
    }

    /// Tells what has changed about the drivers that are used. None if nobody listens.
    async fn tell(&mut self) -> Option<()> {
        let memory = &mut self.memory;
        let used = memory.builds.used();
        let gone: Vec<_> =
            memory.told.keys().filter(|id| !used.contains_key(id.as_str())).cloned().collect();
        let mut events = Vec::new();
        for id in gone {
            if let Some(Told { place: Place::File(key), .. }) = memory.told.remove(&id) {
                tracing::warn!(
                    driver = %id, file = %key.path.display(),
                    "the driver's file is gone; its datasources stop until it is back"
                );
                memory.leaving.insert(id.clone());
                self.outbox.put(&id, Entry::Remove);
            }
            events.push(DriverEvent::Removed(id));
        }
        for (id, (place, build, driver)) in used {
            let file = match place {
                Place::File(_) => None,
                Place::Stored(id) => memory.catalogue.iter().flatten().find_map(|listed| {
                    let origin = listed.origin.as_ref().filter(|o| listed.id == *id && o.is_here());
                    origin.and_then(|origin| memory.builds.problem_of_file(&origin.path))
                }),
            };
            let (hash, problem) = (driver.hash(), build.problem().or(file));
            let told = memory.told.get(id);
            let is_new = told.is_none_or(|told| told.hash != hash);
            if is_new || told.is_some_and(|told| told.problem != problem) {
                events.push(DriverEvent::Use { driver: driver.clone(), problem: problem.clone() });
            }
            if let Place::File(key) = place
                && (is_new || told.is_some_and(|told| told.place != *place))
            {
                memory.leaving.remove(id);
                let entry = Entry::Enter { driver: driver.clone(), path: key.path.clone() };
                self.outbox.put(id, entry);
            }
            let told = Told { place: place.clone(), hash: hash.to_owned(), problem };
            memory.told.insert(id.to_owned(), told);
        }
        for (id, file, used) in memory.builds.duplicates() {
            if !memory.duplicates.contains(file) {
                tracing::warn!(
                    driver = %id, file = %file.display(), used = %used.display(),
                    "two files have this driver: the second one named here is used, the first is \
                     not; remove one of them"
                );
            }
        }
        memory.duplicates =
            memory.builds.duplicates().into_iter().map(|(_, file, _)| file.to_owned()).collect();
        memory.builds.running =
            memory.told.iter().map(|(id, told)| (id.clone(), told.place.clone())).collect();
        for event in events {
            self.events.send(event).await.ok()?;
        }
        Some(())
    }

    /// Shows how everything stands.
    fn show(&self) {
        let memory = &self.memory;
        let known = |path: &std::path::Path| {
            let is_it = |driver: &&Listed| {
                driver.origin.as_ref().is_some_and(|o| o.path == path && o.is_here())
            };
            memory.catalogue.iter().flatten().find(is_it).map(|driver| driver.id.as_str())
        };
        let mut shown = memory.builds.shown(known);
        for (id, path) in &memory.absent {
            if !shown.iter().any(|state| state.id == *id) {
                let why = match memory.unreadable.get(path) {
                    Some(error) => format!("cannot be read: {error}"),
                    None => "is not there".to_owned(),
                };
                let file = file_name(path);
                shown.push(DriverState {
                    id: id.clone(),
                    state: LoadState::Failed,
                    error: Some(format!(
                        "the file {file}, which custom_driver_endpoints names, {why}"
                    )),
                    file: Some(file),
                    next_build: None,
                    loaded: None,
                });
            }
        }
        for (path, why) in &memory.broken {
            let file = file_name(path);
            shown.push(DriverState {
                id: file.clone(),
                error: Some(format!("driver file {file} cannot be used: {why}")),
                file: Some(file),
                state: LoadState::Failed,
                next_build: None,
                loaded: None,
            });
        }
        self.shown.send_if_modified(|before| {
            let changed = **before != *shown;
            if changed {
                *before = shown.into();
            }
            changed
        });
    }
}
