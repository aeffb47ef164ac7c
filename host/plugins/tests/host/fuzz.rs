//! Arbitrary bytes as a component: refused with one sentence, or loaded, and never the host's end.
//!
//! Bounded by time, so that it costs the suite a few seconds; the cases of one run are the same
//! each time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use congress_plugins::{Host, HostConfig, Limits};

use crate::common::*;

/// How long the mutations may take together.
const BUDGET: Duration = Duration::from_secs(5);

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let roll = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        roll as usize % sides.max(1)
    }
}

fn host() -> Host {
    let limits = Limits {
        describe_timeout: Duration::from_millis(200),
        memory_bytes: 8 << 20,
        ..short_limits()
    };
    // No cache: mutations are not worth keeping.
    Host::new(HostConfig { limits, cache_folder: None, ..local_config() }).unwrap()
}

/// Loads bytes; what is said about them must be fit for people.
async fn load(host: &Host, case: &str, bytes: Vec<u8>) -> bool {
    let loading = host.load_bytes("fuzz.wasm", Bytes::from(bytes));
    let loaded = tokio::time::timeout(Duration::from_secs(60), loading).await;
    let Ok(loaded) = loaded else { panic!("{case}: loading does not end") };
    if let Err(error) = &loaded {
        let text = error.to_string();
        assert!(text.starts_with("driver file fuzz.wasm: ") && text.len() < 4096, "{case}: {text}");
        assert!(!text.contains('\n') && !text.contains("bug"), "{case}: {text}");
    }
    loaded.is_ok()
}

/// Shapes that a component may take and a driver does not.
const SHAPES: [&str; 10] = [
    "(component)",
    "(component (core module))",
    r#"(component (import "wasi:io/poll@0.2.0" (instance)))"#,
    r#"(component (import "congress:datasource/sink@1.0.0" (func)))"#,
    r#"(component (import "congress:datasource/sink@1.0.0" (instance (export "replace" (func))))
        (component $d) (instance $i (instantiate $d))
        (export "congress:datasource/driver@1.0.0" (instance $i)))"#,
    r#"(component (component $d) (export "congress:datasource/driver@1.0.0" (component $d)))"#,
    r#"(component (core module $m (func $f (loop br 0)) (start $f))
        (core instance (instantiate $m)))"#,
    r#"(component (core module $m (memory 65536)) (core instance (instantiate $m)))"#,
    r#"(component (core module $m (table 10000000 funcref)) (core instance (instantiate $m)))"#,
    r#"(component (component (component (component (component)))))"#,
];

#[tokio::test]
async fn odd_shapes_are_refused() {
    let host = host();
    for shape in SHAPES {
        assert!(!load(&host, shape, wat::parse_str(shape).unwrap()).await, "{shape}");
    }
}

#[tokio::test]
async fn arbitrary_bytes_are_refused() {
    let host = host();
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for case in 0..300 {
        let mut bytes = b"\0asm\x0d\0\x01\0".to_vec();
        bytes.truncate(8 - dice.roll(2) * dice.roll(8));
        // Small numbers are what sections, counts and types are made of.
        let largest = [256, 16][dice.roll(2)];
        bytes.extend((0..dice.roll(200)).map(|_| dice.roll(largest) as u8));
        let name = format!("case {case}: {bytes:02x?}");
        // An empty component, at best.
        assert!(!load(&host, &name, bytes).await, "{name}");
    }
}

#[tokio::test]
async fn mutated_drivers_are_refused_or_run() {
    let host = host();
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let sound = [guest("template"), guest("otherworld")].map(|f| std::fs::read(f).unwrap());
    let start = Instant::now();
    let mut cases = 0;
    while cases < 20 || (start.elapsed() < BUDGET && cases < 2000) {
        let mut bytes = sound[dice.roll(2)].clone();
        let mut done = Vec::new();
        for _ in 0..=dice.roll(4) {
            done.push(mutate(&mut bytes, &mut dice));
        }
        load(&host, &format!("case {cases}: {done:?}"), bytes).await;
        cases += 1;
    }
    println!("{cases} mutated drivers in {:.1} s", start.elapsed().as_secs_f64());
}

/// Changes something and says what.
fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) -> String {
    // Types, imports and exports stand at both ends; between them is code, which is slow to compile.
    let length = bytes.len();
    let at = match dice.roll(3) {
        0 => dice.roll(length.min(4096)),
        1 => length.saturating_sub(1 + dice.roll(8192)),
        _ => dice.roll(length),
    }
    .min(length.saturating_sub(1));
    let end = (at + 1 + dice.roll(64)).min(length);
    match dice.roll(6) {
        0 => bytes[at] ^= 1 << dice.roll(8),
        1 => bytes[at] = dice.roll(256) as u8,
        2 => bytes[at] = 0xff,
        3 => drop(bytes.drain(at..end)),
        4 => {
            let piece = bytes[at..end].to_vec();
            drop(bytes.splice(at..at, piece));
        }
        _ => bytes.truncate(at.max(9)),
    }
    format!("at {at} to {end} of {length}")
}
