//! The ledger of actions.

use std::time::{Duration, Instant};

use congress_store::{
    ActionFilter, ActionKey, ActionRecord, ActionState, Begin, Error, Kind, MAX_REASON, Outcome,
    Store,
};
use congress_table::{Row, Value};

use super::leases::take;
use super::{Place, on_all_systems};

on_all_systems! {
    an_action_is_begun_once_until_its_row_has_gone_and_returns,
    failures_are_kept_and_can_be_tried_again,
    an_operator_repeats_or_settles_what_did_not_go_well,
    a_successor_marks_what_it_cannot_know,
    the_same_key_twice_in_one_call_is_begun_once,
    listings_go_page_by_page_newest_first,
    ten_thousand_at_once,
    long_arguments_are_sent_in_pieces,
    what_is_long_gone_is_forgotten,
}

fn key(arg: i64) -> ActionKey {
    let row: Row = [Value::Int(arg), Value::text("ü'\"")].into();
    ActionKey::new("p", "nova", "servers.stop", &row).unwrap()
}

fn begun(begin: &Begin) -> bool {
    matches!(begin, Begin::Begun { .. })
}

async fn record(store: &Store, key: &ActionKey) -> ActionRecord {
    store.action(&key.id()).await.unwrap()
}

#[test]
fn the_key_tells_all_parts_apart() {
    let row: Row = [Value::Int(1)].into();
    let text: Row = [Value::text("1")].into();
    let new = |policy: &str, service: &str, action: &str, row: &Row| {
        ActionKey::new(policy, service, action, row).unwrap().id()
    };
    let ids = [
        new("p", "s", "a", &row),
        new("ps", "", "a", &row),
        new("p", "sa", "", &row),
        new("p", "s", "a", &text),
        new("p", "s", "a", &[].into()),
    ];
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
    assert_eq!(new("p", "s", "a", &row), ids[0]);
    assert!(ids[0].len() == 64 && ids[0].bytes().all(|b| b"0123456789abcdef".contains(&b)));
}

async fn an_action_is_begun_once_until_its_row_has_gone_and_returns(place: Place) {
    let store = place.open().await;
    let fence = take(&store, "a").await;
    let key = key(1);
    let id = key.id();

    assert_eq!(store.begin_action(&key, &fence).await.unwrap(), Begin::Begun { id: id.clone() });
    let running = record(&store, &key).await;
    assert_eq!(running.key, key);
    assert_eq!((running.state, running.present, running.attempts), (ActionState::Running, true, 1));
    assert_eq!((running.term, running.instance.as_str()), (fence.term, "a"));
    assert_eq!((&running.finished_at, &running.error), (&None, &None));
    let age = time::OffsetDateTime::now_utc() - running.requested_at;
    assert!(age.abs() < time::Duration::minutes(1), "{age}");
    let again = store.begin_action(&key, &fence).await.unwrap();
    assert_eq!(again, Begin::Known(running.clone()));

    // Gone and back while it runs: that is for its end to settle.
    assert_eq!(store.rows_gone(std::slice::from_ref(&id), &fence).await.unwrap(), 1);
    let Begin::Known(known) = store.begin_action(&key, &fence).await.unwrap() else { panic!() };
    assert_eq!((known.state, known.present), (ActionState::Running, false));

    store.finish_action(&id, Outcome::Done, &fence).await.unwrap();
    let done = record(&store, &key).await;
    assert_eq!((done.state, done.present), (ActionState::Done, false));
    assert!(done.finished_at.unwrap() >= done.requested_at);
    let twice = store.finish_action(&id, Outcome::Done, &fence).await.unwrap_err();
    assert!(matches!(twice, Error::NotFound { kind: Kind::Action, .. }), "{twice}");

    assert!(begun(&store.begin_action(&key, &fence).await.unwrap()), "its return");
    let second = record(&store, &key).await;
    assert_eq!((second.attempts, second.present), (2, true));
    store.finish_action(&id, Outcome::Done, &fence).await.unwrap();
    assert!(!begun(&store.begin_action(&key, &fence).await.unwrap()), "it has not gone since");
    assert_eq!(store.rows_gone(&[id.clone(), id.clone()], &fence).await.unwrap(), 1);
    assert_eq!(store.rows_gone(&[id], &fence).await.unwrap(), 0);
}

async fn failures_are_kept_and_can_be_tried_again(place: Place) {
    let store = place.open().await;
    let fence = take(&store, "a").await;
    let key = key(1);
    let id = key.id();
    store.begin_action(&key, &fence).await.unwrap();
    let known = store.retry_action(&id, &fence).await.unwrap();
    assert!(!begun(&known), "it still runs");

    let reason = "é".repeat(MAX_REASON + 1);
    store.finish_action(&id, Outcome::Failed(reason), &fence).await.unwrap();
    let failed = record(&store, &key).await;
    assert_eq!(failed.state, ActionState::Failed);
    assert_eq!(failed.error.unwrap(), "é".repeat(MAX_REASON));
    assert!(!begun(&store.begin_action(&key, &fence).await.unwrap()), "not by itself");

    assert!(begun(&store.retry_action(&id, &fence).await.unwrap()));
    let again = record(&store, &key).await;
    assert_eq!((again.state, again.attempts, again.error), (ActionState::Running, 2, None));
    store.finish_action(&id, Outcome::Unknown("no answer".into()), &fence).await.unwrap();
    let unknown = record(&store, &key).await;
    assert_eq!(
        (unknown.state, unknown.error.as_deref()),
        (ActionState::Unknown, Some("no answer"))
    );
    assert!(!begun(&store.retry_action(&id, &fence).await.unwrap()), "it may have been done");
    let missing = store.retry_action("nothing", &fence).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { kind: Kind::Action, .. }), "{missing}");
}

async fn an_operator_repeats_or_settles_what_did_not_go_well(place: Place) {
    let store = place.open().await;
    let fence = take(&store, "a").await;
    let (lost, refused) = (key(1), key(2));
    store.begin_actions(&[lost.clone(), refused.clone()], &fence).await.unwrap();
    assert!(!begun(&store.repeat_action(&lost.id(), &fence).await.unwrap()), "it runs");
    assert!(!store.settle_action(&lost.id()).await.unwrap());
    let outcomes = [
        (lost.id(), Outcome::Unknown("no answer".into())),
        (refused.id(), Outcome::Failed("no such server".into())),
    ];
    store.finish_actions(&outcomes, &fence).await.unwrap();

    // Whether the row is there does not matter, and stays as it is.
    store.rows_gone(&[lost.id()], &fence).await.unwrap();
    assert!(begun(&store.repeat_action(&lost.id(), &fence).await.unwrap()));
    let again = record(&store, &lost).await;
    assert_eq!(
        (again.state, again.present, again.attempts, again.error),
        (ActionState::Running, false, 2, None)
    );
    store.finish_action(&lost.id(), Outcome::Done, &fence).await.unwrap();
    assert!(!begun(&store.repeat_action(&lost.id(), &fence).await.unwrap()), "it is done");

    assert!(store.settle_action(&refused.id()).await.unwrap());
    let settled = record(&store, &refused).await;
    assert_eq!((settled.state, settled.present), (ActionState::Done, true));
    let note = "settled by an operator; it was failed: no such server";
    assert_eq!(settled.error.as_deref(), Some(note));
    assert!(!store.settle_action(&refused.id()).await.unwrap());
    assert!(!begun(&store.begin_action(&refused, &fence).await.unwrap()));

    let missing = store.settle_action("nothing").await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { kind: Kind::Action, .. }), "{missing}");
    let missing = store.repeat_action("nothing", &fence).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { kind: Kind::Action, .. }), "{missing}");
    let second = {
        store.release_lease(&fence).await.unwrap();
        take(&store, "b").await
    };
    let lost = store.repeat_action(&refused.id(), &fence).await.unwrap_err();
    assert!(matches!(lost, Error::Fenced { .. }) && second.term > fence.term, "{lost}");
}

async fn a_successor_marks_what_it_cannot_know(place: Place) {
    let store = place.open().await;
    let first = take(&store, "a").await;
    let (running, done) = (key(1), key(2));
    store.begin_actions(&[running.clone(), done.clone()], &first).await.unwrap();
    store.finish_action(&done.id(), Outcome::Done, &first).await.unwrap();
    assert!(store.abandon_running(&first).await.unwrap().is_empty(), "its own");

    store.release_lease(&first).await.unwrap();
    let second = take(&store, "b").await;
    // Whoever has lost the lease can neither begin nor end anything, nor has it changed anything.
    let late = store.begin_actions(&[key(3), running.clone()], &first).await.unwrap_err();
    assert!(matches!(late, Error::Fenced { .. }), "{late}");
    let late = store.finish_action(&running.id(), Outcome::Done, &first).await.unwrap_err();
    assert!(matches!(late, Error::Fenced { .. }), "{late}");
    assert!(matches!(store.action(&key(3).id()).await, Err(Error::NotFound { .. })));

    let abandoned = store.abandon_running(&second).await.unwrap();
    assert_eq!(abandoned.len(), 1);
    assert_eq!((&abandoned[0].key, abandoned[0].state), (&running, ActionState::Unknown));
    assert!(abandoned[0].error.as_deref().unwrap().contains("ended before"));
    assert_eq!(abandoned[0], record(&store, &running).await);
    assert!(store.abandon_running(&second).await.unwrap().is_empty());
    // Not repeated by itself, for its row is still there.
    assert!(!begun(&store.begin_action(&running, &second).await.unwrap()));
    assert_eq!(record(&store, &done).await.state, ActionState::Done);
}

async fn the_same_key_twice_in_one_call_is_begun_once(place: Place) {
    let store = place.open().await;
    let fence = take(&store, "a").await;
    for attempts in 1..=2 {
        let answers = store.begin_actions(&[key(1), key(2), key(1)], &fence).await.unwrap();
        assert_eq!(answers.iter().map(begun).collect::<Vec<_>>(), [true, true, false]);
        let Begin::Known(known) = &answers[2] else { panic!() };
        assert_eq!((known.state, known.attempts), (ActionState::Running, attempts));
        let ids = [key(1).id(), key(2).id()];
        store.rows_gone(&ids, &fence).await.unwrap();
        let ends = ids.map(|id| (id, Outcome::Done));
        assert_eq!(store.finish_actions(&ends, &fence).await.unwrap(), 2);
    }
    assert!(store.begin_actions(&[], &fence).await.unwrap().is_empty());
}

async fn listings_go_page_by_page_newest_first(place: Place) {
    let store = place.open().await;
    let fence = take(&store, "a").await;
    for batch in 0..5 {
        let keys: Vec<_> = (batch * 10..batch * 10 + 10).map(key).collect();
        store.begin_actions(&keys, &fence).await.unwrap();
    }
    let other = ActionKey { service: "neutron".into(), ..key(1) };
    store.begin_action(&other, &fence).await.unwrap();
    store.finish_action(&other.id(), Outcome::Failed("no".into()), &fence).await.unwrap();

    let all = ActionFilter::default();
    let mut seen = Vec::new();
    loop {
        let marker = seen.last().map(|record: &ActionRecord| record.id.clone());
        let page = store.actions(&all, 7, marker.as_deref()).await.unwrap();
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen.len(), 51);
    assert!(seen.is_sorted_by(|a, b| (b.requested_at, &b.id) < (a.requested_at, &a.id)));
    let failed = ActionFilter { state: Some(ActionState::Failed), ..all.clone() };
    let failed = store.actions(&failed, 100, None).await.unwrap();
    assert_eq!(failed.iter().map(|record| &record.key).collect::<Vec<_>>(), [&other]);
    let one = ActionFilter {
        policy: Some("p".into()),
        service: Some("neutron".into()),
        action: Some("servers.stop".into()),
        present: Some(true),
        state: None,
    };
    assert_eq!(store.actions(&one, 100, None).await.unwrap(), failed);
    let none = ActionFilter { present: Some(false), ..one };
    assert!(store.actions(&none, 100, None).await.unwrap().is_empty());
    let missing = store.actions(&all, 7, Some("nothing")).await.unwrap_err();
    assert!(matches!(missing, Error::NotFound { kind: Kind::Action, .. }), "{missing}");

    let expected = [("p", "neutron", "servers.stop"), ("p", "nova", "servers.stop")];
    let tables = store.tables_with_present_actions().await.unwrap();
    assert_eq!(tables, expected.map(|(p, s, a)| (p.to_owned(), s.to_owned(), a.to_owned())));
}

/// What a poll with very many rows costs, and a comparison of a whole table in pages.
async fn ten_thousand_at_once(place: Place) {
    const ROWS: i64 = 10_000;
    let store = place.open().await;
    let fence = take(&store, "a").await;
    let keys: Vec<_> = (0..ROWS).map(key).collect();
    let start = Instant::now();
    let begun_now = store.begin_actions(&keys, &fence).await.unwrap();
    let begin = start.elapsed();
    assert!(begun_now.iter().all(begun));
    let again = store.begin_actions(&keys, &fence).await.unwrap();
    assert!(!again.iter().any(begun));

    let start = Instant::now();
    let mut present: Vec<String> = Vec::new();
    loop {
        let after = present.last().cloned();
        let page = store
            .present_actions("p", "nova", "servers.stop", after.as_deref(), 1000)
            .await
            .unwrap();
        if page.is_empty() {
            break;
        }
        present.extend(page);
    }
    let compare = start.elapsed();
    let mut expected: Vec<String> = keys.iter().map(ActionKey::id).collect();
    expected.sort();
    assert_eq!(present, expected);

    let ends: Vec<_> = expected.iter().map(|id| (id.clone(), Outcome::Done)).collect();
    let start = Instant::now();
    assert_eq!(store.finish_actions(&ends, &fence).await.unwrap(), ROWS as u64);
    let finish = start.elapsed();
    assert_eq!(store.rows_gone(&expected, &fence).await.unwrap(), ROWS as u64);
    println!("{ROWS} actions: begun in {begin:?}, listed in {compare:?}, ended in {finish:?}");
    assert!(begin < Duration::from_secs(20), "{begin:?}");
}

async fn long_arguments_are_sent_in_pieces(place: Place) {
    let store = place.open().await;
    let fence = take(&store, "a").await;
    let long = |i: usize| {
        let row: Row = [Value::text("x".repeat(400_000 * i)), Value::Int(i as i64)].into();
        ActionKey::new("p", "nova", "a", &row).unwrap()
    };
    let keys: Vec<_> = (0..6).map(long).collect();
    assert!(store.begin_actions(&keys, &fence).await.unwrap().iter().all(begun));
    for key in &keys {
        assert_eq!(record(&store, key).await.key, *key);
    }
    let wide = ActionKey { action: "a".repeat(256), ..key(1) };
    let refused = store.begin_action(&wide, &fence).await.unwrap_err();
    assert!(matches!(refused, Error::TooLong { column: "congress_actions.action", .. }));
}

async fn what_is_long_gone_is_forgotten(place: Place) {
    let store = place.open().await;
    let fence = take(&store, "a").await;
    let keys: Vec<_> = (0..4).map(key).collect();
    let ids: Vec<_> = keys.iter().map(ActionKey::id).collect();
    store.begin_actions(&keys, &fence).await.unwrap();
    // 0: present and done, 1: gone and running, 2 and 3: gone and done.
    for id in [&ids[0], &ids[2], &ids[3]] {
        store.finish_action(id, Outcome::Done, &fence).await.unwrap();
    }
    store.rows_gone(&ids[1..], &fence).await.unwrap();
    assert_eq!(store.forget_absent(Duration::from_secs(60), 10, &fence).await.unwrap(), 0);

    let deadline = Instant::now() + Duration::from_secs(20);
    // By the database's clock, in whole milliseconds.
    while store.forget_absent(Duration::ZERO, 1, &fence).await.unwrap() == 0 {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    assert_eq!(store.forget_absent(Duration::ZERO, 10, &fence).await.unwrap(), 1);
    let left = store.actions(&ActionFilter::default(), 10, None).await.unwrap();
    let mut left: Vec<_> = left.into_iter().map(|record| record.id).collect();
    left.sort();
    let mut expected = ids[..2].to_vec();
    expected.sort();
    assert_eq!(left, expected);
}
