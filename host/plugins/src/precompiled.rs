//! The one unsafe act: running machine code that was compiled earlier, or by another process.

use std::os::fd::AsRawFd as _;

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Verified;

/// What a process of our own program has answered that was to compile a component.
pub(crate) struct Compiled(Vec<u8>);

impl Compiled {
    /// To be called with nothing else.
    pub(crate) fn by_our_own_process(code: Vec<u8>) -> Self {
        Self(code)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Makes a component of compiled code that [`Cache`](crate::cache::Cache) has verified. The code is
/// mapped, so that only what runs is read, and processes share it.
#[expect(
    unsafe_code,
    reason = "the engine cannot tell whether the bytes are its own work; `Verified` is made only \
              of bytes whose MAC, under a key that nobody else can read, says that they are what \
              this installation compiled for this engine"
)]
pub(crate) fn load(engine: &Engine, code: &Verified) -> wasmtime::Result<Component> {
    // By its number and not by its name: this is the file that was verified.
    let file = code.file()?;
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    // SAFETY: `Verified` holds unmodified output of `Component::serialize`, see above. The file
    // lies in a folder that only this user can enter, and nothing of ours ever writes to an entry
    // that stands in its place: it is replaced by another file, or taken away, while this one
    // lives on as long as it is mapped.
    unsafe { Component::deserialize_file(engine, path) }
}

/// The same for code that was compiled a moment ago and has no file.
#[expect(
    unsafe_code,
    reason = "as above; these bytes came through a pipe from a process that this one has started \
              from the operator's own program, and whose standard output is the compiler's"
)]
pub(crate) fn load_compiled(engine: &Engine, code: &Compiled) -> wasmtime::Result<Component> {
    // SAFETY: `Compiled` is the output of `Component::serialize`, see above. It is copied.
    unsafe { Component::deserialize(engine, code.bytes()) }
}
