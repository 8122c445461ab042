//! What is measured, as Prometheus reads it.

use super::work::Status;
use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

/// Upper bounds, microseconds.
const BOUNDS: [u64; 12] =
    [500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 5_000_000];

/// Durations by their size.
#[derive(Clone, Copy, Debug, Default)]
pub struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum_us: u64,
}

impl Histogram {
    pub fn add(&mut self, d: Duration) {
        let us = u64::try_from(d.as_micros()).unwrap_or(u64::MAX);
        for (n, bound) in self.buckets.iter_mut().zip(BOUNDS) {
            *n += u64::from(us <= bound);
        }
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    fn write(&self, name: &str, help: &str, out: &mut String) {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (n, bound) in self.buckets.iter().zip(BOUNDS) {
            let _ = writeln!(out, "{name}_bucket{{le=\"{}\"}} {n}", bound as f64 / 1e6);
        }
        let _ = writeln!(out, "{name}_bucket{{le=\"+Inf\"}} {}", self.count);
        let _ = writeln!(out, "{name}_sum {}\n{name}_count {}", self.sum_us as f64 / 1e6, self.count);
    }
}

/// Kinds of answers that are no reply: name and status.
pub const KINDS: [(&str, u16); 15] = [
    ("malformed", 400),
    ("version", 400),
    ("checksum", 400),
    ("token", 401),
    ("not_found", 404),
    ("method", 405),
    ("slow", 408),
    ("seed", 409),
    ("policy", 409),
    ("too_long", 413),
    ("quota", 429),
    ("nodes", 503),
    ("busy", 503),
    ("store_full", 503),
    ("store_failed", 503),
];

/// What the listener counts.
#[derive(Debug, Default)]
pub struct Served(Mutex<(Histogram, [u64; KINDS.len()])>);

impl Served {
    pub fn exchange(&self, took: Duration) {
        if let Ok(mut all) = self.0.lock() {
            all.0.add(took);
        }
    }

    pub fn error(&self, kind: &str) {
        if let (Ok(mut all), Some(i)) = (self.0.lock(), KINDS.iter().position(|k| k.0 == kind)) {
            all.1[i] = all.1[i].saturating_add(1);
        }
    }

    fn counts(&self) -> (Histogram, [u64; KINDS.len()]) {
        self.0.lock().map(|all| *all).unwrap_or_default()
    }
}

/// The page.
pub fn text(s: &Status, served: &Served) -> String {
    let mut out = String::new();
    let mut one = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = writeln!(
            out,
            "# HELP weir_hub_{name} {help}\n# TYPE weir_hub_{name} {kind}\nweir_hub_{name} {value}"
        );
    };
    let t = &s.totals;
    one("observations_total", "counter", "Observations taken.", t.applied);
    one("lost_total", "counter", "Observations that a ring lost after its first batch here.", t.lost);
    one("before_total", "counter", "Observations from before the first batch of their ring.", t.before);
    one("duplicate_batches_total", "counter", "Batches that were here already.", t.duplicate);
    one(
        "refused_batches_total",
        "counter",
        "Batches that did not decode or contradict those before.",
        t.refused,
    );
    one("nodes", "gauge", "Nodes that are remembered.", s.nodes.len() as u64);
    one("nodes_clock_far", "gauge", "Nodes whose clock is more than five minutes off.", s.far as u64);
    one("keys", "gauge", "Keys in the table.", s.ledger.keys.into());
    one("keys_capacity", "gauge", "Keys that the table has room for.", s.capacity.into());
    one("keys_evicted_total", "counter", "Keys that had to leave the table.", s.ledger.keys_evicted);
    one("campaigns", "gauge", "Open cases.", s.ledger.campaigns.into());
    one("convicted", "gauge", "Keys convicted at present.", s.ledger.convicted.into());
    one("state_bytes", "gauge", "Bytes of the ledger's tables.", s.ledger.state_bytes);
    one("journal_bytes", "gauge", "Bytes of groups behind the checkpoint.", s.store.bytes);
    one("journal_position", "counter", "Groups kept.", s.store.position);
    one("checkpoints_total", "counter", "Checkpoints written since the start.", s.checkpoints);
    one(
        "checkpoint_failures_total",
        "counter",
        "Checkpoints that failed since the start.",
        s.checkpoint_failures,
    );
    one("store_ok", "gauge", "1 if the last group was kept.", u64::from(s.store_error.is_none()));
    one("shards_too_long_total", "counter", "Shards that no cell of a proxy can hold.", s.shards_too_long);
    let (exchanges, errors) = served.counts();
    exchanges.write("weir_hub_exchange_seconds", "Exchanges, from their last byte to the reply.", &mut out);
    s.fsync.write("weir_hub_fsync_seconds", "Groups, from the first byte to durable.", &mut out);
    let _ = writeln!(out, "# HELP weir_hub_errors_total Answers that are no reply, by kind.");
    let _ = writeln!(out, "# TYPE weir_hub_errors_total counter");
    for ((kind, _), n) in KINDS.iter().zip(errors) {
        let _ = writeln!(out, "weir_hub_errors_total{{kind=\"{kind}\"}} {n}");
    }
    out
}
