//! `weir simulate`: campaigns among honest traffic through the module's workers and ledger, compared with
//! stated targets.

mod attack;
mod baselines;
mod beta;
mod bound;
mod builtin;
mod census;
mod corpus;
mod fit;
mod flood;
mod honest;
mod leave;
mod report;
mod rng;
mod run;
mod scenarios;
mod templates;
mod texts;
mod world;

use crate::fleet::Layout;
use crate::{IO, OK, USAGE, check, deployment};
use corpus::Split;
use indicatif::{ProgressBar, ProgressStyle};
use run::{Report, Setup};
use scenarios::Scenario;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use weir::engine::config::Config;
use weir::engine::detect::switch_off;
use weir::engine::units::Nanos;

/// Exit status: finished, and a target was missed.
const MISSED: u8 = 4;

/// Run campaigns among honest traffic and report who was blocked
///
/// Exit status: 0 all targets kept; 1 usage; 2 input failed; 4 a target was missed, or a number could not be fitted.
#[derive(clap::Args)]
pub struct Args {
    /// Scenarios by name or family (see --list), or groups: all (but H, lookalikes and attacks), core (S…), cold (C…), evasions
    /// (E-…), newcomers (N…), lookalikes (P-…, honest families), attacks (A-…)
    #[arg(long = "scenario", short = 's', value_name = "NAME", value_delimiter = ',')]
    scenarios: Vec<String>,
    /// List the scenarios and their targets
    #[arg(long)]
    list: bool,
    /// Measure the numbers of `config::fitted` on the traffic of these scenarios (default: every honest family, N150 and eight
    /// campaigns) and print them; nothing is judged
    #[arg(long, conflicts_with = "leave_one_out")]
    fit: bool,
    /// Judge by the numbers of a fit that `--fit --json` has written, instead of the committed ones
    #[arg(long, value_name = "FILE")]
    fitted: Option<PathBuf>,
    /// Fit without each of these honest families (default: all) and judge that family on the seeds and texts after those
    /// of the fit
    #[arg(long)]
    leave_one_out: bool,
    /// With --leave-one-out: sizes of a family that are judged: all (40 to 800 keys) or small (the smallest of those)
    #[arg(long, value_name = "WHICH")]
    sizes: Option<String>,
    /// Run each scenario on so many seeds; default: 1, with --leave-one-out 2
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// First seed: a number, or `today` for the date (YYYYMMDD), which draws the built-in texts too
    #[arg(long, default_value = "1", value_name = "N", allow_negative_numbers = true)]
    seed: String,
    /// Seed of the built-in texts: a number or `today`; default: the texts of the published figures
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    texts: Option<String>,
    /// Size of the honest population: 1 is about 29,000 keys; default: 0.3, with --leave-one-out 0.05 (--fit counts none)
    #[arg(long)]
    honest: Option<f64>,
    /// Factor on the number of campaign accounts; default: 1, to fit and with --leave-one-out 0.4
    #[arg(long)]
    campaign: Option<f64>,
    /// Workers (edges) that decide from what one ledger publishes every 100 ms, as `scope: node` does; 0: both halves in
    /// one process, as `scope: vm` does
    #[arg(long, default_value_t = deployment::USUAL, value_name = "N", allow_negative_numbers = true,
        value_parser = clap::value_parser!(u8).range(0..=deployment::MOST))]
    edges: u8,
    /// So many nodes, each with its edges and a ledger of its own, a key always at the same one, and a hub that hears of all
    /// of them
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=crate::fleet::MOST))]
    nodes: u8,
    /// With --nodes: no hub, each node knows only what it sees itself
    #[arg(long, requires = "nodes")]
    no_hub: bool,
    /// With --nodes: each node is restarted once a day and has forgotten everything
    #[arg(long, requires = "nodes")]
    restarts: bool,
    /// With --nodes: all nodes are restarted one after the other, a minute apart, so many hours into the campaign
    #[arg(long, requires = "nodes", value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    roll: Option<u32>,
    /// With --nodes: each request goes to any node, whoever sends it
    #[arg(long, requires = "nodes")]
    roaming: bool,
    /// With --nodes: milliseconds from a node to the hub, and from the hub to a node
    #[arg(long, requires = "nodes", value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=2_000))]
    delay: u64,
    /// With --nodes: percent of the exchanges that are lost, half of them on the way to the hub and half on the way back
    #[arg(long, requires = "nodes", value_name = "PERCENT", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=90))]
    loss: u8,
    /// With --nodes: the nodes' clocks are off by up to so many seconds, evenly from as many behind to as many ahead
    #[arg(long, requires = "nodes", value_name = "S", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    skew: u32,
    /// With --nodes: so many nodes must have seen a campaign before the hub's verdicts on it hold at all of them
    #[arg(long, requires = "nodes", value_name = "N", default_value_t = crate::hub::core::QUORUM, value_parser = clap::value_parser!(u8).range(1..=16))]
    quorum: u8,
    /// Directory of the corpora; without one, built-in texts
    #[arg(long, value_name = "DIR")]
    corpus: Option<PathBuf>,
    /// Part of the corpora: all, tune (70 %), held (30 %, never used for tuning)
    #[arg(long, default_value = "all")]
    split: String,
    /// Configuration whose `campaign` parameters are used
    #[arg(long)]
    config: Option<PathBuf>,
    /// Unproven keys share a budget for a suspicious template (`actions.watch: "budget"`, 500 an hour)
    #[arg(long)]
    budget: bool,
    /// Run the rules that others use on the same traffic
    #[arg(long)]
    baselines: bool,
    /// Switch off honest explanations and rules, comma-separated: visitors, people, staff, fleet, repeaters, owner, dominance,
    /// arm, siblings, opening
    #[arg(long, value_delimiter = ',', value_name = "TERM")]
    without: Vec<String>,
    /// One JSON object a run, then one with the honest keys of all runs by class
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

impl Args {
    /// The fleet, if one is asked for.
    fn fleet(&self) -> Option<Layout> {
        let roll = |h: u32| Nanos::from_secs(world::START_S + u64::from(attack::BEGIN_H + h) * 3_600);
        let layout = Layout {
            nodes: self.nodes,
            hub: !self.no_hub,
            quorum: self.quorum,
            skew: Nanos::from_secs(self.skew.into()),
            roaming: self.roaming,
            delay: Nanos::from_millis(self.delay),
            loss: f64::from(self.loss),
            restarts: self.restarts,
            roll: self.roll.map(roll),
        };
        (self.nodes > 0).then_some(layout)
    }
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
    let done = match () {
        () if args.fit => fitted(args),
        () if args.leave_one_out => left_out(args),
        () => judged(args),
    };
    done.unwrap_or_else(|status| status)
}

/// `--fit`.
fn fitted(args: &Args) -> Result<u8, u8> {
    let plan = plan(args)?;
    let counts = fit::count(&plan.setups, &plan.config, &plan.corpus, plan.jobs);
    let found = fit::fit(&counts, None);
    if args.json {
        println!("{}", fit::json(&counts, &found));
    } else {
        fit::literal(&counts, &found, today());
    }
    Ok(if found.is_whole() { OK } else { MISSED })
}

/// `--leave-one-out`.
fn left_out(args: &Args) -> Result<u8, u8> {
    let sizes = match args.sizes.as_deref() {
        None | Some("all") => leave::Sizes::All,
        Some("small") => leave::Sizes::Small,
        Some(other) => return Err(usage(&format!("--sizes is {other:?}, must be all or small"))),
    };
    if args.split != "all" {
        return Err(usage(
            "--split: --leave-one-out fits on tune and judges on held by itself; leave it out",
        ));
    }
    let named = if args.scenarios.is_empty() {
        fit::honest().collect()
    } else {
        report::names(&args.scenarios).map_err(|e| usage(&e))?
    };
    if let Some(s) = named.iter().find(|s| s.keys == 0) {
        let name = s.name;
        return Err(usage(&format!(
            "--scenario {name}: --leave-one-out needs honest families (P-…), see --list"
        )));
    }
    let rows = leave::judged(&named, sizes);
    if rows.is_empty() {
        return Err(usage("--scenario: none of these has 40 to 800 keys, which --leave-one-out judges"));
    }
    let mut plan =
        prepare(args, &fit::usual(), 1, if args.corpus.is_some() { Split::Tune } else { Split::All })?;
    let counts = fit::count(&plan.setups, &plan.config, &plan.corpus, plan.jobs);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    plan.jobs = args.jobs.unwrap_or(cores);
    let (seed, texts) = seeds(args).map_err(|e| usage(&e))?;
    plan.corpus = Arc::new(load(args.corpus.as_deref(), Split::Held, texts + 1)?);
    plan.setups.truncate(1);
    let like = plan.setups.pop();
    for scenario in rows {
        let fitted = Some(fit::fit(&counts, Some(scenario.family)).numbers);
        for i in 0..args.seeds.unwrap_or(2) {
            let other = |s: &Setup| Setup { scenario: *scenario, seed: seed + 1 + i, fitted, ..s.clone() };
            plan.setups.extend(like.as_ref().map(other));
        }
    }
    let rows = leave::rows(&all(&plan, &|_| ()), &counts);
    if args.json {
        println!("{}", leave::json(&rows, &plan.corpus.origin));
    } else {
        leave::table(&rows, &plan.corpus.origin);
    }
    Ok(if rows.iter().all(leave::Row::kept) { OK } else { MISSED })
}

/// The usual command: runs are judged.
fn judged(args: &Args) -> Result<u8, u8> {
    let plan = plan(args)?;
    // A line as soon as a run and those before it are done: who interrupts it keeps what there is.
    let reports = all(&plan, &|r| {
        if args.json {
            println!("{}", report::json(r));
        }
    });
    if args.json {
        println!("{}", report::json_total(&reports, &plan.corpus.origin));
    } else {
        report::table(&reports, &plan.corpus.origin, args.edges);
    }
    let kept = reports.iter().all(|r| report::missed(r).is_empty());
    Ok(if kept { OK } else { MISSED })
}

fn usage(message: &str) -> u8 {
    eprintln!("weir simulate: {message}");
    USAGE
}

fn plan(args: &Args) -> Result<Plan, u8> {
    if args.sizes.is_some() {
        return Err(usage("--sizes needs --leave-one-out"));
    }
    let names = if args.fit && args.scenarios.is_empty() {
        fit::usual()
    } else {
        report::names(&args.scenarios).map_err(|e| usage(&e))?
    };
    let split = match args.split.as_str() {
        "all" => Split::All,
        "tune" => Split::Tune,
        "held" => Split::Held,
        other => return Err(usage(&format!("--split is {other:?}, must be all, tune or held"))),
    };
    prepare(args, &names, args.seeds.unwrap_or(1), split)
}

/// Checks the other arguments, and makes a run for each scenario and seed.
fn prepare(args: &Args, names: &[&'static Scenario], runs_each: u64, split: Split) -> Result<Plan, u8> {
    let in_range = |x: f64| x > 0.0 && x <= 10.0;
    let reduced = args.fit || args.leave_one_out;
    let honest = args.honest.unwrap_or(if reduced { 0.05 } else { 0.3 });
    let campaign = args.campaign.unwrap_or(if reduced { 0.4 } else { 1.0 });
    if !in_range(honest) || !in_range(campaign) {
        return Err(usage("--honest and --campaign must be above 0, at most 10"));
    }
    if args.seeds.is_some_and(|n| n == 0 || n > 1_000) {
        return Err(usage("--seeds must be 1 to 1000"));
    }
    if args.jobs == Some(0) {
        return Err(usage("--jobs must be at least 1"));
    }
    if reduced && (args.baselines || args.trace || args.verbose || !args.without.is_empty()) {
        return Err(usage("--fit and --leave-one-out know no --baselines, --trace, --verbose or --without"));
    }
    if args.corpus.is_none() && args.split != "all" {
        return Err(usage("--split needs --corpus: the built-in texts have no parts"));
    }
    let mut config = check::load(args.config.as_ref())?;
    // One engine in front of all traffic has larger tables than a proxy, of which there are several with --nodes.
    if args.config.is_none() && args.nodes == 0 {
        config.keys = 131_072;
    }
    if args.budget {
        config.profiles.iter_mut().for_each(|p| {
            p.actions.budget.get_or_insert_default();
        });
    }
    for term in &args.without {
        if !switch_off(&mut config.campaign, term) {
            return Err(usage(&format!("--without {term}: no such term")));
        }
    }
    let (seed, texts) = seeds(args).map_err(|e| usage(&e))?;
    let fitted = match &args.fitted {
        Some(_) if reduced => {
            return Err(usage("--fitted: --fit and --leave-one-out make their own; leave it out"));
        }
        Some(path) => Some(fit::read(path).map_err(|e| {
            usage(&format!("--fitted {}: {e}; write it with weir simulate --fit --json", path.display()))
        })?),
        None => None,
    };
    let corpus = load(args.corpus.as_deref(), split, texts)?;
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let runs = names.len() * runs_each as usize;
    let jobs = args.jobs.unwrap_or(cores).min(runs);
    let mut setups = Vec::new();
    for scenario in names {
        for i in 0..runs_each {
            setups.push(Setup {
                scenario: **scenario,
                seed: seed + i,
                honest,
                campaign,
                edges: args.edges,
                fleet: args.fleet(),
                baselines: args.baselines,
                pipelined: jobs < cores,
                verbose: args.verbose,
                trace: args.trace,
                fitted,
            });
        }
    }
    Ok(Plan { setups, config: Arc::new(config), corpus: Arc::new(corpus), jobs })
}

/// First seed of the runs, and the seed of the built-in texts.
fn seeds(args: &Args) -> Result<(u64, u64), String> {
    let number = |name: &str, given: &str| match given {
        "today" => Ok(today()),
        // Seeds count up from the first one.
        _ => given.parse().ok().filter(|n| *n <= u64::MAX - 1_000).ok_or_else(|| {
            format!("{name} is {given:?}, must be a whole number (at most 2^64 - 1001) or today")
        }),
    };
    if args.texts.is_some() && args.corpus.is_some() {
        return Err("--texts draws the built-in texts, --corpus reads others: give one of them".into());
    }
    let seed = number("--seed", &args.seed)?;
    let texts = match &args.texts {
        Some(given) => number("--texts", given)?,
        None if args.seed == "today" && args.corpus.is_none() => seed,
        None => corpus::BUILTIN_SEED,
    };
    Ok((seed, texts))
}

/// Today in UTC as YYYYMMDD.
fn today() -> u64 {
    let text = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).strftime("%Y%m%d").to_string();
    text.parse().unwrap_or_default()
}

fn load(dir: Option<&Path>, split: Split, texts: u64) -> Result<corpus::Corpus, u8> {
    if dir.is_none() {
        return Ok(corpus::built_in(texts));
    }
    let (corpus, warnings) = corpus::load(dir, split).map_err(|e| {
        eprintln!("weir simulate: {}: {e}", dir.map_or("built-in texts".into(), |d| d.display().to_string()));
        IO
    })?;
    warnings.iter().for_each(|w| eprintln!("weir simulate: {w}"));
    Ok(corpus)
}

/// Runs all, several at a time. Returns the reports in the order asked for.
fn all(plan: &Plan, each: &(impl Fn(&Report) + Sync)) -> Vec<Report> {
    let bar = if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{msg} {human_pos} requests {per_sec} {elapsed}") {
        bar.set_style(style);
    }
    let next = Mutex::new(0usize);
    let none: Vec<Option<Report>> = plan.setups.iter().map(|_| None).collect();
    let reports = Mutex::new((none, 0usize));
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
                    let Ok(mut all) = reports.lock() else { return };
                    let (all, told) = &mut *all;
                    bar.suspend(|| {
                        report::line(&r);
                        if let Some(slot) = all.get_mut(i) {
                            *slot = Some(r);
                        }
                        while let Some(Some(r)) = all.get(*told) {
                            each(r);
                            *told += 1;
                        }
                    });
                }
            });
        }
    });
    bar.finish_and_clear();
    reports.into_inner().unwrap_or_default().0.into_iter().flatten().collect()
}
