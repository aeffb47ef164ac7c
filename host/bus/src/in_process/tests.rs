use std::time::Duration;

use congress_table::{Row, Table, TableDelta, TableSchema, Value};

use super::*;

const SOON: Duration = Duration::from_secs(5);

fn bus() -> InProcessBus {
    InProcessBus::new("n1", "i1")
}

fn row(i: i64) -> Row {
    [Value::Int(i)].into()
}

fn change(table: &str, added: &[i64], removed: &[i64]) -> Change {
    let delta = TableDelta {
        added: added.iter().copied().map(row).collect(),
        removed: removed.iter().copied().map(row).collect(),
    };
    Change { tables: vec![(table.into(), delta)] }
}

fn tables(names: &[&str]) -> BTreeSet<TableName> {
    names.iter().map(|name| TableName::from(*name)).collect()
}

async fn next(subscription: &mut Subscription) -> Update {
    tokio::time::timeout(SOON, subscription.next()).await.expect("an update").expect("a bus")
}

/// Applies updates until the subscriber's copy of `t` equals the publisher's.
async fn follow(subscription: &mut Subscription, copy: &mut Table, publisher: &Publisher) {
    while publisher.read(|p| p.table("t").map(|t| &**t) != Some(copy)) {
        match next(subscription).await {
            Update::Snapshot(snapshot) => {
                *copy = snapshot.tables.into_iter().flat_map(|(_, rows)| rows).collect();
            }
            Update::Change(_, change) => change.tables.iter().for_each(|(_, d)| copy.apply(d)),
            Update::Gone => panic!("the publisher is there"),
        }
    }
}

#[tokio::test]
async fn a_subscriber_gets_a_snapshot_and_then_changes() {
    let bus = bus();
    let publisher = bus.publish("nova", Epoch(1)).unwrap();
    assert!(publisher.commit(change("t", &[1, 2], &[])));
    let mut subscription = bus.subscribe("__engine", "nova", tables(&["t"]));
    let Update::Snapshot(snapshot) = next(&mut subscription).await else { panic!() };
    assert_eq!(snapshot.position, Position { epoch: Epoch(1), sequence: 1 });
    assert_eq!(snapshot.tables[0].1.len(), 2);
    assert!(publisher.commit(change("t", &[2, 3], &[1])));
    let Update::Change(position, delta) = next(&mut subscription).await else { panic!() };
    assert_eq!(position.sequence, 2);
    assert_eq!(delta.tables, change("t", &[3], &[1]).tables, "only what really changed");
    assert!(!publisher.commit(change("t", &[3], &[1])), "nothing to tell");
}

#[tokio::test]
async fn an_empty_table_is_announced_once() {
    let bus = bus();
    let publisher = bus.publish("nova", Epoch(1)).unwrap();
    let mut subscription = bus.subscribe("__engine", "nova", tables(&["t"]));
    assert!(matches!(next(&mut subscription).await, Update::Snapshot(s) if s.tables.is_empty()));
    assert!(publisher.commit(change("t", &[], &[])));
    assert!(matches!(next(&mut subscription).await, Update::Change(_, c) if c.tables.len() == 1));
    assert!(!publisher.commit(change("t", &[], &[])));
}

#[tokio::test]
async fn a_subscription_may_come_before_its_source_and_outlive_it() {
    let bus = bus();
    let mut subscription = bus.subscribe("__engine", "nova", tables(&["t"]));
    let waiting = tokio::time::timeout(Duration::from_millis(20), subscription.next()).await;
    assert!(waiting.is_err(), "there is no source yet");
    let publisher = bus.publish("nova", Epoch(1)).unwrap();
    publisher.commit(change("t", &[1], &[]));
    assert!(matches!(next(&mut subscription).await, Update::Snapshot(_)));
    drop(publisher);
    assert!(matches!(next(&mut subscription).await, Update::Gone));
    // Its successor starts with fewer rows: no stale one may stay.
    let successor = bus.publish("nova", Epoch(2)).unwrap();
    successor.commit(change("t", &[7], &[]));
    let Update::Snapshot(snapshot) = next(&mut subscription).await else { panic!() };
    assert_eq!(snapshot.tables[0].1, vec![row(7)]);
}

#[tokio::test]
async fn a_slow_subscriber_catches_up_by_snapshot() {
    let bus = bus();
    let publisher = bus.publish("nova", Epoch(1)).unwrap();
    let mut subscription = bus.subscribe("__engine", "nova", tables(&["t"]));
    let mut copy = Table::new();
    publisher.commit(change("t", &[0], &[]));
    follow(&mut subscription, &mut copy, &publisher).await;
    for i in 1..=(QUEUE as i64 * 3) {
        publisher.commit(change("t", &[i], &[i - 1]));
    }
    follow(&mut subscription, &mut copy, &publisher).await;
    assert_eq!(copy.len(), 1);
    publisher.commit(change("t", &[-1], &[]));
    follow(&mut subscription, &mut copy, &publisher).await;
    assert_eq!(copy.len(), 2);
}

#[tokio::test]
async fn subscribers_see_only_their_tables_and_publishers_see_what_is_wanted() {
    let bus = bus();
    let publisher = bus.publish("nova", Epoch(1)).unwrap();
    let mut subscription = bus.subscribe("__engine", "nova", tables(&["t"]));
    let other = bus.subscribe("__other", "nova", tables(&["u", "v"]));
    assert_eq!(*publisher.wanted().borrow(), tables(&["t", "u", "v"]));
    assert_eq!(bus.subscribers("nova"), ["__engine", "__other"]);
    assert!(matches!(next(&mut subscription).await, Update::Snapshot(_)));
    publisher.commit(change("u", &[1], &[]));
    let mut both = change("u", &[2], &[]);
    both.tables.extend(change("t", &[2], &[]).tables);
    publisher.commit(both);
    let Update::Change(position, delta) = next(&mut subscription).await else { panic!() };
    assert_eq!((position.sequence, delta.tables.len()), (2, 1));
    drop(other);
    assert_eq!(*publisher.wanted().borrow(), tables(&["t"]));
    subscription.set_tables(tables(&["u"]));
    assert_eq!(*publisher.wanted().borrow(), tables(&["u"]));
    let Update::Snapshot(snapshot) = next(&mut subscription).await else { panic!() };
    assert_eq!(snapshot.tables[0].1.len(), 2);
}

#[tokio::test]
async fn a_publisher_of_an_old_epoch_is_refused_and_a_replaced_one_is_not_heard() {
    let bus = bus();
    let first = bus.publish("nova", Epoch(3)).unwrap();
    assert!(matches!(
        bus.publish("nova", Epoch(3)),
        Err(RegisterError::Fenced { current: Epoch(3), offered: Epoch(3), .. })
    ));
    let mut subscription = bus.subscribe("__engine", "nova", tables(&["t"]));
    let second = bus.publish("nova", Epoch(4)).unwrap();
    first.commit(change("t", &[1], &[]));
    second.commit(change("t", &[2], &[]));
    drop(first);
    let mut copy = Table::new();
    follow(&mut subscription, &mut copy, &second).await;
    assert!(copy.contains(&row(2)) && copy.len() == 1);
}

#[tokio::test]
async fn calls_reach_the_service_and_fail_fast_without_it() {
    let bus = bus();
    let call = |body: &'static str| {
        let bus = bus.clone();
        async move { bus.call("echo", body.into(), Duration::from_millis(50)).await }
    };
    assert_eq!(call("x").await, Err(CallError::NotFound("echo".into())));
    let mut requests = bus.serve("echo", 1).unwrap();
    assert!(matches!(bus.serve("echo", 1), Err(RegisterError::Duplicate(_))));
    assert!(bus.nodes().borrow()[0].services.contains("echo"));
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
    assert_eq!(call("x").await, Err(CallError::NotFound("echo".into())));
}

fn schema(tables: &[(&str, &[&str])]) -> crate::Schema {
    let column = |name: &&str| congress_table::Column {
        name: (*name).to_owned(),
        description: None,
        column_type: Default::default(),
        nullable: false,
    };
    tables
        .iter()
        .map(|(name, columns)| {
            let columns = columns.iter().map(column).collect();
            Arc::new(TableSchema { name: (*name).to_owned(), columns, root: None })
        })
        .collect()
}

#[tokio::test]
async fn a_new_schema_comes_with_the_rows_that_fit_it() {
    let bus = bus();
    let publisher = bus.publish("nova", Epoch(1)).unwrap();
    let first = schema(&[("t", &["a"]), ("u", &["a"]), ("gone", &["a"])]);
    publisher.declare(first.clone(), Change::default());
    for table in ["t", "u", "gone"] {
        publisher.commit(change(table, &[1], &[]));
    }
    let mut subscription = bus.subscribe("__engine", "nova", tables(&["t", "u", "gone"]));
    let mut onlooker = bus.subscribe("__other", "nova", tables(&[]));
    assert_eq!(bus.subscribers("nova"), ["__engine"], "it asks for no rows");
    for subscription in [&mut subscription, &mut onlooker] {
        let Update::Snapshot(snapshot) = next(subscription).await else { panic!() };
        assert_eq!(snapshot.schema, first);
    }

    publisher.commit(change("u", &[2], &[]));
    let second = schema(&[("t", &["a", "b"]), ("u", &["a"])]);
    let wide = TableDelta { added: vec![[Value::Int(1), Value::Int(2)].into()], removed: vec![] };
    publisher.declare(second.clone(), Change { tables: vec![("t".into(), wide)] });
    assert!(matches!(next(&mut subscription).await, Update::Change(..)), "what came before");
    let Update::Snapshot(snapshot) = next(&mut subscription).await else { panic!() };
    assert_eq!(snapshot.schema, second);
    let widths: Vec<_> =
        snapshot.tables.iter().map(|(name, rows)| (&**name, rows.len(), rows[0].len())).collect();
    assert_eq!(widths, [("t", 1, 2), ("u", 2, 1)], "what is declared as before keeps its rows");
    let Update::Snapshot(snapshot) = next(&mut onlooker).await else { panic!() };
    assert_eq!((snapshot.schema, snapshot.tables.len()), (second, 0));

    // Rows that stay the same are no reason to say nothing.
    publisher.declare(first, Change::default());
    assert!(matches!(next(&mut subscription).await, Update::Snapshot(_)));
}

#[tokio::test]
async fn a_register_only_grows() {
    let bus = InProcessBus::new("n", "i");
    let mut revision = bus.register(Register::Revision);
    assert_eq!(*revision.borrow_and_update(), 0);
    bus.raise(Register::Revision, 7);
    bus.raise(Register::Revision, 5);
    bus.raise(Register::Term, 9);
    assert_eq!(*revision.borrow_and_update(), 7);
    assert_eq!(*bus.register(Register::Term).borrow(), 9);
    bus.raise(Register::Revision, 7);
    assert!(!revision.has_changed().unwrap(), "nothing new is not signalled");
    assert_eq!(*bus.link().borrow(), Link::Up);
}
