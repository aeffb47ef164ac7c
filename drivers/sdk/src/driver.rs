//! The trait that a driver implements, and what turns it into a component.

use std::marker::PhantomData;

use crate::bindings::exports::congress::datasource::driver::Guest;
use crate::{Call, Config, Error, Metadata, Push, Result, Table, Wanted};

/// A datasource driver.
///
/// There are no instances: the host calls each function in a fresh copy of the component, so
/// nothing can be kept in memory between calls. What must be remembered goes into
/// [`state`](crate::state).
pub trait Driver {
    /// What the driver is. Must always give the same answer.
    fn metadata() -> Metadata;

    /// Checks a configuration and answers the tables of a datasource that has it. Must not use the
    /// network. Drivers whose tables depend on the configuration override it.
    fn tables(config: &Config) -> Result<Vec<Table>> {
        let _ = config;
        Ok(Self::metadata().tables)
    }

    /// Reads the service and sends rows, at least those of the tables in `wanted`.
    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let _ = (config, wanted);
        Err(Error::Unsupported("this driver takes pushed rows, there is nothing to poll".into()))
    }

    /// Takes what was pushed and sends rows.
    fn receive(config: &Config, push: Push) -> Result<()> {
        let _ = (config, push);
        Err(Error::Unsupported("this driver is polled, it takes no pushed rows".into()))
    }

    /// Puts in order what has become old, when [`upkeep_after`](crate::schedule::upkeep_after) asked
    /// for it; drivers to which rows are only pushed, also when they start with rows of before.
    fn upkeep(config: &Config) -> Result<()> {
        let _ = config;
        Ok(())
    }

    /// Runs an action on the service.
    fn execute(config: &Config, call: &Call) -> Result<()> {
        let _ = config;
        Err(Error::Unsupported(format!("this driver has no action '{}'", call.action)))
    }
}

/// Makes a [`Driver`] the driver of this component.
///
/// ```
/// use congress_driver::prelude::*;
///
/// struct Greeter;
///
/// impl Driver for Greeter {
///     fn metadata() -> Metadata {
///         metadata("greeter", env!("CARGO_PKG_VERSION"), "Says hello.")
///             .with_tables([table("greetings", [text("word")])])
///     }
///
///     fn poll(_: &Config, _: &Wanted) -> Result<()> {
///         rows::replace("greetings", [vec!["hello".into()]])
///     }
/// }
///
/// congress_driver::export_driver!(Greeter);
/// ```
#[macro_export]
macro_rules! export_driver {
    ($driver:ty) => {
        const _: () = {
            type Component = $crate::driver::Adapter<$driver>;
    $crate::bindings::export_component!(Component with_types_in $crate::bindings);
        };
    };
}

/// Joins a [`Driver`] to the generated bindings; for [`export_driver!`].
#[doc(hidden)]
pub struct Adapter<D>(PhantomData<D>);

type Json = String;

impl<D: Driver> Guest for Adapter<D> {
    fn describe() -> Metadata {
        D::metadata()
    }

    fn tables(config: Vec<(String, String)>) -> Result<Vec<Table>> {
        D::tables(&Config::new(config))
    }

    fn poll(config: Vec<(String, String)>, wanted: Vec<String>) -> Result<()> {
        D::poll(&Config::new(config), &Wanted::new(wanted))
    }

    fn receive(config: Vec<(String, String)>, push: Push) -> Result<()> {
        D::receive(&Config::new(config), push)
    }

    fn upkeep(config: Vec<(String, String)>) -> Result<()> {
        D::upkeep(&Config::new(config))
    }

    fn execute(
        config: Vec<(String, String)>,
        action: String,
        positional: Vec<Json>,
        named: Vec<(String, Json)>,
    ) -> Result<()> {
        D::execute(&Config::new(config), &Call::parse(action, &positional, &named)?)
    }
}
