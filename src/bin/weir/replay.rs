//! `weir replay`: recorded traffic through the module's workers and ledger, judged as it would have been
//! live.

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod formats_tests;
mod summary;
mod threads;
pub mod tune;
mod window;

use crate::deployment::{self, Deployment, Ticker};
use crate::import;
use crate::import::join::Join;
use crate::import::request::{Beside, Paths};
use crate::requests::batch::{Batch, Count, End, Request};
use crate::requests::reader::{Import, Reader};
use crate::skip::{Skip, Skipped};
use crate::trace::Line;
use crate::{OK, SKIPPED, USAGE, check, fail};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tune::Tune;
use weir::engine::Decision;
use weir::engine::units::Nanos;
use weir::engine::verdict::Action;
use window::{Waiting, Window};

/// Replay recorded traffic (traces, and logs of gateways; plain, .gz or .zst) through the engine
///
/// Logs that are known are told by each record: Envoy taps and access logs, LiteLLM, batch files, Bedrock, OTLP, Langfuse, Helicone,
/// Kong, Portkey, Vertex and others.
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
    /// Write one line a request: what was decided, of which key, with its label; `weir report` counts by it
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
    /// All records are of this format; by default each is recognised by itself
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(import::names()))]
    format: Option<String>,
    #[command(flatten)]
    paths: Paths,
    /// Requests of logs that wait until none before them can come any more; 3 KiB each
    #[arg(long, value_name = "N", default_value_t = window::USUAL, value_parser = clap::value_parser!(u32).range(1..=4_194_304))]
    window: u32,
    /// Say what this traffic tells of the configuration: templates to allow, what `campaign.block_odds` costs, where ages would come
    /// from; each proposal as a merge patch. Takes several times as long
    #[arg(long)]
    tune: bool,
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
    ticker: Ticker,
    /// Lines of the open file behind us.
    number: u64,
    index: u64,
    requests: u64,
    skipped: u64,
    /// What was wrong with lines of the open file.
    faults: Skipped,
    steps_back: u64,
    /// How records are read.
    import: Import,
    /// Those of other formats that wait for their time.
    window: Window,
    /// The same under other odds.
    tune: Option<Box<Tune>>,
    /// Pieces of requests.
    join: Join,
    /// By format, what was read.
    formats: BTreeMap<&'static str, Count>,
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

fn replay(args: &Args) -> Result<u64, u8> {
    let config = Arc::new(check::load(args.config.as_ref())?);
    let edges = args.edges.unwrap_or_else(|| deployment::usual(config.scope));
    let mut r = Replay {
        deployment: Deployment::new(config, edges),
        now: Nanos(0),
        ticker: Ticker::default(),
        number: 0,
        index: 0,
        requests: 0,
        skipped: 0,
        faults: Skipped::default(),
        steps_back: 0,
        import: Import {
            format: args.format.as_deref().and_then(import::named),
            traces_only: args.format.as_deref() == Some(import::TRACE),
            paths: args.paths.clone(),
            times: args.tune,
        },
        tune: None,
        window: Window::new(args.window),
        join: Join::default(),
        formats: BTreeMap::new(),
        bytes: 0,
        actions: [0; 4],
        would: [0; 4],
        labels: BTreeMap::new(),
        unreadable: BTreeMap::new(),
        decisions: None,
        records: None,
        elapsed: Duration::ZERO,
    };
    if args.tune {
        let text = args.config.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        r.tune = Some(Box::new(Tune::new(r.deployment.config(), edges, text.as_deref())));
    }
    if let Some(path) = &args.read_state {
        let bytes = std::fs::read(path).map_err(|e| fail(path, e))?;
        let mut all = r.tune.iter_mut().flat_map(|t| t.deployments()).chain([&mut r.deployment]);
        all.try_for_each(|d| d.read_state(&bytes)).map_err(|e| {
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
    while let Some(one) = r.window.pop() {
        r.waited(one).map_err(|e| fail(Path::new("output"), e))?;
    }
    r.deployment.finish();
    r.tune.iter_mut().for_each(|t| t.finish());
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
    fn batch(&mut self, batch: &mut Batch, reader: &mut Reader) -> Result<(), u8> {
        if batch.first {
            self.number = 0;
        }
        let (path, bar) = (&batch.path, &batch.bar);
        for line in batch.lines.iter_mut() {
            if let Some((of, piece)) = line.piece.take() {
                let mut done = Vec::new();
                if !self.join.take(&of, piece, &mut done) {
                    let why = Skip::new("a piece of a request whose head is not there");
                    self.skip(line.number, &why).map_err(|e| fail(path, e))?;
                }
                self.joined(reader, &done).map_err(|e| fail(path, e))?;
                continue;
            }
            let written = match &line.outcome {
                Ok(early) => {
                    let label = batch.labels.get(line.label.clone()).filter(|_| line.labelled);
                    self.request(&mut line.request, *early, label, line.imported, &mut line.times)
                }
                Err(why) => self.skip(line.number, why),
            };
            written.map_err(|e| fail(path, e))?;
        }
        self.number += batch.count;
        for (name, count) in std::mem::take(&mut batch.formats) {
            self.formats.entry(name).or_default().add(count);
        }
        if !matches!(batch.end, End::Open) {
            let mut done = Vec::new();
            self.join.finish(&mut done);
            self.joined(reader, &done).map_err(|e| fail(path, e))?;
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

    fn skip(&mut self, number: u64, why: &Skip) -> std::io::Result<()> {
        self.faults.add(self.number + number, why);
        self.skipped += 1;
        self.write_error(&why.why)?;
        self.index += 1;
        Ok(())
    }

    /// Requests whose pieces have all come.
    fn joined(&mut self, reader: &mut Reader, lines: &[Vec<u8>]) -> std::io::Result<()> {
        for text in lines {
            let mut request = Request::default();
            let read = Line::parse(text)
                .and_then(|mut line| reader.line(&mut line, &Beside::default(), &mut request));
            self.formats.entry(import::STREAMED).or_default().requests += 1;
            match read {
                Ok(early) => self.request(&mut request, early, None, true, &mut Vec::new())?,
                Err(why) => self.skip(0, &why)?,
            }
        }
        Ok(())
    }

    /// One request in the order read: judged now, or when its time has come.
    fn request(
        &mut self,
        request: &mut Request,
        early: Option<Decision>,
        label: Option<&str>,
        waits: bool,
        times: &mut Vec<(String, u32)>,
    ) -> std::io::Result<()> {
        let index = self.index;
        self.index += 1;
        if !waits && self.window.is_empty() {
            let d = self.judge(request, early, label, times);
            return self.write(index, &d, label);
        }
        let (request, label, times) =
            (std::mem::take(request), label.map(str::to_string), std::mem::take(times));
        match self.window.take(Waiting { index, early, request, label, times }) {
            Some(first) => self.waited(first),
            None => Ok(()),
        }
    }

    fn waited(&mut self, mut one: Waiting) -> std::io::Result<()> {
        let d = self.judge(&mut one.request, one.early, one.label.as_deref(), &one.times);
        self.write(one.index, &d, one.label.as_deref())
    }

    fn judge(
        &mut self,
        r: &mut Request,
        early: Option<Decision>,
        label: Option<&str>,
        times: &[(String, u32)],
    ) -> Decision {
        if r.time < self.now {
            self.steps_back += 1;
        }
        self.now = self.now.max(r.time);
        let (deployment, tune) = (&mut self.deployment, &mut self.tune);
        self.ticker.to(self.now, |at| {
            deployment.tick(at);
            tune.iter_mut().for_each(|t| t.tick(at));
        });
        let (d, unreadable) = match early {
            Some(d) => (d, None),
            None => {
                r.x.set_time(self.now, r.age.map(|age| self.now.since(age)));
                let judged = self.tune.as_mut().map(|t| t.judge(self.now, &r.x));
                let d = self.deployment.judge(self.now, &mut r.x);
                if let (Some(tune), Some(mut judged)) = (&mut self.tune, judged) {
                    judged.add(tune.own(), &d);
                    tune.count(self.now, r, label, judged, times);
                }
                (d, r.x.unreadable.map(|u| u.name()))
            }
        };
        self.count(label, &d, unreadable);
        d
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

    fn write(&mut self, index: u64, d: &Decision, label: Option<&str>) -> std::io::Result<()> {
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
        let label = label.map_or_else(String::new, |l| format!(",\"label\":{}", json!(l)));
        writeln!(
            out,
            r#"{{"i":{},"t_ms":{},"key":"{}","action":"{}","reason":{reason},"case":{case},"would":"{}"{label}}}"#,
            index,
            self.now.millis(),
            d.key,
            d.action.name(),
            d.verdict.action.name()
        )
    }

    fn write_error(&mut self, why: &str) -> std::io::Result<()> {
        let Some(out) = &mut self.decisions else { return Ok(()) };
        writeln!(out, "{}", json!({"i": self.index, "error": why}))
    }
}
