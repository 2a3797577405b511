//! Every bound of the HTTP side, with its unit. What an operator may change is in `WebLimits`.

use std::time::Duration;

/// Largest request body that is taken, in bytes.
pub(crate) const BODY_BYTES_MAX: usize = 1024 * 1024;
/// A larger body is read and thrown away up to this many bytes, so that its sender gets to see the answer.
pub(crate) const BODY_DRAIN_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Longest time that a body may take to arrive.
pub(crate) const BODY_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest request id that is taken over from a client, in characters.
pub(crate) const REQUEST_ID_CHARS_MAX: usize = 64;
/// Wrong fields that one answer names.
pub(crate) const FIELD_ERRORS_MAX: usize = 20;
/// Entries of a page when the client does not say.
pub(crate) const PAGE_DEFAULT: usize = 50;
/// Most entries of a page.
pub(crate) const PAGE_MAX: usize = 200;
/// Most links of one page, which is also what a client gets that does not say.
pub(crate) const LINKS_PAGE_MAX: usize = 20_000;
/// Swarms with more links than this do not list them: the answer would take seconds to make.
pub(crate) const LINKS_MAX: usize = 1_000_000;
/// Longest cursor that is looked at, in characters.
pub(crate) const CURSOR_CHARS_MAX: usize = 200;
/// Longest part of an input that an answer repeats, in characters.
pub(crate) const ECHO_CHARS_MAX: usize = 64;
/// How long the answer of the database's last probe is good: `/health` needs no token.
pub(crate) const PROBE_LIFE: Duration = Duration::from_millis(500);
/// Longest time that the database may take to answer a probe.
pub(crate) const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest `Idempotency-Key`, in bytes.
pub(crate) const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;
