//! A Pacemaker cluster whose nodes are namespaces of this machine.
//!
//! Each node has its own network, processes and volatile folders, and two links: to the other node
//! (`cluster`, which corosync uses) and to where the test runs (`services`, for a database and a
//! broker). Either can be cut. Only within [`isolated`](crate::isolated): nodes share its
//! overlays, so what is installed there is installed on all of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::isolation::run;
use crate::{Process, eventually};

/// How long nodes may take until they see each other.
const START: Duration = Duration::from_secs(90);

/// Where nodes find what the test serves.
pub const SERVICES: &str = "10.98.0.1";

/// What the nodes' links to each other meet at.
const BRIDGE: &str = "cluster";

/// The first process of a node.
const NODE: &str = include_str!("pacemaker_node.sh");

/// A running cluster of two nodes, `node1` and `node2`. Ends with the handle.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Node>,
    folder: PathBuf,
}

/// One node.
#[derive(Debug)]
struct Node {
    /// None: it has no power.
    process: Option<Process>,
    /// The first process within, as seen from here.
    pid: u32,
}

/// A node's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// To the other node.
    Cluster,
    /// To [`SERVICES`].
    Services,
}

impl Link {
    /// What it is called within the node.
    fn name(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Services => "services",
        }
    }

    /// What its end is called outside.
    fn outer(self, node: usize) -> String {
        format!("{}{}", self.name(), node + 1)
    }
}

impl Cluster {
    /// Starts two nodes, logs in a folder each below `folder`, and waits until both are online.
    pub async fn start(folder: &Path) -> anyhow::Result<Self> {
        for (program, package) in [
            ("corosync", "corosync"),
            ("pacemakerd", "pacemaker"),
            ("crm", "crmsh"),
            ("nsenter", "util-linux"),
            ("ip", "iproute2"),
        ] {
            let found =
                Command::new("sh").args(["-c", &format!("command -v {program}")]).output()?;
            if !found.status.success() {
                bail!("there is no {program}: install the Debian package {package}");
            }
        }
        run("ip", &["address", "replace", &format!("{SERVICES}/32"), "dev", "lo"])?;
        run("ip", &["link", "add", BRIDGE, "type", "bridge", "forward_delay", "0"])?;
        run("ip", &["link", "set", BRIDGE, "up"])?;
        let mut cluster = Self { nodes: Vec::new(), folder: folder.to_owned() };
        for index in 0..2 {
            cluster.nodes.push(Node { process: None, pid: 0 });
            cluster.power_on(index).await?;
        }
        for index in 0..2 {
            cluster.online(index, 2).await?;
        }
        Ok(cluster)
    }

    /// Runs a command on a node, as its root types it.
    pub fn run(&self, node: usize, command: &str) -> anyhow::Result<Output> {
        Command::new("nsenter")
            .args(["--target", &self.nodes[node].pid.to_string(), "--all", "--wd=/", "bash", "-c"])
            .arg(command)
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run on node {}: {command}", node + 1))
    }

    /// Runs a command on a node that must succeed, and gives what it prints.
    pub fn must(&self, node: usize, command: &str) -> anyhow::Result<String> {
        let output = self.run(node, command)?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("node{}: {command}: {}:\n{out}{said}", node + 1, output.status);
        }
        Ok(out)
    }

    /// Takes a node's power: all of its processes end at once, and its memory is lost.
    pub async fn power_off(&mut self, node: usize) -> anyhow::Result<()> {
        if let Some(mut process) = self.nodes[node].process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Starts a node; [`Self::online`] waits for it.
    pub async fn power_on(&mut self, node: usize) -> anyhow::Result<()> {
        let name = format!("node{}", node + 1);
        let folder = self.folder.join(&name);
        fs::create_dir_all(&folder)?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"])
            .args(["--mount-proc", "--", "bash", "-c", NODE, "bash"])
            .env("NODE", &name)
            .env("NODES", "2")
            .env("FOLDER", &folder)
            .env("ADDRESS", address(node))
            .env("SERVICES", SERVICES);
        let process = Process::start(command, &folder.join("node.log"))?;
        let children = format!("/proc/{0}/task/{0}/children", process.pid());
        let first = async || {
            let children = fs::read_to_string(&children).ok()?;
            let pid: u32 = children.split_whitespace().next()?.parse().ok()?;
            // Only once it is in namespaces of its own can anything be done to them.
            let own = fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
            (own != fs::read_link("/proc/self/ns/net").ok()?).then_some(pid)
        };
        let pid = eventually("the node's first process", START, first).await?;
        self.nodes[node] = Node { process: Some(process), pid };
        for link in [Link::Services, Link::Cluster] {
            self.plug(node, link).await?;
        }
        Ok(())
    }

    /// Makes a node's link. Its end here stays when it is cut, so that the node keeps its address.
    async fn plug(&self, node: usize, link: Link) -> anyhow::Result<()> {
        let (outer, inner) = (link.outer(node), format!("n{}", link.outer(node)));
        // The one before goes with its namespace, a moment after its last process.
        let add = async || {
            run("ip", &["link", "add", &outer, "type", "veth", "peer", "name", &inner]).ok()
        };
        eventually("a link to the node", START, add).await?;
        let pid = self.nodes[node].pid.to_string();
        run("ip", &["link", "set", &inner, "netns", &pid, "name", link.name()])?;
        if link == Link::Cluster {
            run("ip", &["link", "set", &outer, "master", BRIDGE])?;
        }
        self.cut(node, link, false)
    }

    /// Cuts a node's link, or mends it.
    pub fn cut(&self, node: usize, link: Link, cut: bool) -> anyhow::Result<()> {
        let outer = link.outer(node);
        run("ip", &["link", "set", &outer, if cut { "down" } else { "up" }])?;
        if !cut && link == Link::Services {
            // Routes go with a link that is down.
            run("ip", &["route", "replace", &address(node), "dev", &outer, "src", SERVICES])?;
        }
        Ok(())
    }

    /// Waits until a node sees that so many are online.
    pub async fn online(&self, node: usize, count: usize) -> anyhow::Result<()> {
        let seen = async || {
            let output = self.run(node, "crm_mon -1 2>&1").ok()?;
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let online =
                text.lines().find_map(|line| line.split_once("Online: [")?.1.split_once(']'));
            let names = online.map_or(0, |(names, _)| names.split_whitespace().count());
            (names == count).then_some(())
        };
        eventually(&format!("{count} nodes online at node {}", node + 1), START, seen)
            .await
            .with_context(|| self.logs())
    }

    /// A user's processes of this name on a node, as it numbers them.
    pub fn pids(&self, node: usize, user: &str, program: &str) -> anyhow::Result<Vec<u32>> {
        let output = self.run(node, &format!("pgrep -u {user} -x {program}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().filter_map(|line| line.trim().parse().ok()).collect())
    }

    /// What the nodes have logged, for a test that fails.
    pub fn logs(&self) -> String {
        let mut text = String::new();
        for index in 1..=self.nodes.len() {
            for log in ["node.log", "corosync.log", "pacemakerd.log", "pacemaker.log"] {
                let path = self.folder.join(format!("node{index}/{log}"));
                let log = fs::read_to_string(&path).unwrap_or_default();
                let lines: Vec<&str> = log.lines().collect();
                let tail = lines[lines.len().saturating_sub(30)..].join("\n");
                text += &format!("--- {}\n{tail}\n", path.display());
            }
        }
        text
    }
}

fn address(node: usize) -> String {
    format!("10.98.0.{}", node + 11)
}
