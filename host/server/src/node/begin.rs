//! What a node does before its roles start: it listens, and opens database and keys.

use std::io;
use std::path::Path;

use anyhow::anyhow;
use congress_bus::Bus;
use congress_store::{Error, KeyError, KeyRing, OpenError, Store};
use rustix::net::sockopt;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::notify::ServiceManager;
use super::{Ended, Listen, NodeOptions};
use crate::datasources::wrong_key;
use crate::health::{Health, Phase, Readiness};

/// After how many beats a service manager is asked again to wait for the start.
const EXTENSION_BEATS: u32 = 20;

/// Binds an address. A port in use is an error, never shared.
pub(super) async fn bind(listen: Listen) -> anyhow::Result<TcpListener> {
    let Listen { address, keepalive, options: [host, port] } = listen;
    let listener = TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "cannot listen on {address}: another process uses that port; stop it, or set \
             [DEFAULT] {port} to a free one"
        ),
        io::ErrorKind::PermissionDenied => {
            anyhow!("cannot listen on {address}: not permitted; ports below 1024 need a privilege")
        }
        io::ErrorKind::AddrNotAvailable => anyhow!(
            "cannot listen on {address}: this machine has no such address; set [DEFAULT] {host} \
             to one that it has"
        ),
        _ => anyhow!("cannot listen on {address}: {error}"),
    })?;
    if let Some(idle) = keepalive {
        // Connections have what their listener has.
        sockopt::set_socket_keepalive(&listener, true)
            .and_then(|()| sockopt::set_tcp_keepidle(&listener, idle))
            .map_err(|error| anyhow!("cannot set [DEFAULT] tcp_keepidle: {error}"))?;
    }
    Ok(listener)
}

/// What `/readyz?detail` says of the node itself.
pub(super) fn describe(health: &Health, options: &NodeOptions, instance: &str) {
    let node = json!({
        "node_id": options.node_id,
        "instance": instance,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
    });
    health.detail.add("node", move || node.clone());
}

/// What `/readyz?detail` says of all nodes that the bus knows.
pub(super) fn peers(bus: &dyn Bus) -> Value {
    let nodes = bus.nodes().borrow().clone();
    let peers = bus.status().peers;
    let heard = |instance: &str| peers.iter().find(|peer| peer.instance == instance);
    nodes
        .iter()
        .map(|node| {
            let heard = heard(&node.instance);
            json!({
                "node_id": node.node_id, "instance": node.instance, "services": node.services,
                "version": heard.map(|peer| peer.program.clone()),
                "silent_seconds": heard.map(|peer| peer.silent_for.as_secs_f32()),
            })
        })
        .collect()
}

/// Keeps the pulse, and the service manager informed of it.
pub(super) async fn beat(health: Health, manager: ServiceManager) {
    let mut watchdog = manager.watchdog();
    let mut beats_at_start = 0_u32;
    let beats = health.pulse.clone().beat(|well| {
        if well {
            watchdog.well();
        }
        if health.readiness.phase() == Phase::Starting {
            // A database that is away may hold up the start for long.
            if beats_at_start.is_multiple_of(EXTENSION_BEATS) {
                manager.tell("EXTEND_TIMEOUT_USEC=30000000");
            }
            beats_at_start += 1;
        }
    });
    beats.await;
}

/// Opens the database, and waits for one that does not answer.
pub(super) async fn open_store(
    options: &NodeOptions,
    readiness: &Readiness,
) -> anyhow::Result<Store> {
    let mut left = options.patience.retries;
    loop {
        let error = match Store::open(&options.database, &options.store).await {
            Ok(store) => {
                readiness.present("database");
                return Ok(store);
            }
            Err(error) => error,
        };
        let passes = matches!(&error, OpenError::Failed { source: Error::Unavailable { .. }, .. });
        if !passes || left == Some(0) {
            return Err(error.into());
        }
        left = left.map(|left| left - 1);
        tracing::warn!("{error}; trying again in {} s", options.patience.interval.as_secs_f32());
        readiness.missing("database", "it does not answer");
        tokio::time::sleep(options.patience.interval).await;
    }
}

/// Opens the keys of a node that runs datasources. A new key is made only where nothing is sealed
/// with another one.
pub(super) async fn open_keys(folder: &Path, store: &Store) -> Result<KeyRing, Ended> {
    let failed = |error: Error| anyhow!("cannot read the datasources: {error}");
    let rows = store.datasources().await.map_err(failed)?;
    let has_sealed = store.has_sealed_secrets().await.map_err(failed)?;
    let is_new = !has_sealed && matches!(check_keys(folder), Ok(Some(_)));
    let ring = KeyRing::open(folder, !has_sealed).map_err(|error| {
        Ended::configuration(if has_sealed {
            anyhow!(
                "{error}. The database holds secrets that are sealed with the key of another \
                 host: copy its key folder here, or set [DEFAULT] encryption_key_path"
            )
        } else {
            error.into()
        })
    })?;
    if is_new {
        tracing::warn!(
            folder = %folder.display(),
            "made a new key, which all hosts must have: copy the folder to those that are to run \
             datasources or the API"
        );
    }
    if let Some(reason) = wrong_key(&ring, &rows) {
        return Err(Ended::configuration(anyhow!("{}: {reason}", folder.display())));
    }
    Ok(ring)
}

/// Whether the keys can be used, as far as that shows without the database: a sentence about a
/// folder that is not there yet.
pub fn check_keys(folder: &Path) -> Result<Option<String>, KeyError> {
    match KeyRing::open(folder, false) {
        Ok(_) => Ok(None),
        Err(KeyError::Missing { path }) => Ok(Some(format!(
            "there is no key file {}: the datasources role makes one at its start, unless the \
             database holds secrets that are sealed with another; copy the key folder of the other \
             hosts first",
            path.display()
        ))),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn connections_are_kept_alive_as_configured() {
        let address = "127.0.0.1:0".parse().unwrap();
        for keepalive in [None, Some(Duration::from_secs(77))] {
            let listen = Listen { address, keepalive, options: ["bind_host", "bind_port"] };
            let listener = bind(listen).await.unwrap();
            let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            assert_eq!(sockopt::socket_keepalive(&accepted).unwrap(), keepalive.is_some());
            if let Some(idle) = keepalive {
                assert_eq!(sockopt::tcp_keepidle(&accepted).unwrap(), idle);
            }
        }
    }
}
