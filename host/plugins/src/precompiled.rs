//! The one unsafe act: running machine code that was compiled earlier.

use wasmtime::Engine;
use wasmtime::component::Component;

use crate::cache::Verified;

/// Makes a component of compiled code that [`Cache`](crate::cache::Cache) has verified.
#[expect(
    unsafe_code,
    reason = "the engine cannot tell whether the bytes are its own work; `Verified` is made only \
              of bytes whose MAC, under a key that nobody else can read, says that they are what \
              this installation compiled for this engine"
)]
pub(crate) fn load(engine: &Engine, code: &Verified) -> wasmtime::Result<Component> {
    // SAFETY: `Verified` holds unmodified output of `Component::serialize`, see above. The bytes
    // are copied before use, so that a later change of the file does not matter.
    unsafe { Component::deserialize(engine, code.bytes()) }
}
