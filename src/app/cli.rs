//! What the commands of the binary do, with their exit codes: 0 done, 64 usage, 70 a part gave up, 78 settings.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;

use super::{App, AppError, populate, sign_in_link};
use crate::identity::{Role, TokenIssuer, parse_ttl};
use crate::runtime::Shutdown;
use crate::settings::{
    EXIT_BAD_CONFIGURATION, LogFormat, Purpose, Settings, SettingsError, render_json, render_text,
};
use crate::telemetry::{self, LogOptions, clock};

/// A command was called in a way that can't be right.
const EXIT_USAGE: u8 = 64;
/// A part of the server gave up, or could not be started.
const EXIT_SOFTWARE: u8 = 70;
/// Whose swarms the demo's are: those of the printed link.
const DEMO_OWNER: &str = "local";

/// Settings given on the command line, by key.
pub type Flags = BTreeMap<String, String>;

/// Runs the server until a signal, or until a part gives up.
#[must_use]
pub fn serve(flags: Flags, profile: Option<String>, demo: bool) -> ExitCode {
    let settings = match Settings::from_process(Purpose::Server, flags, profile) {
        Ok(settings) => settings,
        Err(error) => return bad_settings(&error),
    };
    let format = match settings.log.format {
        LogFormat::Pretty => telemetry::LogFormat::Pretty,
        LogFormat::Json => telemetry::LogFormat::Json,
    };
    let log = LogOptions { format, filter: settings.log.filter.clone() };
    if let Err(error) = telemetry::init(&log) {
        return fail(&error, EXIT_BAD_CONFIGURATION);
    }
    telemetry::install_panic_hook();
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    actix::System::new().block_on(run(settings, demo))
}

async fn run(settings: Settings, demo: bool) -> ExitCode {
    let app = match App::start(&settings).await {
        Ok(app) => app,
        Err(AppError::Settings(error)) => return bad_settings(&error),
        Err(error) => return fail(&error, EXIT_SOFTWARE),
    };
    match sign_in_link(app.http_addr(), app.issuer()) {
        Ok(link) => print(&format!(
            "VisionFlow {} is ready. Open it signed in:\n\n  {link}\n",
            env!("CARGO_PKG_VERSION")
        )),
        Err(error) => tracing::error!(%error, "signing the link"),
    }
    let shutdown = app.shutdown().clone();
    let signals = actix::spawn(watch_signals(shutdown.clone()));
    let working = demo.then(|| actix::spawn(keep_demo(app.swarms().clone())));
    shutdown.requested().await;
    if let Some(working) = working {
        working.abort();
    }
    let gave_up = app.gave_up();
    let report = app.stop().await;
    signals.abort();
    if gave_up {
        ExitCode::from(EXIT_SOFTWARE)
    } else if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

async fn keep_demo(swarms: crate::actors::swarms::SwarmsHandle) {
    if let Err(error) = populate(swarms, DEMO_OWNER).await {
        tracing::error!(%error, "setting up the demo");
    }
}

/// Asks for a shutdown at SIGTERM or Ctrl-C; a second one makes it immediate.
async fn watch_signals(shutdown: Shutdown) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("listening for signals is not possible here");
        return;
    };
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let immediate = shutdown.request();
        tracing::info!(immediate, "shutting down; a second signal ends at once");
    }
}

/// Prints a token, and nothing else, so that `TOKEN=$(visionflow token …)` works.
#[must_use]
pub fn token(flags: Flags, profile: Option<String>, subject: &str, role: Role, ttl: &str) -> ExitCode {
    let settings = match Settings::from_process(Purpose::Server, flags, profile) {
        Ok(settings) => settings,
        Err(error) => return bad_settings(&error),
    };
    let ttl = match parse_ttl(ttl) {
        Ok(ttl) => ttl,
        Err(error) => return fail(&error, EXIT_USAGE),
    };
    let secrets = match settings.prepare_data_dir().and_then(|()| settings.signing_secrets()) {
        Ok(secrets) => secrets,
        Err(error) => return bad_settings(&error),
    };
    let issued =
        TokenIssuer::new(&secrets.current).and_then(|issuer| issuer.issue(subject, role, ttl, clock::now()));
    match issued {
        Ok((token, _)) => {
            print(&token);
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error, EXIT_USAGE),
    }
}

/// Prints the settings in force.
#[must_use]
pub fn config(flags: Flags, profile: Option<String>, json: bool) -> ExitCode {
    let settings = match Settings::from_process(Purpose::Server, flags, profile) {
        Ok(settings) => settings,
        Err(error) => return bad_settings(&error),
    };
    for warning in &settings.warnings {
        complain(&format!("warning: {warning}"));
    }
    if json {
        match render_json(settings.effective()) {
            Ok(text) => print(&text),
            Err(error) => return fail(&error, EXIT_SOFTWARE),
        }
    } else {
        print(&render_text(settings.effective()));
    }
    ExitCode::SUCCESS
}

fn bad_settings(error: &SettingsError) -> ExitCode {
    fail(error, EXIT_BAD_CONFIGURATION)
}

/// Says why, with every cause that the text does not hold already.
fn fail(error: &dyn std::error::Error, code: u8) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = source.source();
    }
    complain(&text);
    ExitCode::from(code)
}

fn print(text: &str) {
    // a closed pipe is the reader's wish
    drop(writeln!(std::io::stdout(), "{text}"));
}

fn complain(text: &str) {
    drop(writeln!(std::io::stderr(), "{text}"));
}
