//! Several writers, as tasks of one process and as several processes (stores) on one file.

use std::collections::HashSet;

use congress_store::{At, Error, Location, Options, Store};

use super::{Place, file, folder, impatient, on_all_systems, open, policy, raw, rule};

on_all_systems! {
    of_two_writers_at_one_revision_exactly_one_wins,
    writers_that_check_first_never_write_the_same_twice,
    a_snapshot_is_of_one_revision_while_others_write,
    an_abandoned_change_is_undone,
}

#[tokio::test(flavor = "multi_thread")]
async fn several_stores_open_a_new_file_at_once() {
    let folder = folder();
    let path = file(&folder);
    let opening: Vec<_> = (0..6)
        .map(|i| {
            let path = path.clone();
            tokio::spawn(async move {
                let store = open(&path).await;
                store.create_policy(policy(&format!("p{i}")), vec![], At::Any).await.unwrap();
                store
            })
        })
        .collect();
    for opened in opening {
        opened.await.unwrap();
    }
    let snapshot = open(&path).await.snapshot().await.unwrap();
    assert_eq!(snapshot.policies.len(), 6);
    // A new database starts at 1: the schema was made once, and no change was lost.
    assert_eq!(snapshot.revision.0, 7);
}

/// What the revision is for: of two writers that checked the same state one must check again.
async fn writers_that_check_first_never_write_the_same_twice(place: Place) {
    const RULES: usize = 20;
    let store = place.open().await;
    store.create_policy(policy("p"), vec![], At::Any).await.unwrap();

    let writers: Vec<_> = (0..4)
        .map(|_| {
            let location = place.location.clone();
            tokio::spawn(async move {
                let store = Store::open(&location, &Options::default()).await.unwrap();
                let mut stale = 0;
                for i in 0..RULES {
                    stale += insert_unless_there(&store, &format!("q({i})")).await;
                }
                stale
            })
        })
        .collect();
    let mut stale = 0;
    for writer in writers {
        stale += writer.await.unwrap();
    }

    let rules = store.rules("p").await.unwrap();
    let distinct: HashSet<_> = rules.iter().map(|rule| rule.rule.as_str()).collect();
    assert_eq!((rules.len(), distinct.len()), (RULES, RULES));
    println!("{stale} writes had to be checked again");
}

/// Two nodes that change the same revision at the same moment: one of them has to look again.
async fn of_two_writers_at_one_revision_exactly_one_wins(place: Place) {
    let nodes = [place.open().await, place.open().await];
    nodes[0].create_policy(policy("p"), vec![], At::Any).await.unwrap();
    for round in 0..40 {
        let revision = nodes[round % 2].revision().await.unwrap();
        let write = |node: &Store, text: String| {
            let node = node.clone();
            tokio::spawn(async move {
                node.insert_rules("p", vec![rule(&text)], At::Revision(revision)).await
            })
        };
        let [first, second] = [0, 1].map(|i| write(&nodes[i], format!("q({round}, {i})")));
        let outcomes = [first.await.unwrap(), second.await.unwrap()];
        let won = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
        let stale = outcomes
            .iter()
            .filter(|outcome| {
                matches!(outcome, Err(Error::Stale { expected }) if *expected == revision)
            })
            .count();
        assert_eq!((won, stale), (1, 1), "{outcomes:?}");
        assert_eq!(nodes[1].revision().await.unwrap().0, revision.0 + 1);
    }
    assert_eq!(nodes[1].rules("p").await.unwrap().len(), 40);
}

/// Inserts a rule if it is not there; how often that had to be tried again.
async fn insert_unless_there(store: &Store, text: &str) -> usize {
    let mut stale = 0;
    loop {
        let snapshot = store.snapshot().await.unwrap();
        if snapshot.rules.iter().any(|rule| rule.rule == text) {
            return stale;
        }
        match store.insert_rules("p", vec![rule(text)], At::Revision(snapshot.revision)).await {
            Err(Error::Stale { .. }) => stale += 1,
            outcome => {
                outcome.unwrap();
                return stale;
            }
        }
    }
}

async fn a_snapshot_is_of_one_revision_while_others_write(place: Place) {
    let store = place.open().await;
    let start = store.revision().await.unwrap();
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for i in 0..100 {
                store.create_policy(policy(&format!("p{i}")), vec![], At::Any).await.unwrap();
            }
        })
    };
    loop {
        let snapshot = store.snapshot().await.unwrap();
        let policies = i64::try_from(snapshot.policies.len()).unwrap();
        assert_eq!(snapshot.revision.0 - start.0, policies);
        if policies == 100 {
            break;
        }
    }
    writer.await.unwrap();
}

#[tokio::test]
async fn a_writer_that_cannot_get_the_lock_says_so_and_works_later() {
    let folder = folder();
    let path = file(&folder);
    let store = Store::open(&Location::SqliteFile(path.clone()), &impatient()).await.unwrap();
    let mut other = raw(&path).await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();

    let busy = store.create_policy(policy("p"), vec![], At::Any).await.unwrap_err();
    assert!(matches!(&busy, Error::Unavailable { .. }), "{busy}");
    assert!(store.policies().await.unwrap().is_empty(), "readers do not wait for writers");

    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    store.create_policy(policy("p"), vec![], At::Any).await.unwrap();
}

async fn an_abandoned_change_is_undone(place: Place) {
    let store = place.open().await;
    let rules = (0..2000).map(|i| rule(&format!("q({i})"))).collect::<Vec<_>>();
    // Cut off somewhere between the first rule and the last.
    let cut = tokio::time::timeout(
        std::time::Duration::from_millis(5),
        store.create_policy(policy("p"), rules, At::Any),
    );
    let finished = cut.await.is_ok();
    let expected = if finished { 2000 } else { 0 };
    assert_eq!(store.snapshot().await.unwrap().rules.len(), expected);
    store.create_policy(policy("other"), vec![], At::Any).await.unwrap();
}
