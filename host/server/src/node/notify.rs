//! Telling the service manager how the process fares: `sd_notify(3)`, if it has asked for it.

use std::env;
use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The service manager; nobody if the process was not started by one that listens. Clones are the
/// same one.
#[derive(Clone, Debug, Default)]
pub(super) struct ServiceManager(Option<Arc<UnixDatagram>>);

impl ServiceManager {
    /// The one that `NOTIFY_SOCKET` names.
    pub(super) fn of_process() -> Self {
        let Some(address) = env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        match connect(&address) {
            Ok(socket) => Self(Some(Arc::new(socket))),
            Err(error) => {
                tracing::warn!(%error, ?address, "cannot reach the service manager");
                Self::default()
            }
        }
    }

    /// Tells it something, for instance `READY=1`.
    pub(super) fn tell(&self, state: &str) {
        if let Some(socket) = &self.0
            && let Err(error) = socket.send(state.as_bytes())
        {
            tracing::debug!(%error, state, "the service manager was not told");
        }
    }

    /// The watchdog, if the service manager wants to hear that the process is well.
    pub(super) fn watchdog(&self) -> Watchdog {
        let for_us = env::var("WATCHDOG_PID")
            .map_or(true, |pid| pid.trim() == std::process::id().to_string());
        let period = env::var("WATCHDOG_USEC").ok().and_then(|period| period.trim().parse().ok());
        Watchdog {
            manager: self.clone(),
            // Thrice as often as it must hear of us.
            period: period.filter(|_| for_us).map(|period| Duration::from_micros(period) / 3),
            last: None,
        }
    }
}

/// Keeps the service manager's watchdog quiet.
pub(super) struct Watchdog {
    manager: ServiceManager,
    period: Option<Duration>,
    last: Option<Instant>,
}

impl Watchdog {
    /// The process is well. To be called often.
    pub(super) fn well(&mut self) {
        let Some(period) = self.period else { return };
        if self.last.is_none_or(|last| last.elapsed() >= period) {
            self.last = Some(Instant::now());
            self.manager.tell("WATCHDOG=1");
        }
    }
}

/// A name that begins with `@` is one of the abstract name space.
fn connect(address: &OsString) -> std::io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match address.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(address)?,
    }
    // Whoever does not listen must not stop us.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_manager_hears_what_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let manager = ServiceManager(Some(Arc::new(connect(&path.into_os_string()).unwrap())));
        manager.tell("READY=1");
        let mut watchdog = Watchdog {
            manager: manager.clone(),
            period: Some(Duration::from_secs(3600)),
            last: None,
        };
        watchdog.well();
        watchdog.well();
        manager.tell("STOPPING=1");
        let mut heard = Vec::new();
        for _ in 0..3 {
            let mut buffer = [0; 64];
            let length = listener.recv(&mut buffer).unwrap();
            heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        assert_eq!(heard, ["READY=1", "WATCHDOG=1", "STOPPING=1"]);
    }
}
