//! Compiling in a process of its own: what it costs the host when a component is made to cost much.
//!
//! This program is also that process, so it has no harness.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a test")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use congress_plugins::{
    CompilerProgram, Host, HostConfig, Limits, LoadErrorKind, compile_component,
};

const COMPILE: &str = "compile-component";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(COMPILE) {
        return compile_component(arguments);
    }
    let filter: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let is_listed = std::env::args().any(|argument| argument == "--list");
    let tests: [(&str, fn()); 6] = [
        ("guests_are_compiled_and_kept", guests_are_compiled_and_kept),
        ("a_bomb_costs_its_time_and_nothing_else", a_bomb_costs_its_time_and_nothing_else),
        ("a_bomb_costs_its_memory_and_nothing_else", a_bomb_costs_its_memory_and_nothing_else),
        (
            "a_small_component_does_not_wait_behind_a_large_one",
            a_small_component_does_not_wait_behind_a_large_one,
        ),
        ("what_is_no_component_is_refused_in_words", what_is_no_component_is_refused_in_words),
        ("a_compiler_that_is_missing_is_told", a_compiler_that_is_missing_is_told),
    ];
    let chosen = |name: &str| filter.is_empty() || filter.iter().any(|f| name.contains(f.as_str()));
    let tests: Vec<_> = tests.into_iter().filter(|(name, _)| chosen(name)).collect();
    if is_listed {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests", tests.len());
    for (name, test) in &tests {
        test();
        println!("test {name} ... ok");
    }
    println!("\ntest result: ok. {} passed; 0 failed; 0 ignored\n", tests.len());
    ExitCode::SUCCESS
}

fn host(limits: Limits, cache: Option<&std::path::Path>) -> Host {
    let program = std::env::current_exe().unwrap();
    let compiler = CompilerProgram { program, arguments: vec![COMPILE.to_owned()] };
    Host::new(HostConfig {
        compiler: Some(compiler),
        cache_folder: cache.map(Into::into),
        limits,
        ..HostConfig::default()
    })
    .unwrap()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}

fn guest() -> std::path::PathBuf {
    let drivers = std::env::var_os("CONGRESS_DRIVERS_OUT").map_or_else(
        || concat!(env!("CARGO_MANIFEST_DIR"), "/../../drivers/out").into(),
        std::path::PathBuf::from,
    );
    drivers.join("testing/hostile.wasm")
}

/// A component with one function of so many blocks, each of which uses what all before it left:
/// register allocation takes much more than linear time and memory for it.
fn bomb(blocks: usize) -> Vec<u8> {
    let mut body = String::new();
    for n in 0..blocks {
        let (a, b, c) = (n % 997, (n * 7 + 1) % 997, (n * 13 + 5) % 997);
        body.push_str(&format!(
            "block local.get {a} br_if 0 local.get {b} local.get {c} i32.mul local.set {a} end\n"
        ));
    }
    let locals = "i32 ".repeat(997);
    let text = format!(r#"(component (core module (func (export "f") (local {locals}) {body})))"#);
    wat::parse_str(text).unwrap()
}

fn guests_are_compiled_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let load = || {
        block_on(async {
            host(Limits::default(), Some(folder.path())).load(guest()).await.unwrap()
        })
    };
    let first = load();
    assert!(!first.is_from_cache());
    assert_eq!(first.metadata().id, "hostile");
    assert!(load().is_from_cache());
    let without = block_on(async { host(Limits::default(), None).load(guest()).await.unwrap() });
    assert_eq!(without.hash(), first.hash());
    assert!(!without.is_from_cache());
}

fn a_bomb_costs_its_time_and_nothing_else() {
    let limits = Limits { compile_timeout: Duration::from_secs(1), ..Limits::default() };
    let host = host(limits, None);
    let bomb = bomb(200_000);
    println!("the bomb is {} bytes long", bomb.len());
    let start = Instant::now();
    let error = block_on(host.load_bytes("bomb.wasm", bomb.into())).err().unwrap();
    println!("{error} ({:?})", start.elapsed());
    assert!(matches!(error.kind, LoadErrorKind::Compile(_)), "{error}");
    assert!(error.to_string().contains("longer than 1 s, the limit `compile_timeout`"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20));
}

fn a_bomb_costs_its_memory_and_nothing_else() {
    let limits = Limits { compile_memory_bytes: 192 << 20, ..Limits::default() };
    let host = host(limits, None);
    let error = block_on(host.load_bytes("bomb.wasm", bomb(200_000).into())).err().unwrap();
    println!("{error}");
    assert!(matches!(error.kind, LoadErrorKind::Compile(_)), "{error}");
    assert!(error.to_string().contains("`compile_memory_bytes`"), "{error}");
}

/// Whether this process has another one compile.
fn is_compiling() -> bool {
    let parent = std::process::id().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let stats = processes.filter_map(|p| std::fs::read_to_string(p.path().join("stat")).ok());
    // After the name, which ends with the last parenthesis: the state, and the parent.
    let parents = stats.filter_map(|stat| {
        let (_, rest) = stat.rsplit_once(") ")?;
        rest.split(' ').nth(1).map(str::to_owned)
    });
    parents.into_iter().any(|of| of == parent)
}

fn a_small_component_does_not_wait_behind_a_large_one() {
    let limits = Limits { compile_timeout: Duration::from_secs(60), ..Limits::default() };
    let host = host(limits, None);
    // A custom section: its id, its length in five bytes, the length of its name, the rest.
    let mut large = bomb(200_000);
    let padding = 5_u32 << 20;
    large.push(0);
    large.extend(
        (0..5).map(|at| (padding >> (7 * at)) as u8 & 0x7f | if at < 4 { 0x80 } else { 0 }),
    );
    large.extend(vec![0; padding as usize]);
    block_on(async {
        let bomb = host.clone();
        let bomb = tokio::spawn(async move { bomb.load_bytes("bomb.wasm", large.into()).await });
        while !is_compiling() {
            assert!(!bomb.is_finished(), "{:?}", bomb.await.unwrap().err());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let small = host.load(guest()).await;
        assert_eq!(small.unwrap().metadata().id, "hostile");
        assert!(!bomb.is_finished(), "{:?}", bomb.await.unwrap().err());
        bomb.abort();
    });
}

fn what_is_no_component_is_refused_in_words() {
    let bytes = b"\0asm\x0d\0\x01\0\x01\x05\x09\x09\x09\x09\x09".to_vec();
    let host = host(Limits::default(), None);
    let error = block_on(host.load_bytes("bad.wasm", bytes.into())).err().unwrap();
    println!("{error}");
    assert!(matches!(error.kind, LoadErrorKind::Invalid(_)), "{error}");
}

fn a_compiler_that_is_missing_is_told() {
    let host = Host::new(HostConfig {
        compiler: Some(CompilerProgram { program: "/nowhere".into(), arguments: Vec::new() }),
        ..HostConfig::default()
    })
    .unwrap();
    let error = block_on(host.load(guest())).err().unwrap().to_string();
    assert!(error.contains("the compiler's process cannot be started"), "{error}");
}
