//! The whole server in a thread of the test, on free ports, with a database and a data folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::http::Client;
use super::test_db::TestDb;
use super::ws_client::{self, WsClient};
use crate::app::App;
use crate::identity::{Role, TokenIssuer};
use crate::settings::{LoadInput, Settings};
use crate::telemetry::clock;

/// The secret of every test server, so that tests can sign what they need.
pub const SECRET: &str = "a secret that only tests have, 32 bytes long or more";
/// How long a start may take on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);
/// How long the tokens of tests are good for.
const TOKEN_TTL: Duration = Duration::from_secs(3_600);

/// A running server. It stops, and its database goes, when this is dropped.
#[derive(Debug)]
pub struct TestApp {
    running: Option<Running>,
    input: LoadInput,
    folder: Folder,
    // after the server, which holds connections to it
    db: TestDb,
}

#[derive(Debug)]
struct Running {
    http: SocketAddr,
    mcp: Option<SocketAddr>,
    health: Option<SocketAddr>,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("removing {}: {error}", self.0.display());
        }
    }
}

impl TestApp {
    /// A server on `db` with the defaults of the test profile.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(db: TestDb) -> Self {
        Self::with(db, &[])
    }

    /// A server on `db` with these variables set.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn with(db: TestDb, variables: &[(&str, &str)]) -> Self {
        let folder = std::env::temp_dir().join(format!("visionflow-test-{}", clock::uuid_v7().simple()));
        if let Err(error) = std::fs::create_dir_all(&folder) {
            panic!("making {}: {error}", folder.display());
        }
        let mut input = LoadInput::new(&folder)
            .var("APP_ENV", "test")
            .var("JWT_SECRET", SECRET)
            .var("DATABASE_URL", db.url())
            .var("CLIENT_POLL_RATE_MS", "200")
            .var("VISIONFLOW__SERVER__WORKERS", "2")
            .var("VISIONFLOW__DATABASE__POOL_SIZE", "4");
        for (name, value) in variables {
            input = input.var(name, value);
        }
        let mut app = Self { running: None, input, folder: Folder(folder), db };
        app.start_again();
        app
    }

    /// Starts the server on what an earlier run has left.
    ///
    /// # Panics
    /// When it runs already or does not start.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "the server runs already");
        let settings = match Settings::load(&self.input) {
            Ok(settings) => settings,
            Err(error) => panic!("settings of a test: {error}"),
        };
        self.running = Some(run(settings));
    }

    /// Drains and stops the server; database and data folder stay.
    ///
    /// # Panics
    /// When the server's thread panicked.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        // a thread that ended by itself takes no message; joining it tells why
        let _ended_by_itself = running.stop.send(());
        if running.thread.join().is_err() && !std::thread::panicking() {
            panic!("the server's thread panicked");
        }
    }

    /// Sets a variable for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.input = self.input.clone().var(name, value);
    }

    fn running(&self) -> &Running {
        match &self.running {
            Some(running) => running,
            None => panic!("the server is stopped"),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        self.running().http
    }

    /// Where its agent runtime speaks MCP, if it runs one.
    #[must_use]
    pub fn mcp(&self) -> Option<SocketAddr> {
        self.running().mcp
    }

    /// Where its agent runtime answers health checks, if it runs one.
    #[must_use]
    pub fn health(&self) -> Option<SocketAddr> {
        self.running().health
    }

    /// Its data folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Its database.
    #[must_use]
    pub const fn db(&self) -> &TestDb {
        &self.db
    }

    /// A token for `subject`.
    #[must_use]
    pub fn token(&self, subject: &str, role: Role) -> String {
        token(subject, role, TOKEN_TTL)
    }

    /// A client without a token.
    #[must_use]
    pub fn nobody(&self) -> Client {
        Client::new(self.http(), None)
    }

    /// A client of an operator.
    #[must_use]
    pub fn alice(&self) -> Client {
        self.client("alice", Role::Operator)
    }

    /// A client of another operator.
    #[must_use]
    pub fn bob(&self) -> Client {
        self.client("bob", Role::Operator)
    }

    /// A client of a viewer, who may change nothing.
    #[must_use]
    pub fn eve(&self) -> Client {
        self.client("eve", Role::Viewer)
    }

    /// A client of an admin.
    #[must_use]
    pub fn root(&self) -> Client {
        self.client("root", Role::Admin)
    }

    /// A client of anybody.
    #[must_use]
    pub fn client(&self, subject: &str, role: Role) -> Client {
        Client::new(self.http(), Some(&self.token(subject, role)))
    }

    /// A WebSocket session of alice, signed in by her token in the subprotocol, `hello` read.
    ///
    /// # Panics
    /// When the server refuses it.
    #[must_use]
    pub fn session(&self) -> WsClient {
        self.session_of("alice", Role::Operator)
    }

    /// A WebSocket session of anybody.
    ///
    /// # Panics
    /// When the server refuses it.
    #[must_use]
    pub fn session_of(&self, subject: &str, role: Role) -> WsClient {
        let mut session = ws_client::Opening::bearer(&self.token(subject, role)).open(self.http());
        drop(session.message("hello"));
        session
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A token that every test server takes, good for `ttl` from now.
///
/// # Panics
/// When it can't be signed.
#[must_use]
pub fn token(subject: &str, role: Role, ttl: Duration) -> String {
    signed_at(subject, role, ttl, clock::now())
}

/// A token that was issued at another time, such as one that has expired by now.
///
/// # Panics
/// When it can't be signed.
#[must_use]
pub fn signed_at(subject: &str, role: Role, ttl: Duration, at: crate::domain::Timestamp) -> String {
    let issued = TokenIssuer::new(&SECRET.into()).and_then(|issuer| issuer.issue(subject, role, ttl, at));
    match issued {
        Ok((token, _)) => token,
        Err(error) => panic!("signing a token: {error}"),
    }
}

fn run(settings: Settings) -> Running {
    let (started, starting) = mpsc::sync_channel(1);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new().name("test-app".into()).spawn(move || {
        actix::System::new().block_on(async move {
            match App::start(&settings).await {
                Ok(app) => {
                    // whoever starts us waits, or its test has failed already
                    drop(started.send(Ok((app.http_addr(), app.mcp_addr(), app.health_addr()))));
                    drop(stopped.await);
                    let report = app.stop().await;
                    assert!(report.is_clean(), "the server did not stop cleanly: {report:?}");
                }
                Err(error) => drop(started.send(Err(error.to_string()))),
            }
        });
    });
    let thread = match spawned {
        Ok(thread) => thread,
        Err(error) => panic!("starting the server's thread: {error}"),
    };
    match starting.recv_timeout(START_MAX) {
        Ok(Ok((http, mcp, health))) => Running { http, mcp, health, stop, thread },
        Ok(Err(error)) => panic!("the server does not start: {error}"),
        Err(error) => panic!("the server does not start within {START_MAX:?}: {error}"),
    }
}

/// Makes each function, which takes a [`TestDb`], a test on SQLite and one on PostgreSQL.
///
/// Without `VISIONFLOW_TEST_POSTGRES` the latter say that they were skipped.
#[macro_export]
macro_rules! on_each_database {
    ($($test:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $test() {
                super::$test($crate::testkit::test_db::TestDb::sqlite());
            })+
        }
        mod postgres {
            $(#[test]
            fn $test() {
                if let Some(db) = $crate::testkit::test_db::TestDb::postgres() {
                    super::$test(db);
                }
            })+
        }
    };
}
