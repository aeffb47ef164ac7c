//! What a node makes of others that do not keep to any measure.

use congress_table::{Row, Value};

use super::message::{seal_delta, seal_snapshot};
use super::rows::ChunkWriter;
use super::*;
use crate::stream::Update;

const SOURCE: &str = "nova";
const PUBLISHER: &str = "publisher";
const MOST: Size = Size { rows: 1000, bytes: 1 << 20 };

fn at(sequence: u64) -> Position {
    Position { epoch: Epoch(1), sequence }
}

fn tables() -> BTreeSet<TableName> {
    [TableName::from("t")].into()
}

fn rows(count: usize, text: &str) -> Vec<Row> {
    (0..count).map(|i| [Value::Int(i as i64), Value::text(text)].into()).collect()
}

fn content(rows: &[Row]) -> Vec<u8> {
    let name: TableName = "t".into();
    let mut content = Vec::new();
    let mut writer = ChunkWriter::new(|bytes, _, _| content.extend_from_slice(bytes));
    writer.table(&name);
    writer.added(rows);
    writer.finish();
    content
}

fn snapshot(session: u64, position: Position, index: u32, last: bool, rows: &[Row]) -> Bytes {
    let (source, set) = (SOURCE.into(), set_of(&tables()));
    let header =
        SnapshotChunk { source, position, session, set, index, last, ..Default::default() };
    seal_snapshot(PUBLISHER, &header, &content(rows))
}

fn change(position: Position, index: u32, last: bool, rows: &[Row]) -> Bytes {
    let source = SOURCE.into();
    let header = Delta { source, position, index, last, ..Default::default() };
    seal_delta(PUBLISHER, &header, &content(rows))
}

/// A node that subscribes to the publisher's source.
struct Reader {
    core: Core,
    now: Time,
    id: FollowerId,
    beat: u64,
}

impl Reader {
    fn new() -> Self {
        let identity =
            Identity { node_id: "pe1".into(), instance: "reader".into(), program: String::new() };
        // Nobody is ever taken for gone.
        let mut core = Core::new(identity, Duration::MAX, 1);
        core.take_at_most(MOST);
        let now = Time::ZERO;
        core.link_up(now, &BTreeSet::new());
        let id = core.subscribe(now, "__engine", SOURCE, tables());
        core.bound(now, SOURCE);
        let mut reader = Self { core, now, id, beat: 0 };
        reader.stands_at(at(0));
        assert_eq!(reader.asks(), (1, 0));
        reader
    }

    fn hear(&mut self, bytes: &Bytes) {
        let envelope = Envelope::decode(bytes).unwrap().unwrap();
        self.core.receive(self.now, envelope);
    }

    fn stands_at(&mut self, position: Position) {
        self.beat += 1;
        let positions = vec![(SOURCE.into(), position)];
        let message = Heartbeat { beat: self.beat, positions, ..Heartbeat::default() };
        let message = Message::Heartbeat(message);
        self.hear(&Envelope { from: PUBLISHER.into(), message }.encode());
    }

    fn wait(&mut self, seconds: u64) {
        for _ in 0..seconds * 10 {
            self.now += Duration::from_millis(100);
            self.core.tick(self.now);
        }
    }

    /// How many snapshots, and how many further windows of parts, it has asked for.
    fn asks(&mut self) -> (usize, usize) {
        let (mut snapshots, mut windows) = (0, 0);
        while let Some(output) = self.core.next_output() {
            let Output::Send { bytes, .. } = output else { continue };
            match Envelope::decode(&bytes).unwrap().unwrap().message {
                Message::Subscribe(subscribe) if subscribe.fetch.is_some() => snapshots += 1,
                Message::Pull { .. } => windows += 1,
                _ => {}
            }
        }
        (snapshots, windows)
    }

    fn next(&mut self) -> Option<Update> {
        self.core.next_update(self.now, self.id)
    }

    /// Takes an ordinary snapshot.
    fn catch_up(&mut self, session: u64, position: Position) {
        self.hear(&snapshot(session, position, 0, false, &rows(300, "x")));
        self.hear(&snapshot(session, position, 1, true, &rows(200, "y")));
        let Some(Update::Snapshot(taken)) = self.next() else { panic!("a snapshot") };
        assert_eq!((taken.position, taken.tables[0].1.len()), (position, 500));
    }
}

/// Feeds parts of a snapshot without end, and looks at what becomes of it.
fn without_end(part: &[Row]) {
    let mut reader = Reader::new();
    let mut windows = 0;
    for index in 0..50_000 {
        reader.hear(&snapshot(7, at(0), index, false, part));
        if index % 100 == 0 {
            let (snapshots, more) = reader.asks();
            assert_eq!(snapshots, 0, "it is not asked for at once");
            windows += more;
        }
    }
    let most = MOST.bytes / size_of::<SnapshotChunk>() / WINDOW as usize + 2;
    assert!(windows < most, "{windows} windows were asked for");
    reader.wait(TOO_LARGE.as_secs() - 1);
    reader.hear(&snapshot(7, at(0), 50_000, true, part));
    assert!(reader.next().is_none());
    assert_eq!(reader.asks(), (0, 0));
    // A new link changes nothing about it.
    reader.core.link_up(reader.now, &[Arc::from(SOURCE)].into());
    assert_eq!(reader.asks(), (0, 0));
    reader.wait(2);
    assert_eq!(reader.asks(), (1, 0));
    reader.catch_up(8, at(3));
}

#[test]
fn a_snapshot_without_end_is_given_up_and_not_asked_for_at_once() {
    without_end(&rows(100, "x"));
    without_end(&rows(1, &"long".repeat(10_000)));
    without_end(&[]);
}

#[test]
fn parts_that_come_twice_or_far_ahead_are_not_kept() {
    let mut reader = Reader::new();
    let far = WINDOW * 2;
    for _ in 0..1000 {
        reader.hear(&snapshot(7, at(0), 1, true, &rows(200, "y")));
        reader.hear(&snapshot(7, at(0), far, false, &rows(200, "z")));
    }
    reader.hear(&snapshot(7, at(0), 0, false, &rows(300, "x")));
    let Some(Update::Snapshot(taken)) = reader.next() else { panic!("a snapshot") };
    assert_eq!(taken.tables[0].1.len(), 500);
}

#[test]
fn a_change_without_end_is_given_up_and_a_snapshot_mends_it() {
    let mut reader = Reader::new();
    reader.catch_up(1, at(0));
    reader.hear(&change(at(1), 0, false, &rows(100, "a")));
    reader.hear(&change(at(1), 1, true, &rows(100, "b")));
    assert!(matches!(reader.next(), Some(Update::Change(..))), "one of a usual size");
    for index in 0..1000 {
        reader.hear(&change(at(2), index, false, &rows(100, "a")));
    }
    reader.hear(&change(at(2), 1000, true, &rows(100, "a")));
    assert!(reader.next().is_none());
    assert_eq!(reader.asks(), (0, 0));
    reader.hear(&change(at(3), 0, true, &rows(1, "c")));
    assert_eq!(reader.asks(), (1, 0), "a gap");
    reader.catch_up(2, at(3));
}

#[test]
fn the_highest_numbers_are_numbers() {
    let mut reader = Reader::new();
    reader.catch_up(1, at(u64::MAX));
    let highest = Position { epoch: Epoch(u64::MAX), sequence: u64::MAX };
    for position in [at(u64::MAX), at(0), highest, at(1)] {
        reader.stands_at(position);
        reader.hear(&change(position, 0, true, &rows(1, "c")));
        reader.hear(&snapshot(u64::MAX, position, u32::MAX, true, &rows(1, "c")));
        reader.wait(5);
    }
    let registers = Registers { revision: u64::MAX, term: u64::MAX };
    let message = Message::Registers(registers);
    reader.hear(&Envelope { from: PUBLISHER.into(), message }.encode());
    assert!(reader.core.publish(reader.now, "mine", Epoch::in_term(1, 1)).is_err());
    assert_eq!(Epoch::in_term(u64::MAX, 0).term(), u64::MAX >> 24);
    let body = Bytes::new();
    assert!(reader.core.call(reader.now, "nobody", &body, Duration::MAX).is_err());
}

#[test]
fn calls_that_nobody_completes_make_others_be_refused_not_wait() {
    let mut reader = Reader::new();
    reader.core.serve(reader.now, "echo").unwrap();
    let mut part = |id: u64, index: u32, last: bool| {
        let (service, body) = ("echo".into(), Bytes::from_static(b"x"));
        let call = Call { id, service, timeout: u64::MAX, index, last, body, ..Call::default() };
        reader.hear(&Envelope { from: "caller".into(), message: Message::Call(call) }.encode());
        let mut answers = Vec::new();
        while let Some(output) = reader.core.next_output() {
            match output {
                Output::Request { body, .. } => answers.push(format!("{body:?}")),
                Output::Send { bytes, lane: Lane::Calls, .. } => {
                    let envelope = Envelope::decode(&bytes).unwrap().unwrap();
                    let Message::Reply(reply) = envelope.message else { panic!() };
                    answers.push(format!("{:?}", reply.status));
                }
                _ => {}
            }
        }
        answers.concat()
    };
    for id in 0..256 {
        assert_eq!(part(id, 0, false), "");
    }
    assert_eq!(part(256, 0, false), "Busy");
    assert_eq!(part(256, 1, true) + &part(256, 0, true), "", "what was refused is not carried out");
    assert_eq!(part(300, 0, true), "b\"x\"", "one of one part needs no room");
    assert_eq!(part(0, 1, true), "b\"xx\"");
    assert_eq!(part(301, 0, false), "");
}
