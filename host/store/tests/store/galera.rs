//! Two nodes of a real Galera cluster, a store on each. Run on demand: the start of a cluster is
//! not dependable on a busy machine.

use std::time::{Duration, Instant};

use congress_store::{
    Acquired, ActionFilter, ActionKey, At, Begin, Error, Fence, Options, Revision, SCHEMA_HISTORY,
    Store, upgrade_schema,
};
use congress_table::{Row, Value};
use congress_test_services::{Galera, eventually};

use super::place::location;
use super::{policy, rule};

const PATIENCE: Duration = Duration::from_secs(30);

async fn stores(cluster: &Galera) -> [Store; 2] {
    let [first, second] = &cluster.nodes;
    let place = location(&first.database("congress").await.unwrap());
    upgrade_schema(&place, &Options::default(), SCHEMA_HISTORY.len() - 1).await.unwrap();
    let other = location(&second.url("congress"));
    let options = Options::default();
    let first = Store::open(&place, &options).await.unwrap();
    [first, Store::open(&other, &options).await.unwrap()]
}

/// Waits until a node has what the other has committed.
async fn reaches(store: &Store, revision: Revision) {
    let there = async || (store.revision().await.ok()? >= revision).then_some(());
    eventually("the node catches up", PATIENCE, there).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_cluster_of_two_nodes() {
    if std::env::var_os("CONGRESS_TEST_GALERA").is_none() {
        println!(
            "skipped: a Galera cluster; set CONGRESS_TEST_GALERA=1 (galera-4, mariadb-server)"
        );
        return;
    }
    let cluster = Galera::start().await.unwrap();
    let stores = stores(&cluster).await;
    one_of_two_writers_wins(&stores).await;
    no_term_has_two_holders(&stores).await;
    who_has_lost_the_lease_writes_nothing_more(&stores).await;
}

/// The two nodes certify changes of the same row; the loser's is undone, and it has to look again.
async fn one_of_two_writers_wins(stores: &[Store; 2]) {
    const ROUNDS: usize = 40;
    let made = stores[0].create_policy(policy("p"), vec![], At::Any).await.unwrap();
    let mut revision = made.revision;
    let mut wins = [0; 2];
    for round in 0..ROUNDS {
        reaches(&stores[0], revision).await;
        reaches(&stores[1], revision).await;
        let writes = [0, 1].map(|node: usize| {
            let store = stores[node].clone();
            tokio::spawn(async move {
                let rule = rule(&format!("q({round}, {node})"));
                store.insert_rules("p", vec![rule], At::Revision(revision)).await
            })
        });
        let mut won = 0;
        let mut told = Vec::new();
        for (node, write) in writes.into_iter().enumerate() {
            let outcome = write.await.unwrap();
            told.push(format!("{outcome:?}"));
            match outcome {
                Ok(committed) => {
                    assert_eq!(committed.revision.0, revision.0 + 1);
                    won += 1;
                    wins[node] += 1;
                }
                Err(Error::Stale { expected }) => assert_eq!(expected, revision),
                Err(other) => panic!("{other:?}"),
            }
        }
        if won != 1 {
            let rules = stores[0].rules("p").await.unwrap();
            let there = rules.iter().filter(|rule| rule.rule.starts_with(&format!("q({round},")));
            let there = there.count();
            panic!("round {round}: {won} won, {there} are there: {told:?}");
        }
        revision = Revision(revision.0 + 1);
    }
    for store in stores {
        reaches(store, revision).await;
        assert_eq!(store.rules("p").await.unwrap().len(), ROUNDS);
    }
    println!("{ROUNDS} rounds, won by the nodes {wins:?} times");
}

async fn no_term_has_two_holders(stores: &[Store; 2]) {
    let contenders: Vec<_> = (0..4_usize)
        .map(|i| {
            let store = stores[i % 2].clone();
            tokio::spawn(async move {
                let instance = format!("i{i}");
                let mut terms = Vec::new();
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_secs(4) {
                    let ttl = Duration::from_millis(10);
                    match store.acquire_lease("contended", "n", &instance, ttl).await {
                        Ok(Acquired::Taken { term }) => terms.push(term),
                        Ok(Acquired::Held(_)) => tokio::task::yield_now().await,
                        Err(Error::Unavailable { reason }) => println!("{reason}"),
                        Err(other) => panic!("{other:?}"),
                    }
                }
                terms
            })
        })
        .collect();
    let mut terms = Vec::new();
    for contender in contenders {
        terms.extend(contender.await.unwrap());
    }
    let taken = terms.len();
    terms.sort_unstable();
    terms.dedup();
    assert_eq!(terms.len(), taken, "a term had two holders");
    assert!(taken > 2, "only {taken} terms");
    println!("{taken} terms on two nodes");
}

/// A holder goes on writing on one node while its successor takes over on the other: what the
/// successor does not see when it has the lease is never written.
async fn who_has_lost_the_lease_writes_nothing_more(stores: &[Store; 2]) {
    const ROUNDS: u64 = 5;
    let mut written = 0;
    for round in 0..ROUNDS {
        let (old, new) = (&stores[(round % 2) as usize], &stores[((round + 1) % 2) as usize]);
        let ttl = Duration::from_millis(300);
        let taken = async || {
            let taken = old.acquire_lease("datasources", "n", &format!("old{round}"), ttl).await;
            match taken.ok()? {
                Acquired::Taken { term } => Some(term),
                Acquired::Held(_) => None,
            }
        };
        let term = eventually("the old one has the lease", PATIENCE, taken).await.unwrap();
        let fence = Fence { lease: "datasources".into(), instance: format!("old{round}"), term };
        let writing = {
            let store = old.clone();
            tokio::spawn(async move {
                for i in 0.. {
                    let row: Row = [Value::Int(round as i64), Value::Int(i)].into();
                    let key = ActionKey::new("p", "s", "a", &row).unwrap();
                    match store.begin_action(&key, &fence).await {
                        Ok(Begin::Begun { .. }) => {}
                        Err(Error::Fenced { .. }) => return,
                        other => panic!("{other:?}"),
                    }
                }
            })
        };
        // Nobody renews: the lease lapses while it is written under it.
        let long = Duration::from_secs(1);
        let taken = async || {
            let taken = new.acquire_lease("datasources", "n", &format!("new{round}"), long).await;
            matches!(taken, Ok(Acquired::Taken { .. })).then_some(())
        };
        eventually("the new one takes over", PATIENCE, taken).await.unwrap();
        let seen = of_term(new, term).await;
        writing.await.unwrap();
        // Everything of the old one has arrived when its node has: compare on both.
        assert_eq!(of_term(old, term).await, seen, "written after the lease was lost");
        assert_eq!(of_term(new, term).await, seen);
        written += seen;
    }
    assert!(written > 0);
    println!("{written} actions begun in {ROUNDS} terms, none after its end");
}

async fn of_term(store: &Store, term: u64) -> usize {
    let all = store.actions(&ActionFilter::default(), 1_000_000, None).await.unwrap();
    all.iter().filter(|record| record.term == term).count()
}
