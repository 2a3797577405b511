//! Reports every panic once, through the log, and counts it.
//!
//! Panics inside actors are contained by their guardians, so without this they would leave no trace in a
//! JSON log. Where no subscriber listens, the hook that was there before reports as usual.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::PanicHookInfo;
use std::sync::Once;

use tracing::dispatcher;
use tracing::subscriber::NoSubscriber;

use super::log::last_resort;

static INSTALL: Once = Once::new();

thread_local! {
    /// Set while this thread reports a panic: a second one comes from the reporting itself.
    static REPORTING: Cell<bool> = const { Cell::new(false) };
}

/// Installs the hook for the whole process; further calls do nothing.
pub fn install() {
    INSTALL.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            metrics::counter!("visionflow_panics_total").increment(1);
            if REPORTING.get() {
                last_resort(&format!("panic while reporting a panic: {info}"));
            } else if dispatcher::get_default(|dispatch| dispatch.is::<NoSubscriber>()) {
                before(info);
            } else {
                REPORTING.set(true);
                report(info);
                REPORTING.set(false);
            }
        }));
    });
}

fn report(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("(a panic whose payload is no text)");
    let location = info.location().map_or_else(|| "unknown".to_owned(), ToString::to_string);
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let trace = Backtrace::capture();
    // Absent unless RUST_BACKTRACE asks for it.
    let trace = (trace.status() == BacktraceStatus::Captured).then(|| tracing::field::display(trace));
    tracing::error!(panic.location = %location, panic.thread = thread, panic.backtrace = trace, "panic: {message}");
}

#[cfg(test)]
mod tests {
    use super::super::metrics;
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn panics(text: &str) -> u64 {
        let line = text.lines().find_map(|line| line.strip_prefix("visionflow_panics_total "));
        line.map_or(0, |count| count.parse().unwrap())
    }

    #[test]
    fn a_panic_is_logged_once_and_counted() {
        let handle = metrics::install().unwrap();
        install();
        install();
        let before = panics(&handle.render());
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        let caught = std::thread::Builder::new().name("doomed".to_owned()).spawn(move || {
            tracing::subscriber::with_default(subscriber, || {
                std::panic::catch_unwind(|| panic!("the sky fell")).is_err()
            })
        });
        assert!(caught.unwrap().join().unwrap());
        // Other tests of this process may panic on purpose at the same time: at least ours is counted.
        assert!(panics(&handle.render()) > before);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["level"], "ERROR");
        assert_eq!(object["fields"]["message"], "panic: the sky fell");
        assert_eq!(object["fields"]["panic.thread"], "doomed");
        assert!(object["fields"]["panic.location"].as_str().unwrap().contains("panic_hook.rs:"), "{text}");
    }
}
