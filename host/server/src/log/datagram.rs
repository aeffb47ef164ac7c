//! Lines to the system's own logs: syslog, and the journal of systemd. Each is one datagram.

use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use tracing::Level;

/// Under which name lines appear.
const PROGRAM: &str = "congress-server";

const SYSLOG: &str = "/dev/log";
const JOURNAL: &str = "/run/systemd/journal/socket";

/// What fits into a datagram whatever the system's limits are; lines are cut there.
const LONGEST: usize = 32 << 10;

/// Where lines go.
#[derive(Debug)]
pub(super) struct Datagrams {
    socket: UnixDatagram,
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug)]
enum Protocol {
    /// As syslog(3) writes it to its socket, with this facility.
    Syslog(u8),
    /// The journal's own.
    Journal,
}

impl Datagrams {
    /// To the syslog daemon of this host.
    pub(super) fn syslog(facility: u8) -> io::Result<Self> {
        Self::to(Path::new(SYSLOG), Protocol::Syslog(facility))
    }

    /// To the journal of this host.
    pub(super) fn journal() -> io::Result<Self> {
        Self::to(Path::new(JOURNAL), Protocol::Journal)
    }

    fn to(path: &Path, protocol: Protocol) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect(path).map_err(|error| {
            let text = format!("there is no such log on this host ({}): {error}", path.display());
            io::Error::new(error.kind(), text)
        })?;
        // A daemon that hangs must not stop the server: its line is lost then.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, protocol })
    }

    /// A line of this level.
    pub(super) fn line(&self, level: Level) -> Line<'_> {
        Line { to: self, severity: severity(level) }
    }
}

/// A line under way.
pub(super) struct Line<'a> {
    to: &'a Datagrams,
    severity: u8,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        let text = text.get(..LONGEST).unwrap_or(text);
        let datagram = encode(self.to.protocol, self.severity, text);
        // Nobody could be told.
        let _ = self.to.socket.send(&datagram);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn encode(protocol: Protocol, severity: u8, text: &[u8]) -> Vec<u8> {
    let pid = std::process::id();
    match protocol {
        Protocol::Syslog(facility) => {
            let priority = u16::from(facility) * 8 + u16::from(severity);
            let mut datagram = format!("<{priority}>{PROGRAM}[{pid}]: ").into_bytes();
            datagram.extend_from_slice(text);
            datagram
        }
        Protocol::Journal => {
            let mut datagram = format!(
                "PRIORITY={severity}\nSYSLOG_IDENTIFIER={PROGRAM}\nSYSLOG_PID={pid}\nMESSAGE\n"
            )
            .into_bytes();
            // With its length, for it may have line ends.
            datagram.extend_from_slice(&(text.len() as u64).to_le_bytes());
            datagram.extend_from_slice(text);
            datagram.push(b'\n');
            datagram
        }
    }
}

/// As syslog(3) counts them.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_arrive_as_their_daemon_expects_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let mut received = [0; 1024];
        let pid = std::process::id();

        let syslog = Datagrams::to(&path, Protocol::Syslog(1)).unwrap();
        syslog.line(Level::WARN).write_all(b"a line\n").unwrap();
        let length = daemon.recv(&mut received).unwrap();
        let expected = format!("<12>congress-server[{pid}]: a line");
        assert_eq!(&received[..length], expected.as_bytes());

        let journal = Datagrams::to(&path, Protocol::Journal).unwrap();
        journal.line(Level::INFO).write_all(b"two\nlines\n").unwrap();
        let length = daemon.recv(&mut received).unwrap();
        let datagram = &received[..length];
        assert!(datagram.starts_with(b"PRIORITY=6\nSYSLOG_IDENTIFIER=congress-server\n"));
        assert!(datagram.ends_with(b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\n"));

        // Nobody listens any more: lines are lost, and nothing else.
        drop(daemon);
        syslog.line(Level::INFO).write_all(b"lost\n").unwrap();
        std::fs::remove_file(&path).unwrap();
        let error = Datagrams::to(&path, Protocol::Journal).unwrap_err();
        assert!(error.to_string().contains("no such log on this host"), "{error}");
    }
}
