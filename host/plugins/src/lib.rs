//! A host for table plugins: datasource drivers that are WebAssembly components.
//!
//! A [`Host`] loads a component (the contract is `wit/datasource.wit`) into a [`Driver`]; a driver
//! and a configuration make a [`Datasource`]; a datasource is polled, pushed to, and asked to act.
//! Each such call runs in a fresh instance of the component, under limits, and answers a
//! [`CallOutcome`]: what to do with which table. Diffing, publishing and scheduling are the
//! caller's; nothing here knows of policies, buses, databases or servers.
//!
//! ```no_run
//! # async fn f() -> Result<(), Box<dyn std::error::Error>> {
//! use congress_plugins::{ConfigValues, Host, HostConfig, State};
//!
//! let host = Host::new(HostConfig::default())?;
//! let driver = host.load("drivers/nova.wasm").await?;
//! let mut config = ConfigValues::new();
//! config.insert("auth_url".into(), "https://keystone.example:5000/v3".into());
//! let source = driver.datasource("nova", &config, State::default()).await?;
//! let outcome = source.poll(&["servers"]).await?;
//! println!("{} rows", outcome.figures.rows);
//! # Ok(())
//! # }
//! ```
//!
//! What a guest can do is decided in five places: `component` refuses imports that are not of the
//! contract, `limits` bounds what a call costs, `lanes` who waits for whom, `net` judges addresses,
//! and `files` judges paths.

mod allowance;
mod bindings;
mod cache;
mod call;
mod compiler;
mod component;
mod config;
mod datasource;
mod describe;
mod driver;
mod engine;
mod error;
mod files;
#[cfg(test)]
mod fuzz;
mod host;
mod imports;
mod inspect;
mod lanes;
mod limits;
mod logging;
mod machine;
mod metadata;
mod net;
mod outcome;
mod precompiled;
mod secret;
mod session;
mod settings;
mod sink;
mod state;
mod stderr;
mod text;
mod threads;
mod ticker;
mod wasi;

pub use compiler::{CompilerProgram, compile_component};
pub use config::{AllowedHost, HostConfig, Limits, ParseAllowedHostError, Wire};
pub use datasource::{Datasource, Push};
pub use driver::Driver;
pub use error::{
    CallError, CallErrorKind, ConfigError, HostError, LoadError, LoadErrorKind, MetadataError, Trap,
};
pub use host::Host;
pub use inspect::{Import, Inspection, Standing};
pub use metadata::{
    Action, Argument, ConfigField, ConfigValues, Feed, FieldType, Metadata, SessionKind,
};
pub use outcome::{CallOutcome, DriverError, Figures, HeldRows, State, TableOperation, Undo};
pub use settings::Settings;
