//! Keys of what has ended: so that a late repetition of a call does not bring it back to life.

use std::collections::{HashSet, VecDeque};

use uuid::Uuid;

/// What a key was given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KeyKind {
    Agent,
    Task,
}

type Entry = (Uuid, KeyKind, String);

/// Remembers the newest keys, up to a limit.
#[derive(Debug)]
pub(super) struct EndedKeys {
    order: VecDeque<Entry>,
    known: HashSet<Entry>,
    limit: usize,
}

impl EndedKeys {
    pub(super) fn new(limit: usize) -> Self {
        Self { order: VecDeque::new(), known: HashSet::new(), limit }
    }

    /// Remembers the key of something that ended in a swarm; forgets the oldest beyond the limit.
    pub(super) fn insert(&mut self, swarm: Uuid, kind: KeyKind, key: String) {
        let entry = (swarm, kind, key);
        if self.known.insert(entry.clone()) {
            self.order.push_back(entry);
        }
        while self.order.len() > self.limit {
            if let Some(oldest) = self.order.pop_front() {
                self.known.remove(&oldest);
            }
        }
    }

    pub(super) fn contains(&self, swarm: Uuid, kind: KeyKind, key: &str) -> bool {
        self.known.contains(&(swarm, kind, key.to_owned()))
    }

    /// Forgets a swarm: the next one with the same key starts anew.
    pub(super) fn forget_swarm(&mut self, swarm: Uuid) {
        self.order.retain(|entry| entry.0 != swarm);
        self.known.retain(|entry| entry.0 != swarm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_keys_go_first_and_a_swarms_keys_go_with_it() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut keys = EndedKeys::new(2);
        keys.insert(one, KeyKind::Agent, "a".into());
        keys.insert(one, KeyKind::Agent, "a".into());
        keys.insert(two, KeyKind::Task, "b".into());
        assert!(keys.contains(one, KeyKind::Agent, "a"), "the same key counts once");
        assert!(!keys.contains(one, KeyKind::Task, "a") && !keys.contains(two, KeyKind::Agent, "a"));
        keys.insert(two, KeyKind::Agent, "c".into());
        assert!(!keys.contains(one, KeyKind::Agent, "a") && keys.contains(two, KeyKind::Task, "b"));
        keys.forget_swarm(two);
        assert!(keys.order.is_empty() && keys.known.is_empty());
    }
}
