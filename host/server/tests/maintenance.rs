//! `congress-status upgrade check` and `congress-db-manage keys`, as operators type them.
#![expect(clippy::unwrap_used, reason = "helpers of tests, which may")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use congress_store::{At, KeyRing, Location, NewDatasource, Options, Store};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

/// A deployment on one host: a configuration, a database, a key.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.path("drivers")).unwrap();
        place.configure("");
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn configure(&self, more: &str) {
        let folder = self.0.path().display();
        let server = Path::new(env!("CARGO_BIN_EXE_congress-server"));
        let compiled = server.with_file_name("tests-compiled-drivers");
        fs::create_dir_all(&compiled).unwrap();
        let text = format!(
            "[DEFAULT]\nauth_strategy = noauth\ntransport_url = memory://\n\
             bind_host = 127.0.0.1\nbind_port = 0\nadmin_bind_port = 0\n\
             encryption_key_path = {folder}/keys\ndriver_path = {folder}/drivers\n{more}\
             [database]\nconnection = sqlite:///{folder}/db.sqlite\n\
             [plugins]\ncache_path = {}\n",
            // Shared with other tests, so that each driver is compiled once.
            compiled.display()
        );
        fs::write(self.path("congress.conf"), text).unwrap();
    }

    async fn store(&self) -> Store {
        let location = Location::SqliteFile(self.path("db.sqlite"));
        Store::open(&location, &Options::default()).await.unwrap()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.arg("--config-file").arg(self.path("congress.conf")).args(arguments);
        command.output().unwrap()
    }

    /// The status of the check, and what it prints.
    fn check(&self) -> (i32, String) {
        let program = env!("CARGO_BIN_EXE_congress-status");
        let output = self.run(program, &["upgrade", "check"]);
        let text = String::from_utf8(output.stdout).unwrap();
        // Details go over several lines.
        let words: Vec<_> = text.split_whitespace().filter(|word| *word != "|").collect();
        (output.status.code().unwrap(), words.join(" "))
    }

    /// Whether a step of a rotation succeeds, and what it says.
    fn keys(&self, step: &str) -> (bool, String) {
        let output = self.run(env!("CARGO_BIN_EXE_congress-db-manage"), &["keys", step]);
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    }

    fn ring(&self) -> KeyRing {
        KeyRing::open(&self.path("keys"), false).unwrap()
    }

    /// Has a server enter nova into the catalogue, as all drivers come there, and takes its file
    /// away again.
    async fn enter_nova(&self) {
        let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../drivers/out/nova.wasm");
        assert!(Path::new(built).is_file(), "{built} is missing: run scripts/build-drivers");
        let file = self.path("drivers/nova.wasm");
        fs::copy(built, &file).unwrap();
        let mut server = Command::new(env!("CARGO_BIN_EXE_congress-server"))
            .arg("--config-file")
            .arg(self.path("congress.conf"))
            .stdout(Stdio::null())
            .stderr(fs::File::create(self.path("log")).unwrap())
            .spawn()
            .unwrap();
        let store = self.store().await;
        let deadline = Instant::now() + Duration::from_secs(300);
        while store.drivers().await.unwrap().is_empty() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        server.kill().unwrap();
        server.wait().unwrap();
        let drivers = store.drivers().await.unwrap();
        store.close().await;
        let log = fs::read_to_string(self.path("log")).unwrap();
        assert_eq!(drivers.first().map(|driver| driver.id.as_str()), Some("nova"), "{log}");
        fs::remove_file(file).unwrap();
    }

    /// The configuration of the datasource `cloud`, and which of its fields are sealed.
    async fn cloud(&self) -> (Map<String, Value>, Vec<String>) {
        let store = self.store().await;
        let config = store.datasource("cloud").await.unwrap().config;
        store.close().await;
        (self.ring().reveal(&config).unwrap(), config.sealed().to_vec())
    }
}

/// A configuration with secrets: one of the driver's own options, and one of its session's.
fn secrets() -> Map<String, Value> {
    let config = json!({
        "username": "u", "password": "s3cr3t", "application_credential_secret": "4pp",
    });
    config.as_object().cloned().unwrap()
}

/// Makes a datasource whose password is stored sealed, or as it is.
async fn datasource(place: &Place, name: &str, driver: &str, seal: bool) {
    let ring = KeyRing::open(&place.path("keys"), true).unwrap();
    let names: &[&str] = if seal { &["password", "application_credential_secret"] } else { &[] };
    let config = ring.sealer().seal(Some(secrets()), names).unwrap();
    let store = place.store().await;
    let new = NewDatasource {
        id: None,
        name: name.into(),
        driver: driver.into(),
        description: None,
        enabled: true,
        config,
    };
    store.create_datasource(new, At::Any).await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn what_stands_in_the_way_of_an_upgrade() {
    let place = Place::new();
    // A file is made when the server starts.
    let (status, text) = place.check();
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("Upgrade Check Results") && text.contains("Details: None"), "{text}");
    assert!(!place.path("db.sqlite").exists(), "nothing is made");

    place.store().await.close().await;
    assert_eq!(place.check().0, 0);
    place.configure("api_workers = 4\nbind_prot = 1\n");
    let (status, text) = place.check();
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("api_workers has no effect") && text.contains("bind_prot"), "{text}");
    place.configure("bind_port = many\n");
    let (status, text) = place.check();
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("bind_port"), "{text}");
    place.configure("");

    datasource(&place, "cloud", "nova", false).await;
    datasource(&place, "hook", "monasca_webhook", true).await;
    let (status, text) = place.check();
    assert_eq!(status, 1, "{text}");
    for part in [
        "datasource 'cloud' needs driver 'nova', which is neither in the catalogue nor a file",
        "datasource 'cloud' has password as clear text",
        "datasource 'hook' uses monasca_webhook",
        "Check: Encryption Keys Result: Success",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("s3cr3t"), "{text}");
    fs::write(place.path("drivers/nova.wasm"), "").unwrap();
    assert!(!place.check().1.contains("'nova'"));

    fs::rename(place.path("keys"), place.path("elsewhere")).unwrap();
    let (status, text) = place.check();
    assert_eq!(status, 2, "{text}");
    assert!(text.contains("there is no key file"), "{text}");
}

#[tokio::test]
async fn a_database_that_the_original_left_is_looked_at_and_not_touched() {
    let place = Place::new();
    place.store().await.close().await;
    let program = env!("CARGO_BIN_EXE_congress-db-manage");
    let output = place.run(program, &["downgrade", "c0125080d572"]);
    assert!(output.status.success(), "{output:?}");
    let before = fs::read(place.path("db.sqlite")).unwrap();
    let (status, text) = place.check();
    assert_eq!(status, 1, "{text}");
    assert!(text.contains("the database is at c0125080d572"), "{text}");
    assert_eq!(fs::read(place.path("db.sqlite")).unwrap(), before);
}

#[tokio::test]
async fn a_rotation_of_the_keys() {
    let place = Place::new();
    place.enter_nova().await;
    datasource(&place, "cloud", "nova", false).await;
    datasource(&place, "other", "nova", true).await;
    datasource(&place, "strange", "unknown", true).await;
    let file = place.path("keys/aes_key");
    let first = fs::read_to_string(&file).unwrap();

    assert!(place.keys("promote").1.contains("holds one key only"));
    assert!(place.keys("add").0);
    assert!(fs::read_to_string(&file).unwrap().starts_with(&first), "the old one seals still");
    assert!(place.keys("promote").0);
    assert!(!fs::read_to_string(&file).unwrap().starts_with(&first));
    let (done, text) = place.keys("retire");
    assert!(!done && text.contains("keys reseal first"), "{text}");
    let (done, text) = place.keys("reseal");
    assert!(done && text.contains("secrets of 3 datasources"), "{text}");
    assert!(text.contains("the driver of datasource 'strange' is not in the catalogue"), "{text}");
    assert!(place.keys("reseal").1.contains("secrets of 0 datasources"));
    let (done, text) = place.keys("retire");
    assert!(done, "{text}");
    assert!(!fs::read_to_string(&file).unwrap().contains(&first));
    let (config, mut sealed) = place.cloud().await;
    sealed.sort();
    assert_eq!(config, secrets());
    assert_eq!(sealed, ["application_credential_secret", "password"]);

    // Nothing that none of the keys opens is taken away, or sealed over.
    fs::write(&file, &first).unwrap();
    let (done, text) = place.keys("reseal");
    assert!(!done && text.contains("nothing was changed"), "{text}");
}

#[tokio::test]
async fn what_the_catalogue_knows_is_looked_at() {
    let place = Place::new();
    place.enter_nova().await;
    datasource(&place, "cloud", "nova", true).await;
    let (status, text) = place.check();
    assert_eq!(status, 0, "nova is in the catalogue, and its secrets are sealed: {text}");
    datasource(&place, "old", "nova", false).await;
    let (status, text) = place.check();
    assert_eq!(status, 1, "{text}");
    let expected = "datasource 'old' has application_credential_secret, password as clear text";
    assert!(text.contains(expected), "{text}");

    // An entry of a version that has other ones.
    let store = place.store().await;
    store.put_driver("nova", &json!({ "id": "nova" }), b"").await.unwrap();
    store.close().await;
    let told = "the catalogue's entry of driver 'nova' cannot be read";
    let (status, text) = place.check();
    assert!(status == 1 && text.contains(told), "{text}");
    let (done, text) = place.keys("reseal");
    assert!(!done && text.contains(told) && text.contains("nothing was changed"), "{text}");
}
