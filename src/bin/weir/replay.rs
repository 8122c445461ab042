//! `weir replay`: recorded traffic through the engine of the module, as it would have been judged.

use crate::trace::{Item, Line, Lines};
use crate::{IO, OK, SKIPPED, USAGE, check};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir::engine::edge::identity::{Head, Keys};
use weir::engine::units::Nanos;
use weir::engine::verdict::Action;
use weir::engine::{Decision, Engine};

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
    /// Write the decision record of each change, as `log.decisions: changes` does; read it with `weir explain`
    #[arg(long, value_name = "FILE")]
    records: Option<PathBuf>,
    /// Start from what an earlier replay learned
    #[arg(long, value_name = "FILE")]
    read_state: Option<PathBuf>,
    /// Save what was learned
    #[arg(long, value_name = "FILE")]
    write_state: Option<PathBuf>,
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
    engine: Engine,
    keys: Keys,
    now: Nanos,
    ticked: Nanos,
    index: u64,
    requests: u64,
    skipped: u64,
    steps_back: u64,
    bytes: u64,
    actions: [u64; 4],
    would: [u64; 4],
    labels: BTreeMap<String, Label>,
    unreadable: BTreeMap<&'static str, u64>,
    decisions: Option<BufWriter<std::fs::File>>,
    records: Option<BufWriter<std::fs::File>>,
    engine_time: Duration,
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
    let mut r = Replay {
        keys: Keys::new(&config.seed),
        engine: Engine::new(config),
        now: Nanos(0),
        ticked: Nanos(0),
        index: 0,
        requests: 0,
        skipped: 0,
        steps_back: 0,
        bytes: 0,
        actions: [0; 4],
        would: [0; 4],
        labels: BTreeMap::new(),
        unreadable: BTreeMap::new(),
        decisions: None,
        records: None,
        engine_time: Duration::ZERO,
    };
    if let Some(path) = &args.read_state {
        let bytes = std::fs::read(path).map_err(|e| fail(path, e))?;
        r.engine.read_state(&bytes).map_err(|e| {
            eprintln!("weir: {}: state refused: {e}", path.display());
            USAGE
        })?;
    }
    if let Some(path) = &args.decisions {
        r.decisions = Some(BufWriter::new(std::fs::File::create(path).map_err(|e| fail(path, e))?));
    }
    if let Some(path) = &args.records {
        r.records = Some(BufWriter::new(std::fs::File::create(path).map_err(|e| fail(path, e))?));
    }
    // What was read before a file failed is reported and kept.
    let broken = args.traces.iter().find_map(|path| r.file(path).err());
    for (out, path) in [(&mut r.decisions, &args.decisions), (&mut r.records, &args.records)] {
        if let (Some(out), Some(path)) = (out, path) {
            out.flush().map_err(|e| fail(path, e))?;
        }
    }
    if let Some(path) = &args.write_state {
        save(path, &r.engine.write_state()).map_err(|e| fail(path, e))?;
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

fn progress(path: &Path, size: u64) -> ProgressBar {
    if !std::io::stderr().is_terminal() || size == 0 {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    let bar = ProgressBar::new(size).with_message(path.display().to_string());
    style.map(|s| bar.clone().with_style(s)).unwrap_or(bar)
}

impl Replay {
    fn file(&mut self, path: &Path) -> Result<(), u8> {
        let mut bar = ProgressBar::hidden();
        let mut lines = Lines::open(path, |raw, size| {
            bar = progress(path, size);
            Box::new(bar.wrap_read(raw))
        })
        .map_err(|e| fail(path, e))?;
        let mut number = 0u64;
        loop {
            let item = lines.next().map_err(|e| fail(path, e))?;
            number += 1;
            let result = match item {
                None => break,
                Some(Item::TooLong) => Err(format!("line is longer than {} bytes", crate::trace::MAX_LINE)),
                Some(Item::Line([])) => continue,
                Some(Item::Line(text)) => self.line(text),
            };
            let written = match result {
                Ok(d) => self.write(&d),
                Err(why) => {
                    bar.suspend(|| eprintln!("{}:{number}: skipped: {why}", path.display()));
                    self.skipped += 1;
                    self.write_error(&why)
                }
            };
            written.map_err(|e| fail(path, e))?;
            self.index += 1;
        }
        self.bytes += lines.bytes;
        bar.finish_and_clear();
        Ok(())
    }

    fn line(&mut self, text: &[u8]) -> Result<Decision, String> {
        let mut line = Line::parse(text)?;
        let t = line.time()?;
        let body = line.body()?.map(|b| b.into_owned());
        let properties = line.properties();
        let begun = Instant::now();
        if t < self.now {
            self.steps_back += 1;
        }
        self.now = self.now.max(t);
        self.tick();
        let headers: Vec<(&[u8], &[u8])> =
            line.headers.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
        fn opt<'a>(s: &'a Option<std::borrow::Cow<'_, str>>) -> &'a [u8] {
            s.as_deref().unwrap_or_default().as_bytes()
        }
        let method = line.method.as_deref().unwrap_or("POST");
        let head = Head {
            method: method.as_bytes(),
            path: line.path.as_bytes(),
            authority: opt(&line.authority),
            headers: &headers,
            source: opt(&line.source),
            route: opt(&line.route),
            virtual_host: b"",
            service: b"",
            metadata_profile: b"",
            properties: &properties,
            end_of_stream: body.is_none(),
        };
        let mut session = self.engine.open(self.now, &head);
        if let Some(age) = line.key_age_s {
            session.identity.created = Some(self.now.since(Nanos((age * 1e9) as u64)));
        }
        if let Some(tenant) = &line.tenant {
            session.identity.tenant = self.keys.tenant(tenant.as_bytes());
        }
        if let Some(body) = &body {
            session.push(body, true);
        }
        let d = self.engine.decide(self.now, &mut session);
        self.engine_time += begun.elapsed();
        let unreadable = session.facts.unreadable.map(|u| u.name());
        self.count(line.label.as_deref(), &d, unreadable);
        Ok(d)
    }

    /// Ledger ticks at every minute passed; a long gap is crossed in at most 500 steps.
    fn tick(&mut self) {
        let minute = Nanos::from_secs(60);
        if self.ticked == Nanos(0) {
            self.ticked = self.now;
        }
        let step = minute.max(Nanos(self.now.since(self.ticked).0 / 500));
        while self.now.since(self.ticked) >= step {
            self.ticked = self.ticked.plus(step);
            self.engine.tick(self.ticked);
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

    fn write(&mut self, d: &Decision) -> std::io::Result<()> {
        if d.changed
            && let Some(out) = &mut self.records
        {
            writeln!(out, "{}", self.engine.record(self.now, d))?;
        }
        let Some(out) = &mut self.decisions else { return Ok(()) };
        let reason = match d.verdict.reason.name() {
            "none" => "null".to_string(),
            name => format!("\"{name}\""),
        };
        let case = d.verdict.case.map_or_else(|| "null".to_string(), |c| format!("\"{c}\""));
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

    fn summary(&self) -> serde_json::Value {
        let by_action = |n: &[u64; 4]| -> serde_json::Value {
            Action::ALL
                .iter()
                .zip(n)
                .map(|(a, n)| (a.name().to_string(), json!(n)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        let labels: serde_json::Map<_, _> = self
            .labels
            .iter()
            .map(|(name, l)| {
                let first_block = l.first_block.zip(l.first).map(|(b, f)| b.since(f).millis() as f64 / 1e3);
                let v = json!({
                    "requests": l.requests, "blocked": l.blocked, "throttled": l.throttled, "keys": l.keys.len(),
                    "keys_blocked": l.keys.values().filter(|b| **b).count(), "first_block_s": first_block,
                });
                (name.clone(), v)
            })
            .collect();
        let groups: Vec<serde_json::Value> = self
            .engine
            .groups()
            .iter()
            .map(|g| {
                let terms: serde_json::Map<_, _> = g.terms.iter().map(|(n, p)| (n.to_string(), json!(p))).collect();
                json!({
                    "campaign": format!("{:08x}", g.campaign), "axis": g.axis, "state": g.state, "id": g.id, "keys": g.keys,
                    "requests": g.requests, "score": g.score, "terms": terms,
                })
            })
            .collect();
        let status = self.engine.status();
        let mut out = json!({
            "requests": self.requests, "keys": status.keys, "skipped": self.skipped, "actions": by_action(&self.actions),
            "would": by_action(&self.would), "by_label": labels, "groups": groups, "unreadable": self.unreadable,
            "ns_per_request": (self.engine_time.as_nanos() as u64).checked_div(self.requests).unwrap_or(0),
            "state_bytes": status.state_bytes, "clock_steps_back": self.steps_back, "bytes": self.bytes,
            "convicted": status.convicted,
        });
        if let Some(c) = self.confusion() {
            out["confusion"] = c;
        }
        out
    }

    /// Keys by truth and verdict, where labels tell the truth.
    fn confusion(&self) -> Option<serde_json::Value> {
        let side = |prefix: &str| {
            let of = self.labels.iter().filter(|(n, _)| n.starts_with(prefix)).map(|(_, l)| l);
            of.fold((0usize, 0usize), |(n, b), l| {
                (n + l.keys.len(), b + l.keys.values().filter(|b| **b).count())
            })
        };
        let ((benign, wrong), (attack, right)) = (side("benign:"), side("attack:"));
        (benign + attack > 0).then(|| {
            json!({"benign_keys": benign, "benign_keys_blocked": wrong, "attack_keys": attack, "attack_keys_blocked": right})
        })
    }

    fn print(&self, s: &serde_json::Value, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(
            out,
            "requests {}  keys {}  skipped {}  state {} bytes  {} ns/request",
            s["requests"], s["keys"], s["skipped"], s["state_bytes"], s["ns_per_request"]
        )?;
        writeln!(
            out,
            "decided  allow {}  tag {}  throttle {}  block {}",
            self.would[0], self.would[1], self.would[2], self.would[3]
        )?;
        writeln!(
            out,
            "done     allow {}  tag {}  throttle {}  block {}",
            self.actions[0], self.actions[1], self.actions[2], self.actions[3]
        )?;
        if !self.unreadable.is_empty() {
            let all: Vec<String> = self.unreadable.iter().map(|(k, n)| format!("{k} {n}")).collect();
            writeln!(out, "unreadable  {}", all.join("  "))?;
        }
        if !self.labels.is_empty() {
            writeln!(
                out,
                "\n{:<28} {:>9} {:>9} {:>9} {:>7} {:>12} {:>14}",
                "label", "requests", "blocked", "throttled", "keys", "keys blocked", "first block s"
            )?;
            for (name, l) in &self.labels {
                let v = &s["by_label"][name];
                writeln!(
                    out,
                    "{name:<28} {:>9} {:>9} {:>9} {:>7} {:>12} {:>14}",
                    l.requests,
                    l.blocked,
                    l.throttled,
                    l.keys.len(),
                    v["keys_blocked"].to_string(),
                    v["first_block_s"].to_string()
                )?;
            }
        }
        let groups = self.engine.groups();
        if !groups.is_empty() {
            writeln!(
                out,
                "\n{:<22} {:<8} {:<10} {:>7} {:>9} {:>6}  evidence (points)",
                "group", "axis", "state", "keys", "requests", "score"
            )?;
            for g in groups.iter().take(40) {
                let terms: Vec<String> =
                    g.terms.iter().filter(|(_, p)| *p != 0).map(|(n, p)| format!("{n} {p}")).collect();
                writeln!(
                    out,
                    "{:<22} {:<8} {:<10} {:>7} {:>9} {:>6}  {}",
                    g.id,
                    g.axis,
                    g.state,
                    g.keys,
                    g.requests,
                    g.score,
                    terms.join(", ")
                )?;
            }
        }
        Ok(())
    }
}
