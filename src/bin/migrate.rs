//! `migrate`: brings a database's schema to this version, back to v1, or says where it is.
#![expect(clippy::print_stdout, reason = "a command line program speaks on its standard output")]

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use visionflow::store::{StoreError, StoreResult, connect, migrate};

/// Something is pending, and `--check` asked for that.
const PENDING: u8 = 2;
/// The command line is wrong.
const USAGE: u8 = 64;
/// The migration failed and was undone.
const FAILED: u8 = 70;
/// The database can't serve now; try again later.
const TEMPORARY: u8 = 75;

/// Migrates a database of VisionFlow.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// Where the database is: a sqlite or a postgres URL
    #[arg(long, global = true, env = "DATABASE_URL", hide_env_values = true)]
    database_url: Option<String>,
}

#[derive(Subcommand)]
enum Command {
    /// Apply what is pending (the default)
    Up,
    /// Go back to v1: its agents and tasks stay
    Down,
    /// Show what is applied and what is pending
    Status {
        /// Exit with 2 when something is pending
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            return error.print().map_or(ExitCode::from(FAILED), |()| ExitCode::from(code));
        }
    };
    let Some(url) = arguments.database_url.filter(|url| !url.is_empty()) else {
        eprintln!("migrate: no database: give --database-url or set DATABASE_URL");
        return ExitCode::from(USAGE);
    };
    match run(&arguments.command.unwrap_or(Command::Up), &url) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("migrate: {}", error.chain());
            let usage = matches!(error, StoreError::Url { .. });
            ExitCode::from(if usage {
                USAGE
            } else if error.is_temporary() {
                TEMPORARY
            } else {
                FAILED
            })
        }
    }
}

fn run(command: &Command, url: &str) -> StoreResult<u8> {
    let mut conn = connect(url)?;
    match command {
        Command::Up => {
            let done = migrate::up(&mut conn)?;
            done.applied.iter().for_each(|name| println!("applied {name}"));
            if done.adopted_agents + done.adopted_tasks > 0 {
                println!("took over {} agents and {} tasks of v1", done.adopted_agents, done.adopted_tasks);
            } else if done.applied.is_empty() {
                println!("nothing to do: the database is up to date");
            }
            Ok(0)
        }
        Command::Down => {
            let names = migrate::down_to_v1(&mut conn)?;
            names.iter().for_each(|name| println!("reverted {name}"));
            if names.is_empty() {
                println!("nothing to do: the database holds nothing of v2");
            }
            Ok(0)
        }
        Command::Status { check } => {
            let all = migrate::status(&mut conn)?;
            for one in &all {
                println!("{}  {}", if one.applied { "applied" } else { "pending" }, one.name);
            }
            let pending = all.iter().any(|one| !one.applied);
            Ok(if *check && pending { PENDING } else { 0 })
        }
    }
}
