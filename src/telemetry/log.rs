//! Sets up the `tracing` subscriber: lines for people or JSON objects, on standard error.
//!
//! Standard output is left to what a command prints, such as a token or the link of the viewer.

use std::io::{IsTerminal, Write};
use std::sync::Mutex;

use thiserror::Error;
use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; coloured if standard error is a terminal.
    Pretty,
    /// One JSON object a line, its fields at the top level.
    Json,
}

/// What to log, and how.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// How lines are written.
    pub format: LogFormat,
    /// Which lines are written, in the syntax of `RUST_LOG`; empty means `info`.
    pub filter: String,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self { format: LogFormat::Pretty, filter: DEFAULT_FILTER.to_owned() }
    }
}

const DEFAULT_FILTER: &str = "info";

/// Why logging could not be set up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// The filter is not one; a bad configuration.
    #[error("reading the log filter {filter:?} [RUST_LOG]; such as info or visionflow=debug,info")]
    Filter {
        /// The text.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Another recorder of metrics is installed in this process.
    #[error("installing the recorder of metrics")]
    Metrics(#[source] metrics_exporter_prometheus::BuildError),
}

static INSTALLED: Mutex<bool> = Mutex::new(false);

/// Installs the subscriber for the whole process; false if one was there already, which then stays.
///
/// # Errors
/// [`TelemetryError::Filter`] if the filter cannot be parsed, also when nothing would be installed.
pub fn init(options: &LogOptions) -> Result<bool, TelemetryError> {
    let filter = parse_filter(&options.filter)?;
    let colour = std::io::stderr().is_terminal();
    // Held throughout, so that of two callers the second finds the work done. A poisoned lock has no bad state.
    let mut installed = INSTALLED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if *installed {
        return Ok(false);
    }
    *installed = true;
    Ok(match options.format {
        LogFormat::Pretty => pretty(filter, colour, std::io::stderr).try_init().is_ok(),
        LogFormat::Json => json(filter, std::io::stderr).try_init().is_ok(),
    })
}

fn parse_filter(text: &str) -> Result<EnvFilter, TelemetryError> {
    let text = if text.trim().is_empty() { DEFAULT_FILTER } else { text };
    EnvFilter::try_new(text).map_err(|source| TelemetryError::Filter { filter: text.to_owned(), source })
}

fn pretty<W>(filter: EnvFilter, colour: bool, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(writer).finish()
}

fn json<W>(filter: EnvFilter, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(true)
        .with_span_list(false)
        .with_env_filter(filter)
        .with_writer(writer)
        .finish()
}

/// Writes a line where people look when no subscriber can take it; a closed standard error loses it.
pub(super) fn last_resort(line: &str) {
    let lost = writeln!(std::io::stderr().lock(), "{line}");
    drop(lost);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        fn maker(&self) -> impl Fn() -> Lines + Send + Sync + 'static {
            let lines = self.clone();
            move || lines.clone()
        }
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn say() {
        tracing::info!(swarm.id = 7, "woke\nup");
        tracing::debug!("hidden");
    }

    #[test]
    fn json_lines_are_objects_with_fields_at_the_top() {
        let lines = Lines::default();
        tracing::subscriber::with_default(json(parse_filter("").unwrap(), lines.maker()), say);
        let text = lines.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (object["level"].as_str(), object["swarm.id"].as_i64(), object["message"].as_str()),
            (Some("INFO"), Some(7), Some("woke\nup"))
        );
    }

    #[test]
    fn pretty_lines_have_no_colour_when_not_asked() {
        let lines = Lines::default();
        tracing::subscriber::with_default(pretty(parse_filter("info").unwrap(), false, lines.maker()), say);
        let text = lines.text();
        assert!(text.contains("INFO") && text.contains("swarm.id=7") && !text.contains('\u{1b}'), "{text}");
        assert!(!text.contains("hidden"), "{text}");
    }

    #[test]
    fn a_bad_filter_is_named() {
        let error =
            init(&LogOptions { filter: "visionflow=loud".to_owned(), ..LogOptions::default() }).unwrap_err();
        assert!(error.to_string().contains("visionflow=loud"), "{error}");
    }
}
