//! Files that are made from the code are as the code would make them now. To make them anew:
//! `CONGRESS_REGENERATE=1 cargo test -p congress-server --test generated`.

#![expect(clippy::expect_used, reason = "a helper of tests, which may")]

use std::fs;
use std::path::Path;

use congress_server::auth::sample_policy;
use congress_server::config::{option_reference, sample};

fn is_current(path: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("CONGRESS_REGENERATE").is_some() {
        fs::write(&file, text).expect("the file");
    }
    let found = fs::read_to_string(&file).unwrap_or_default();
    let first = found.lines().zip(text.lines()).find(|(found, expected)| found != expected);
    assert!(
        found == text,
        "{path} is not what the code says ({first:?}): set CONGRESS_REGENERATE=1 and run \
         this again"
    );
}

#[test]
fn the_sample_file() {
    is_current("ocf/congress.conf.sample", &sample());
}

#[test]
fn the_reference_of_options() {
    is_current("docs/configuration.md", &option_reference());
}

#[test]
fn the_sample_of_policy_files() {
    is_current("ocf/policy.yaml.sample", &sample_policy());
}
