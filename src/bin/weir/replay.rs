//! `weir replay`: recorded traffic through workers and ledger of the module, as it would have been judged.

mod batch;
mod reader;
mod source;
mod summary;
mod threads;

use crate::deployment::{self, Deployment};
use crate::skip::Skipped;
use crate::{IO, OK, SKIPPED, USAGE, check};
use batch::{Batch, End, Request};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir::engine::Decision;
use weir::engine::units::Nanos;
use weir::engine::verdict::Action;

/// Replay recorded traffic (JSON Lines; plain, .gz or .zst) through the engine
///
/// Counts of blocks and throttles per label are as decided, so that a report in shadow mode shows what would be blocked;
/// `actions` are as done in the configured mode.
#[derive(clap::Args)]
pub struct Args {
    /// Configuration; without one the defaults apply
    #[arg(long)]
    config: Option<PathBuf>,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// Write one line a request: what was decided
    #[arg(long, value_name = "FILE")]
    decisions: Option<PathBuf>,
    /// Write the decision record of each change, as `log.decisions: changes` does, the ledger's among them; read it with
    /// `weir explain`
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// Start from what an earlier replay learned
    #[arg(long, value_name = "FILE")]
    read_state: Option<PathBuf>,
    /// Save what was learned
    #[arg(long, value_name = "FILE")]
    write_state: Option<PathBuf>,
    /// Workers (edges) that decide from what one ledger publishes every 100 ms; 0: both halves in one process. By default
    /// 2 with `scope: node`, 0 with `scope: vm`
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = clap::value_parser!(u8).range(0..=deployment::MOST))]
    edges: Option<u8>,
    /// Threads to work on; all cores by default. The results are the same
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<u8>>,
    /// Traces, in order; - reads standard input
    #[arg(required = true, value_name = "TRACE")]
    traces: Vec<PathBuf>,
}

#[derive(Default)]
struct Label {
    requests: u64,
    blocked: u64,
    throttled: u64,
    /// Per key: was it blocked?
    keys: HashMap<u64, bool>,
    first: Option<Nanos>,
    first_block: Option<Nanos>,
}

struct Replay {
    deployment: Deployment,
    now: Nanos,
    ticked: Nanos,
    /// Lines of the open file behind us.
    number: u64,
    index: u64,
    requests: u64,
    skipped: u64,
    /// What was wrong with lines of the open file.
    faults: Skipped,
    steps_back: u64,
    bytes: u64,
    actions: [u64; 4],
    would: [u64; 4],
    labels: BTreeMap<String, Label>,
    unreadable: BTreeMap<&'static str, u64>,
    decisions: Option<BufWriter<std::fs::File>>,
    records: Option<BufWriter<std::fs::File>>,
    elapsed: Duration,
}

pub fn run(args: &Args) -> u8 {
    match replay(args) {
        Ok(skipped) => {
            if skipped > 0 {
                SKIPPED
            } else {
                OK
            }
        }
        Err(status) => status,
    }
}

fn fail(what: &Path, e: impl std::fmt::Display) -> u8 {
    eprintln!("weir: {}: {e}", what.display());
    IO
}

fn replay(args: &Args) -> Result<u64, u8> {
    let config = Arc::new(check::load(args.config.as_ref())?);
    let edges = args.edges.unwrap_or_else(|| deployment::usual(config.scope));
    let mut r = Replay {
        deployment: Deployment::new(config, edges),
        now: Nanos(0),
        ticked: Nanos(0),
        number: 0,
        index: 0,
        requests: 0,
        skipped: 0,
        faults: Skipped::default(),
        steps_back: 0,
        bytes: 0,
        actions: [0; 4],
        would: [0; 4],
        labels: BTreeMap::new(),
        unreadable: BTreeMap::new(),
        decisions: None,
        records: None,
        elapsed: Duration::ZERO,
    };
    if let Some(path) = &args.read_state {
        let bytes = std::fs::read(path).map_err(|e| fail(path, e))?;
        r.deployment.read_state(&bytes).map_err(|e| {
            eprintln!("weir: {}: state refused: {e}", path.display());
            USAGE
        })?;
    }
    if let Some(path) = &args.decisions {
        r.decisions = Some(BufWriter::new(std::fs::File::create(path).map_err(|e| fail(path, e))?));
    }
    if let Some(path) = &args.records {
        r.records = Some(BufWriter::new(std::fs::File::create(path).map_err(|e| fail(path, e))?));
        r.deployment.keep_news();
    }
    // What was read before a file failed is reported and kept.
    let cores = std::thread::available_parallelism();
    let threads = args.threads.map_or_else(|| cores.map_or(1, NonZero::get), |n| usize::from(n.get()));
    let begun = Instant::now();
    let broken = threads::run(&mut r, &args.traces, threads).err();
    r.deployment.finish();
    r.elapsed = begun.elapsed();
    if let Some(path) = &args.records {
        r.write_news().map_err(|e| fail(path, e))?;
    }
    for (out, path) in [(&mut r.decisions, &args.decisions), (&mut r.records, &args.records)] {
        if let (Some(out), Some(path)) = (out, path) {
            out.flush().map_err(|e| fail(path, e))?;
        }
    }
    if let Some(path) = &args.write_state {
        save(path, &r.deployment.write_state()).map_err(|e| fail(path, e))?;
    }
    let summary = r.summary();
    let mut text = Vec::new();
    let written = if args.json { writeln!(text, "{summary}") } else { r.print(&summary, &mut text) };
    let mut out = std::io::stdout().lock();
    written
        .and_then(|()| out.write_all(&text))
        .and_then(|()| out.flush())
        .map_err(|e| fail(Path::new("standard output"), e))?;
    broken.map_or(Ok(r.skipped), Err)
}

/// Writes beside the target and renames, so that a crash leaves the old state whole.
fn save(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut temp = path.as_os_str().to_owned();
    temp.push(".tmp");
    std::fs::write(&temp, bytes)?;
    std::fs::rename(&temp, path)
}

impl Replay {
    /// Takes over the next batch, in order.
    fn batch(&mut self, batch: &mut Batch) -> Result<(), u8> {
        if batch.first {
            self.number = 0;
        }
        let (path, bar) = (&batch.path, &batch.bar);
        for line in batch.lines.iter_mut() {
            let written = match &line.outcome {
                Ok(early) => {
                    let label = batch.labels.get(line.label.clone()).filter(|_| line.labelled);
                    let d = self.judge(&mut line.request, *early, label);
                    self.write(&d)
                }
                Err(skip) => {
                    self.faults.add(self.number + line.number, skip);
                    self.skipped += 1;
                    self.write_error(&skip.why)
                }
            };
            written.map_err(|e| fail(path, e))?;
            self.index += 1;
        }
        self.number += batch.count;
        if !matches!(batch.end, End::Open) {
            let messages = self.faults.messages(path);
            bar.suspend(|| messages.iter().for_each(|m| eprintln!("{m}")));
        }
        match &batch.end {
            End::Open => {}
            End::File { bytes } => {
                self.bytes += bytes;
                bar.finish_and_clear();
            }
            End::Broken(e) => return Err(fail(path, e)),
        }
        Ok(())
    }

    fn judge(&mut self, r: &mut Request, early: Option<Decision>, label: Option<&str>) -> Decision {
        if r.time < self.now {
            self.steps_back += 1;
        }
        self.now = self.now.max(r.time);
        self.tick();
        let (d, unreadable) = match early {
            Some(d) => (d, None),
            None => {
                r.x.set_time(self.now, r.age.map(|age| self.now.since(age)));
                (self.deployment.judge(self.now, &mut r.x), r.x.unreadable.map(|u| u.name()))
            }
        };
        self.count(label, &d, unreadable);
        d
    }

    /// Ledger ticks at every minute passed; a long gap is crossed in 500 steps, or in so many that each is believed (the ledger
    /// doubts a leap of more than ten minutes).
    fn tick(&mut self) {
        let minute = Nanos::from_secs(60);
        if self.ticked == Nanos(0) {
            self.ticked = self.now;
        }
        let gap = self.now.since(self.ticked);
        let step = minute.max(Nanos(gap.0 / 500).min(Nanos::from_secs(600))).max(Nanos(gap.0 / 100_000));
        while self.now.since(self.ticked) >= step {
            self.ticked = self.ticked.plus(step);
            self.deployment.tick(self.ticked);
        }
    }

    fn count(&mut self, label: Option<&str>, d: &Decision, unreadable: Option<&'static str>) {
        self.requests += 1;
        self.actions[d.action as usize] += 1;
        self.would[d.verdict.action as usize] += 1;
        if let Some(kind) = unreadable {
            *self.unreadable.entry(kind).or_default() += 1;
        }
        let Some(label) = label else { return };
        if !self.labels.contains_key(label) {
            self.labels.insert(label.to_string(), Label::default());
        }
        let Some(l) = self.labels.get_mut(label) else { return };
        let blocked = d.verdict.action == Action::Block;
        l.requests += 1;
        l.blocked += u64::from(blocked);
        l.throttled += u64::from(d.verdict.action == Action::Throttle);
        *l.keys.entry(d.key.0).or_default() |= blocked;
        l.first.get_or_insert(self.now);
        if blocked {
            l.first_block.get_or_insert(self.now);
        }
    }

    /// What the ledger has decided since the last request.
    fn write_news(&mut self) -> std::io::Result<()> {
        let Some(out) = &mut self.records else { return Ok(()) };
        self.deployment.news().iter().try_for_each(|line| writeln!(out, "{line}"))
    }

    fn write(&mut self, d: &Decision) -> std::io::Result<()> {
        self.write_news()?;
        if d.changed
            && let Some(out) = &mut self.records
        {
            writeln!(out, "{}", self.deployment.record(self.now, d))?;
        }
        let Some(out) = &mut self.decisions else { return Ok(()) };
        let reason = match d.verdict.reason.name() {
            "none" => "null".to_string(),
            name => format!("\"{name}\""),
        };
        let case = d.verdict.case_id.map_or_else(|| "null".to_string(), |c| format!("\"{c}\""));
        writeln!(
            out,
            r#"{{"i":{},"action":"{}","reason":{reason},"case":{case},"would":"{}"}}"#,
            self.index,
            d.action.name(),
            d.verdict.action.name()
        )
    }

    fn write_error(&mut self, why: &str) -> std::io::Result<()> {
        let Some(out) = &mut self.decisions else { return Ok(()) };
        writeln!(out, "{}", json!({"i": self.index, "error": why}))
    }
}
