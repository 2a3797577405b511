//! Logs, metrics, panics, and the clock.
//!
//! Everything here is process-wide and may be set up several times: the first time counts, so that several
//! servers can live in one test process.

pub mod clock;
mod log;
mod metrics;
mod panic_hook;

pub use self::log::{LogFormat, LogOptions, TelemetryError, init};
pub use self::metrics::{MetricsHandle, install as install_metrics};
pub use self::panic_hook::install as install_panic_hook;
