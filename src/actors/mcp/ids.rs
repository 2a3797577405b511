//! The ids of our requests: `"<instance>-<sequence>"`, eight hex digits and a number.
//!
//! Strings, because a shared bridge broadcasts answers to falsy ids and routes the rest by the id alone: they must be
//! unlike those of other sockets and of other servers on the same bridge. None is used twice in a process.

use std::sync::atomic::{AtomicU64, Ordering};

/// Gives ids out. One for all connections of a process.
#[derive(Debug)]
pub(super) struct Ids {
    prefix: String,
    next: AtomicU64,
}

impl Ids {
    /// Ids that start with `instance`, which should be random.
    pub(super) fn new(instance: [u8; 4]) -> Self {
        Self { prefix: format!("{:08x}-", u32::from_be_bytes(instance)), next: AtomicU64::new(1) }
    }

    /// The next id.
    pub(super) fn take(&self) -> String {
        format!("{}{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Whether the id was given out here: then its answer is late, else it is a stranger's.
    pub(super) fn owns(&self, id: &str) -> bool {
        let number = id.strip_prefix(&self.prefix).and_then(|number| number.parse::<u64>().ok());
        number.is_some_and(|number| number > 0 && number < self.next.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_differ_within_and_between_instances() {
        let (one, two) = (Ids::new([0, 1, 2, 255]), Ids::new([9; 4]));
        let given: Vec<String> = (0..3).map(|_| one.take()).collect();
        assert_eq!(given, ["000102ff-1", "000102ff-2", "000102ff-3"]);
        assert!(given.iter().all(|id| one.owns(id) && !two.owns(id)));
    }

    #[test]
    fn only_what_was_given_out_is_owned() {
        let ids = Ids::new([1; 4]);
        assert_eq!(ids.take(), "01010101-1");
        for foreign in ["01010101-0", "01010101-2", "01010101-", "01010101--1", "1", "", "02010101-1"] {
            assert!(!ids.owns(foreign), "{foreign}");
        }
    }
}
