//! The hub's metrics, in Prometheus' format.

use super::histogram::Histogram;
use super::log;
use super::work::Status;
use serde_json::json;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use weir::engine::config::Config;

/// Kinds of refusals: name and HTTP status.
pub const KINDS: [(&str, u16); 28] = [
    ("malformed", 400),
    ("version", 400),
    ("checksum", 400),
    ("token", 401),
    ("forbidden", 403),
    ("identity", 403),
    ("unknown", 404),
    ("not_found", 404),
    ("method", 405),
    ("slow", 408),
    ("seed", 409),
    ("policy", 409),
    ("too_long", 413),
    ("quota", 429),
    ("full", 409),
    ("nodes", 503),
    ("busy", 503),
    ("store_full", 503),
    ("store_failed", 503),
    ("store_readonly", 503),
    ("store_auth", 503),
    ("store_type", 503),
    ("store_slow", 503),
    ("store_down", 503),
    ("store_tls", 503),
    ("store_lost", 503),
    ("standby", 503),
    ("audit_failed", 503),
];

/// Counters of the listener.
#[derive(Debug, Default)]
pub struct Served(Mutex<(Histogram, [u64; KINDS.len()])>, AtomicU64);

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

    /// Counts a failed TLS connection. The first, and every thousandth, is logged.
    pub fn tls_failed(&self, why: &str) {
        if self.1.fetch_add(1, Relaxed).is_multiple_of(1_000) {
            log::warn("tls_failed", json!({"message": why}));
        }
    }

    fn counts(&self) -> (Histogram, [u64; KINDS.len()]) {
        self.0.lock().map(|all| *all).unwrap_or_default()
    }
}

/// The text of all metrics. `events`: number of listeners, and of entries that listeners have missed.
pub fn text(config: &Config, s: &Status, served: &Served, events: (u64, u64)) -> String {
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
    one(
        "cases_withheld",
        "gauge",
        "Open cases that are in force only where they were seen.",
        s.withheld as u64,
    );
    one(
        "identities",
        "gauge",
        "Certificates and tokens that were heard of within a day.",
        s.identities as u64,
    );
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
    one("active", "gauge", "1 if this hub acknowledges, 0 if it stands by.", u64::from(s.is_active));
    one("fence", "gauge", "Number of this hub's lease; 0 without one.", s.fence);
    one("takeovers_total", "counter", "How often this process became active.", s.takeovers);
    let audit = s.audit.as_ref().map_or(0, |a| a.1);
    one("audit_failures_total", "counter", "Lines that the audit log could not take.", audit);
    one("shards_too_long_total", "counter", "Shards that no cell of a proxy can hold.", s.shards_too_long);
    one("tls_failures_total", "counter", "Connections whose handshake failed.", served.1.load(Relaxed));
    one("event_listeners", "gauge", "Streams of events that are open.", events.0);
    one("events_missed_total", "counter", "Events that listeners missed for being slow.", events.1);
    let (exchanges, errors) = served.counts();
    exchanges.write("weir_hub_exchange_seconds", "Exchanges, from their last byte to the reply.", &mut out);
    s.fsync.write("weir_hub_fsync_seconds", "Groups, from the first byte to durable.", &mut out);
    let _ = writeln!(out, "# HELP weir_hub_errors_total Answers that are no reply, by kind.");
    let _ = writeln!(out, "# TYPE weir_hub_errors_total counter");
    for ((kind, _), n) in KINDS.iter().zip(errors) {
        let _ = writeln!(out, "weir_hub_errors_total{{kind=\"{kind}\"}} {n}");
    }
    let _ = writeln!(
        out,
        "# HELP weir_hub_blocks_total Requests that the hub's ledger would have blocked, and those that were."
    );
    let _ = writeln!(out, "# TYPE weir_hub_blocks_total counter");
    for (i, p) in config.profiles.iter().enumerate() {
        let (would, blocked) = s.judged.of(i).by(p.mode);
        for (done, n) in [("would", would), ("blocked", blocked)] {
            let _ = writeln!(out, "weir_hub_blocks_total{{profile={:?},done=\"{done}\"}} {n}", p.name);
        }
    }
    out
}
