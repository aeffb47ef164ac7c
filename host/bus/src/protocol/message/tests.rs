use super::*;

fn back(message: Message) -> Message {
    let bytes = Envelope { from: "i1".into(), message }.encode();
    let envelope = Envelope::decode(&bytes).unwrap().unwrap();
    assert_eq!(&*envelope.from, "i1");
    envelope.message
}

fn names(names: &[&str]) -> BTreeSet<TableName> {
    names.iter().map(|name| TableName::from(*name)).collect()
}

fn samples() -> Vec<Message> {
    let at = Position { epoch: Epoch::in_term(7, 3), sequence: 900 };
    let body = Bytes::from_static(b"{\"a\": 1}");
    vec![
        Message::Announce(Announce {
            node_id: "pe1".into(),
            program: "0.1.0".into(),
            protocol: VERSION,
            version: 4,
            services: vec![("nova".into(), 7), ("_ds_manager".into(), 0)],
            ask: true,
        }),
        Message::Heartbeat(Heartbeat {
            beat: 9,
            announce: 4,
            registers: Registers { revision: 12, term: 7 },
            fresh: true,
            positions: vec![("nova".into(), at), ("neutron".into(), Position::default())],
            digests: vec![(0, "servers".into(), Digest::from_bits(u64::MAX))],
        }),
        Message::Goodbye,
        Message::Registers(Registers { revision: 1, term: u64::MAX }),
        Message::Ask,
        Message::Subscribe(Subscribe {
            source: "nova".into(),
            version: 3,
            subscribers: vec![
                ("__engine".into(), names(&["servers", "flavors"])),
                ("x".into(), names(&[])),
            ],
            fetch: Some(names(&["servers"])),
        }),
        Message::Subscribe(Subscribe { fetch: Some(names(&[])), ..Subscribe::default() }),
        Message::Pull { source: "nova".into(), session: 1 << 60, next: 16 },
        Message::NoSession { session: 5 },
        Message::Call(Call {
            id: 3,
            service: "nova".into(),
            term: 7,
            timeout: 60_000,
            index: 1,
            last: true,
            body: body.clone(),
        }),
        Message::Reply(Reply {
            id: 3,
            status: ReplyStatus::Busy,
            index: 0,
            last: true,
            body: Bytes::new(),
        }),
        Message::Reply(Reply { body: vec![b'x'; 100_000].into(), ..Reply::default() }),
    ]
}

#[test]
fn messages_come_back() {
    for message in samples() {
        assert_eq!(back(message.clone()), message);
    }
}

#[test]
fn long_messages_are_compressed() {
    let body = Bytes::from(vec![b'x'; 100_000]);
    let message = Message::Reply(Reply { body, ..Reply::default() });
    let bytes = Envelope { from: "i1".into(), message }.encode();
    assert!(bytes.len() < 2000, "{}", bytes.len());
}

#[test]
fn kinds_and_versions_of_the_future_are_skipped() {
    let mut bytes = Envelope { from: "i1".into(), message: Message::Ask }.encode().to_vec();
    bytes[2] = 99;
    assert_eq!(Envelope::decode(&bytes), Ok(None), "a kind");
    bytes[2] = kind::ASK;
    bytes[1] = 2;
    assert_eq!(Envelope::decode(&bytes), Ok(None), "a version");
    bytes[1] = 1;
    bytes[3] = 64;
    assert_eq!(Envelope::decode(&bytes), Ok(None), "a flag");
    bytes[3] = 0;
    bytes.extend([77, 3, 1, 2, 3]);
    let envelope = Envelope::decode(&bytes).unwrap().unwrap();
    assert_eq!(envelope.message, Message::Ask, "a field");
    assert!(Envelope::decode(b"GET / HTTP/1.1").is_err());
}

#[test]
fn broken_messages_are_errors_and_nothing_worse() {
    for message in samples() {
        let good = Envelope { from: "i1".into(), message }.encode();
        let step = (good.len() / 200).max(1);
        for cut in (0..good.len()).step_by(step) {
            let _ = Envelope::decode(&good[..cut]);
            for bits in [0x01, 0x10, 0x80, 0xff] {
                let mut bad = good.to_vec();
                bad[cut] ^= bits;
                let _ = Envelope::decode(&bad);
            }
        }
    }
    // A small message that says it is large when decompressed.
    let mut bomb = vec![MAGIC[0], MAGIC[1], kind::ASK, COMPRESSED];
    bomb.extend((MAX_BODY as u32).to_le_bytes());
    bomb.extend([0; 64]);
    assert!(Envelope::decode(&bomb).is_err());
}

#[test]
fn names_that_make_no_routing_key_are_malformed() {
    let sent_by = |length: usize| {
        let from: Instance = "i".repeat(length).into();
        Envelope::decode(&Envelope { from, message: Message::Ask }.encode())
    };
    assert!(matches!(sent_by(MAX_INSTANCE), Ok(Some(_))));
    for length in [MAX_INSTANCE + 1, 255, 256, 300, 100_000] {
        assert_eq!(sent_by(length), Err(Malformed("the sender's instance is too long")));
    }
    let announced = |node_id: usize, program: usize| {
        let (node_id, program) = ("n".repeat(node_id), "p".repeat(program));
        let message = Message::Announce(Announce { node_id, program, ..Announce::default() });
        Envelope::decode(&Envelope { from: "i1".into(), message }.encode())
    };
    assert!(matches!(announced(MAX_NAME, MAX_NAME), Ok(Some(_))));
    assert_eq!(announced(MAX_NAME + 1, 0), Err(Malformed("a node id is too long")));
    assert_eq!(announced(0, MAX_NAME + 1), Err(Malformed("a version is too long")));
}

#[test]
fn the_tables_of_all_subscriptions_are_counted_together() {
    let subscribe = |subscribers: usize| {
        let tables: BTreeSet<TableName> = (0..1000).map(|i| i.to_string().into()).collect();
        let subscribers = (0..subscribers).map(|i| (i.to_string(), tables.clone())).collect();
        let message = Message::Subscribe(Subscribe { subscribers, ..Subscribe::default() });
        Envelope::decode(&Envelope { from: "i1".into(), message }.encode())
    };
    assert!(subscribe(MAX_ITEMS / 1000).is_ok());
    assert_eq!(subscribe(MAX_ITEMS / 1000 + 1), Err(Malformed("it names too many tables")));
}
