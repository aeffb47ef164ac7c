//! What is away, for `/readyz` and the log.

use std::sync::Arc;
use std::time::Duration;

use congress_bus::{Bus, Link};
use congress_store::Store;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::health::Readiness;

/// How often the database is asked for a sign of life, and how long it may take to give one.
const PERIOD: Duration = Duration::from_secs(2);

/// Notes whether the database answers, until told to stop.
pub(super) async fn database(store: Store, readiness: Readiness, stop: CancellationToken) {
    let mut away = false;
    loop {
        let why = match tokio::time::timeout(PERIOD, store.revision()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", PERIOD.as_secs())),
        };
        match &why {
            None => {
                readiness.present("database");
                if std::mem::take(&mut away) {
                    tracing::info!("the database is back");
                }
            }
            Some(why) => {
                // What the database says may hold its address: that is for the log.
                readiness.missing("database", "it does not answer");
                if !std::mem::replace(&mut away, true) {
                    tracing::error!(%why, "the database is away; rows are still served");
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Notes whether messages get through, until told to stop.
pub(super) async fn link(bus: Arc<dyn Bus>, readiness: Readiness, stop: CancellationToken) {
    let mut link = bus.link();
    let (mut away, begun) = (false, Instant::now());
    loop {
        match link.borrow_and_update().clone() {
            Link::Up => {
                readiness.present("bus");
                if std::mem::take(&mut away) {
                    tracing::info!("the bus is back");
                }
            }
            Link::Down(why) => {
                readiness.missing("bus", "messages do not get through; the log says why");
                // The first connection takes its time.
                let begins = begun.elapsed() < PERIOD;
                if !begins && !std::mem::replace(&mut away, true) {
                    tracing::error!(%why, "the bus is away; the last rows are still served");
                }
            }
        }
        let soon = tokio::time::sleep_until(begun + PERIOD);
        tokio::select! {
            () = stop.cancelled() => return,
            changed = link.changed() => if changed.is_err() { return },
            () = soon, if begun.elapsed() < PERIOD => {}
        }
    }
}
