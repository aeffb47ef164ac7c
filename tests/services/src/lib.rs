//! Private servers for tests: RabbitMQ, MariaDB and others, as Debian packages them.
//!
//! Each runs on free loopback ports with its data in a temporary folder, is asked until it answers,
//! and ends with its handle, by its process id. Nothing that already ran is touched.
#![forbid(unsafe_code)]

mod mariadb;
mod process;
mod wait;

pub use mariadb::Mariadb;
pub use process::{Process, free_port};
pub use wait::{POLL, eventually};
