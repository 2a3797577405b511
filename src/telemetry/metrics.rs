//! The recorder of metrics for the whole process, rendered as Prometheus text.
//!
//! Names end in their unit; `_seconds` and `_bytes` get buckets that fit them. Recording is done with the
//! `metrics` macros anywhere; this file only installs and renders.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use super::log::TelemetryError;

/// Bounds of time histograms, in seconds: dense around the alert thresholds of 5, 10, 100 and 200 ms.
const SECONDS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.0075, 0.01, 0.0167, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Bounds of size histograms, in bytes.
const BYTES: &[f64] =
    &[64.0, 256.0, 1_024.0, 4_096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0];
/// Bounds of all other histograms, which are counts.
const COUNTS: &[f64] = &[1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1_000.0, 10_000.0];

/// Samples of histograms are folded into buckets this often, also if nobody scrapes: memory stays bounded.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

static HANDLE: OnceLock<MetricsHandle> = OnceLock::new();
static INSTALLING: Mutex<()> = Mutex::new(());

/// Renders what was recorded in this process.
#[derive(Debug, Clone)]
pub struct MetricsHandle {
    prometheus: PrometheusHandle,
}

impl MetricsHandle {
    /// The media type of what [`MetricsHandle::render`] gives.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// The Prometheus text of all metrics; reads this process's memory use from the kernel first.
    #[must_use]
    pub fn render(&self) -> String {
        // Where the kernel does not tell, the series is missing rather than zero.
        if let Some(bytes) = resident_bytes() {
            metrics::gauge!("process_resident_memory_bytes").set(bytes);
        }
        self.prometheus.run_upkeep();
        self.prometheus.render()
    }
}

/// Installs the recorder once for the process and gives the handle; later calls give the same one.
///
/// # Errors
/// [`TelemetryError::Metrics`] if something else installed a recorder.
pub fn install() -> Result<&'static MetricsHandle, TelemetryError> {
    let guard = INSTALLING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = HANDLE.get() {
        return Ok(handle);
    }
    let prometheus =
        builder().and_then(PrometheusBuilder::install_recorder).map_err(TelemetryError::Metrics)?;
    describe();
    metrics::gauge!("visionflow_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    start_upkeep(prometheus.clone());
    let handle = HANDLE.get_or_init(|| MetricsHandle { prometheus });
    drop(guard);
    Ok(handle)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), BYTES)
}

fn describe() {
    metrics::describe_gauge!("visionflow_build_info", "1, with the version of the program as a label");
    metrics::describe_gauge!("process_resident_memory_bytes", "Memory of this process in RAM, in bytes");
    metrics::describe_counter!("visionflow_panics_total", "Panics in this process, contained ones included");
}

/// A thread of its own: upkeep must go on whatever the runtimes do, and there may be several of those.
fn start_upkeep(prometheus: PrometheusHandle) {
    let thread = std::thread::Builder::new().name("metrics-upkeep".to_owned());
    let started = thread.spawn(move || keep_up(&prometheus));
    if let Err(error) = started {
        tracing::warn!(%error, "no thread for the upkeep of metrics: histograms grow until the next scrape");
    }
}

fn keep_up(prometheus: &PrometheusHandle) -> ! {
    loop {
        std::thread::park_timeout(UPKEEP_INTERVAL);
        prometheus.run_upkeep();
    }
}

/// Memory of this process in RAM, in bytes, as the kernel counts it.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u32 = line.split_whitespace().next()?.parse().ok()?;
    Some(f64::from(kibibytes) * 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_servers_share_one_recorder() {
        let first = install().unwrap();
        let handles: Vec<_> = std::thread::scope(|scope| {
            let racers: Vec<_> = (0..8).map(|_| scope.spawn(|| install().unwrap())).collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).collect()
        });
        assert!(handles.into_iter().all(|handle| std::ptr::eq(handle, first)));
    }

    #[test]
    fn what_is_recorded_is_rendered_with_fitting_buckets() {
        let handle = install().unwrap();
        metrics::counter!("visionflow_test_things_total", "kind" => "a").increment(3);
        metrics::histogram!("visionflow_test_wait_seconds").record(0.15);
        metrics::histogram!("visionflow_test_size_bytes").record(100.0);
        metrics::histogram!("visionflow_test_items").record(3.0);
        let text = handle.render();
        for line in [
            r#"visionflow_test_things_total{kind="a"} 3"#,
            r#"visionflow_test_wait_seconds_bucket{le="0.1"} 0"#,
            r#"visionflow_test_wait_seconds_bucket{le="0.2"} 1"#,
            r#"visionflow_test_size_bytes_bucket{le="256"} 1"#,
            r#"visionflow_test_items_bucket{le="5"} 1"#,
            concat!(r#"visionflow_build_info{version=""#, env!("CARGO_PKG_VERSION"), r#""} 1"#),
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let memory =
            text.lines().find_map(|line| line.strip_prefix("process_resident_memory_bytes ")).unwrap();
        assert!(memory.parse::<f64>().unwrap() > 1e6, "{memory}");
    }
}
