//! `weir simulate`: campaigns among honest traffic on the engine of the module, against stated targets.

mod attack;
mod baselines;
mod builtin;
mod corpus;
mod flood;
mod honest;
mod report;
mod rng;
mod run;
mod scenarios;
mod templates;
mod texts;
mod world;

use crate::{IO, OK, USAGE, check};
use corpus::Split;
use indicatif::{ProgressBar, ProgressStyle};
use run::{Report, Setup};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use weir::engine::config::Config;

/// Finished, but a target was missed.
const MISSED: u8 = 4;

/// Run campaigns among honest traffic and report who was blocked
///
/// Exit status: 0 all targets kept; 1 usage; 2 input failed; 4 a target was missed.
#[derive(clap::Args)]
pub struct Args {
    /// Scenarios by name or family (see --list), or groups: all (but H, lookalikes and attacks), core (S…), cold (C…), evasions
    /// (E-…), newcomers (N…), lookalikes (P-…, honest families), attacks (A-…)
    #[arg(long = "scenario", short = 's', value_name = "NAME", value_delimiter = ',')]
    scenarios: Vec<String>,
    /// List the scenarios and their targets
    #[arg(long)]
    list: bool,
    /// Run each scenario on so many seeds
    #[arg(long, default_value_t = 1, value_name = "N")]
    seeds: u64,
    /// First seed
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Size of the honest population: 1 is about 29,000 keys
    #[arg(long, default_value_t = 0.3)]
    honest: f64,
    /// Factor on the number of campaign accounts
    #[arg(long, default_value_t = 1.0)]
    campaign: f64,
    /// Directory of the corpora; without one, built-in texts
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Part of the corpora: all, tune (70 %), held (30 %, never used for tuning)
    #[arg(long, default_value = "all")]
    split: String,
    /// Configuration whose `campaign` parameters are used
    #[arg(long)]
    config: Option<PathBuf>,
    /// Run the rules that others use on the same traffic
    #[arg(long)]
    baselines: bool,
    /// Switch off evidence terms, comma-separated: spread, youth, load, novelty, single_turn, exclusivity, flat_day, timers,
    /// automation, dominance, arm, established, siblings, opening, panels, cohort
    #[arg(long, value_delimiter = ',', value_name = "TERM")]
    without: Vec<String>,
    /// One JSON object a run
    #[arg(long)]
    json: bool,
    /// Tell each honest key's first block, with the evidence
    #[arg(long)]
    verbose: bool,
    /// Print the evidence on a probe's values every half hour
    #[arg(long)]
    trace: bool,
    /// Runs at a time; default: one a core
    #[arg(long)]
    jobs: Option<usize>,
}

/// Checked arguments.
struct Plan {
    setups: Vec<Setup>,
    config: Arc<Config>,
    corpus: Arc<corpus::Corpus>,
    jobs: usize,
}

pub fn run(args: &Args) -> u8 {
    if args.list {
        report::list();
        return OK;
    }
    let plan = match plan(args) {
        Ok(plan) => plan,
        Err(status) => return status,
    };
    let reports = all(&plan);
    if args.json {
        reports.iter().for_each(|r| println!("{}", report::json(r)));
    } else {
        report::table(&reports, &plan.corpus.origin);
    }
    let kept = reports.iter().all(|r| report::missed(r).is_empty());
    if kept { OK } else { MISSED }
}

fn usage(message: &str) -> u8 {
    eprintln!("weir simulate: {message}");
    USAGE
}

fn plan(args: &Args) -> Result<Plan, u8> {
    let in_range = |x: f64| x > 0.0 && x <= 10.0;
    if !in_range(args.honest) || !in_range(args.campaign) {
        return Err(usage("--honest and --campaign must be above 0, at most 10"));
    }
    if args.seeds == 0 || args.seeds > 1_000 {
        return Err(usage("--seeds must be 1 to 1000"));
    }
    if args.jobs == Some(0) {
        return Err(usage("--jobs must be at least 1"));
    }
    let split = match args.split.as_str() {
        "all" => Split::All,
        "tune" => Split::Tune,
        "held" => Split::Held,
        other => return Err(usage(&format!("--split is {other:?}, must be all, tune or held"))),
    };
    if args.corpus.is_none() && args.split != "all" {
        return Err(usage("--split needs --corpus: the built-in texts have no parts"));
    }
    let mut config = check::load(args.config.as_ref())?;
    // Default sizes are those of one VM; a simulated node has those of a node.
    if args.config.is_none() {
        config.keys = 131_072;
    }
    for term in &args.without {
        if !config.campaign.switch_off(term) {
            return Err(usage(&format!("--without {term}: no such term")));
        }
    }
    let names = report::names(&args.scenarios).map_err(|e| usage(&e))?;
    let corpus = load(args.corpus.as_deref(), split)?;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let runs = names.len() * args.seeds as usize;
    let jobs = args.jobs.unwrap_or(cores).min(runs);
    let mut setups = Vec::new();
    for scenario in names {
        for i in 0..args.seeds {
            setups.push(Setup {
                scenario: *scenario,
                seed: args.seed + i,
                honest: args.honest,
                campaign: args.campaign,
                baselines: args.baselines,
                pipelined: jobs < cores,
                verbose: args.verbose,
                trace: args.trace,
            });
        }
    }
    Ok(Plan { setups, config: Arc::new(config), corpus: Arc::new(corpus), jobs })
}

fn load(dir: Option<&Path>, split: Split) -> Result<corpus::Corpus, u8> {
    let (corpus, warnings) = corpus::load(dir, split).map_err(|e| {
        eprintln!("weir simulate: {}: {e}", dir.map_or("built-in texts".into(), |d| d.display().to_string()));
        IO
    })?;
    warnings.iter().for_each(|w| eprintln!("weir simulate: {w}"));
    Ok(corpus)
}

/// All runs, several at a time; the reports in the order asked for.
fn all(plan: &Plan) -> Vec<Report> {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{msg} {human_pos} requests {per_sec} {elapsed}") {
        bar.set_style(style);
    }
    let next = Mutex::new(0usize);
    let reports: Mutex<Vec<(usize, Report)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..plan.jobs {
            scope.spawn(|| {
                loop {
                    let Ok(mut at) = next.lock() else { return };
                    let i = *at;
                    *at += 1;
                    drop(at);
                    let Some(setup) = plan.setups.get(i) else { return };
                    bar.set_message(format!("{}/{} {}", i + 1, plan.setups.len(), setup.scenario.name));
                    let r = run::run(setup, &plan.config, &plan.corpus, &|n| bar.inc(n));
                    bar.suspend(|| report::line(&r));
                    if let Ok(mut all) = reports.lock() {
                        all.push((i, r));
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut reports = reports.into_inner().unwrap_or_default();
    reports.sort_by_key(|(i, _)| *i);
    reports.into_iter().map(|(_, r)| r).collect()
}
