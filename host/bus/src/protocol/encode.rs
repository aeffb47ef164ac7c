//! Cutting changes and snapshots into messages. Takes time proportional to their size; a driver
//! does it where nobody waits.

use bytes::Bytes;
use congress_table::Digest;

use super::message::{Delta, SnapshotChunk, seal_delta, seal_snapshot, set_of};
use super::rows::ChunkWriter;
use super::{ChangeToSend, SnapshotJob};
use crate::stream::Snapshot;

/// The messages of a change.
pub fn encode_change(from: &str, change: &ChangeToSend) -> Vec<Bytes> {
    let mut writer = ChunkWriter::default();
    for (i, (name, delta)) in change.change.tables.iter().enumerate() {
        writer.table(name);
        if change.wanted.contains(name) {
            writer.added(&delta.added);
            writer.removed(&delta.removed);
        } else {
            writer.omitted();
        }
        if let Some(digest) = change.digests.get(i) {
            writer.digest(*digest);
        }
    }
    let chunks = writer.finish();
    let count = chunks.len();
    let header = |index: usize| Delta {
        source: change.source.clone(),
        position: change.position,
        index: index as u32,
        last: index + 1 == count,
        ..Delta::default()
    };
    chunks.iter().enumerate().map(|(i, chunk)| seal_delta(from, &header(i), chunk)).collect()
}

/// The messages of a snapshot. `digests` are those of its tables, in their order.
pub fn encode_snapshot(
    from: &str,
    job: &SnapshotJob,
    snapshot: &Snapshot,
    digests: &[Digest],
) -> Vec<Bytes> {
    let mut writer = ChunkWriter::default();
    for table in snapshot.schema.iter() {
        writer.schema(table);
    }
    for (i, (name, rows)) in snapshot.tables.iter().enumerate() {
        writer.table(name);
        writer.added(rows);
        if let Some(digest) = digests.get(i) {
            writer.digest(*digest);
        }
    }
    let chunks = writer.finish();
    let count = chunks.len();
    let set = set_of(&job.tables);
    let header = |index: usize| SnapshotChunk {
        source: job.source.clone(),
        position: snapshot.position,
        session: job.session,
        set,
        index: index as u32,
        last: index + 1 == count,
        ..SnapshotChunk::default()
    };
    chunks.iter().enumerate().map(|(i, chunk)| seal_snapshot(from, &header(i), chunk)).collect()
}
