//! Private servers for tests: RabbitMQ, MariaDB, PostgreSQL and others as Debian packages them,
//! Keystone from PyPI, a whole OpenStack of Debian's packages.
//!
//! Each runs on free loopback ports with its data in a temporary folder, is asked until it answers,
//! and ends with its handle, by its process id. Nothing that already ran is touched.
#![forbid(unsafe_code)]

mod galera;
mod haproxy;
mod isolation;
mod keystone;
mod mariadb;
mod openstack;
mod pacemaker;
mod postgresql;
mod process;
mod proxy;
mod python;
mod rabbitmq;
mod wait;

pub use galera::Galera;
pub use haproxy::Haproxy;
pub use isolation::{Isolation, isolated};
pub use keystone::Keystone;
pub use mariadb::Mariadb;
pub use openstack::{CloudService, OpenStack};
pub use pacemaker::{Cluster, Link, SERVICES};
pub use postgresql::Postgresql;
pub use process::{Process, free_port};
pub use proxy::Proxy;
pub use python::python_environment;
pub use rabbitmq::{RabbitMq, RabbitQueue, RabbitTlsFiles};
pub use wait::{POLL, eventually};
