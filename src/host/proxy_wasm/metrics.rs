//! Counters and gauges at fixed cardinality. Labels are `.k=v` segments that `stats_tags` turns into Prometheus labels.

use super::abi::{self, Metric};
use crate::engine::hash;
use crate::engine::verdict::{Action, Reason};
use crate::engine::{Decision, Status};
use crate::node::{Counts, Health};
use std::fmt::Write;

/// Metric ids of one policy. Every id is looked up in the host once.
#[derive(Debug)]
pub struct Metrics {
    policy: String,
    /// Sorted by slot: what is counted, and for whom.
    ids: Vec<(u64, Option<u32>)>,
}

/// Events without labels.
#[derive(Clone, Copy, Debug)]
#[repr(u32)]
pub enum Event {
    /// A request reached the filter.
    Seen = 1,
    /// A VM started.
    VmStart = 2,
    /// No verdict could be reached; `failure_mode` applied.
    Undecided = 3,
    /// A stream ended before it could be decided.
    Aborted = 4,
    /// The headers had gone before the tag was known: only filter state carries it.
    TagLate = 5,
    /// A stream hung at its headers and was let go.
    HoldWatchdog = 6,
    /// A decision was not logged: too many lines.
    LogSuppressed = 7,
}

impl Event {
    const fn name(self) -> &'static str {
        match self {
            Event::Seen => "requests_seen",
            Event::VmStart => "vm_starts",
            Event::Undecided => "undecided",
            Event::Aborted => "aborted",
            Event::TagLate => "tag_late",
            Event::HoldWatchdog => "hold_watchdog",
            Event::LogSuppressed => "log_suppressed",
        }
    }
}

/// Names are few: 40 bits of their hash keep them apart.
fn name_hash(name: &str) -> u64 {
    hash::text(0, name.as_bytes()) >> 24
}

/// Names may hold what would break a stat name: such a byte is an underscore, and the name's hash behind it keeps two such
/// names apart (`@`, which separates a profile from its mode, is an underscore and no more).
fn label(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut out: String = text.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if !text.chars().all(|c| plain(c) || c == '@') {
        let _ = write!(out, "-{:08x}", name_hash(text) >> 8);
    }
    out
}

impl Metrics {
    /// For one policy.
    pub fn new(policy: &str) -> Metrics {
        Metrics { policy: label(policy), ids: Vec::new() }
    }

    /// Does the host have metrics? Known once the first was asked for.
    pub fn exist(&self) -> bool {
        self.ids.iter().any(|(_, id)| id.is_some())
    }

    fn id(&mut self, slot: u64, kind: Metric, name: impl FnOnce(&str) -> String) -> Option<u32> {
        let at = match self.ids.binary_search_by_key(&slot, |(s, _)| *s) {
            Ok(at) => at,
            Err(at) => {
                self.ids.insert(at, (slot, abi::define_metric(kind, &name(&self.policy))));
                at
            }
        };
        self.ids.get(at).and_then(|(_, id)| *id)
    }

    fn add(&mut self, slot: u64, name: impl FnOnce(&str) -> String) {
        if let Some(id) = self.id(slot, Metric::Counter, name) {
            abi::increment(id, 1);
        }
    }

    /// Counts an event.
    pub fn event(&mut self, event: Event) {
        self.add(event as u64, |p| format!("weir.{}.policy={p}", event.name()));
    }

    /// Counts a decision: action and reason as decided, `mode=enforce` where it was carried out.
    pub fn decision(&mut self, d: &Decision, profile: &str) {
        let done = d.action == d.verdict.action && d.mode == crate::engine::verdict::Mode::Enforce;
        let mode = if done {
            "enforce"
        } else if d.mode == crate::engine::verdict::Mode::Off {
            "off"
        } else {
            "shadow"
        };
        let (action, reason) = (d.verdict.action, d.verdict.reason);
        let place = |all: usize, at: Option<usize>| at.unwrap_or(all) as u64;
        let a = place(Action::ALL.len(), Action::ALL.iter().position(|x| *x == action));
        let r = place(Reason::ALL.len(), Reason::ALL.iter().position(|x| *x == reason));
        let m = match mode {
            "enforce" => 0,
            "shadow" => 1,
            _ => 2,
        };
        // By the profile's name: a push may give its number to another.
        let slot = 1 << 56 | name_hash(profile) << 16 | a << 12 | r << 4 | m;
        self.add(slot, |p| {
            let (action, reason, profile) = (action.name(), reason.name(), label(profile));
            format!("weir.requests.policy={p}.profile={profile}.action={action}.reason={reason}.mode={mode}")
        });
    }

    /// Counts what a request said, and nobody could read: its body (by kind), `age`, `address`.
    pub fn unreadable(&mut self, kind: &str) {
        self.add(2 << 56 | name_hash(kind), |p| format!("weir.unreadable.policy={p}.kind={kind}"));
    }

    /// Sets the gauges.
    pub fn status(&mut self, s: &Status) {
        let gauges: [(&str, u64); 10] = [
            ("keys", s.keys.into()),
            ("groups", s.groups.into()),
            ("confirmed", s.confirmed.into()),
            ("campaigns", s.campaigns.into()),
            ("convicted", s.convicted.into()),
            ("groups_evicted", s.groups_evicted),
            ("keys_evicted", s.keys_evicted),
            ("profile_alarm", s.profile_alarm.into()),
            ("state_bytes", s.state_bytes),
            ("short_lived_percent", s.short_lived_percent.into()),
        ];
        for (name, value) in gauges {
            self.gauge(name, value);
        }
    }

    /// Sets one gauge.
    pub fn gauge(&mut self, name: &str, value: u64) {
        if let Some(id) = self.named(Metric::Gauge, name) {
            abi::record(id, value);
        }
    }

    /// Id of a metric without labels, by its name.
    fn named(&mut self, kind: Metric, name: &str) -> Option<u32> {
        self.id(3 << 56 | name_hash(name), kind, |p| ["weir.", name, ".policy=", p].concat())
    }

    /// Adds what the node's counters have grown by.
    pub fn counts(&mut self, before: &Counts, now: &Counts) {
        let counters = [
            ("observations_sent", before.sent, now.sent),
            ("observations_dropped", before.dropped, now.dropped),
            ("observations_applied", before.applied, now.applied),
            ("observations_lost", before.lost, now.lost),
            ("observations_late", before.late, now.late),
            ("cells_refused", before.cells_refused, now.cells_refused),
            ("pages_refused", before.pages_refused, now.pages_refused),
            ("take_overs", before.take_overs, now.take_overs),
        ];
        for (name, before, now) in counters {
            // Defined at zero, too: an alert needs the series.
            if let Some(id) = self.named(Metric::Counter, name)
                && now > before
            {
                abi::increment(id, now.saturating_sub(before).try_into().unwrap_or(0));
            }
        }
    }

    /// Sets the node's gauges.
    pub fn health(&mut self, h: &Health) {
        self.gauge("leader_present", h.present.into());
        self.gauge("leader_beat_age_ms", h.beat_age_ms);
        self.gauge("leader_age_ms", h.leader_age_ms);
        self.gauge("leader_serving", h.serving.into());
        if let Some(lag) = h.lag_ms {
            self.gauge("snapshot_lag_ms", lag);
        }
        if let Some(age) = h.checkpoint_age_ms {
            self.gauge("checkpoint_age_ms", age);
        }
    }
}
