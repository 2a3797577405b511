//! `mcp-runtime`: the agent runtime alone, as the container that a server is pointed at with `MCP_SERVER=tcp://…`.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use visionflow::mcp_runtime::{McpRuntime, RuntimeConfig};
use visionflow::telemetry::{self, LogFormat, LogOptions};

/// Time that clients have to take their last answers.
const SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// Serves MCP as newline-delimited JSON-RPC over TCP, with GET /health beside it.
///
/// Swarms, agents and tasks are kept in memory. The work of agents is simulated.
#[derive(Debug, Parser)]
#[command(name = "mcp-runtime", version)]
struct Args {
    /// Address to listen on; 0.0.0.0 lets other machines in.
    #[arg(long, env = "BIND", default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Port for MCP.
    #[arg(long, env = "MCP_PORT", default_value_t = 9500)]
    port: u16,
    /// Port for GET /health.
    #[arg(long, env = "MCP_HEALTH_PORT", default_value_t = 9501)]
    health_port: u16,
    /// Which log lines to write, such as "info" or "visionflow=debug".
    #[arg(long, env = "RUST_LOG", default_value = "info")]
    log: String,
    /// Write log lines as JSON objects.
    #[arg(long)]
    log_json: bool,
}

/// Exit code when the runtime can't be started or ends by itself.
const EXIT_SOFTWARE: u8 = 70;

fn main() -> ExitCode {
    match start(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("mcp-runtime: {error:#}");
            ExitCode::from(EXIT_SOFTWARE)
        }
    }
}

fn start(args: Args) -> anyhow::Result<()> {
    let format = if args.log_json { LogFormat::Json } else { LogFormat::Pretty };
    telemetry::init(&LogOptions { format, filter: args.log.clone() })?;
    telemetry::install_panic_hook();
    actix_rt::System::new().block_on(run(args))
}

async fn run(args: Args) -> anyhow::Result<()> {
    let terminate = signal(SignalKind::terminate()).context("waiting for SIGTERM")?;
    let config = RuntimeConfig::new((args.bind, args.port).into(), (args.bind, args.health_port).into());
    let runtime = McpRuntime::start(config).await?;
    tokio::select! {
        told = told_to_end(terminate) => told?,
        () = runtime.ended() => anyhow::bail!("a part of the runtime ended by itself"),
    }
    anyhow::ensure!(
        runtime.shutdown(SHUTDOWN_MAX).await,
        "some clients did not take their last answers in time"
    );
    Ok(())
}

async fn told_to_end(mut terminate: Signal) -> anyhow::Result<()> {
    tokio::select! {
        asked = tokio::signal::ctrl_c() => asked.context("waiting for Ctrl-C"),
        _ = terminate.recv() => Ok(()),
    }
}
