//! What waits to be sent: bounded, and never in the way of who puts something in.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A queue between the protocol and the connection. What does not fit is dropped: the protocol
/// repairs that like any other loss.
#[derive(Debug)]
pub(super) struct Outbox<T> {
    items: Mutex<Items<T>>,
    ready: Notify,
    idle: Notify,
    most_items: usize,
    most_bytes: usize,
}

#[derive(Debug)]
struct Items<T> {
    queue: VecDeque<(usize, T)>,
    bytes: usize,
    /// Something was taken out that may not have been sent yet.
    in_hand: bool,
}

impl<T> Outbox<T> {
    pub(super) fn new(most_items: usize, most_bytes: usize) -> Self {
        Self {
            items: Mutex::new(Items { queue: VecDeque::new(), bytes: 0, in_hand: false }),
            ready: Notify::new(),
            idle: Notify::new(),
            most_items,
            most_bytes,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Items<T>> {
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts something in that takes about `bytes`. False if there is no room.
    pub(super) fn push(&self, item: T, bytes: usize) -> bool {
        let mut items = self.lock();
        let full = items.queue.len() >= self.most_items
            || !items.queue.is_empty() && items.bytes + bytes > self.most_bytes;
        if full {
            return false;
        }
        items.bytes += bytes;
        items.queue.push_back((bytes, item));
        drop(items);
        self.ready.notify_one();
        true
    }

    /// The next one, as soon as there is one. For one reader at a time; safe to cancel.
    pub(super) async fn pop(&self) -> T {
        loop {
            if let Some(item) = self.try_pop() {
                return item;
            }
            self.ready.notified().await;
        }
    }

    /// The next one, if there is one.
    pub(super) fn try_pop(&self) -> Option<T> {
        let mut items = self.lock();
        let (bytes, item) = items.queue.pop_front()?;
        items.bytes -= bytes;
        items.in_hand = true;
        Some(item)
    }

    /// Whatever was taken out has been sent.
    pub(super) fn all_sent(&self) {
        self.lock().in_hand = false;
        self.idle.notify_waiters();
    }

    /// Returns once everything that was put in has been sent, or dropped.
    pub(super) async fn drained(&self) {
        loop {
            let idle = self.idle.notified();
            {
                let items = self.lock();
                if items.queue.is_empty() && !items.in_hand {
                    return;
                }
            }
            idle.await;
        }
    }

    pub(super) fn clear(&self) {
        let mut items = self.lock();
        items.queue.clear();
        items.bytes = 0;
        items.in_hand = false;
        drop(items);
        self.idle.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_bounded_by_number_and_by_size() {
        let outbox = Outbox::new(3, 100);
        assert!(outbox.push("huge", 1000), "one always fits");
        assert!(!outbox.push("more", 1));
        assert_eq!(outbox.pop().await, "huge");
        assert!(outbox.push("a", 50) && outbox.push("b", 50));
        assert!(!outbox.push("c", 1));
        assert_eq!(outbox.pop().await, "a");
        assert!(outbox.push("c", 1) && outbox.push("d", 1));
        assert!(!outbox.push("e", 1), "three");
        outbox.clear();
        assert!(outbox.push("f", 100));
        assert_eq!(outbox.pop().await, "f");
        outbox.all_sent();
        outbox.drained().await;
    }
}
