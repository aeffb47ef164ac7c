//! What happens to the cluster, in the order in which it happens.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use congress_test_services::{Cluster, Link, SERVICES, eventually};
use serde_json::{Value, json};

use crate::world::{Api, Data, PATIENCE, Services, forward, here, published};
use crate::{guide, package};

/// A killed datasource node's successor publishes within this, the monitor running every 5 s.
const FAIL_OVER: Duration = Duration::from_secs(9);

/// A standby that waits already publishes within this, once the active node is gone.
const HOT_STANDBY: Duration = Duration::from_secs(4);

/// What a processor may have to do beside the test, by the load average, for times to mean anything.
const QUIET: f64 = 3.0;

/// The cluster and all around it.
struct World {
    cluster: Cluster,
    api: Api,
    data: Data,
    /// Where the resource runs.
    active: usize,
    begun: Instant,
}

/// All of it.
pub(crate) async fn all() {
    let begun = Instant::now();
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let (services, world) = set_up(folder.path(), begun).await;
    let mut world = world;
    world.first_start().await;
    world.standby_and_move().await;
    world.kill().await;
    world.hang().await;
    world.outage_of_services().await;
    world.node_dies().await;
    world.key_is_missing().await;
    world.split_brain().await;
    world.say("all is well");
    drop(services);
}

/// Steps 1 to 3 of the guide.
async fn set_up(folder: &Path, begun: Instant) -> (Services, World) {
    let services = Services::start().await;
    here(&format!(
        "printf '%s db.example.net mq.example.net\\n10.99.0.1 node1\\n10.99.0.2 node2\\n' {SERVICES} \
             >>/etc/hosts"
    ));
    for block in guide::below("1. ") {
        match &*block.place {
            "the database host" => services.at_database(&block.commands),
            "the broker host" => services.at_broker(&block.commands).await,
            place => panic!("{place}: {}", block.commands),
        }
    }
    here(&format!("ip address replace {SERVICES}/32 dev lo"));
    forward(3306, services.mariadb.port()).await;
    forward(5672, services.rabbitmq.port()).await;
    let package = package::build(folder);
    let folder_of_package = package.parent().unwrap().display().to_string();
    for block in guide::below("2. ") {
        // Nodes share what is installed and written here.
        here(&format!("cd '{folder_of_package}'\n{}", block.commands));
    }
    // What the test's datasource may read, and what is quicker than in real life.
    here("printf 'allowed_files = /run/data\\n' >>/etc/congress/congress.conf");
    let cluster = Cluster::start(folder).await.unwrap();
    let [block] = &guide::below("3. ")[..] else { panic!("one command starts an API node") };
    let api = Api::start(&block.commands, folder).await;
    let in_folder = |commands: &str| here(&format!("cd '{folder_of_package}'\n{commands}"));
    for block in guide::below("5. ") {
        in_folder(&block.commands);
    }
    for block in guide::below("Backup") {
        match &*block.place {
            "the database host" => {
                services.at_database(&format!("cd '{folder_of_package}'\n{}", block.commands))
            }
            _ => drop(in_folder(&block.commands)),
        }
    }
    // The commands of step 4 are all that is left.
    let parts = ["1. ", "2. ", "3. ", "With Pacemaker", "5. ", "Backup"];
    for block in guide::blocks() {
        let known = parts.iter().any(|part| block.heading.starts_with(part));
        assert!(known, "nothing runs the commands below {}", block.heading);
    }
    println!("[{:?}] database, broker, two nodes and pe1 are up", begun.elapsed());
    let world = World { cluster, api, data: Data::new(), active: 0, begun };
    (services, world)
}

impl World {
    fn say(&self, what: &str) {
        println!("[{:6.1} s] {what}", self.begun.elapsed().as_secs_f64());
    }

    /// Holds a time against what is promised, unless the machine does so much else that it tells
    /// nothing.
    fn promised(&self, what: &str, took: Duration, bound: Duration) {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap();
        let load: f64 = load.split_whitespace().next().unwrap().parse().unwrap();
        let cores = std::thread::available_parallelism().unwrap().get();
        #[expect(clippy::cast_precision_loss, reason = "there are few cores")]
        let busy = load / cores as f64 > QUIET;
        if took >= bound && busy {
            self.say(&format!("{what}: over {bound:?}, but the machine is busy (load {load})"));
            return;
        }
        assert!(took < bound, "{what}: {took:?}, load {load}");
    }

    /// Runs a command on a node and shows both it and its answer.
    fn shell(&self, node: usize, command: &str) -> String {
        self.say(&format!("node{} # {command}", node + 1));
        let out = self.cluster.must(node, command).unwrap();
        for line in out.lines().filter(|line| !line.trim().is_empty()) {
            println!("           {line}");
        }
        out
    }

    /// Waits until Pacemaker says of the resource, at a node, what `expected` holds.
    async fn resource(&self, node: usize, expected: &str) {
        let look = async || {
            let out = self.cluster.run(node, "crm_mon -1 --inactive").ok()?;
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let line = text.lines().find(|line| line.contains("congress-datasource)"))?;
            line.trim_end().ends_with(expected).then_some(())
        };
        let found = eventually(expected, PATIENCE, look).await;
        if found.is_err() {
            let status = self.cluster.run(node, "crm_mon -1 --inactive -f").unwrap();
            let log = self.cluster.run(node, "tail -n 40 /var/log/congress/ds-node.log").unwrap();
            panic!(
                "{expected}: {}{}{}",
                String::from_utf8_lossy(&status.stdout),
                String::from_utf8_lossy(&log.stdout),
                self.cluster.logs()
            );
        }
    }

    /// What the datasource node on a node says of itself.
    fn readiness(&self, node: usize) -> Option<Value> {
        let ask =
            "congress-server --health 'http://127.0.0.1:1790/readyz?detail' --health-timeout 2";
        let out = self.cluster.run(node, ask).ok()?;
        serde_json::from_slice(&out.stdout).ok()
    }

    /// Waits for the current rows, wherever they come from, and sets `active`.
    async fn current(&mut self, since: Instant, what: &str) -> Duration {
        let (node, took) = published(&self.api, &self.data, None, since).await;
        self.active = node;
        self.say(&format!("{what}: node{} published after {took:.1?}", node + 1));
        took
    }

    fn clean(&self) {
        self.shell(self.active, "crm resource cleanup ds-node 2>/dev/null | head -n 1");
    }

    /// Step 4 of the guide.
    async fn first_start(&mut self) {
        self.data.change(&self.cluster);
        // No device that could fence a namespace; two nodes have no majority without each other.
        self.shell(0, "crm configure property stonith-enabled=false no-quorum-policy=ignore 2>&1");
        let blocks = guide::below("With Pacemaker");
        let configure = &blocks[0].commands;
        assert!(configure.contains("primitive ds-node ocf:openstack:congress-datasource"));
        let begun = Instant::now();
        self.shell(0, &format!("{configure} 2>&1"));
        let [node] = self.started_on().await[..] else { panic!("started on both") };
        self.active = node;
        self.say(&format!("started on node{} after {:.1?}", node + 1, begun.elapsed()));
        let owner = self
            .cluster
            .must(node, "stat -c %U /proc/$(head -n 1 /run/resource-agents/ds-node.pid)")
            .unwrap();
        assert_eq!(owner.trim(), "congress", "the server's user");

        // Rows of a file of the node, and a rule over them.
        let tables = json!({"state": {"format": "colon", "path": "/run/data/state", "columns": ["mark", "node"]}});
        let datasource = json!({
            "name": "probe", "driver": "files",
            "config": {"folder": "/run/data", "tables": tables.to_string(), "poll_time": "1"},
        });
        self.api.post("/v1/data-sources", datasource).await;
        self.api.post("/v1/policies", json!({"name": "ha"})).await;
        let rule = json!({"rule": "seen(mark, node) :- probe:state(mark=mark, node=node)"});
        self.api.post("/v1/policies/ha/rules", rule).await;
        let since = Instant::now();
        self.current(since, "a new datasource").await;
        // The other commands of the guide.
        for command in blocks[1].commands.lines() {
            self.data.change(&self.cluster);
            let since = Instant::now();
            self.shell(0, &format!("{command} 2>&1"));
            if command.starts_with("crm resource move") {
                let (node, took) = published(&self.api, &self.data, Some(1), since).await;
                self.active = node;
                self.say(&format!("moved by hand: node2 published after {took:.1?}"));
                self.resource(0, "Started node2").await;
            }
        }
        self.current(Instant::now(), "the constraint of the move is gone").await;
    }

    async fn started_on(&self) -> Vec<usize> {
        let look = async || {
            let out = self.cluster.run(0, "crm_mon -1 --inactive").ok()?;
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            let line =
                text.lines().find(|line| line.contains("Started node"))?.trim_end().to_owned();
            let nodes = (0..2).filter(|node| line.contains(&format!("node{}", node + 1)));
            Some(nodes.collect::<Vec<_>>())
        };
        eventually("the resource is started", PATIENCE, look).await.unwrap()
    }

    async fn standby_and_move(&mut self) {
        let (from, to) = (self.active, 1 - self.active);
        self.data.change(&self.cluster);
        let since = Instant::now();
        self.shell(0, &format!("crm node standby node{}", from + 1));
        let (_, took) = published(&self.api, &self.data, Some(to), since).await;
        self.say(&format!("standby: node{} published after {took:.1?}", to + 1));
        self.shell(0, &format!("crm node online node{}", from + 1));
        self.active = to;
        self.resource(0, &format!("Started node{}", to + 1)).await;
    }

    async fn kill(&mut self) {
        let node = self.active;
        self.data.change(&self.cluster);
        // What the node has read before its end may be published still: only rows after that count.
        self.shell(node, "kill -KILL $(head -n 1 /run/resource-agents/ds-node.pid)");
        self.data.change(&self.cluster);
        let took = self.current(Instant::now(), "kill -9").await;
        self.promised("kill -9", took, FAIL_OVER);
        self.resource(node, &format!("Started node{}", self.active + 1)).await;
        self.clean();
    }

    async fn hang(&mut self) {
        let node = self.active;
        self.shell(node, "kill -STOP $(head -n 1 /run/resource-agents/ds-node.pid)");
        self.data.change(&self.cluster);
        let since = Instant::now();
        // Two intervals, the time in which the monitor waits for an answer, and a start.
        let took = self.current(since, "SIGSTOP").await;
        self.promised("SIGSTOP", took, Duration::from_secs(25));
        self.resource(node, &format!("Started node{}", self.active + 1)).await;
        let status = self.cluster.must(node, "crm_mon -1 --inactive -f").unwrap();
        assert!(status.contains("does not answer"), "{status}");
        self.clean();
    }

    /// A database and a broker out of reach are no failure of the resource.
    async fn outage_of_services(&mut self) {
        let node = self.active;
        self.cluster.cut(node, Link::Services, true).unwrap();
        self.say(&format!("node{} reaches neither database nor broker", node + 1));
        let pid = self.cluster.must(node, "head -n 1 /run/resource-agents/ds-node.pid").unwrap();
        // Several monitors, the deep one as well.
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            let check = "crm_resource -r ds-node --force-check 2>&1";
            let out = self.cluster.run(node, check).unwrap();
            assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stdout));
        }
        assert_eq!(
            self.cluster.must(node, "head -n 1 /run/resource-agents/ds-node.pid").unwrap(),
            pid
        );
        let status = self.cluster.must(node, "crm_mon -1 --inactive -f").unwrap();
        assert!(!status.contains("Failed Resource Actions"), "{status}");
        self.data.change(&self.cluster);
        self.cluster.cut(node, Link::Services, false).unwrap();
        let took =
            self.current(Instant::now(), "database and broker out of reach for 8 s, back").await;
        self.promised("return of database and broker", took, Duration::from_secs(20));
        assert_eq!(
            self.cluster.must(node, "head -n 1 /run/resource-agents/ds-node.pid").unwrap(),
            pid
        );
    }

    async fn node_dies(&mut self) {
        let (dead, other) = (self.active, 1 - self.active);
        self.say(&format!("node{} loses its power", dead + 1));
        self.cluster.power_off(dead).await.unwrap();
        self.data.change(&self.cluster);
        let since = Instant::now();
        let (_, took) = published(&self.api, &self.data, Some(other), since).await;
        self.say(&format!("node death: node{} published after {took:.1?}", other + 1));
        self.promised("node death", took, Duration::from_secs(15));
        self.active = other;
        self.cluster.power_on(dead).await.unwrap();
        self.cluster.online(other, 2).await.unwrap();
        self.say(&format!("node{} is back", dead + 1));
        // A fresh /run, and what was there before: nothing is taken for running.
        self.resource(other, &format!("Started node{}", other + 1)).await;
        self.data.change(&self.cluster);
        self.current(Instant::now(), "after its return").await;
        assert_eq!(self.active, other);
    }

    /// The other host has no key: it does not start the server, and says why.
    async fn key_is_missing(&mut self) {
        let (node, other) = (self.active, 1 - self.active);
        self.cluster.must(other, "mount -t tmpfs tmpfs /etc/congress/keys").unwrap();
        self.shell(node, &format!("crm node standby node{}", node + 1));
        let look = async || {
            let out = self.cluster.run(node, "crm_mon -1 --inactive -f").ok()?;
            let text = String::from_utf8_lossy(&out.stdout).into_owned();
            text.contains("'not configured'").then_some(text)
        };
        let status = eventually("not configured", PATIENCE, look).await.unwrap();
        assert!(status.contains("aes_key"), "{status}");
        for line in status.lines().filter(|line| line.contains("not configured")) {
            println!("           {line}");
        }
        assert!(self.cluster.pids(other, "congress", "congress-server").unwrap().is_empty());
        self.cluster.must(other, "umount /etc/congress/keys").unwrap();
        self.shell(node, &format!("crm node online node{}", node + 1));
        self.data.change(&self.cluster);
        let since = Instant::now();
        self.clean();
        self.current(since, "the key is there, and the resource cleaned up").await;
        self.resource(self.active, &format!("Started node{}", self.active + 1)).await;
    }

    /// Both nodes take themselves for the only one and run the resource. One is active.
    async fn split_brain(&mut self) {
        let (first, second) = (self.active, 1 - self.active);
        self.say("the link between the nodes is cut; both reach database and broker");
        self.cluster.cut(0, Link::Cluster, true).unwrap();
        self.resource(second, &format!("Started node{}", second + 1)).await;
        self.resource(first, &format!("Started node{}", first + 1)).await;
        for node in [first, second] {
            let said = self.readiness(node).unwrap();
            self.say(&format!("node{} says: {}", node + 1, said["roles"]));
        }
        // The second one waits: what engines have comes from the first, whatever changes.
        self.only_from(first, Duration::from_secs(5)).await;

        self.say(&format!("node{} reaches neither database nor broker any more", first + 1));
        self.cluster.cut(first, Link::Services, true).unwrap();
        self.data.change(&self.cluster);
        let since = Instant::now();
        let (_, took) = published(&self.api, &self.data, Some(second), since).await;
        self.say(&format!("hot standby: node{} published after {took:.1?}", second + 1));
        self.promised("hot standby", took, HOT_STANDBY);
        self.cluster.cut(first, Link::Services, false).unwrap();
        self.say(&format!("node{} reaches them again, with a lease that is over", first + 1));
        self.only_from(second, Duration::from_secs(8)).await;
        let log = self.cluster.must(first, "cat /var/log/congress/ds-node.log").unwrap();
        assert!(log.contains("lease"), "{log}");

        self.cluster.cut(0, Link::Cluster, false).unwrap();
        for node in 0..2 {
            self.cluster.online(node, 2).await.unwrap();
        }
        let node = self.settled().await;
        self.data.change(&self.cluster);
        self.current(Instant::now(), "the link is mended").await;
        assert_eq!(self.active, node);
        self.resource(0, &format!("Started node{}", node + 1)).await;
        assert_eq!(self.running(), [node]);
        self.only_from(node, Duration::from_secs(3)).await;
    }

    /// The nodes on which the server runs.
    fn running(&self) -> Vec<usize> {
        let runs = |node: &usize| {
            !self.cluster.pids(*node, "congress", "congress-server").unwrap().is_empty()
        };
        (0..2).filter(runs).collect()
    }

    /// Waits until one node runs the server and the cluster has nothing left to do. Nodes that
    /// meet again both run it, and publish, until Pacemaker has stopped both and started one.
    async fn settled(&self) -> usize {
        let look = async || {
            // One must run it before the wait as well, which may come before Pacemaker's decision.
            let [_] = self.running()[..] else { return None };
            self.cluster.must(0, "crm_resource --wait --timeout=30 2>&1").ok()?;
            let [node] = self.running()[..] else { return None };
            Some(node)
        };
        eventually("one node runs the server", PATIENCE, look).await.unwrap()
    }

    /// Changes the data again and again: engines have rows of this node alone, old or new ones.
    async fn only_from(&mut self, node: usize, during: Duration) {
        let end = Instant::now() + during;
        let suffix = format!("node{}", node + 1);
        let mut last = BTreeSet::new();
        while Instant::now() < end {
            self.data.change(&self.cluster);
            let (_, took) = published(&self.api, &self.data, Some(node), Instant::now()).await;
            self.promised("a change of data", took, Duration::from_secs(5));
            let rows = self.api.rows("/v1/policies/ha/tables/seen/rows").await.unwrap();
            assert!(rows.iter().all(|row| row.ends_with(&suffix)), "{rows:?}");
            assert_ne!(rows, last);
            last = rows;
        }
    }
}
