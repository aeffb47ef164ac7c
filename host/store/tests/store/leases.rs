//! Leases, and writes that are bound to one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use congress_store::{Acquired, At, Error, Fence, Lease, Renewed, Store};

use super::{Place, datasource, on_all_systems, pushed, put};

on_all_systems! {
    a_lease_is_taken_renewed_and_given_back,
    a_lease_lapses_by_the_databases_clock,
    a_lapsed_lease_that_nobody_took_can_be_renewed,
    a_silent_holders_lease_is_taken_as_it_was_seen,
    no_term_is_taken_twice,
    who_has_lost_the_lease_cannot_write,
}

/// Long enough that no test outlasts it.
const LONG: Duration = Duration::from_secs(600);

pub(super) async fn take(store: &Store, instance: &str) -> Fence {
    match store.acquire_lease("datasources", "node", instance, LONG).await.unwrap() {
        Acquired::Taken { term } => {
            Fence { lease: "datasources".into(), instance: instance.into(), term }
        }
        Acquired::Held(lease) => panic!("held: {lease:?}"),
    }
}

async fn a_lease_is_taken_renewed_and_given_back(place: Place) {
    let store = place.open().await;
    assert_eq!(store.lease("datasources").await.unwrap(), None);

    let first = take(&store, "a").await;
    assert_eq!(first.term, 1);
    let lease = store.lease("datasources").await.unwrap().unwrap();
    assert_eq!((lease.node_id.as_str(), lease.instance.as_str(), lease.term), ("node", "a", 1));
    assert!(lease.remaining > LONG - Duration::from_secs(60) && lease.remaining <= LONG);

    let other = store.acquire_lease("datasources", "other", "b", LONG).await.unwrap();
    assert!(matches!(&other, Acquired::Held(held) if held.instance == "a"), "{other:?}");
    // An answer may have been lost: who has it gets it again, in a new term.
    let first = Fence { term: first.term + 1, ..first };
    assert_eq!(take(&store, "a").await, first);
    let renewed = store.renew_lease(&first, LONG * 2).await.unwrap();
    assert_eq!(renewed, Renewed::Renewed);
    assert!(store.lease("datasources").await.unwrap().unwrap().remaining > LONG);
    let older = Fence { term: 1, ..first.clone() };
    assert!(matches!(store.renew_lease(&older, LONG).await.unwrap(), Renewed::Lost(_)));

    store.release_lease(&older).await.unwrap();
    assert!(!store.lease("datasources").await.unwrap().unwrap().remaining.is_zero());
    store.release_lease(&first).await.unwrap();
    let given_back = store.lease("datasources").await.unwrap().unwrap();
    assert_eq!((given_back.term, given_back.remaining), (2, Duration::ZERO));
    assert!(matches!(store.renew_lease(&first, LONG).await.unwrap(), Renewed::Lost(_)));
    assert_eq!(take(&store, "b").await.term, 3);
    // Other names are other leases.
    let other = store.acquire_lease("other", "node", "a", LONG).await.unwrap();
    assert_eq!(other, Acquired::Taken { term: 1 });
}

async fn a_lease_lapses_by_the_databases_clock(place: Place) {
    let store = place.open().await;
    let ttl = Duration::from_millis(150);
    let taken = store.acquire_lease("datasources", "n1", "a", ttl).await.unwrap();
    assert_eq!(taken, Acquired::Taken { term: 1 });
    let begun = Instant::now();
    let term = loop {
        match store.acquire_lease("datasources", "n2", "b", LONG).await.unwrap() {
            Acquired::Taken { term } => break term,
            Acquired::Held(held) => assert_eq!(held.instance, "a"),
        }
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(term, 2);
    // A little tolerance: both clocks count whole milliseconds.
    assert!(begun.elapsed() + Duration::from_millis(20) >= ttl, "{:?}", begun.elapsed());
    let late = Fence { lease: "datasources".into(), instance: "a".into(), term: 1 };
    let lost = store.renew_lease(&late, LONG).await.unwrap();
    assert!(matches!(lost, Renewed::Lost(lease) if lease.instance == "b" && lease.term == 2));
}

async fn a_lapsed_lease_that_nobody_took_can_be_renewed(place: Place) {
    let store = place.open().await;
    store.acquire_lease("datasources", "n", "a", Duration::ZERO).await.unwrap();
    let fence = Fence { lease: "datasources".into(), instance: "a".into(), term: 1 };
    assert!(store.lease("datasources").await.unwrap().unwrap().remaining.is_zero());
    assert_eq!(store.renew_lease(&fence, LONG).await.unwrap(), Renewed::Renewed);
    assert!(!store.lease("datasources").await.unwrap().unwrap().remaining.is_zero());
}

async fn a_silent_holders_lease_is_taken_as_it_was_seen(place: Place) {
    let store = place.open().await;
    let first = take(&store, "a").await;
    let seen = store.lease("datasources").await.unwrap().unwrap();
    let take_as = async |instance: &str, seen: &Lease| {
        store.take_silent_lease("datasources", "n", instance, LONG, seen).await.unwrap()
    };
    // It was not silent after all.
    while store.lease("datasources").await.unwrap().unwrap().expires_at == seen.expires_at {
        assert_eq!(store.renew_lease(&first, LONG).await.unwrap(), Renewed::Renewed);
    }
    assert!(matches!(take_as("b", &seen).await, Acquired::Held(held) if held.instance == "a"));

    let seen = store.lease("datasources").await.unwrap().unwrap();
    assert_eq!(take_as("b", &seen).await, Acquired::Taken { term: 2 });
    assert!(matches!(take_as("c", &seen).await, Acquired::Held(held) if held.instance == "b"));
    assert!(matches!(store.renew_lease(&first, LONG).await.unwrap(), Renewed::Lost(_)));
}

/// Many contenders, leases so short that they lapse all the time: no term has two holders.
async fn no_term_is_taken_twice(place: Place) {
    const CONTENDERS: usize = 6;
    let mut contenders = Vec::new();
    for i in 0..CONTENDERS {
        let store = place.open().await;
        contenders.push(tokio::spawn(async move {
            let instance = format!("i{i}");
            let mut taken = Vec::new();
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_secs(2) {
                let ttl = Duration::from_millis(2);
                match store.acquire_lease("datasources", "n", &instance, ttl).await.unwrap() {
                    Acquired::Taken { term } => taken.push(term),
                    Acquired::Held(_) => tokio::task::yield_now().await,
                }
            }
            taken
        }));
    }
    let mut holders: HashMap<u64, usize> = HashMap::new();
    let mut takers = 0;
    for contender in contenders {
        let terms = contender.await.unwrap();
        takers += usize::from(!terms.is_empty());
        for term in terms {
            *holders.entry(term).or_default() += 1;
        }
    }
    assert!(holders.values().all(|count| *count == 1), "{holders:?}");
    assert!(takers > 1, "only {takers} ever had it");
    let last = place.open().await.lease("datasources").await.unwrap().unwrap().term;
    assert_eq!(holders.len() as u64, last, "every term has a holder");
    println!("{last} terms, {takers} of {CONTENDERS} contenders had it");
}

async fn who_has_lost_the_lease_cannot_write(place: Place) {
    let store = place.open().await;
    let feed = store.create_datasource(datasource("feed"), At::Any).await.unwrap().value;
    let rows = vec![[congress_table::Value::Int(1)].into()];

    let missing = Fence { lease: "datasources".into(), instance: "a".into(), term: 1 };
    let refused = put(&store, &feed.id, "t", &rows, Some(&missing)).await.unwrap_err();
    assert!(matches!(&refused, Error::Fenced { held_by: None, .. }), "{refused}");

    let old = take(&store, "a").await;
    put(&store, &feed.id, "t", &rows, Some(&old)).await.unwrap();
    store.release_lease(&old).await.unwrap();
    let refused = put(&store, &feed.id, "t", &[], Some(&old)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the lease 'datasources' is not held any more: it was given back"
    );
    let new = take(&store, "b").await;
    let refused = put(&store, &feed.id, "t", &[], Some(&old)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the lease 'datasources' is not held any more: node 'node' took it in term 2"
    );
    assert!(matches!(refused, Error::Fenced { held_by: Some(by), .. } if by.instance == "b"));
    assert_eq!(pushed(&store, &feed.id, "t").await.unwrap(), rows, "nothing was written");

    put(&store, &feed.id, "t", &[], Some(&new)).await.unwrap();
}
