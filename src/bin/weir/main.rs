//! `weir`: checks configurations, replays traffic, explains verdicts, serves the hub, simulates campaigns.
//! The engine is the same code as in the module.
#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::disallowed_types,
    missing_docs,
    reason = "a command line on trusted input: it measures time and may stop with a message"
)]

mod apart;
mod audit;
mod check;
mod demo;
mod deployment;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
#[path = "../../../tests/support/dir.rs"]
mod dir;
mod except;
mod explain;
mod figures;
mod fleet;
mod hub;
mod import;
mod indicators;
mod lines;
mod replay;
mod report;
mod requests;
mod simulate;
mod skip;
mod table;
mod trace;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit status: done.
pub const OK: u8 = 0;
/// Exit status: wrong usage, or a configuration that is refused.
pub const USAGE: u8 = 1;
/// Exit status: input or output failed.
pub const IO: u8 = 2;
/// Exit status: finished, and lines were skipped.
pub const SKIPPED: u8 = 3;
/// Exit status: nothing found.
pub const NOTHING: u8 = 3;
/// Exit status: the audit log was altered.
pub const BROKEN: u8 = 4;

/// Prints why a file (or whatever `what` names) cannot be used. Returns the exit status.
pub fn fail(what: &std::path::Path, why: impl std::fmt::Display) -> u8 {
    eprintln!("weir: {}: {why}", what.display());
    IO
}

/// Weir recognises systematic probing of language models in the proxy.
///
/// Exit status: 0 done; 1 usage or configuration; 2 input or output failed; 3 finished, but lines were
/// skipped, or nothing was found; 4 an audit log is not as it was written, or indicators are refused.
#[derive(Parser)]
#[command(name = "weir", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Check(check::Args),
    Replay(replay::Args),
    Explain(explain::Args),
    Except(except::Args),
    Report(report::Args),
    Indicators(indicators::Args),
    Hub(hub::Args),
    Audit(audit::Args),
    Demo(demo::Args),
    Simulate(simulate::Args),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { USAGE } else { OK });
        }
    };
    ExitCode::from(match cli.command {
        Command::Check(args) => check::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Except(args) => except::run(&args),
        Command::Report(args) => report::run(&args),
        Command::Indicators(args) => indicators::run(&args),
        Command::Hub(args) => hub::run(&args),
        Command::Audit(args) => audit::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Simulate(args) => simulate::run(&args),
    })
}
