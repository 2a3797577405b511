//! An agent runtime in a thread of the test, outside of any server, that can be stopped and started again.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::mcp_runtime::{McpRuntime, RuntimeConfig};

/// How long a start may take on a busy machine.
const START_MAX: Duration = Duration::from_secs(30);
/// Time that clients have to take their last answers.
const STOP_MAX: Duration = Duration::from_secs(1);

/// A runtime at an address that stays the same over stops and starts.
#[derive(Debug)]
pub struct TestRuntime {
    address: SocketAddr,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    address: SocketAddr,
    stop: tokio::sync::oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl TestRuntime {
    /// A runtime on a free port.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start() -> Self {
        let running = run((Ipv4Addr::LOCALHOST, 0).into());
        Self { address: running.address, running: Some(running) }
    }

    /// Starts it again at the same address, with nothing of what it knew before.
    ///
    /// # Panics
    /// When it runs or does not start.
    pub fn start_again(&mut self) {
        assert!(self.running.is_none(), "the runtime runs already");
        self.running = Some(run(self.address));
    }

    /// Ends it with all its connections.
    ///
    /// # Panics
    /// When its thread panicked.
    pub fn stop(&mut self) {
        let Some(running) = self.running.take() else { return };
        let _ended_by_itself = running.stop.send(());
        if running.thread.join().is_err() && !std::thread::panicking() {
            panic!("the runtime's thread panicked");
        }
    }

    /// What `MCP_SERVER` must say.
    #[must_use]
    pub fn server(&self) -> String {
        format!("tcp://{}", self.address)
    }
}

impl Drop for TestRuntime {
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(address: SocketAddr) -> Running {
    let (started, starting) = mpsc::sync_channel(1);
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let spawned = std::thread::Builder::new().name("test-runtime".into()).spawn(move || {
        actix::System::new().block_on(async move {
            match McpRuntime::start(RuntimeConfig::new(address, (Ipv4Addr::LOCALHOST, 0).into())).await {
                Ok(runtime) => {
                    // whoever starts us waits, or its test has failed already
                    drop(started.send(Ok(runtime.mcp_addr())));
                    drop(stopped.await);
                    runtime.shutdown(STOP_MAX).await;
                }
                Err(error) => drop(started.send(Err(error.to_string()))),
            }
        });
    });
    let thread = match spawned {
        Ok(thread) => thread,
        Err(error) => panic!("starting the runtime's thread: {error}"),
    };
    match starting.recv_timeout(START_MAX) {
        Ok(Ok(address)) => Running { address, stop, thread },
        Ok(Err(error)) => panic!("the runtime does not start: {error}"),
        Err(error) => panic!("the runtime does not start within {START_MAX:?}: {error}"),
    }
}
