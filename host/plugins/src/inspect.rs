//! What a component imports and exports, told without running any of it; also of components that
//! this host would not load.

use std::path::PathBuf;

use crate::component::{check_bytes, check_type, standing};
use crate::machine::Machine;
use crate::text::clean;
use crate::{Host, LoadError};

/// The longest name of an import or export that is told.
const NAME_BYTES: usize = 200;

/// What a component is, from outside.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Its size in bytes.
    pub size: usize,
    /// SHA-256 of its bytes, in lower-case hexadecimal.
    pub hash: String,
    /// The version of the contract that it is built for, as `1.0.0`; or why this host would not
    /// load it.
    pub world_version: Result<String, String>,
    /// What it exports.
    pub exports: Vec<String>,
    /// What it imports, in the component's order.
    pub imports: Vec<Import>,
}

/// One import of a component.
#[derive(Clone, Debug)]
pub struct Import {
    /// Its name, as `wasi:clocks/wall-clock@0.2.6`.
    pub name: String,
    /// What this host makes of it.
    pub standing: Standing,
}

/// What this host makes of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It works, within the datasource's grants.
    Granted,
    /// It is there for the language's runtime to link against, and does nothing.
    Empty,
    /// This host does not have it: the component is not loaded.
    Refused,
}

impl Host {
    /// Tells what a component imports and exports. Compiles it, or takes it from the cache, so
    /// that a `load` after it is quick where there is a cache.
    pub async fn inspect(&self, path: impl Into<PathBuf>) -> Result<Inspection, LoadError> {
        let path = path.into();
        let file = path.display().to_string();
        let fail = |kind| LoadError { file: file.clone(), kind };
        let bytes = self.read(path).await.map_err(fail)?;
        check_bytes(&bytes).map_err(fail)?;
        let machine = self.machine(bytes.clone()).await.map_err(fail)?;
        Ok(inspect(&machine, &bytes))
    }
}

fn inspect(machine: &Machine, bytes: &[u8]) -> Inspection {
    let component = &machine.component;
    let engine = component.engine();
    let component_type = component.component_type();
    let import = |name: &str| Import { name: clean(name, NAME_BYTES), standing: standing(name) };
    Inspection {
        size: bytes.len(),
        hash: machine.hash.clone(),
        world_version: check_type(engine, component).map_err(|kind| kind.to_string()),
        exports: component_type.exports(engine).map(|(n, _)| clean(n, NAME_BYTES)).collect(),
        imports: component_type.imports(engine).map(|(name, _)| import(name)).collect(),
    }
}
