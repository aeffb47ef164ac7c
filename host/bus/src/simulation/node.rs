//! What a program can do on its node.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use congress_table::Change;

use crate::protocol::{CallRoute, Core, FollowerId, Random, ReplyStatus, Ticket, Time};
use crate::publication::Publication;
use crate::stream::{Epoch, Update};
use crate::{CallError, Register, RegisterError, TableName};

/// One node of a [`World`](super::World): the protocol's core, and the rows it publishes.
pub struct Node {
    /// Its place in the world.
    pub slot: usize,
    /// Counts its starts.
    pub incarnation: u64,
    /// The time.
    pub now: Time,
    /// Chance.
    pub random: Random,
    /// The protocol.
    pub core: Core,
    publications: BTreeMap<Arc<str>, Publication>,
}

/// A publication of a node, to be committed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimulatedPublisher {
    /// The source.
    pub source: Arc<str>,
    /// Its epoch.
    pub epoch: Epoch,
}

impl Node {
    pub(super) fn new(
        slot: usize,
        incarnation: u64,
        core: Core,
        random: Random,
        now: Time,
    ) -> Self {
        Self { slot, incarnation, now, random, core, publications: BTreeMap::new() }
    }

    /// What is published here at an epoch.
    pub fn publication(&self, source: &str, epoch: Epoch) -> Option<&Publication> {
        self.publications.get(source).filter(|p| p.position().epoch == epoch)
    }

    /// As [`Bus::publish`](crate::Bus::publish).
    pub fn publish(
        &mut self,
        source: &str,
        epoch: Epoch,
    ) -> Result<SimulatedPublisher, RegisterError> {
        self.core.publish(self.now, source, epoch)?;
        let source: Arc<str> = source.into();
        self.publications.insert(source.clone(), Publication::new(epoch));
        Ok(SimulatedPublisher { source, epoch })
    }

    /// As [`Publisher::commit`](crate::Publisher::commit).
    pub fn commit(&mut self, publisher: &SimulatedPublisher, change: Change) -> bool {
        let publication = self.publications.get_mut(&publisher.source);
        let Some(publication) = publication.filter(|p| p.position().epoch == publisher.epoch)
        else {
            return false;
        };
        let Some((position, change)) = publication.commit(change) else { return false };
        let digests = change
            .tables
            .iter()
            .map(|(name, _)| publication.table(name).map(|t| t.digest()).unwrap_or_default())
            .collect();
        self.core.committed(self.now, &publisher.source, position, change, digests);
        true
    }

    /// As [`Publisher::declare`](crate::Publisher::declare), with the schema that there is.
    pub fn declare(&mut self, publisher: &SimulatedPublisher) {
        let publication = self.publications.get_mut(&publisher.source);
        let Some(publication) = publication.filter(|p| p.position().epoch == publisher.epoch)
        else {
            return;
        };
        publication.advance();
        let digests =
            publication.tables().map(|(name, table)| (name.clone(), table.digest())).collect();
        self.core.advanced(self.now, &publisher.source, publication.position(), digests);
    }

    /// Ends a publication.
    pub fn close(&mut self, publisher: &SimulatedPublisher) {
        if self.publication(&publisher.source, publisher.epoch).is_some() {
            self.publications.remove(&publisher.source);
        }
        self.core.closed(self.now, &publisher.source, publisher.epoch);
    }

    /// As [`Bus::subscribe`](crate::Bus::subscribe).
    pub fn subscribe(
        &mut self,
        subscriber: &str,
        source: &str,
        tables: BTreeSet<TableName>,
    ) -> FollowerId {
        self.core.subscribe(self.now, subscriber, source, tables)
    }

    /// As [`Subscription::set_tables`](crate::Subscription::set_tables).
    pub fn set_tables(&mut self, follower: FollowerId, tables: BTreeSet<TableName>) {
        self.core.set_tables(self.now, follower, tables);
    }

    /// The next update of a subscription, if there is one.
    pub fn next_update(&mut self, follower: FollowerId) -> Option<Update> {
        self.core.next_update(self.now, follower)
    }

    /// Begins to serve a service: calls come as [`Event::Request`](super::Event::Request).
    pub fn serve(&mut self, service: &str) -> Result<(), RegisterError> {
        self.core.serve(self.now, service)
    }

    /// Serves it no longer.
    pub fn withdraw(&mut self, service: &str) {
        self.core.withdraw(self.now, service);
    }

    /// Calls a service. The reply comes as [`Event::CallDone`](super::Event::CallDone); a service of
    /// this node itself is not called ([`CallRoute::Here`]): the program does what it would do.
    pub fn call(
        &mut self,
        service: &str,
        body: Bytes,
        timeout: Duration,
    ) -> Result<CallRoute, CallError> {
        self.core.call(self.now, service, &body, timeout)
    }

    /// Answers a call.
    pub fn reply(&mut self, ticket: &Ticket, body: Bytes) {
        self.core.reply(self.now, ticket, ReplyStatus::Done, &body);
    }

    /// As [`Bus::raise`](crate::Bus::raise).
    pub fn raise(&mut self, register: Register, value: u64) {
        self.core.raise(self.now, register, value);
    }

    /// A register's value.
    pub fn register(&self, register: Register) -> u64 {
        self.core.register(register)
    }
}
