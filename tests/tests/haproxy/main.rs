//! The example for HAProxy, `ocf/haproxy.cfg`, before two real API nodes that share database and
//! broker.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod load;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use congress_test_services::{Haproxy, Mariadb, RabbitMq, free_port};
use congress_tests::{Server, ServerOptions, root};
use load::{Done, Load, client};
use reqwest::Method;
use serde_json::{Value, json};

/// After this no read fails because a node was killed.
const GRACE: Duration = Duration::from_secs(2);

/// Clients, by the last number of their addresses.
const CLIENTS: std::ops::Range<u8> = 11..19;

/// Two nodes, what they need, and the balancer.
struct World {
    haproxy: Haproxy,
    options: BTreeMap<&'static str, ServerOptions>,
    nodes: BTreeMap<&'static str, Server>,
    mariadb: Mariadb,
    _rabbitmq: RabbitMq,
}

impl World {
    async fn start() -> Self {
        let (mariadb, rabbitmq) = tokio::try_join!(Mariadb::start(), RabbitMq::start()).unwrap();
        let database = congress_tests::database(&mariadb, "congress").await.unwrap();
        let (mut options, mut nodes, mut addresses) =
            (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for name in ["pe1", "pe2"] {
            let port = free_port().unwrap();
            let with = ServerOptions::default()
                .with("DEFAULT", "api", true)
                .with("DEFAULT", "policy_engine", true)
                .with("DEFAULT", "node_id", name)
                .with("DEFAULT", "bind_port", port)
                .with("DEFAULT", "graceful_drain_delay", GRACE.as_secs())
                .with("DEFAULT", "replicated_policy_engine", true)
                .with(
                    "DEFAULT",
                    "transport_url",
                    format!("rabbit://guest:guest@127.0.0.1:{}/", rabbitmq.port()),
                )
                .with("database", "connection", &database);
            nodes.insert(name, Server::start(with.clone()).await.unwrap());
            options.insert(name, with);
            addresses.push((name, format!("127.0.0.1:{port}").parse().unwrap()));
        }
        let config = std::fs::read_to_string(root().join("ocf/haproxy.cfg")).unwrap();
        let haproxy = Haproxy::start(&config, &addresses).await.unwrap();
        let world = Self { haproxy, options, nodes, mariadb, _rabbitmq: rabbitmq };
        world.both_up().await;
        world
    }

    async fn both_up(&self) {
        for name in ["pe1", "pe2"] {
            self.haproxy.holds(name, "UP").await.unwrap();
        }
    }

    async fn restart(&mut self, name: &'static str) {
        let node = Server::start(self.options[name].clone()).await.unwrap();
        self.nodes.insert(name, node);
        self.both_up().await;
    }

    /// Which servers the balancer has sent each client's requests to.
    fn routes(&self) -> BTreeMap<String, BTreeSet<String>> {
        let mut routes: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for line in self.haproxy.log().lines() {
            let Some((_, server)) = line.split_once("congress_api/") else { continue };
            let client = line.split(':').next().unwrap_or_default();
            let client = client.rsplit(' ').next().unwrap_or_default().to_owned();
            let server = server.split_whitespace().next().unwrap_or_default().to_owned();
            routes.entry(client).or_default().insert(server);
        }
        routes
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_behind_the_example() {
    let mut world = World::start().await;
    let url = world.haproxy.url();
    let first = client(2);
    let post = async |path: &str, body: Value| {
        let answer = first.post(format!("{url}{path}")).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    };
    post("/v1/policies", json!({"name": "ha"})).await;
    for fact in ["p(1)", "p(2)", "written(0, 0)"] {
        post("/v1/policies/ha/rules", json!({"rule": fact})).await;
    }
    // Both have heard of it.
    for node in world.nodes.values() {
        let both = |body: &Value| body["results"].as_array().is_some_and(|rows| rows.len() == 2);
        node.eventually("/v1/policies/ha/tables/p/rows", Duration::from_secs(20), both)
            .await
            .unwrap();
    }

    // Its health is everybody's to know, what it tells operators is not.
    for (path, status) in [
        ("/readyz", 200),
        ("//readyz", 200),
        ("/readyz?detail", 403),
        ("/readyz?detail=true", 403),
        ("//readyz?detail", 403),
        ("///readyz?detail=true", 403),
        ("/%72eadyz?detail", 403),
        ("/%2Freadyz?detail", 403),
        ("/readyz/?detail", 403),
        ("/readyz%2f?detail", 403),
        // To servers none of this is the path: they answer which versions there are.
        ("/readyz%?detail", 300),
        ("/readyz%3Fdetail", 300),
    ] {
        let answer = first.get(format!("{url}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }

    clients_stay_and_are_spread(&world).await;
    a_node_is_drained(&mut world).await;
    a_node_is_killed(&mut world).await;
    the_database_is_away(&mut world).await;
}

async fn clients_stay_and_are_spread(world: &World) {
    let load = Load::start(&world.haproxy.url(), CLIENTS);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let done = load.end().await;
    assert!(failures(&done).is_empty(), "{:?}", failures(&done));
    let routes = world.routes();
    let used: BTreeSet<&String> = routes.values().flatten().collect();
    assert_eq!(used.len(), 2, "all clients at one node: {routes:?}");
    for client in CLIENTS {
        let servers = &routes[&format!("127.0.0.{client}")];
        assert_eq!(servers.len(), 1, "a client hops: {routes:?}");
    }
    println!(
        "stickiness: {} requests of {} clients, each at one node, both used",
        done.len(),
        CLIENTS.len()
    );
}

async fn a_node_is_drained(world: &mut World) {
    let load = Load::start(&world.haproxy.url(), CLIENTS);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let status = world.nodes.remove("pe1").unwrap().stop().await.unwrap();
    let took = begun.elapsed();
    assert!(status.success(), "{status}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let done = load.end().await;
    let writes = done.iter().filter(|it| it.method != Method::GET).count();
    println!(
        "drained: the node stopped in {took:.1?}; {} reads and {writes} writes meanwhile, {} failed, \
         the slowest took {:.0?}",
        done.len() - writes,
        failures(&done).len(),
        slowest(&done),
    );
    assert!(failures(&done).is_empty(), "{:?}", failures(&done));
    assert!(took >= GRACE, "connections were closed before balancers could notice: {took:?}");
    world.restart("pe1").await;
}

async fn a_node_is_killed(world: &mut World) {
    let load = Load::start(&world.haproxy.url(), CLIENTS);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let killed = Instant::now();
    world.nodes.remove("pe2").unwrap().kill().await.unwrap();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let done = load.end().await;
    let failed = failures(&done);
    let reads = failed.iter().filter(|it| it.method == Method::GET).count();
    let last = failed.iter().map(|it| it.begun + it.took).max();
    println!(
        "killed: {} requests, {} failed ({reads} reads), the last one {:.2?} after the kill; the \
         slowest of all took {:.0?}",
        done.len(),
        failed.len(),
        last.map(|last| last.saturating_duration_since(killed)).unwrap_or_default(),
        slowest(&done),
    );
    for failure in &failed {
        assert!(
            failure.begun < killed + Duration::from_millis(100),
            "begun {:?} after the kill: {failure:?}",
            failure.begun - killed
        );
    }
    let late = failed.iter().filter(|it| it.method == Method::GET && it.begun > killed + GRACE);
    assert_eq!(late.count(), 0);
    world.restart("pe2").await;
}

/// Rows are served without the database, so no node is taken out.
async fn the_database_is_away(world: &mut World) {
    world.mariadb.stop().await.unwrap();
    let reader = client(30);
    let rows = format!("{}/v1/policies/ha/tables/p/rows", world.haproxy.url());
    let end = Instant::now() + Duration::from_secs(5);
    let mut reads = 0;
    while Instant::now() < end {
        let states = world.haproxy.states().await.unwrap();
        assert!(states.values().all(|state| state == "UP"), "{states:?}");
        let answer = reader.get(&rows).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        reads += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for node in world.nodes.values() {
        let degraded = |body: &Value| body["status"] == "degraded";
        node.eventually("/readyz", Duration::from_secs(20), degraded).await.unwrap();
    }
    println!("database away for 5 s: both nodes in, {reads} reads of rows served");
    world.mariadb.restart().await.unwrap();
    for node in world.nodes.values() {
        let ready = |body: &Value| body["status"] == "ready";
        node.eventually("/readyz", Duration::from_secs(30), ready).await.unwrap();
    }
}

fn failures(done: &[Done]) -> Vec<&Done> {
    done.iter().filter(|it| it.failure.is_some()).collect()
}

fn slowest(done: &[Done]) -> Duration {
    done.iter().map(|it| it.took).max().unwrap_or_default()
}
