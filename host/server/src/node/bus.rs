//! The bus of this node, as it is configured.

use std::sync::Arc;

use congress_bus::{Bus, InProcessBus, RabbitBus, RabbitHost, RabbitOptions, RabbitTls};
use congress_plugins::Limits;

use crate::config::BusConfig;
use crate::datasources::random;

/// A datasource has rows of so many calls of its driver, as far as others take them.
const CALLS: usize = 8;

/// Begins to connect this node to all others. A broker that is away is waited for. `limits` tell how
/// many rows there may be.
pub(super) fn open(
    config: &BusConfig,
    limits: &Limits,
    node_id: &str,
    instance: &str,
) -> Arc<dyn Bus> {
    if config.url.is_in_process() {
        return Arc::new(InProcessBus::new(node_id, instance));
    }
    let mut hosts: Vec<_> = config
        .url
        .hosts
        .iter()
        .map(|host| RabbitHost {
            host: host.host.clone(),
            port: host.port,
            user: host.user.clone(),
            password: host.password.clone(),
        })
        .collect();
    if config.shuffle {
        shuffle(&mut hosts);
    }
    let tls = config.tls.as_ref().map(|files| RabbitTls {
        ca_file: files.ca.clone(),
        cert_file: files.certificate.clone(),
        key_file: files.key.clone(),
    });
    let defaults = RabbitOptions::new(node_id, instance, hosts);
    let options = RabbitOptions {
        snapshot_rows: defaults.snapshot_rows.max(limits.rows_per_call.saturating_mul(CALLS)),
        snapshot_bytes: defaults
            .snapshot_bytes
            .max(limits.row_bytes_per_call.saturating_mul(CALLS)),
        program: env!("CARGO_PKG_VERSION").to_owned(),
        bus_id: config.bus_id.clone(),
        virtual_host: config.url.virtual_host.clone(),
        tls,
        peer_timeout: config.peer_timeout,
        // One that is dead is noticed within twice that.
        heartbeat: config.dead_after / 2,
        retry: config.retry,
        queue_expiry: config.queue_expiry,
        prefetch: config.prefetch,
        durable: config.durable,
        ..defaults
    };
    tracing::info!(hosts = ?options.hosts, bus_id = %options.bus_id, tls = options.tls.is_some(),
        "the bus is RabbitMQ");
    Arc::new(RabbitBus::connect(options))
}

/// Any order is as likely as any other.
fn shuffle<T>(items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let place = (random() * (last + 1) as f64) as usize;
        items.swap(last, place.min(last));
    }
}
