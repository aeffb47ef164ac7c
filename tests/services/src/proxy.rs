//! A TCP proxy that misbehaves when told to: for RabbitMQ, MariaDB, HAProxy and whatever else
//! speaks over TCP.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

/// How many pieces may be under way in one direction of one connection.
const PIECES: usize = 256;
/// How long a piece is at most, in bytes.
const PIECE: usize = 16 * 1024;

/// How the proxy behaves at present.
#[derive(Clone, Copy, Debug, Default)]
struct Mode {
    /// Connections stay, new ones are accepted, but nothing goes through.
    frozen: bool,
    /// New connections are closed at once.
    refusing: bool,
    /// How long each piece takes, in each direction.
    delay: Duration,
    /// Bytes per second, in each direction of each connection.
    rate: Option<u64>,
}

/// A proxy on a loopback port. Ends when dropped, with all connections through it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    mode: watch::Sender<Mode>,
    connections: Arc<Mutex<JoinSet<()>>>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Starts one that forwards to `target`.
    pub async fn start(target: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        let port = listener.local_addr()?.port();
        let mode = watch::Sender::new(Mode::default());
        let connections = Arc::new(Mutex::new(JoinSet::new()));
        let accepting = tokio::spawn(accept(listener, target, mode.clone(), connections.clone()));
        Ok(Self { port, mode, connections, accepting: accepting.abort_handle() })
    }

    /// Starts one that forwards to a port of this machine.
    pub async fn to_port(port: u16) -> anyhow::Result<Self> {
        Self::start(([127, 0, 0, 1], port).into()).await
    }

    /// Where it listens, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Ends all connections; new ones are welcome.
    pub fn cut(&self) {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// Ends all connections and takes no new ones, until [`Proxy::restore`].
    pub fn refuse(&self) {
        self.mode.send_modify(|mode| mode.refusing = true);
        self.cut();
    }

    /// From now on nothing goes through, in either direction, and nobody is told: as when a cable
    /// is pulled or the other host has died.
    pub fn freeze(&self) {
        self.mode.send_modify(|mode| mode.frozen = true);
    }

    /// Everything takes longer from now on, by this, in each direction.
    pub fn delay(&self, delay: Duration) {
        self.mode.send_modify(|mode| mode.delay = delay);
    }

    /// No more than so many bytes per second go through from now on, in each direction of each
    /// connection.
    pub fn throttle(&self, bytes_per_second: u64) {
        self.mode.send_modify(|mode| mode.rate = Some(bytes_per_second.max(1)));
    }

    /// Behaves well again. What was held back goes through.
    pub fn restore(&self) {
        self.mode.send_replace(Mode::default());
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    mode: watch::Sender<Mode>,
    connections: Arc<Mutex<JoinSet<()>>>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        let mut connections = connections.lock().unwrap_or_else(PoisonError::into_inner);
        while connections.try_join_next().is_some() {}
        let mode = mode.subscribe();
        if !mode.borrow().refusing {
            connections.spawn(forward(client, target, mode));
        }
    }
}

/// One connection. Its end, in either direction, is passed on.
async fn forward(client: TcpStream, target: SocketAddr, mut mode: watch::Receiver<Mode>) {
    if mode.wait_for(|mode| !mode.frozen).await.is_err() {
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        pump(from_client, to_server, mode.clone()),
        pump(from_server, to_client, mode.clone())
    );
}

/// One direction of a connection.
async fn pump(from: OwnedReadHalf, to: OwnedWriteHalf, mode: watch::Receiver<Mode>) {
    let (sender, pieces) = mpsc::channel(PIECES);
    tokio::join!(take(from, sender, mode.clone()), give(pieces, to, mode));
}

async fn take(
    mut from: OwnedReadHalf,
    pieces: mpsc::Sender<(Instant, Vec<u8>)>,
    mode: watch::Receiver<Mode>,
) {
    loop {
        let mut piece = vec![0; PIECE];
        match from.read(&mut piece).await {
            Ok(0) | Err(_) => return,
            Ok(length) => piece.truncate(length),
        }
        let due = Instant::now() + mode.borrow().delay;
        if pieces.send((due, piece)).await.is_err() {
            return;
        }
    }
}

async fn give(
    mut pieces: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut to: OwnedWriteHalf,
    mut mode: watch::Receiver<Mode>,
) {
    while let Some((due, piece)) = pieces.recv().await {
        tokio::time::sleep_until(due.into()).await;
        // The mode's sender lives as long as the proxy.
        if mode.wait_for(|mode| !mode.frozen).await.is_err() || to.write_all(&piece).await.is_err()
        {
            return;
        }
        let rate = mode.borrow().rate;
        if let Some(rate) = rate {
            tokio::time::sleep(Duration::from_secs_f64(piece.len() as f64 / rate as f64)).await;
        }
    }
    // The end is no news while nothing goes through.
    let _ = mode.wait_for(|mode| !mode.frozen).await;
    let _ = to.shutdown().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut from, mut to) = stream.split();
                    let _ = tokio::io::copy(&mut from, &mut to).await;
                });
            }
        });
        port
    }

    async fn say(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
        stream.write_all(text.as_bytes()).await?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await?;
        assert_eq!(back, text.as_bytes());
        Ok(())
    }

    #[tokio::test]
    async fn it_forwards_cuts_freezes_delays_and_throttles() {
        let proxy = Proxy::to_port(echo().await).await.unwrap();
        let connect = || TcpStream::connect(("127.0.0.1", proxy.port()));
        let mut stream = connect().await.unwrap();
        say(&mut stream, "hello").await.unwrap();

        proxy.freeze();
        let frozen = tokio::time::timeout(Duration::from_millis(100), say(&mut stream, "x")).await;
        assert!(frozen.is_err(), "it hangs");
        proxy.restore();
        let mut back = [0];
        stream.read_exact(&mut back).await.unwrap();

        proxy.delay(Duration::from_millis(50));
        let begin = Instant::now();
        say(&mut stream, "slow").await.unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(100));

        proxy.restore();
        proxy.throttle(100_000);
        let begin = Instant::now();
        say(&mut stream, &"x".repeat(20_000)).await.unwrap();
        say(&mut stream, "x").await.unwrap();
        assert!(begin.elapsed() >= Duration::from_millis(200));

        proxy.cut();
        assert!(say(&mut stream, "x").await.is_err());
        proxy.restore();
        say(&mut connect().await.unwrap(), "again").await.unwrap();
        proxy.refuse();
        let refused = async { say(&mut connect().await?, "x").await };
        assert!(refused.await.is_err());
    }
}
