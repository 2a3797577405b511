//! The server and its small tools: serve (default), demo, token, config.

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use visionflow::app::cli;
use visionflow::identity::Role;

/// Controls swarms of AI agents, lays them out live and streams them to browsers.
#[derive(Parser)]
#[command(name = "visionflow", version, about, after_help = AFTER_HELP)]
struct Cli {
    /// Settings profile: development (default), production, test, or the name of a file in config/
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Create the demo's swarms as well: the same as `visionflow demo`
    #[arg(long)]
    demo: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

const AFTER_HELP: &str = "Without a command the server starts. Every setting is an environment variable, a line of .env \
or a key of config/*.toml: `visionflow config` shows all with their values.";

#[derive(Subcommand)]
enum Command {
    /// Start the server (the default)
    Serve,
    /// Start the server with one swarm of each topology, agents at work
    Demo,
    /// Print a token that signs in
    Token {
        /// Whom the token names; swarms belong to their creator's subject
        #[arg(long)]
        subject: String,
        /// viewer (read), operator (own swarms) or admin (all swarms)
        #[arg(long, default_value = "operator")]
        role: Role,
        /// How long it is good for, such as 30m, 12h or 7d
        #[arg(long, default_value = "12h")]
        ttl: String,
    },
    /// Print the settings in force, where each comes from, secrets masked
    Config {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let flags = BTreeMap::new();
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => cli::serve(flags, cli.profile, cli.demo),
        Command::Demo => cli::serve(flags, cli.profile, true),
        Command::Token { subject, role, ttl } => cli::token(flags, cli.profile, &subject, role, &ttl),
        Command::Config { json } => cli::config(flags, cli.profile, json),
    }
}
