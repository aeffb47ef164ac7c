//! The drivers `keystonev3`, `glancev2`, `neutronv2` and `nova` against the real services of Debian's
//! packages: what they read, a policy over it, actions that change the services, and failures.
//!
//! `scripts/test-openstack` prepares the machine and runs this; without it this says `skipped`.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails and its output is a transcript; clippy knows tests by \
              their attribute only"
)]

mod congress;
mod faults;
mod objects;
mod policy;
mod reads;

use std::path::PathBuf;
use std::time::Instant;

use congress_test_services::OpenStack;

use congress::Congress;
pub(crate) use congress_tests::SOON;
use objects::Objects;

/// The user that datasources log in as, an administrator of the project `admin`, and its password.
pub(crate) const USER: (&str, &str) = ("congress", "s3cret of congress");

/// Adds a line to the transcript.
pub(crate) fn say(text: impl AsRef<str>) {
    println!("  {}", text.as_ref());
}

/// Begins a part of the transcript.
pub(crate) fn part(title: &str) {
    println!("\n{title}");
}

/// One test for all: the services take minutes to start, and the failures come last.
#[tokio::test(flavor = "multi_thread")]
async fn drivers_against_real_services() {
    let Some(packages) = std::env::var_os("CONGRESS_OPENSTACK").map(PathBuf::from) else {
        println!("skipped: real OpenStack services (run scripts/test-openstack)");
        return;
    };
    let begun = Instant::now();
    part("The services");
    let mut cloud = OpenStack::start(&packages).await.unwrap();
    say(format!(
        "Keystone, Glance, Placement, Neutron and Nova answer, after {:.0?}",
        begun.elapsed()
    ));
    let objects = Objects::make(&cloud).await;
    let congress = Congress::start(&cloud).await;

    part("keystonev3");
    reads::identity(&congress, &objects).await;
    part("glancev2");
    reads::images(&congress, &objects).await;
    part("neutronv2");
    reads::networks(&congress, &objects).await;
    part("nova");
    reads::servers(&congress, &objects).await;
    part("A policy over all four");
    policy::violations_and_actions(&congress, &cloud, &objects).await;
    part("A wrong password");
    faults::wrong_password(&congress, &cloud).await;
    part("Revoked tokens");
    faults::revoked_token(&congress, &cloud).await;
    part("Expired tokens");
    faults::expired_token(&congress, &mut cloud).await;
    part("Dead services");
    faults::dead_services(&congress, &mut cloud).await;
    part("A service that answers 500");
    faults::server_errors(&congress, &cloud, &objects).await;
    part("Done");
    say(format!("{:.0?} in all", begun.elapsed()));
}
