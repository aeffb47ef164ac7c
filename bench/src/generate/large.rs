//! The join that took the original 45 minutes, and a million rows.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::{Cell, Cells, Folder, cells};
use crate::random::Random;

const VMS: usize = 500;
const SERVERS: usize = 3000;
const USERS: usize = 70_000;
const GROUPS: usize = 50;
const ZONES: usize = 10;
const ALLOWED: usize = 2000;
const STEPS: usize = 5;

/// A row of each table, as numbers.
type Vm = (usize, usize);
type Server = (usize, usize);
type User = (usize, usize, usize);

/// Machines, their servers and owners; a machine in twenty has an owner who may not use its server.
pub(super) fn war_story(root: &Path) -> Result<()> {
    let rule = "error(v, s, u) :- vm(v, s, u), server(s, z, g), user(u, g2, z2, st), \
                not allowed(g2, g), not builtin:equal(z, z2)";
    let queries = ["error(v, s, u)".to_owned()];
    let meta = json!({"kind": "nonrecursive", "expected_answers": VMS / 20, "steps": STEPS});
    let folder = Folder::new(root, "war_story", meta, &[rule.to_owned()], &queries)?;

    let mut random = Random::new(6);
    let mut allowed: BTreeSet<usize> =
        random.sample(GROUPS * GROUPS, ALLOWED).into_iter().collect();
    let server = |random: &mut Random| (random.below(ZONES), random.below(GROUPS));
    let user = |random: &mut Random| (random.below(GROUPS), random.below(ZONES), random.below(3));
    let mut servers: Vec<Server> = (0..SERVERS).map(|_| server(&mut random)).collect();
    let mut users: Vec<User> = (0..USERS).map(|_| user(&mut random)).collect();
    let mut vms: Vec<Vm> = Vec::new();
    while vms.len() < VMS {
        let (s, u) = (random.below(SERVERS), random.below(USERS));
        let ((zone, group), (owners, zone_of_owner, _)) = (servers[s], users[u]);
        let wrong = zone != zone_of_owner && !allowed.contains(&(owners * GROUPS + group));
        if wrong == vms.len().is_multiple_of(20) {
            vms.push((s, u));
        }
    }
    folder.facts("vm", vms.iter().enumerate().map(|(id, vm)| vm_row(id, *vm)))?;
    folder.facts("server", servers.iter().enumerate().map(|(id, row)| server_row(id, *row)))?;
    folder.facts("user", users.iter().enumerate().map(|(id, row)| user_row(id, *row)))?;
    folder.facts("allowed", allowed.iter().map(|pair| allowed_row(*pair)))?;

    for step in 0..STEPS {
        let mut changes: Vec<(bool, &str, Cells)> = Vec::new();
        for id in random.sample(VMS, VMS / 100) {
            changes.push((false, "vm", vm_row(id, vms[id])));
            vms[id] = (random.below(SERVERS), random.below(USERS));
            changes.push((true, "vm", vm_row(id, vms[id])));
        }
        for id in random.sample(SERVERS, SERVERS / 100) {
            changes.push((false, "server", server_row(id, servers[id])));
            servers[id] = server(&mut random);
            changes.push((true, "server", server_row(id, servers[id])));
        }
        for id in random.sample(USERS, USERS / 100) {
            changes.push((false, "user", user_row(id, users[id])));
            users[id] = user(&mut random);
            changes.push((true, "user", user_row(id, users[id])));
        }
        let old: Vec<usize> = allowed.iter().copied().collect();
        for at in random.sample(ALLOWED, ALLOWED / 100) {
            let new = std::iter::repeat_with(|| random.below(GROUPS * GROUPS));
            let new = new.into_iter().find(|pair| !allowed.contains(pair) && !old.contains(pair));
            let Some(new) = new else { continue };
            allowed.remove(&old[at]);
            allowed.insert(new);
            changes.push((false, "allowed", allowed_row(old[at])));
            changes.push((true, "allowed", allowed_row(new)));
        }
        folder.update(step, &changes)?;
    }
    Ok(())
}

fn vm_row(id: usize, (server, user): Vm) -> Cells {
    cells![format!("vm{id}"), format!("host{server}"), format!("user{user}")]
}

fn server_row(id: usize, (zone, group): Server) -> Cells {
    cells![format!("host{id}"), format!("zone{zone}"), format!("group{group}")]
}

fn user_row(id: usize, (group, zone, state): User) -> Cells {
    let state = ["active", "disabled", "locked"][state];
    cells![format!("user{id}"), format!("group{group}"), format!("zone{zone}"), state]
}

fn allowed_row(pair: usize) -> Cells {
    cells![format!("group{}", pair / GROUPS), format!("group{}", pair % GROUPS)]
}

/// A million rows of five columns, 1000 rules over them and 1000 queries for one row each.
pub(super) fn million_rows(root: &Path) -> Result<()> {
    const ROWS: usize = 1_000_000;
    let row = |random: &mut Random, i: usize| -> [String; 5] {
        let (a, b) = (random.next(), random.next());
        let id = format!(
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            a >> 32,
            a >> 16 & 0xffff,
            a & 0xffff,
            b >> 48,
            b & 0xffff_ffff_ffff
        );
        let name = format!("vm-{i:09}");
        let (zone, flavor, project) = (random.below(1000), random.below(500), random.below(100));
        [id, name, format!("zone{zone}"), format!("flavor{flavor}"), format!("project{project}")]
    };
    let rules: Vec<String> =
        (0..1000).map(|i| format!("r{i}(x, n) :- t(x, n, \"zone{i}\", f, \"project7\")")).collect();
    let mut random = Random::new(7);
    let every = ROWS / 1000;
    let queries: Vec<String> = (0..ROWS)
        .map(|i| (i, row(&mut random, i)))
        .filter(|(i, _)| i % every == 0)
        .map(|(_, cells)| format!("t({})", cells.map(|cell| format!("\"{cell}\"")).join(", ")))
        .collect();
    let meta = json!({"kind": "nonrecursive", "rows": ROWS});
    let folder = Folder::new(root, "load_1m", meta, &rules, &queries)?;
    let mut random = Random::new(7);
    folder.facts("t", (0..ROWS).map(|i| row(&mut random, i).map(Cell::Text).into()))
}
