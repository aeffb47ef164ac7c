//! What every bus does: each case runs within one process and over RabbitMQ.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Mirror, SOON, World, change, delta, next, row, tables, until};
use congress_bus::{Bus, CallError, Epoch, Position, Register, RegisterError, Schema, Update};
use congress_table::{Change, Column, TableDelta, TableSchema, Value};

/// Makes two tests of each case.
macro_rules! cases {
    ($($case:ident),* $(,)?) => {
        mod in_process {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::World::in_process()).await;
            })*
        }
        mod rabbit {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::World::rabbit().await).await;
            })*
        }
    };
}

cases! {
    a_subscriber_gets_a_snapshot_and_then_changes,
    an_empty_table_is_announced_once,
    a_subscription_may_come_before_its_source_and_outlive_it,
    a_slow_subscriber_catches_up_by_snapshot,
    subscribers_see_only_their_tables_and_publishers_see_what_is_wanted,
    a_publisher_of_an_old_epoch_is_refused_and_a_replaced_one_is_not_heard,
    calls_reach_the_service_and_fail_fast_without_it,
    calls_may_be_long_and_many,
    a_service_that_stops_ends_its_calls,
    a_new_schema_comes_with_the_rows_that_fit_it,
    registers_only_grow_and_are_shared,
    whoever_has_lost_the_lease_is_not_heard,
    tables_that_changed_together_arrive_together,
    large_tables_arrive_whole,
    several_subscribers_get_the_same,
    odd_names_are_names,
}

async fn two(world: &World) -> (Arc<dyn Bus>, Arc<dyn Bus>) {
    let mut nodes = world.nodes(&["ds", "pe1"]).await;
    let far = nodes.pop().unwrap();
    (nodes.pop().unwrap(), far)
}

async fn a_subscriber_gets_a_snapshot_and_then_changes(world: World) {
    let (near, far) = two(&world).await;
    let publisher = near.publish("nova", Epoch(1)).unwrap();
    assert!(publisher.commit(change("t", &[1, 2], &[])));
    let mut subscription = far.subscribe("__engine", "nova", tables(&["t"]));
    let Update::Snapshot(snapshot) = next(&mut subscription).await else { panic!() };
    assert_eq!(snapshot.position, Position { epoch: Epoch(1), sequence: 1 });
    assert_eq!(snapshot.tables[0].1.len(), 2);
    assert!(publisher.commit(change("t", &[2, 3], &[1])));
    let Update::Change(position, delta) = next(&mut subscription).await else { panic!() };
    assert_eq!(position.sequence, 2);
    assert_eq!(delta.tables, change("t", &[3], &[1]).tables, "only what really changed");
    let status = far.status();
    assert!(status.peers.iter().all(|peer| peer.silent_for < Duration::from_secs(5)));
    if let [subscription] = &status.subscriptions[..] {
        assert_eq!((subscription.current, subscription.position), (true, Some(position)));
    }
    assert!(!publisher.commit(change("t", &[3], &[1])), "nothing to tell");
}

async fn an_empty_table_is_announced_once(world: World) {
    let (near, far) = two(&world).await;
    let publisher = near.publish("nova", Epoch(1)).unwrap();
    let mut subscription = far.subscribe("__engine", "nova", tables(&["t"]));
    assert!(matches!(next(&mut subscription).await, Update::Snapshot(s) if s.tables.is_empty()));
    assert!(publisher.commit(change("t", &[], &[])));
    assert!(matches!(next(&mut subscription).await, Update::Change(_, c) if c.tables.len() == 1));
    assert!(!publisher.commit(change("t", &[], &[])));
}

async fn a_subscription_may_come_before_its_source_and_outlive_it(world: World) {
    let (near, far) = two(&world).await;
    let mut subscription = far.subscribe("__engine", "nova", tables(&["t"]));
    let waiting = tokio::time::timeout(Duration::from_millis(50), subscription.next()).await;
    assert!(waiting.is_err(), "there is no source yet");
    let publisher = near.publish("nova", Epoch(1)).unwrap();
    publisher.commit(change("t", &[1], &[]));
    let mut mirror = Mirror::default();
    mirror.follow(&mut subscription, &publisher, "t").await;
    drop(publisher);
    assert!(matches!(next(&mut subscription).await, Update::Gone));
    // Its successor starts with fewer rows: no stale one may stay.
    let successor = near.publish("nova", Epoch(2)).unwrap();
    successor.commit(change("t", &[7], &[]));
    mirror.follow(&mut subscription, &successor, "t").await;
    assert_eq!(mirror.tables["t"].len(), 1);
}

async fn a_slow_subscriber_catches_up_by_snapshot(world: World) {
    let (near, far) = two(&world).await;
    let publisher = near.publish("nova", Epoch(1)).unwrap();
    let mut subscription = far.subscribe("__engine", "nova", tables(&["t"]));
    let mut mirror = Mirror::default();
    publisher.commit(change("t", &[0], &[]));
    mirror.follow(&mut subscription, &publisher, "t").await;
    // Another one tells when all has come, while the first does not read.
    let mut other = far.subscribe("__other", "nova", tables(&["t"]));
    for i in 1..=1000 {
        publisher.commit(change("t", &[i], &[i - 1]));
    }
    Mirror::default().follow(&mut other, &publisher, "t").await;
    mirror.follow(&mut subscription, &publisher, "t").await;
    assert!(mirror.changes < 200, "it was spared the most, but for {}", mirror.changes);
    publisher.commit(change("t", &[-1], &[]));
    mirror.follow(&mut subscription, &publisher, "t").await;
    assert_eq!(mirror.tables["t"].len(), 2);
}

async fn subscribers_see_only_their_tables_and_publishers_see_what_is_wanted(world: World) {
    let (near, far) = two(&world).await;
    let publisher = near.publish("nova", Epoch(1)).unwrap();
    let mut subscription = far.subscribe("__engine", "nova", tables(&["t"]));
    let other = far.subscribe("__other", "nova", tables(&["u", "v"]));
    let wanted = publisher.wanted();
    until("all is wanted", || *wanted.borrow() == tables(&["t", "u", "v"])).await;
    until("both subscribe", || near.subscribers("nova") == ["__engine", "__other"]).await;
    assert!(matches!(next(&mut subscription).await, Update::Snapshot(_)));
    publisher.commit(change("u", &[1], &[]));
    let mut both = change("u", &[2], &[]);
    both.tables.extend(change("t", &[2], &[]).tables);
    publisher.commit(both);
    let Update::Change(position, delta) = next(&mut subscription).await else { panic!() };
    assert_eq!((position.sequence, delta.tables.len()), (2, 1));
    drop(other);
    until("less is wanted", || *wanted.borrow() == tables(&["t"])).await;
    subscription.set_tables(tables(&["u"]));
    until("another table is wanted", || *wanted.borrow() == tables(&["u"])).await;
    let Update::Snapshot(snapshot) = next(&mut subscription).await else { panic!() };
    assert_eq!(snapshot.tables[0].1.len(), 2);
}

async fn a_publisher_of_an_old_epoch_is_refused_and_a_replaced_one_is_not_heard(world: World) {
    let (near, far) = two(&world).await;
    let first = near.publish("nova", Epoch(3)).unwrap();
    assert!(matches!(
        near.publish("nova", Epoch(3)),
        Err(RegisterError::Fenced { current: Epoch(3), offered: Epoch(3), .. })
    ));
    let mut subscription = near.subscribe("__engine", "nova", tables(&["t"]));
    let mut elsewhere = far.subscribe("__engine", "nova", tables(&["t"]));
    assert!(matches!(next(&mut elsewhere).await, Update::Snapshot(_)));
    // The successor is another node, which has heard of the first.
    until("the epoch is known", || far.publish("nova", Epoch(2)).is_err()).await;
    let second = far.publish("nova", Epoch(4)).unwrap();
    first.commit(change("t", &[1], &[]));
    second.commit(change("t", &[2], &[]));
    for subscription in [&mut subscription, &mut elsewhere] {
        let mut mirror = Mirror::default();
        mirror.follow(subscription, &second, "t").await;
        assert!(mirror.tables["t"].contains(&row(2)) && mirror.tables["t"].len() == 1);
    }
    // Neither what it still says nor its end is heard any more.
    first.commit(change("t", &[5], &[]));
    drop(first);
    second.commit(change("t", &[3], &[]));
    let heard = next(&mut elsewhere).await;
    assert!(matches!(heard, Update::Change(at, _) if at.epoch == Epoch(4)), "{heard:?}");
}

async fn calls_reach_the_service_and_fail_fast_without_it(world: World) {
    let (near, far) = two(&world).await;
    let call = |body: &'static str| far.call("echo", body.into(), Duration::from_millis(500));
    assert_eq!(call("x").await, Err(CallError::NotFound("echo".into())));
    let mut requests = near.serve("echo", 1).unwrap();
    assert!(matches!(near.serve("echo", 1), Err(RegisterError::Duplicate(_))));
    let serves =
        |bus: &Arc<dyn Bus>| bus.nodes().borrow().iter().any(|node| node.services.contains("echo"));
    until("the service is seen", || serves(&far)).await;
    let server = tokio::spawn(async move {
        let request = requests.next().await.unwrap();
        let body = request.body.clone();
        request.reply(body);
        requests
    });
    assert_eq!(call("hello").await, Ok("hello".into()));
    let requests = server.await.unwrap();
    assert_eq!(call("x").await, Err(CallError::Timeout("echo".into())));
    assert_eq!(call("y").await, Err(CallError::Busy("echo".into())), "the backlog is one");
    drop(requests);
    until("the service is seen no longer", || !serves(&far)).await;
    assert_eq!(call("x").await, Err(CallError::NotFound("echo".into())));
}

async fn calls_may_be_long_and_many(world: World) {
    let (near, far) = two(&world).await;
    let mut requests = near.serve("echo", 64).unwrap();
    tokio::spawn(async move {
        while let Some(request) = requests.next().await {
            let body = request.body.clone();
            request.reply(body);
        }
    });
    let mut nodes = far.nodes();
    let seen = nodes.wait_for(|nodes| nodes.iter().any(|node| node.services.contains("echo")));
    drop(tokio::time::timeout(SOON, seen).await.unwrap().unwrap());
    let long: bytes::Bytes =
        (0..3_000_000u32).map(|i| i.wrapping_mul(2_654_435_761) as u8).collect::<Vec<_>>().into();
    let calls = (0..32u8).map(|i| {
        let far = far.clone();
        let body = if i == 7 { long.clone() } else { vec![i; usize::from(i)].into() };
        tokio::spawn(async move { (far.call("echo", body.clone(), SOON).await, body) })
    });
    for call in calls.collect::<Vec<_>>() {
        let (reply, body) = call.await.unwrap();
        assert!(reply.as_ref() == Ok(&body), "{:?}", reply.map(|reply| reply.len()));
    }
}

async fn a_service_that_stops_ends_its_calls(world: World) {
    let (near, far) = two(&world).await;
    let mut requests = near.serve("shy", 4).unwrap();
    let mut nodes = far.nodes();
    let seen = nodes.wait_for(|nodes| nodes.iter().any(|node| node.services.contains("shy")));
    drop(tokio::time::timeout(SOON, seen).await.unwrap().unwrap());
    let call = tokio::spawn({
        let far = far.clone();
        async move { far.call("shy", "x".into(), SOON).await }
    });
    drop(requests.next().await.unwrap());
    assert_eq!(call.await.unwrap(), Err(CallError::Stopped("shy".into())));
}

fn schema(tables: &[(&str, &[&str])]) -> Schema {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        description: Some(format!("the {name}")),
        column_type: Default::default(),
        nullable: true,
    };
    let table = |(name, columns): &(&str, &[&str])| {
        let columns = columns.iter().map(column).collect();
        Arc::new(TableSchema { name: (*name).to_owned(), columns, root: None })
    };
    tables.iter().map(table).collect()
}

async fn a_new_schema_comes_with_the_rows_that_fit_it(world: World) {
    let (near, far) = two(&world).await;
    let publisher = near.publish("nova", Epoch(1)).unwrap();
    let first = schema(&[("t", &["a", "b"]), ("u", &["a", "b"]), ("gone", &["a", "b"])]);
    publisher.declare(first.clone(), Change::default());
    for table in ["t", "u", "gone"] {
        publisher.commit(change(table, &[1], &[]));
    }
    let mut subscription = far.subscribe("__engine", "nova", tables(&["t", "u", "gone"]));
    let mut onlooker = far.subscribe("__other", "nova", tables(&[]));
    for subscription in [&mut subscription, &mut onlooker] {
        let Update::Snapshot(snapshot) = next(subscription).await else { panic!() };
        assert_eq!(snapshot.schema, first);
    }
    until("they subscribe", || near.subscribers("nova") == ["__engine"]).await;

    publisher.commit(change("u", &[2], &[]));
    assert!(matches!(next(&mut subscription).await, Update::Change(..)), "what came before");
    let second = schema(&[("t", &["a", "b", "c"]), ("u", &["a", "b"])]);
    let wide = [Value::Int(1), Value::Int(2), Value::Int(3)].into();
    let wide = TableDelta { added: vec![wide], removed: vec![] };
    publisher.declare(second.clone(), Change { tables: vec![("t".into(), wide)] });
    let Update::Snapshot(snapshot) = next(&mut subscription).await else { panic!() };
    assert_eq!(snapshot.schema, second);
    let widths: Vec<_> =
        snapshot.tables.iter().map(|(name, rows)| (&**name, rows.len(), rows[0].len())).collect();
    assert_eq!(widths, [("t", 1, 3), ("u", 2, 2)], "what is declared as before keeps its rows");
    let Update::Snapshot(snapshot) = next(&mut onlooker).await else { panic!() };
    assert_eq!((snapshot.schema, snapshot.tables.len()), (second, 0));

    // Rows that stay the same are no reason to say nothing.
    publisher.declare(first, Change::default());
    assert!(matches!(next(&mut subscription).await, Update::Snapshot(_)));
}

async fn registers_only_grow_and_are_shared(world: World) {
    let (near, far) = two(&world).await;
    let mut revision = far.register(Register::Revision);
    assert_eq!(*revision.borrow_and_update(), 0);
    near.raise(Register::Revision, 7);
    tokio::time::timeout(SOON, revision.wait_for(|value| *value == 7)).await.unwrap().unwrap();
    near.raise(Register::Revision, 5);
    near.raise(Register::Term, 9);
    let mut term = far.register(Register::Term);
    tokio::time::timeout(SOON, term.wait_for(|value| *value == 9)).await.unwrap().unwrap();
    assert_eq!(*revision.borrow(), 7);
    far.raise(Register::Revision, 8);
    let mut back = near.register(Register::Revision);
    tokio::time::timeout(SOON, back.wait_for(|value| *value == 8)).await.unwrap().unwrap();
}

async fn whoever_has_lost_the_lease_is_not_heard(world: World) {
    let (near, far) = two(&world).await;
    near.raise(Register::Term, 1);
    let publisher = near.publish("nova", Epoch::in_term(1, 1)).unwrap();
    publisher.commit(change("t", &[1], &[]));
    far.raise(Register::Term, 2);
    let mut term = near.register(Register::Term);
    drop(tokio::time::timeout(SOON, term.wait_for(|term| *term == 2)).await.unwrap().unwrap());
    assert!(matches!(
        near.publish("neutron", Epoch::in_term(1, 2)),
        Err(RegisterError::Fenced { current, .. }) if current == Epoch::in_term(2, 0)
    ));
    // Before the successor publishes there is nothing to hear; afterwards only that.
    let successor = far.publish("nova", Epoch::in_term(2, 1)).unwrap();
    successor.commit(change("t", &[2], &[]));
    publisher.commit(change("t", &[3], &[]));
    for bus in [&near, &far] {
        let mut subscription = bus.subscribe("__engine", "nova", tables(&["t"]));
        let mut mirror = Mirror::default();
        mirror.follow(&mut subscription, &successor, "t").await;
        assert_eq!(mirror.tables["t"].len(), 1);
    }
}

async fn tables_that_changed_together_arrive_together(world: World) {
    let (near, far) = two(&world).await;
    let publisher = near.publish("neutron", Epoch(1)).unwrap();
    let both = tables(&["ports", "addresses"]);
    let mut subscription = far.subscribe("__engine", "neutron", both);
    assert!(matches!(next(&mut subscription).await, Update::Snapshot(_)));
    for i in 0..50 {
        let tables = vec![
            ("ports".into(), delta([i], (i > 0).then_some(i - 1))),
            ("addresses".into(), delta([i], (i > 0).then_some(i - 1))),
        ];
        publisher.commit(Change { tables });
    }
    let mut mirror = Mirror::default();
    while publisher.read(|p| p.table("ports").map(|t| &**t) != mirror.tables.get("ports")) {
        mirror.apply(next(&mut subscription).await);
        assert_eq!(mirror.tables.get("ports"), mirror.tables.get("addresses"));
    }
}

async fn large_tables_arrive_whole(world: World) {
    let (near, far) = two(&world).await;
    let publisher = near.publish("nova", Epoch(1)).unwrap();
    let all = |range: std::ops::Range<i64>| delta(range, []);
    publisher.commit(Change { tables: vec![("t".into(), all(0..100_000))] });
    let mut subscription = far.subscribe("__engine", "nova", tables(&["t"]));
    let mut mirror = Mirror::default();
    mirror.follow(&mut subscription, &publisher, "t").await;
    assert_eq!(mirror.snapshots, 1);
    let replaced = delta(100_000..200_000, 0..100_000);
    publisher.commit(Change { tables: vec![("t".into(), replaced)] });
    mirror.follow(&mut subscription, &publisher, "t").await;
    assert_eq!((mirror.snapshots, mirror.changes), (1, 1), "as one change");
}

async fn several_subscribers_get_the_same(world: World) {
    let nodes = world.nodes(&["ds", "pe1", "pe2", "pe3"]).await;
    let publisher = nodes[0].publish("nova", Epoch(1)).unwrap();
    publisher.commit(Change { tables: vec![("t".into(), delta(0..5_000, []))] });
    let mut followed: Vec<_> = nodes
        .iter()
        .map(|node| (node.subscribe("__engine", "nova", tables(&["t"])), Mirror::default()))
        .collect();
    for i in 0..100 {
        publisher.commit(change("t", &[10_000 + i], &[i]));
    }
    for (subscription, mirror) in &mut followed {
        mirror.follow(subscription, &publisher, "t").await;
    }
}

async fn odd_names_are_names(world: World) {
    let (near, far) = two(&world).await;
    for name in ["a.b.#", "*", "ü ñ", &"long ".repeat(50)] {
        let publisher = near.publish(name, Epoch(1)).unwrap();
        publisher.commit(change("t", &[1], &[]));
        let mut subscription = far.subscribe("__engine", name, tables(&["t"]));
        let mut mirror = Mirror::default();
        mirror.follow(&mut subscription, &publisher, "t").await;
        publisher.commit(change("t", &[2], &[]));
        mirror.follow(&mut subscription, &publisher, "t").await;
    }
}
