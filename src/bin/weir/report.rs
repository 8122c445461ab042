//! `weir report`: decision logs and ledger states as a page for people, or the dossier of one campaign.

mod chart;
mod doc;
mod facts;
mod html;
mod incident;
mod logs;
mod markdown;
mod state;
#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests;
mod told;

use crate::explain::record::{is_hex, is_id};
use crate::{BROKEN, IO, NOTHING, OK, USAGE, check, fail};
use logs::Logs;
use serde::Serialize;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Write a report on decision logs: one HTML file that needs nothing else; or the dossier of one campaign
///
/// Reads what `weir explain` reads (Envoy's log, a log shipper's JSON, files of `weir replay --records`; plain, .gz or .zst) and the lines
/// of `weir replay --decisions`, which hold every request. Exit status: 0 done; 1 usage; 2 input or output failed; 3 nothing found, or
/// malformed records were passed over; 4 the audit log is not as it was written.
#[derive(clap::Args)]
pub struct Args {
    /// Logs, in any order; - reads standard input
    #[arg(value_name = "LOG")]
    logs: Vec<PathBuf>,
    /// What a ledger knows, at one moment: a file of `weir replay --write-state`, a hub's checkpoint, or its directory. Needs --config
    #[arg(long, value_name = "FILE|DIR", requires = "config")]
    state: Option<PathBuf>,
    /// The configuration that the state was written with
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is known of keys: lines of a key (kid:…), a comma or blanks, and a label (`attack:…`, `benign:…`)
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// Write the dossier of one campaign: its number, or a case id that a client was told
    #[arg(long, value_name = "CASE", value_parser = case)]
    incident: Option<String>,
    /// The hub's audit log, verified as by `weir audit verify`; the oldest file first
    #[arg(long, value_name = "FILE", requires = "incident")]
    audit: Vec<PathBuf>,
    /// A head of the audit log that was kept elsewhere
    #[arg(long, value_name = "HASH", requires = "audit", value_parser = crate::audit::hash)]
    head: Option<String>,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Html)]
    format: Format,
    /// The figures as one JSON object, on standard output unless --out is given
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Where it is written; - is standard output. By default report.html or report.md; JSON goes to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Html,
    Markdown,
    Json,
}

fn case(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    if is_hex(&text, 8) {
        Ok(text)
    } else {
        Err("must be 8 hexadecimal digits: a campaign's number, or a case id".into())
    }
}

pub fn run(args: &Args) -> u8 {
    match report(args) {
        Ok(status) | Err(status) => status,
    }
}

fn report(args: &Args) -> Result<u8, u8> {
    if args.logs.is_empty() && (args.state.is_none() || args.incident.is_some()) {
        eprintln!(
            "weir: no log is given{}",
            if args.incident.is_some() { ": a dossier is made of decision logs" } else { ", and no --state" }
        );
        return Err(USAGE);
    }
    let mut logs = Logs::default();
    for path in &args.logs {
        logs.read(path).map_err(|e| fail(path, e))?;
    }
    if let Some(path) = &args.labels {
        let text = std::fs::read_to_string(path).map_err(|e| fail(path, e))?;
        labels(&text, &mut logs).map_err(|e| fail(path, e))?;
    }
    let state = match &args.state {
        Some(path) => {
            let config = Arc::new(check::load(args.config.as_ref())?);
            Some(state::read(path, &config).map_err(|e| fail(path, e))?)
        }
        None => None,
    };
    if logs.is_empty() && state.is_none() {
        eprintln!(
            "weir: no decision record is in these {} lines: `log.decisions` has a proxy write them, `weir replay --records` and `--decisions` make them of traffic",
            logs.read
        );
        return Err(NOTHING);
    }
    let malformed = if logs.malformed > 0 { NOTHING } else { OK };
    match &args.incident {
        Some(case) => dossier(args, &logs, case).map(|status| if status == OK { malformed } else { status }),
        None => {
            let facts = facts::facts(&logs, state);
            write(args, &facts, || told::document(&facts))?;
            Ok(malformed)
        }
    }
}

fn dossier(args: &Args, logs: &Logs, case: &str) -> Result<u8, u8> {
    let nothing = |why: String| {
        eprintln!("weir: {why}");
        NOTHING
    };
    let campaign = incident::campaign_of(logs, case).map_err(nothing)?;
    let audit = match args.audit.is_empty() {
        true => None,
        false => Some(
            incident::audit(&args.audit, args.head.as_deref(), &campaign, logs)
                .map_err(|(path, e)| fail(&path, e))?,
        ),
    };
    let broken = audit.as_ref().is_some_and(|(a, _)| !a.whole);
    let Some(dossier) = incident::dossier(logs, case, &campaign, audit) else {
        return Err(nothing(format!("nothing about campaign {campaign}")));
    };
    write(args, &dossier, || incident::document(&dossier))?;
    if broken {
        eprintln!("weir: the audit log is not as it was written; the dossier says so");
    }
    Ok(if broken { BROKEN } else { OK })
}

/// Writes one model of the facts in the form asked for.
fn write(args: &Args, facts: &impl Serialize, document: impl FnOnce() -> doc::Document) -> Result<(), u8> {
    let format = if args.json { Format::Json } else { args.format };
    let text = match format {
        Format::Html => html::write(&document()),
        Format::Markdown => markdown::write(&document()),
        Format::Json => {
            let json = serde_json::to_string_pretty(facts).map_err(|e| fail(Path::new("the figures"), e))?;
            format!("{json}\n")
        }
    };
    let usual = match format {
        Format::Html => "report.html",
        Format::Markdown => "report.md",
        Format::Json => "-",
    };
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(usual));
    if out.as_os_str() == "-" {
        // A reader that leaves early is no reason to panic.
        return std::io::stdout().lock().write_all(text.as_bytes()).map_err(|e| {
            eprintln!("weir: standard output: {e}");
            IO
        });
    }
    std::fs::write(&out, text).map_err(|e| fail(&out, e))?;
    eprintln!("weir: wrote {}", out.display());
    Ok(())
}

/// Takes labels of keys over those of the logs.
///
/// # Errors
/// A line is no label: its number and what it must be.
fn labels(text: &str, logs: &mut Logs) -> Result<(), String> {
    for (i, line) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#')) {
        let (key, label) = line.trim().split_once([',', ' ', '\t']).unwrap_or((line, ""));
        let label = logs::label(label.trim()).filter(|l| !l.is_empty());
        let (true, Some(label)) = (is_id(key, "kid:"), label) else {
            return Err(format!(
                "line {}: must be kid: and 16 hexadecimal digits, a comma, and a label such as benign:partner",
                i + 1
            ));
        };
        logs.label(key, label);
    }
    Ok(())
}
