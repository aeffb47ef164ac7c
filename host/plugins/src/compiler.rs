//! Compiling in a process of its own, which can be bounded and ended.
//!
//! The compiler's time and memory depend on the component in ways that no check of its bytes
//! foresees: a function of a few megabytes can take gigabytes. So a server has components compiled
//! by a process that has a limit of its own for memory, and is killed when its time is over.
//! It takes a component on its standard input and answers compiled code on its standard output;
//! what is wrong with the component it says on its standard error.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, nice, setrlimit};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::engine::options;
use crate::error::first_line;
use crate::text::clean;
use crate::{Limits, LoadErrorKind};

/// How far the process stands back behind those that serve.
const NICE: i32 = 5;

/// What is read of the process's complaints, in bytes.
const COMPLAINT: u64 = 16 << 10;

/// Compiled code is this many times as large as its component at most: about three times is usual.
const GROWTH: u64 = 32;

/// The process's code for a component that cannot be compiled.
const REFUSED: u8 = 3;

/// A program that calls [`compile_component`] when it is started with these arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompilerProgram {
    /// The program.
    pub program: PathBuf,
    /// Its arguments; two more follow, the limit of memory and that of a guest's stack, in bytes.
    pub arguments: Vec<String>,
}

/// What such a program does: reads a component from its standard input and writes compiled code to
/// its standard output, under a limit of memory for the whole process. `arguments` are those that
/// follow those of [`CompilerProgram`].
pub fn compile_component(arguments: impl Iterator<Item = String>) -> ExitCode {
    let mut numbers = arguments.map(|argument| argument.parse::<usize>().ok());
    let (Some(Some(memory)), Some(Some(stack))) = (numbers.next(), numbers.next()) else {
        return complain("usage: COMPILER MEMORY_BYTES STACK_BYTES < COMPONENT > CODE");
    };
    match compile_input(memory, stack) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => complain(&text),
    }
}

fn complain(text: &str) -> ExitCode {
    // If nobody listens, the code says enough.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(REFUSED)
}

fn compile_input(memory: usize, stack: usize) -> Result<(), String> {
    let memory = Some(memory as u64);
    setrlimit(Resource::As, Rlimit { current: memory, maximum: memory })
        .map_err(|error| format!("the memory cannot be limited: {error}"))?;
    // Neither a place for the component's bytes to lie about, nor worth the time.
    let none = Some(0);
    let _ = setrlimit(Resource::Core, Rlimit { current: none, maximum: none });
    // Without it, it works as well.
    let _ = nice(NICE);
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    let limits = Limits { stack_bytes: stack, ..Limits::default() };
    let engine = Engine::new(&options(&limits)).map_err(|error| first_line(&error))?;
    let component = Component::from_binary(&engine, &bytes).map_err(|error| first_line(&error))?;
    let code = component.serialize().map_err(|error| first_line(&error))?;
    io::stdout().write_all(&code).map_err(|error| error.to_string())
}

/// Has a component compiled by such a process. Dropping the future ends the process.
pub(crate) async fn compile(
    compiler: CompilerProgram,
    limits: Limits,
    component: Bytes,
) -> Result<Vec<u8>, LoadErrorKind> {
    let failed = |what: &str, error: io::Error| {
        LoadErrorKind::Internal(format!("the compiler's process cannot be {what}: {error}"))
    };
    let mut process = Command::new(&compiler.program)
        .args(&compiler.arguments)
        .arg(limits.compile_memory_bytes.to_string())
        .arg(limits.stack_bytes.to_string())
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed("started", error))?;
    let (Some(mut input), Some(output), Some(errors)) =
        (process.stdin.take(), process.stdout.take(), process.stderr.take())
    else {
        return Err(failed("reached", io::Error::other("it has no pipes")));
    };
    let most = GROWTH * component.len() as u64 + (16 << 20);
    let work = async {
        let write = async {
            // A process that ended before it had read all has its reason.
            let _ = input.write_all(&component).await;
            drop(input);
        };
        let ((), code, complaint) =
            tokio::join!(write, read(output, most), read(errors, COMPLAINT));
        (code, complaint, process.wait().await)
    };
    let Ok((code, complaint, status)) = tokio::time::timeout(limits.compile_timeout, work).await
    else {
        return Err(LoadErrorKind::Compile(format!(
            "it takes longer than {} s, the limit `compile_timeout`",
            limits.compile_timeout.as_secs_f64()
        )));
    };
    let status = status.map_err(|error| failed("waited for", error))?;
    if status.success() {
        return code.map_err(|error| failed("read", error));
    }
    let complaint = complaint.unwrap_or_default();
    Err(why(status, &String::from_utf8_lossy(&complaint), limits.compile_memory_bytes))
}

/// Reads to the end, or to just beyond a limit.
async fn read(from: impl AsyncRead + Unpin, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes).await?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other("it answers too much"));
    }
    Ok(bytes)
}

/// Why a process ended without code.
fn why(status: ExitStatus, complaint: &str, memory: usize) -> LoadErrorKind {
    if status.code() == Some(i32::from(REFUSED)) {
        return LoadErrorKind::Invalid(clean(complaint, 1_000));
    }
    tracing::warn!(%status, complaint = clean(complaint, 1_000), "a compiler's process has failed");
    LoadErrorKind::Compile(format!(
        "it takes more memory than {memory} bytes, the limit `compile_memory_bytes`, or crashes \
         the compiler"
    ))
}
