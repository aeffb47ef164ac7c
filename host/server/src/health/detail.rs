//! What `/readyz?detail` adds: collected when somebody asks.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value};

/// Parts of a node, each of which describes itself when asked. Clones are the same.
#[derive(Clone, Default)]
pub struct Detail(Arc<Mutex<Vec<Part>>>);

type Part = (&'static str, Arc<dyn Fn() -> Value + Send + Sync>);

impl Detail {
    /// Adds a part. `describe` is called for each request and must neither wait nor take long.
    pub fn add(&self, name: &'static str, describe: impl Fn() -> Value + Send + Sync + 'static) {
        self.parts().push((name, Arc::new(describe)));
    }

    pub(super) fn describe(&self) -> Map<String, Value> {
        // The lock is not held while parts are asked.
        let parts = self.parts().clone();
        parts.into_iter().map(|(name, describe)| (name.to_owned(), describe())).collect()
    }

    fn parts(&self) -> std::sync::MutexGuard<'_, Vec<Part>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.parts().iter().map(|(name, _)| *name).collect();
        f.debug_tuple("Detail").field(&names).finish()
    }
}
