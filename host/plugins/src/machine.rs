//! From a component's bytes to machine code: out of the cache, or compiled.

use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Component;

use crate::cache::{InUse, hex_sha256};
use crate::error::first_line;
use crate::host::{Inner, shutting_down, stopped};
use crate::precompiled::{Compiled, load, load_compiled};
use crate::{Host, LoadErrorKind, compiler};

/// A component's machine code.
pub(crate) struct Machine {
    pub(crate) component: Component,
    /// SHA-256 of the component, in lower-case hexadecimal.
    pub(crate) hash: String,
    /// Its place in the cache, if it is there: held so that it stays.
    pub(crate) _cached: Option<InUse>,
    /// Whether it was there before.
    pub(crate) from_cache: bool,
}

/// Components of up to so many bytes do not wait behind larger ones: those in compiled languages,
/// of which each takes a moment, while an interpreter takes half a minute.
const SMALL: usize = 4 << 20;

/// Compiling takes all processors that it can get, so it goes one by one, in two queues.
pub(crate) struct CompileQueues {
    small: Semaphore,
    large: Semaphore,
}

impl Default for CompileQueues {
    fn default() -> Self {
        Self { small: Semaphore::new(1), large: Semaphore::new(1) }
    }
}

impl CompileQueues {
    fn of(&self, component: &[u8]) -> &Semaphore {
        if component.len() <= SMALL { &self.small } else { &self.large }
    }
}

impl Host {
    /// The machine code of a component. Looking into the cache needs no turn, so that nobody waits
    /// behind another's compiling.
    pub(crate) async fn machine(&self, bytes: Bytes) -> Result<Machine, LoadErrorKind> {
        let copy = bytes.clone();
        let found = self.blocking(move |host| {
            let hash = hex_sha256(&copy);
            Ok(cached(host, &hash, true).ok_or(hash))
        });
        let hash = match found.await? {
            Ok(machine) => return Ok(machine),
            Err(hash) => hash,
        };
        let _turn =
            self.inner().compiling.of(&bytes).acquire().await.map_err(|_| shutting_down())?;
        // Another's turn may have been for the same component.
        let again = hash.clone();
        if let Some(machine) = self.blocking(move |host| Ok(cached(host, &again, true))).await? {
            return Ok(machine);
        }
        let Some(program) = self.inner().config.compiler.clone() else {
            return self.blocking(move |host| compile(host, &bytes, hash)).await;
        };
        let work = compiler::compile(program, self.inner().config.limits.clone(), bytes);
        let process = AbortOnDropHandle::new(self.inner().io().spawn(work));
        let code = Compiled::by_our_own_process(process.await.map_err(stopped)??);
        self.blocking(move |host| {
            keep(host, &hash, code.bytes());
            if let Some(machine) = cached(host, &hash, false) {
                return Ok(machine);
            }
            let component = load_compiled(&host.engine, &code)
                .map_err(|error| LoadErrorKind::Internal(first_line(&error)))?;
            Ok(Machine { component, hash, _cached: None, from_cache: false })
        })
        .await
    }

    /// Runs work that takes its time on a thread for that.
    pub(crate) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, LoadErrorKind> + Send + 'static,
    ) -> Result<T, LoadErrorKind> {
        let host = self.clone();
        self.inner().io().spawn_blocking(move || work(host.inner())).await.map_err(stopped)?
    }
}

fn cached(host: &Inner, hash: &str, from_cache: bool) -> Option<Machine> {
    let code = host.cache.as_ref()?.get(hash)?;
    let component = load(&host.engine, &code)
        .inspect_err(|error| tracing::warn!(hash, %error, "compiled code is unusable"))
        .ok()?;
    Some(Machine { component, hash: hash.to_owned(), _cached: Some(code.into_use()), from_cache })
}

/// Compiles in this process.
fn compile(host: &Inner, bytes: &[u8], hash: String) -> Result<Machine, LoadErrorKind> {
    let component = Component::from_binary(&host.engine, bytes)
        .map_err(|error| LoadErrorKind::Invalid(first_line(&error)))?;
    match component.serialize() {
        Ok(code) => keep(host, &hash, &code),
        Err(error) => tracing::warn!(hash, %error, "compiled code cannot be written down"),
    }
    Ok(Machine { component, hash, _cached: None, from_cache: false })
}

/// Keeps compiled code for the next start. Without it everything works, only later.
fn keep(host: &Inner, hash: &str, code: &[u8]) {
    let Some(cache) = &host.cache else { return };
    if let Err(error) = cache.put(hash, code) {
        tracing::warn!(hash, %error, "compiled code could not be kept; the next start is slower");
    }
}
