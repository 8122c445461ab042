//! Counters and gauges of fixed cardinality. Labels are `.k=v` parts of the name, which `stats_tags` turns
//! into Prometheus labels.

use super::calls;
use crate::engine::hash;
use crate::engine::map::{Map, fixed};
use crate::engine::verdict::{Action, Mode, Reason};
use crate::engine::{Decision, Status};
use crate::node::{Counts, Health};
use proxy_wasm::types::MetricType;
use std::fmt::Write;
use std::hash::{Hash, Hasher};

/// Metrics of one policy. Each id is asked of the host once.
#[derive(Debug)]
pub struct Metrics {
    policy: String,
    ids: Map<Series, Option<u32>>,
}

/// What is counted, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Series {
    Plain(Counter),
    /// Decisions. The profile is known by its name, because a push of configuration may give its number to
    /// another one.
    Requests(Name, Action, Reason, Mode),
    Unreadable(Name),
    /// A metric without labels.
    Named(Name),
}

impl Hash for Series {
    /// One word for all fields, as it is looked up for every request. Names are spread over all bits.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(match *self {
            Series::Plain(counter) => counter as u64,
            Series::Requests(Name(n), action, reason, mode) => {
                n ^ (action as u64) << 16 ^ (reason as u64) << 8 ^ (mode as u64)
            }
            Series::Unreadable(Name(n)) => n.rotate_left(16),
            Series::Named(Name(n)) => n.rotate_left(32),
        });
    }
}

/// A name by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name(u64);

impl Name {
    fn of(text: &str) -> Name {
        Name(hash::text(0, text.as_bytes()))
    }
}

/// Counters without labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// A request has reached the filter.
    Seen = 1,
    /// A VM has started.
    VmStart = 2,
    /// No verdict could be reached, and `failure_mode` was applied.
    Undecided = 3,
    /// A stream has ended before it could be decided.
    Aborted = 4,
    /// The headers were sent before the tag was known: only filter state carries it.
    TagLate = 5,
    /// A stream was released because no body came while its headers were held.
    HoldWatchdog = 6,
    /// A decision was not logged, because there were too many lines.
    LogSuppressed = 7,
}

impl Counter {
    const fn name(self) -> &'static str {
        match self {
            Counter::Seen => "requests_seen",
            Counter::VmStart => "vm_starts",
            Counter::Undecided => "undecided",
            Counter::Aborted => "aborted",
            Counter::TagLate => "tag_late",
            Counter::HoldWatchdog => "hold_watchdog",
            Counter::LogSuppressed => "log_suppressed",
        }
    }
}

/// A label from a name. Bytes that would break a stat name become underscores, and the name's hash is appended to keep two
/// such names apart (not for `@`, which separates a profile from its mode).
fn label(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut out: String = text.chars().map(|c| if plain(c) { c } else { '_' }).collect();
    if !text.chars().all(|c| plain(c) || c == '@') {
        let _ = write!(out, "-{:08x}", Name::of(text).0 >> 32);
    }
    out
}

impl Metrics {
    /// The metrics of a policy.
    pub fn new(policy: &str) -> Metrics {
        Metrics { policy: label(policy), ids: Map::with_hasher(fixed()) }
    }

    /// True if the host has metrics. Known once the first one was defined.
    pub fn exist(&self) -> bool {
        self.ids.values().any(Option::is_some)
    }

    fn id(&mut self, series: Series, kind: MetricType, name: impl FnOnce(&str) -> String) -> Option<u32> {
        match self.ids.get(&series) {
            Some(id) => *id,
            None => {
                let id = calls::define_metric(kind, &name(&self.policy));
                self.ids.insert(series, id);
                id
            }
        }
    }

    fn add(&mut self, series: Series, name: impl FnOnce(&str) -> String) {
        if let Some(id) = self.id(series, MetricType::Counter, name) {
            calls::increment(id, 1);
        }
    }

    /// Adds one to a counter without labels.
    pub fn count(&mut self, counter: Counter) {
        self.add(Series::Plain(counter), |p| format!("weir.{}.policy={p}", counter.name()));
    }

    /// Counts a decision, by action and reason of its verdict; `mode=enforce` if it was carried out.
    pub fn decision(&mut self, d: &Decision, profile: &str) {
        let mode = match d.mode {
            Mode::Enforce if d.action != d.verdict.action => Mode::Shadow,
            mode => mode,
        };
        let (action, reason) = (d.verdict.action, d.verdict.reason);
        let series = Series::Requests(Name::of(profile), action, reason, mode);
        self.add(series, |p| {
            let (action, reason, mode, profile) = (action.name(), reason.name(), mode.name(), label(profile));
            format!("weir.requests.policy={p}.profile={profile}.action={action}.reason={reason}.mode={mode}")
        });
    }

    /// Counts a part of a request that could not be read: `age`, `address`, or the body by its reason.
    pub fn unreadable(&mut self, kind: &str) {
        self.add(Series::Unreadable(Name::of(kind)), |p| format!("weir.unreadable.policy={p}.kind={kind}"));
    }

    /// Sets the gauges of the ledger.
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
        if let Some(id) = self.named(MetricType::Gauge, name) {
            calls::record(id, value);
        }
    }

    /// Id of a metric without labels, by its name.
    fn named(&mut self, kind: MetricType, name: &str) -> Option<u32> {
        self.id(Series::Named(Name::of(name)), kind, |p| ["weir.", name, ".policy=", p].concat())
    }

    /// Adds the growth of the node's counters from `before` to `now`.
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
            ("hub_sent", before.hub_sent, now.hub_sent),
            ("hub_dropped", before.hub_dropped, now.hub_dropped),
            ("hub_failed", before.hub_failed, now.hub_failed),
        ];
        for (name, before, now) in counters {
            // Defined at zero, too: an alert needs the series.
            if let Some(id) = self.named(MetricType::Counter, name)
                && now > before
            {
                calls::increment(id, now.saturating_sub(before).try_into().unwrap_or(0));
            }
        }
    }

    /// Sets the gauges of the node.
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
        if let Some((age, waiting)) = h.hub {
            self.gauge("hub_age_ms", age);
            self.gauge("hub_waiting", waiting);
        }
    }
}
