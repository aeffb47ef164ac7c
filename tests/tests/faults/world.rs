//! The sources: files that change all the time, of which anybody can tell what they must hold.
//!
//! Every source has a generation, which grows with each change. The whole content follows from it:
//! row `i` was changed last in the newest generation `g` for which `g + i` is divisible by the
//! source's stride, and says so in its value; the marker row tells the generation itself. So every
//! answer that shows a source's table can be judged on its own: whether it is one state of the
//! source as a whole, and which.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use congress_tests::{Deployment, Server};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;

use crate::jobs::Jobs;

/// The time from one change of one source to the next of another.
const CHANGE: Duration = Duration::from_millis(150);

/// After how many changes there is another job.
const JOB: usize = 4;

/// How often datasources are polled, in seconds.
const POLL_TIME: &str = "1";

/// The policy that shows the sources' tables as they are.
const POLICY: &str = "mirror";

/// One file, and the datasource that reads it.
#[derive(Debug)]
pub(crate) struct Source {
    /// The datasource's name.
    pub(crate) name: String,
    path: PathBuf,
    /// How many rows there are at least.
    rows: u64,
    /// Every how many-th row one change changes.
    stride: u64,
    generation: AtomicU64,
}

impl Source {
    /// The generation of the file.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The value of a row in a generation.
    fn value(&self, row: u64, generation: u64) -> u64 {
        generation.saturating_sub((generation + row) % self.stride)
    }

    /// How many rows there are in a generation, the marker apart: some come and go.
    fn count(&self, generation: u64) -> u64 {
        self.rows + generation % 7
    }

    fn write(&self, generation: u64) -> std::io::Result<()> {
        let mut text = format!("k,v\nmarker,g{generation}\n");
        for row in 0..self.count(generation) {
            let _ = writeln!(text, "k{row},v{}", self.value(row, generation));
        }
        let beside = self.path.with_extension("new");
        std::fs::write(&beside, text)?;
        std::fs::rename(&beside, &self.path)
    }

    /// Makes the next generation of the file.
    fn change(&self) -> std::io::Result<()> {
        let next = self.generation() + 1;
        self.write(next)?;
        self.generation.store(next, Ordering::SeqCst);
        Ok(())
    }

    /// What an engine derives from the whole table.
    pub(crate) async fn read(&self, server: &Server) -> Result<Value, String> {
        read(server, &self.path_of_rows()).await
    }

    /// Where an engine shows the whole table.
    pub(crate) fn path_of_rows(&self) -> String {
        format!("/v1/policies/{POLICY}/tables/{}/rows", self.name)
    }

    /// Which generation an answer shows; an error if it is none that ever was.
    pub(crate) fn judge(&self, body: &Value) -> Result<u64, String> {
        let wrong = |what: String| format!("{}: {what}", self.name);
        let found = body["results"].as_array().ok_or_else(|| wrong(format!("no rows: {body}")))?;
        let mut rows = HashMap::with_capacity(found.len());
        for row in found {
            let [Value::String(key), Value::String(value)] =
                row["data"].as_array().map_or(&[][..], |d| d)
            else {
                return Err(wrong(format!("an odd row: {row}")));
            };
            if rows.insert(key.as_str(), value.as_str()).is_some() {
                return Err(wrong(format!("two rows for {key}")));
            }
        }
        let marker = rows.remove("marker").and_then(|text| text.strip_prefix('g'));
        let generation: u64 = marker
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| wrong(format!("{} rows without a marker", rows.len())))?;
        let count = self.count(generation);
        if rows.len() as u64 != count {
            return Err(wrong(format!("{} rows, not {count}, at {generation}", rows.len())));
        }
        for row in 0..count {
            let expected = format!("v{}", self.value(row, generation));
            let found = rows.get(format!("k{row}").as_str());
            if found != Some(&expected.as_str()) {
                return Err(wrong(format!("k{row} is {found:?}, not {expected}, at {generation}")));
            }
        }
        Ok(generation)
    }
}

/// All sources, and the task that changes them.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) sources: Vec<Arc<Source>>,
    moving: watch::Sender<bool>,
    /// Held while a source is changed.
    changing: Arc<Mutex<()>>,
    task: JoinHandle<()>,
}

impl World {
    /// Makes the files in a folder and begins to change them; with them come jobs.
    pub(crate) fn new(
        folder: &Path,
        sources: usize,
        rows: usize,
        jobs: Arc<Jobs>,
    ) -> std::io::Result<Self> {
        let sources: Vec<_> = (0..sources)
            .map(|number| {
                Arc::new(Source {
                    name: format!("s{number}"),
                    path: folder.join(format!("s{number}.csv")),
                    rows: rows as u64,
                    // Some are replaced as a whole, of others a part or a few rows change.
                    stride: [1, 3, 10, 100][number % 4],
                    generation: AtomicU64::new(0),
                })
            })
            .collect();
        for source in &sources {
            source.write(0)?;
        }
        let (moving, may_move) = watch::channel(true);
        let changing = Arc::new(Mutex::new(()));
        let task = tokio::spawn(change(sources.clone(), jobs, may_move, changing.clone()));
        Ok(Self { sources, moving, changing, task })
    }

    /// Creates the datasources, and the policy that shows them.
    pub(crate) async fn enter(&self, deployment: &Deployment) -> anyhow::Result<()> {
        let mut rules = Vec::new();
        for source in &self.sources {
            let name = &source.name;
            let tables =
                json!({ "items": { "format": "csv", "path": source.path, "header": true } });
            let config = json!({
                "poll_time": POLL_TIME, "folder": source.path.parent(), "tables": tables,
            });
            deployment.create("files", name, config).await?;
            rules.push(format!("{name}(k, v) :- {name}:items(k, v)"));
            rules.push(format!("generation(\"{name}\", g) :- {name}:items(\"marker\", g)"));
        }
        deployment.policy(POLICY, rules.iter().map(String::as_str)).await
    }

    /// Lets no source change until told to go on.
    pub(crate) async fn hold(&self) {
        self.moving.send_replace(false);
        drop(self.changing.lock().await);
    }

    /// Sources change again.
    pub(crate) fn go_on(&self) {
        self.moving.send_replace(true);
    }

    /// Whether an engine has the present generation of all sources, which stand still.
    pub(crate) async fn is_current(&self, server: &Server) -> Result<(), String> {
        let body = read(server, &path_of_generations()).await?;
        let shown = generations(&body)?;
        for source in &self.sources {
            let (shown, present) = (shown.get(source.name.as_str()), source.generation());
            if shown != Some(&present) {
                return Err(format!("{} is at {shown:?} of {present}", source.name));
            }
        }
        Ok(())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Where an engine shows the generations of all sources.
pub(crate) fn path_of_generations() -> String {
    format!("/v1/policies/{POLICY}/tables/generation/rows")
}

/// The generations of all sources, by name.
pub(crate) fn generations(body: &Value) -> Result<HashMap<&str, u64>, String> {
    let rows = body["results"].as_array().ok_or_else(|| format!("no rows: {body}"))?;
    let generation = |row: &'_ Value| -> Option<u64> {
        row["data"][1].as_str()?.strip_prefix('g')?.parse().ok()
    };
    rows.iter()
        .map(|row| Some((row["data"][0].as_str()?, generation(row)?)))
        .collect::<Option<_>>()
        .ok_or_else(|| format!("odd rows: {body}"))
}

async fn read(server: &Server, path: &str) -> Result<Value, String> {
    let reply = server.get(path).await.map_err(|error| format!("{path}: {error:#}"))?;
    let body = reply.json().map_err(|error| format!("{path}: {error:#}"))?;
    match reply.status {
        200 => Ok(body),
        status => Err(format!("{path}: {status} {body}")),
    }
}

async fn change(
    sources: Vec<Arc<Source>>,
    jobs: Arc<Jobs>,
    mut may_move: watch::Receiver<bool>,
    changing: Arc<Mutex<()>>,
) {
    for (turn, source) in sources.iter().cycle().enumerate() {
        {
            let _changing = changing.lock().await;
            if *may_move.borrow_and_update() {
                source.change().expect("a file is written");
                if turn % JOB == 0 {
                    jobs.another();
                }
            }
        }
        tokio::time::sleep(CHANGE).await;
        // Ends with the world.
        if may_move.wait_for(|moving| *moving).await.is_err() {
            return;
        }
    }
}
