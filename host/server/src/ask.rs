//! Asking another process over HTTP whether it is well: `congress-server --health URL`.
//!
//! For supervisors' scripts. It needs no configuration and no other program, and gives up in time
//! on a server that takes connections but answers nothing.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// At most this much of an answer is read, in bytes.
const LONGEST: usize = 64 * 1024;

/// Sends `GET` to a URL that begins with `http://`. Gives the body of an answer of success, fails
/// with what is wrong otherwise. Takes no longer than `within` in all.
pub fn ask(url: &str, within: Duration) -> anyhow::Result<String> {
    let rest = url
        .strip_prefix("http://")
        .with_context(|| format!("'{url}' does not begin with http://"))?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let deadline = Instant::now() + within;
    let text = exchange(authority, if path.is_empty() { "/" } else { path }, deadline)
        .with_context(|| format!("no answer from {url} within {} s", within.as_secs_f64()))?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.lines().next().unwrap_or_default();
    let code = status.split_ascii_whitespace().nth(1).unwrap_or_default();
    if !(status.starts_with("HTTP/1.") && code.len() == 3 && code.starts_with('2')) {
        bail!("{url} answers '{status}': {}", body.trim());
    }
    Ok(body.to_owned())
}

fn exchange(authority: &str, path: &str, deadline: Instant) -> anyhow::Result<String> {
    let address = if authority.rsplit(']').next().is_some_and(|end| end.contains(':')) {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let address = address
        .to_socket_addrs()
        .with_context(|| format!("'{authority}' is no address"))?
        .next()
        .context("the name has no address")?;
    let mut stream = TcpStream::connect_timeout(&address, left(deadline)?)?;
    stream.set_write_timeout(Some(left(deadline)?))?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while answer.len() < LONGEST {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(&mut piece)? {
            0 => break,
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
    if answer.is_empty() {
        bail!("the connection was closed without an answer");
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The time left, never none: that would mean to wait for ever.
fn left(deadline: Instant) -> anyhow::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        bail!("the time is up");
    }
    Ok(left)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A server that answers one request with these bytes, or not at all.
    fn serve(answer: Option<&'static str>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/healthcheck", listener.local_addr().unwrap());
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let length = stream.read(&mut request).unwrap();
            assert!(request[..length].starts_with(b"GET /healthcheck HTTP/1.1\r\n"));
            match answer {
                Some(answer) => stream.write_all(answer.as_bytes()).unwrap(),
                // Until the other side gives up.
                None => assert_eq!(stream.read(&mut request).unwrap(), 0),
            }
        });
        url
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_good_answer_is_given_as_it_is() {
        let url = serve(Some("HTTP/1.1 200 OK\r\nA: b\r\n\r\n{\"heartbeat\": 3}"));
        assert_eq!(ask(&url, SOON).unwrap(), "{\"heartbeat\": 3}");
    }

    #[test]
    fn a_bad_answer_tells_what_it_was() {
        let url = serve(Some("HTTP/1.1 503 Service Unavailable\r\n\r\nSTUCK\n"));
        let said = format!("{:#}", ask(&url, SOON).unwrap_err());
        assert_eq!(said, format!("{url} answers 'HTTP/1.1 503 Service Unavailable': STUCK"));
        let url = serve(Some("SSH-2.0-OpenSSH\r\n"));
        assert!(ask(&url, SOON).is_err());
    }

    #[test]
    fn silence_ends_in_time() {
        let url = serve(None);
        let begun = Instant::now();
        let said = format!("{:#}", ask(&url, Duration::from_millis(200)).unwrap_err());
        assert!(said.contains("within 0.2 s"), "{said}");
        assert!(begun.elapsed() < SOON);
    }

    #[test]
    fn nonsense_is_refused() {
        for url in ["https://127.0.0.1/", "127.0.0.1:1", "http://[::1/", "http://127.0.0.1:x/"] {
            assert!(ask(url, SOON).is_err(), "{url}");
        }
    }
}
