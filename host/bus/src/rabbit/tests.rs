use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// Far beyond any pause.
const SOON: Duration = Duration::from_secs(20);

fn options() -> RabbitOptions {
    RabbitOptions::new("n", "i", Vec::new())
}

#[tokio::test]
async fn a_task_that_panics_takes_the_link_down_and_begins_anew() {
    let (shared, _jobs) = Shared::new(shared::core(&options()), tokio::runtime::Handle::current());
    let (starts, link) = (Arc::new(AtomicU32::new(0)), shared.link.subscribe());
    let begin = {
        let (starts, shared) = (starts.clone(), shared.clone());
        move |tasks: &mut JoinSet<()>| {
            let start = starts.fetch_add(1, Ordering::Relaxed);
            let shared = shared.clone();
            tasks.spawn(async move {
                shared.link_up(&BTreeSet::new());
                if start > 0 {
                    std::future::pending::<()>().await;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
                panic!("as a defect would");
            });
            // What goes with it.
            tasks.spawn(std::future::pending());
        }
    };
    let task = tokio::spawn(supervise(shared, begin));
    let becomes = |up: bool| {
        let mut link = link.clone();
        async move {
            let wanted = link.wait_for(|link| (*link == Link::Up) == up);
            tokio::time::timeout(SOON, wanted).await.unwrap().unwrap().clone()
        }
    };
    becomes(true).await;
    let Link::Down(reason) = becomes(false).await else { panic!() };
    assert!(reason.contains("failed"), "{reason}");
    becomes(true).await;
    assert_eq!(starts.load(Ordering::Relaxed), 2);
    assert!(!task.is_finished());
    task.abort();
}

#[tokio::test]
async fn tasks_that_end_as_they_should_are_not_begun_again() {
    let (shared, _jobs) = Shared::new(shared::core(&options()), tokio::runtime::Handle::current());
    let task = supervise(shared, |tasks| {
        tasks.spawn(async {});
    });
    tokio::time::timeout(SOON, task).await.unwrap();
}

#[tokio::test]
async fn names_that_no_broker_takes_are_told_to_the_operator() {
    let long = || "x".repeat(300);
    let cases = [
        ("bus_id", RabbitOptions { bus_id: long(), ..options() }),
        ("node_id", RabbitOptions { node_id: long(), ..options() }),
        ("the instance", RabbitOptions { instance: long(), ..options() }),
        ("the version", RabbitOptions { program: long(), ..options() }),
        ("the name of the virtual host", RabbitOptions { virtual_host: long(), ..options() }),
    ];
    for (what, options) in cases {
        let bus = RabbitBus::connect(options);
        let mut link = bus.link();
        let told = link.wait_for(|link| *link != Link::Down("not connected yet".to_owned()));
        let told = tokio::time::timeout(SOON, told).await.unwrap().unwrap().clone();
        let Link::Down(reason) = told else { panic!("{what}") };
        assert!(reason.starts_with(what) && reason.contains("300 bytes"), "{reason}");
    }
}
