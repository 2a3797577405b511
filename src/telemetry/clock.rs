//! The only place that reads the wall clock and makes random values; pure code gets both as arguments.

use chrono::{DateTime, SubsecRound, Utc};
use uuid::Uuid;

/// Digits after the second that are kept: PostgreSQL stores microseconds, and what is read back must be equal.
const SUBSECOND_DIGITS: u16 = 6;

/// The time now, in UTC, truncated to microseconds.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(SUBSECOND_DIGITS)
}

/// A new UUID of version 7: sortable by time to the millisecond, random otherwise.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one maker of ids")]
pub fn uuid_v7() -> Uuid {
    Uuid::now_v7()
}

/// Random bytes from the operating system, fit for secrets. Blocks only early in the boot of a machine.
///
/// # Errors
/// If the operating system has no source of randomness.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_has_whole_microseconds() {
        assert_eq!(now().timestamp_subsec_nanos() % 1_000, 0);
    }

    #[test]
    fn ids_sort_by_age_and_differ() {
        let ids: Vec<Uuid> = (0..1_000).map(|_| uuid_v7()).collect();
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert!(ids.is_sorted_by(|a, b| a < b), "strictly ascending within a process");
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random_bytes::<16>().unwrap(), random_bytes::<16>().unwrap());
    }
}
