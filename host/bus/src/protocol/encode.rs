//! Cutting changes and snapshots into messages. Takes time proportional to their size; a driver
//! does it where nobody waits.

use bytes::Bytes;
use congress_table::Digest;

use super::message::{Delta, SnapshotChunk, seal_delta, seal_snapshot, set_of};
use super::rows::ChunkWriter;
use super::{ChangeToSend, SnapshotJob};
use crate::stream::Snapshot;

/// Makes the messages of a change, and hands each over as soon as it is complete.
pub fn encode_change(from: &str, change: &ChangeToSend, mut message: impl FnMut(Bytes)) {
    let mut writer = ChunkWriter::new(|content, index, last| {
        let header = Delta {
            source: change.source.clone(),
            position: change.position,
            index,
            last,
            ..Delta::default()
        };
        message(seal_delta(from, &header, content));
    });
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
    writer.finish();
}

/// The messages of a snapshot. `digests` are those of its tables, in their order.
pub fn encode_snapshot(
    from: &str,
    job: &SnapshotJob,
    snapshot: &Snapshot,
    digests: &[Digest],
) -> Vec<Bytes> {
    let set = set_of(&job.tables);
    let mut messages = Vec::new();
    let mut writer = ChunkWriter::new(|content, index, last| {
        let header = SnapshotChunk {
            source: job.source.clone(),
            position: snapshot.position,
            session: job.session,
            set,
            index,
            last,
            ..SnapshotChunk::default()
        };
        messages.push(seal_snapshot(from, &header, content));
    });
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
    writer.finish();
    messages
}
