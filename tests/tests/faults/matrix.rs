//! The faults. Each is brought about, lasts a while, and is over when its function returns.

use std::time::Duration;

use anyhow::Context as _;
use congress_test_services::{Mariadb, Proxy};
use congress_tests::{Deployment, Node};
use futures_util::future::LocalBoxFuture;
use rustix::process::Signal;

use crate::load::FIRST_READER;

/// A fault.
pub(crate) struct Fault {
    /// What happens, for the report.
    pub(crate) name: &'static str,
    /// Whether it is part of the short run.
    pub(crate) short: bool,
    /// Brings it about, and ends it.
    pub(crate) cause: Cause,
}

type Cause = for<'a> fn(&'a mut Deployment) -> LocalBoxFuture<'a, anyhow::Result<()>>;

/// How long most faults last: longer than a lease (3 s) and than what it takes to notice that a
/// connection is dead.
const A_WHILE: Duration = Duration::from_secs(5);

/// Longer than a silent node counts as there (`[ha] peer_timeout`, 5 s).
const LONG: Duration = Duration::from_secs(8);

/// What a packet takes on a slow network, in each direction.
const DELAY: Duration = Duration::from_millis(50);

macro_rules! faults {
    ($($name:literal $length:ident $cause:ident),* $(,)?) => {
        &[$(Fault {
            name: $name,
            short: stringify!($length).as_bytes()[0] == b's',
            cause: |deployment| Box::pin($cause(deployment)),
        }),*]
    };
}

/// All of them.
pub(crate) const FAULTS: &[Fault] = faults![
    "engine: SIGKILL, started after 5 s" short engine_killed,
    "engine: SIGSTOP for 8 s" short engine_paused,
    "engine: restarted" long engine_restarted,
    "engines: all restarted, one by one" long engines_restarted,
    "datasource node: SIGKILL, started after 5 s" short active_killed,
    "datasource node: SIGSTOP for 8 s" short active_paused,
    "datasource node: restarted" long active_restarted,
    "standby: SIGKILL and started" long standby_killed,
    "both datasource nodes: SIGKILL and started" long both_killed,
    "broker: SIGKILL and started" short broker_killed,
    "broker: stopped for 5 s" long broker_stopped,
    "broker: SIGSTOP for 8 s" long broker_paused,
    "broker: disk alarm for 8 s" short broker_disk_full,
    "broker: memory alarm for 8 s" long broker_memory_full,
    "database: SIGKILL, started after 5 s" short database_killed,
    "database: restarted" long database_restarted,
    "database: SIGSTOP for 8 s" long database_paused,
    "database: read-only for 5 s" short database_read_only,
    "network: engine cut off the broker for 5 s" short engine_without_broker,
    "network: engine half-open to the broker, 8 s" long engine_frozen_to_broker,
    "network: source node cut off the broker, 5 s" long active_without_broker,
    "network: source node half-open to broker, 8 s" short active_frozen_to_broker,
    "network: engine cut off the database for 5 s" long engine_without_database,
    "network: source node cut off the database, 8 s" short active_without_database,
    "network: source node half-open to both, 10 s" long active_frozen_to_all,
    "network: 50 ms more to broker and database" long slow_network,
    "clock: engine's goes 1 h ahead, then 2 h back" long engine_clock,
    "clock: source node's 1 h ahead, then 2 h back" short active_clock,
];

async fn last(time: Duration) {
    tokio::time::sleep(time).await;
}

/// The engine to which the balancer sends the first client that reads.
async fn serving(deployment: &mut Deployment) -> anyhow::Result<&mut Node> {
    let balancer = deployment.balancer.as_ref().context("there is no balancer")?;
    let table = balancer.ask("show table congress_api").await?;
    let client = format!("127.0.0.{FIRST_READER} ");
    let line = table.lines().find(|line| line.contains(&client)).context(table.clone())?;
    let (_, rest) = line.split_once("server_id=").with_context(|| line.to_owned())?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let place = digits.parse::<usize>()?.saturating_sub(1);
    deployment.engines.get_mut(place).with_context(|| line.to_owned())
}

/// The datasource node that is active.
async fn active(deployment: &mut Deployment) -> anyhow::Result<&mut Node> {
    let place = deployment.has_active(crate::RECOVERY).await?;
    deployment.datasources.get_mut(place).context("no such node")
}

/// The datasource node that waits.
async fn standby(deployment: &mut Deployment) -> anyhow::Result<&mut Node> {
    let place = deployment.has_active(crate::RECOVERY).await?;
    deployment.datasources.get_mut(1 - place).context("no such node")
}

async fn engine_killed(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = serving(deployment).await?;
    node.kill().await?;
    last(A_WHILE).await;
    node.start().await
}

async fn engine_paused(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = serving(deployment).await?;
    node.pause()?;
    last(LONG).await;
    node.resume()
}

async fn engine_restarted(deployment: &mut Deployment) -> anyhow::Result<()> {
    serving(deployment).await?.restart().await
}

async fn engines_restarted(deployment: &mut Deployment) -> anyhow::Result<()> {
    for place in 0..deployment.engines.len() {
        let node = deployment.engines.get_mut(place).context("no such node")?;
        node.restart().await?;
        let name = node.name().to_owned();
        if let Some(balancer) = &deployment.balancer {
            balancer.holds(&name, "UP").await?;
        }
    }
    Ok(())
}

async fn active_killed(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = active(deployment).await?;
    node.kill().await?;
    last(A_WHILE).await;
    node.start().await
}

async fn active_paused(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = active(deployment).await?;
    node.pause()?;
    last(LONG).await;
    node.resume()
}

async fn active_restarted(deployment: &mut Deployment) -> anyhow::Result<()> {
    active(deployment).await?.restart().await
}

async fn standby_killed(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = standby(deployment).await?;
    node.kill().await?;
    node.start().await
}

async fn both_killed(deployment: &mut Deployment) -> anyhow::Result<()> {
    for node in &mut deployment.datasources {
        node.kill().await?;
    }
    for node in &mut deployment.datasources {
        node.start().await?;
    }
    Ok(())
}

async fn broker_killed(deployment: &mut Deployment) -> anyhow::Result<()> {
    deployment.broker.kill().await?;
    deployment.broker.run().await
}

async fn broker_stopped(deployment: &mut Deployment) -> anyhow::Result<()> {
    deployment.broker.stop().await?;
    last(A_WHILE).await;
    deployment.broker.run().await
}

async fn broker_paused(deployment: &mut Deployment) -> anyhow::Result<()> {
    deployment.broker.pause()?;
    last(LONG).await;
    deployment.broker.resume()
}

async fn broker_disk_full(deployment: &mut Deployment) -> anyhow::Result<()> {
    deployment.broker.raise_disk_alarm().await?;
    last(LONG).await;
    deployment.broker.clear_disk_alarm().await
}

async fn broker_memory_full(deployment: &mut Deployment) -> anyhow::Result<()> {
    deployment.broker.raise_memory_alarm().await?;
    last(LONG).await;
    deployment.broker.clear_memory_alarm().await
}

fn database(deployment: &mut Deployment) -> anyhow::Result<&mut Mariadb> {
    deployment.database.as_mut().context("there is no database server")
}

async fn database_killed(deployment: &mut Deployment) -> anyhow::Result<()> {
    let database = database(deployment)?;
    database.kill().await?;
    last(A_WHILE).await;
    database.restart().await
}

async fn database_restarted(deployment: &mut Deployment) -> anyhow::Result<()> {
    database(deployment)?.restart().await
}

async fn database_paused(deployment: &mut Deployment) -> anyhow::Result<()> {
    let process = database(deployment)?.process().context("it is not running")?;
    process.signal_group(Signal::STOP)?;
    last(LONG).await;
    process.signal_group(Signal::CONT)
}

async fn database_read_only(deployment: &mut Deployment) -> anyhow::Result<()> {
    let database = database(deployment)?;
    database.set_read_only(true).await?;
    last(A_WHILE).await;
    database.set_read_only(false).await
}

async fn engine_without_broker(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = serving(deployment).await?;
    node.broker_link()?.refuse();
    last(A_WHILE).await;
    node.broker_link()?.restore();
    Ok(())
}

async fn engine_frozen_to_broker(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = serving(deployment).await?;
    node.broker_link()?.freeze();
    last(LONG).await;
    node.broker_link()?.restore();
    Ok(())
}

async fn active_without_broker(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = active(deployment).await?;
    node.broker_link()?.refuse();
    last(A_WHILE).await;
    node.broker_link()?.restore();
    Ok(())
}

async fn active_frozen_to_broker(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = active(deployment).await?;
    node.broker_link()?.freeze();
    last(LONG).await;
    node.broker_link()?.restore();
    Ok(())
}

async fn engine_without_database(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = serving(deployment).await?;
    node.database_link()?.refuse();
    last(A_WHILE).await;
    node.database_link()?.restore();
    Ok(())
}

/// Its lease lapses, and the other takes over while it goes on, until it hears of that.
async fn active_without_database(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = active(deployment).await?;
    node.database_link()?.refuse();
    last(LONG).await;
    node.database_link()?.restore();
    Ok(())
}

/// As if its host were cut off from everything.
async fn active_frozen_to_all(deployment: &mut Deployment) -> anyhow::Result<()> {
    let node = active(deployment).await?;
    node.links().for_each(Proxy::freeze);
    last(A_WHILE * 2).await;
    node.links().for_each(Proxy::restore);
    Ok(())
}

async fn slow_network(deployment: &mut Deployment) -> anyhow::Result<()> {
    for node in deployment.nodes() {
        node.links().for_each(|link| link.delay(DELAY));
    }
    last(LONG).await;
    for node in deployment.nodes() {
        node.links().for_each(Proxy::restore);
    }
    Ok(())
}

async fn engine_clock(deployment: &mut Deployment) -> anyhow::Result<()> {
    jump(serving(deployment).await?).await
}

async fn active_clock(deployment: &mut Deployment) -> anyhow::Result<()> {
    // Started again it is the standby, and active once the other has given way.
    let node = active(deployment).await?;
    node.restart_with_clock().await?;
    let name = node.name().to_owned();
    make_active(deployment, &name).await?;
    jump(deployment.node_mut(&name)?).await
}

/// Lets the wall clock of one process go ahead and back.
async fn jump(node: &mut Node) -> anyhow::Result<()> {
    if !node.has_clock() {
        node.restart_with_clock().await?;
    }
    for offset in ["+3600", "-3600", "+0"] {
        node.set_clock(offset)?;
        last(A_WHILE / 2).await;
    }
    Ok(())
}

/// Makes a datasource node the active one.
async fn make_active(deployment: &mut Deployment, name: &str) -> anyhow::Result<()> {
    let other = active(deployment).await?;
    if other.name() != name {
        other.restart().await?;
    }
    let now = active(deployment).await?.name().to_owned();
    anyhow::ensure!(now == name, "{now} is active, not {name}");
    Ok(())
}
