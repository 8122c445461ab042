//! The figures of a report: one struct that all formats are written from. Times are seconds since the epoch.

use super::logs::{BLOCK, Counts, Key, Logs, NONE, TAG};
use crate::explain::record::Group;
use crate::explain::words;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use weir::engine::verdict::Action;

/// Bars of the timeline, at most.
const BARS: u64 = 200;
/// Campaigns that are listed, at most.
pub const CAMPAIGNS: usize = 20;
/// Keys that may be hurt and are listed, at most.
pub const HURT: usize = 50;
/// Points of a line of growth.
const POINTS: usize = 200;

#[derive(Debug, Serialize)]
pub struct Facts {
    pub weir: &'static str,
    pub version: &'static str,
    pub from_s: u64,
    pub to_s: u64,
    pub input: Input,
    /// `requests` if there are lines of `weir replay --decisions`, which cover every request; `records` if
    /// there are decision records alone.
    pub basis: &'static str,
    pub totals: Totals,
    pub timeline: Timeline,
    pub reasons: Vec<ReasonCount>,
    pub campaigns: Vec<Campaign>,
    /// Number of campaigns that are not listed.
    pub campaigns_more: usize,
    pub load: Vec<Bin>,
    pub age: Vec<Bin>,
    pub labels: Option<Labels>,
    pub shadow: Shadow,
    pub hurt: Vec<Hurt>,
    pub hurt_more: usize,
    pub state: Option<super::state::State>,
}

#[derive(Debug, Serialize)]
pub struct Input {
    pub files: u64,
    pub lines: u64,
    pub records: u64,
    /// Number of those that are the ledger's own.
    pub records_at_ledger: u64,
    pub requests: u64,
    pub malformed: u64,
}

#[derive(Debug, Serialize)]
pub struct Totals {
    pub keys: u64,
    pub keys_blocked: u64,
    /// Requests by what was decided; and by what was done.
    pub would: BTreeMap<&'static str, u64>,
    pub done: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
pub struct Timeline {
    pub step_h: u64,
    pub rows: Vec<Hour>,
}

#[derive(Debug, Serialize)]
pub struct Hour {
    pub t_s: u64,
    pub allow: u64,
    pub tag: u64,
    pub throttle: u64,
    pub block: u64,
}

#[derive(Debug, Serialize)]
pub struct ReasonCount {
    pub reason: String,
    pub would: String,
    pub records: u64,
    pub keys: usize,
}

#[derive(Debug, Serialize)]
pub struct Campaign {
    pub campaign: String,
    pub policy: String,
    pub modes: Vec<String>,
    /// Times of the first record and the last record that name it, of sufficient evidence, and of the first
    /// block.
    pub first_s: u64,
    pub last_s: u64,
    pub since_s: Option<u64>,
    pub first_block_s: Option<u64>,
    pub accounts_blocked: usize,
    pub accounts_tagged_only: usize,
    pub case_ids: usize,
    /// Growth over time: keys blocked, and keys counted by the ledger.
    pub growth: Vec<Point>,
    pub evidence: Option<Evidence>,
}

#[derive(Debug, Serialize)]
pub struct Point {
    pub t_s: u64,
    pub blocked: usize,
    pub counted: Option<u64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    pub at_s: u64,
    pub id: String,
    pub kind: &'static str,
    pub state: String,
    pub keys: u64,
    pub requests: u64,
    pub nats: Option<i64>,
    pub threshold: i64,
    pub min_keys: u64,
    /// Explanations with the nats by which each is worse than the likeliest, which is first.
    pub explanations: Vec<(String, i64)>,
    pub campaign_percent: Option<u32>,
    pub young_percent: u32,
    pub novel_percent: u32,
    pub openings_percent: u32,
    pub old_percent: Option<u32>,
    pub in_words: String,
}

/// Keys of one class of load or age.
#[derive(Debug, Serialize)]
pub struct Bin {
    pub bin: String,
    pub blocked: u64,
    pub others: u64,
}

#[derive(Debug, Serialize)]
pub struct Labels {
    pub rows: Vec<Label>,
    /// Keys by the labels `benign:…` and `attack:…`.
    pub honest_keys: u64,
    pub honest_blocked: u64,
    pub campaign_keys: u64,
    pub campaign_blocked: u64,
    pub unlabelled_keys: u64,
}

#[derive(Debug, Serialize)]
pub struct Label {
    pub label: String,
    pub keys: u64,
    pub blocked: u64,
}

#[derive(Debug, Serialize)]
pub struct Shadow {
    /// Number of records by mode.
    pub modes: BTreeMap<String, u64>,
    /// Requests that passed and would be rejected in enforce mode, by action, and their keys.
    pub would_throttle: u64,
    pub would_block: u64,
    pub keys: u64,
}

#[derive(Debug, Serialize)]
pub struct Hurt {
    pub key: String,
    pub case: Option<String>,
    pub campaign: Option<String>,
    pub reason: String,
    pub requests: u64,
    pub follow_ups: u32,
    pub young: Option<bool>,
    pub age_hours: Option<u64>,
    pub odds_nats: Option<f64>,
    pub block_odds: Option<u64>,
    pub label: Option<String>,
    /// Reasons why it looks honest.
    pub because: Vec<&'static str>,
    /// The `allow` entry to paste into the configuration.
    pub allow: serde_json::Value,
}

fn by_action(counts: &Counts) -> BTreeMap<&'static str, u64> {
    Action::ALL.iter().map(|a| a.name()).zip(counts.iter().copied()).collect()
}

fn add(to: &mut Counts, more: &Counts) {
    to.iter_mut().zip(more).for_each(|(a, b)| *a += b);
}

pub fn evidence(at_ms: u64, g: &Group) -> Evidence {
    let mut explanations: Vec<(String, i64)> = g.explanations.iter().map(|(n, v)| (n.clone(), *v)).collect();
    explanations.sort_by_key(|e| std::cmp::Reverse(e.1));
    Evidence {
        at_s: at_ms / 1000,
        id: g.id.clone(),
        kind: words::kind(g),
        state: g.state.clone(),
        keys: g.keys,
        requests: g.requests,
        nats: g.nats,
        threshold: g.threshold,
        min_keys: g.min_keys,
        explanations,
        campaign_percent: g.campaign_percent,
        young_percent: g.young_percent,
        novel_percent: g.novel_percent,
        openings_percent: g.single_percent,
        old_percent: g.old_percent,
        in_words: words::standing(g),
    }
}

/// Growth in a bounded number of points: keys blocked so far, and keys counted by the ledger.
pub fn growth(c: &super::logs::Campaign) -> Vec<Point> {
    let mut blocked: Vec<u64> = c.blocked.values().copied().collect();
    blocked.sort_unstable();
    let times: BTreeSet<u64> = blocked.iter().chain(c.growth.keys()).map(|t| t / 1000).collect();
    let step = times.len().div_ceil(POINTS).max(1);
    let last = times.last().copied();
    let kept = times.iter().enumerate().filter(|(i, t)| i % step == 0 || Some(**t) == last).map(|(_, t)| *t);
    let point = |t: u64| Point {
        t_s: t,
        blocked: blocked.partition_point(|b| b / 1000 <= t),
        counted: c.growth.range(..=t.saturating_mul(1000).saturating_add(999)).next_back().map(|g| g.1.0),
    };
    kept.map(point).collect()
}

pub fn facts(logs: &Logs, state: Option<super::state::State>) -> Facts {
    let by_lines = !logs.lines.is_empty();
    let of = |k: &Key| if by_lines { k.lines } else { k.records };
    let (mut would, mut done) = (Counts::default(), Counts::default());
    for k in &logs.keys {
        let (w, d) = of(k);
        add(&mut would, &w);
        add(&mut done, &d);
    }
    let (campaigns, campaigns_more) = campaigns(logs);
    let (hurt, hurt_more) = hurt(logs);
    Facts {
        weir: "report",
        version: env!("CARGO_PKG_VERSION"),
        from_s: logs.from_ms / 1000,
        to_s: logs.to_ms / 1000,
        input: Input {
            files: logs.files,
            lines: logs.read,
            records: logs.records,
            records_at_ledger: logs.at_ledger,
            requests: logs.lines.len() as u64,
            malformed: logs.malformed,
        },
        basis: if by_lines { "requests" } else { "records" },
        totals: Totals {
            keys: logs.keys.len() as u64,
            keys_blocked: logs.keys.iter().filter(|k| k.is_blocked()).count() as u64,
            would: by_action(&would),
            done: by_action(&done),
        },
        timeline: timeline(logs),
        reasons: reasons(logs),
        campaigns,
        campaigns_more,
        load: load(logs),
        age: age(logs),
        labels: labels(logs),
        shadow: shadow(logs, by_lines),
        hurt,
        hurt_more,
        state,
    }
}

fn timeline(logs: &Logs) -> Timeline {
    let mut hours: BTreeMap<u64, Counts> = BTreeMap::new();
    if logs.lines.is_empty() {
        hours.clone_from(&logs.hours);
    }
    for l in &logs.lines {
        hours.entry(l.t_ms / 3_600_000).or_default()[usize::from(l.would)] += 1;
    }
    let (Some(first), Some(last)) = (hours.keys().next().copied(), hours.keys().next_back().copied()) else {
        return Timeline { step_h: 1, rows: Vec::new() };
    };
    let step_h = (last - first + 1).div_ceil(BARS).max(1);
    let mut rows: BTreeMap<u64, Counts> = BTreeMap::new();
    let start = first / step_h * step_h;
    rows.extend((start..=last).step_by(step_h as usize).map(|h| (h, Counts::default())));
    for (h, c) in hours {
        add(rows.entry(h / step_h * step_h).or_default(), &c);
    }
    let row = |(h, [allow, tag, throttle, block]): (u64, Counts)| Hour {
        t_s: h.saturating_mul(3600),
        allow,
        tag,
        throttle,
        block,
    };
    Timeline { step_h, rows: rows.into_iter().map(row).collect() }
}

fn reasons(logs: &Logs) -> Vec<ReasonCount> {
    let row = |((reason, would), (records, keys)): (&(String, String), &(u64, BTreeSet<u32>))| ReasonCount {
        reason: reason.clone(),
        would: would.clone(),
        records: *records,
        keys: keys.len(),
    };
    let mut out: Vec<ReasonCount> = logs.reasons.iter().map(row).collect();
    out.sort_by_key(|r| std::cmp::Reverse(r.records));
    out
}

fn campaigns(logs: &Logs) -> (Vec<Campaign>, usize) {
    let mut all: Vec<(&String, &super::logs::Campaign)> = logs.campaigns.iter().collect();
    all.sort_by_key(|(_, c)| std::cmp::Reverse((c.blocked.len(), c.seen.len())));
    let more = all.len().saturating_sub(CAMPAIGNS);
    let one = |(name, c): &(&String, &super::logs::Campaign)| Campaign {
        campaign: (*name).clone(),
        policy: c.policy.clone(),
        modes: c.modes.iter().cloned().collect(),
        first_s: c.first_ms / 1000,
        last_s: c.last_ms / 1000,
        since_s: (c.since_s > 0).then_some(c.since_s),
        first_block_s: c.first_block.as_ref().map(|f| f.0 / 1000),
        accounts_blocked: c.blocked.len(),
        accounts_tagged_only: c.seen.len() - c.blocked.len(),
        case_ids: c.cases.len(),
        growth: growth(c),
        evidence: c.best.as_ref().map(|(t, g)| evidence(*t, g)),
    };
    (all.iter().take(CAMPAIGNS).map(one).collect(), more)
}

/// Keys by class of load: octaves of requests.
fn load(logs: &Logs) -> Vec<Bin> {
    let mut bins: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for k in &logs.keys {
        let bin = bins.entry(k.count().max(1).ilog2()).or_default();
        if k.is_blocked() { bin.0 += 1 } else { bin.1 += 1 }
    }
    let Some((first, last)) = bins.keys().next().zip(bins.keys().next_back()) else { return Vec::new() };
    let name = |o: u32| match o {
        0 => "1".to_string(),
        o => format!("{} to {}", 1u64 << o, (1u128 << (o + 1)) - 1),
    };
    let bin = |o: u32| {
        let (blocked, others) = bins.get(&o).copied().unwrap_or_default();
        Bin { bin: name(o), blocked, others }
    };
    (*first..=*last).map(bin).collect()
}

/// Classes of age: upper bound, hours, and name.
const AGES: [(u64, &str); 8] = [
    (1, "under 1 h"),
    (24, "under 1 day"),
    (72, "1 to 3 days"),
    (168, "3 to 7 days"),
    (336, "7 to 14 days"),
    (720, "14 to 30 days"),
    (2160, "30 to 90 days"),
    (u64::MAX, "90 days or more"),
];

fn age(logs: &Logs) -> Vec<Bin> {
    let mut bins: Vec<Bin> = AGES.iter().map(|a| Bin { bin: a.1.into(), blocked: 0, others: 0 }).collect();
    bins.push(Bin { bin: "not known".into(), blocked: 0, others: 0 });
    let unknown = AGES.len();
    for k in &logs.keys {
        let known = k.own.as_ref().filter(|o| o.age != "unknown");
        let at =
            known.map_or(unknown, |o| AGES.iter().position(|a| o.age_hours < a.0).unwrap_or(unknown - 1));
        if k.is_blocked() { bins[at].blocked += 1 } else { bins[at].others += 1 }
    }
    bins
}

fn labels(logs: &Logs) -> Option<Labels> {
    let mut rows: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    let mut unlabelled_keys = 0;
    for k in &logs.keys {
        match &k.label {
            Some(l) => {
                let row = rows.entry(l).or_default();
                row.0 += 1;
                row.1 += u64::from(k.is_blocked());
            }
            None => unlabelled_keys += 1,
        }
    }
    let side = |prefix: &str| {
        let of = rows.iter().filter(|(l, _)| l.starts_with(prefix));
        of.fold((0, 0), |(n, b), (_, r)| (n + r.0, b + r.1))
    };
    let ((honest_keys, honest_blocked), (campaign_keys, campaign_blocked)) =
        (side("benign:"), side("attack:"));
    let row = |(l, (keys, blocked)): (&&str, &(u64, u64))| Label {
        label: (*l).into(),
        keys: *keys,
        blocked: *blocked,
    };
    (!rows.is_empty()).then(|| Labels {
        rows: rows.iter().map(row).collect(),
        honest_keys,
        honest_blocked,
        campaign_keys,
        campaign_blocked,
        unlabelled_keys,
    })
}

/// Requests that passed and would be rejected in enforce mode. If only records are known of a key, each
/// request's pair of actions is not: the difference of the counts is used.
fn shadow(logs: &Logs, by_lines: bool) -> Shadow {
    let (mut would_throttle, mut would_block, mut keys) = (0, 0, 0);
    for k in &logs.keys {
        let (would, done) = if by_lines { k.lines } else { k.records };
        let (t, b) =
            (would[BLOCK - 1].saturating_sub(done[BLOCK - 1]), would[BLOCK].saturating_sub(done[BLOCK]));
        would_throttle += t;
        would_block += b;
        keys += u64::from(t + b > 0);
    }
    Shadow { modes: logs.modes.clone(), would_throttle, would_block, keys }
}

/// Keys that are blocked as a campaign's, those that look most honest first.
fn hurt(logs: &Logs) -> (Vec<Hurt>, usize) {
    let mut all: Vec<Hurt> = logs
        .keys
        .iter()
        .filter(|k| k.blocked_ms.is_some() && words::is_campaign(&k.reason))
        .map(one)
        .collect();
    let looks = |h: &Hurt| (h.follow_ups > 0, h.young == Some(false), h.because.len());
    all.sort_by(|a, b| {
        let odds = |h: &Hurt| h.odds_nats.unwrap_or(f64::MAX);
        looks(b).cmp(&looks(a)).then(odds(a).total_cmp(&odds(b))).then(a.key.cmp(&b.key))
    });
    let more = all.len().saturating_sub(HURT);
    all.truncate(HURT);
    (all, more)
}

fn one(k: &Key) -> Hurt {
    let o = k.own.as_ref();
    let follow_ups = o.map_or(0, |o| o.talk);
    let block_odds = o.and_then(|o| o.block_odds);
    let odds_nats = o.and_then(|o| o.odds_nats).filter(|n| n.is_finite());
    let mut because = Vec::new();
    if follow_ups > 0 {
        because.push("follows up");
    }
    if o.is_some_and(|o| !o.young) {
        because.push("is not young");
    }
    // Ten times the odds that block.
    if let (Some(nats), Some(block)) = (odds_nats, block_odds)
        && nats < (block as f64 * 10.0).ln()
    {
        because.push("low odds");
    }
    if o.is_some_and(|o| o.openings_percent < 80) {
        because.push("does more than open conversations");
    }
    if k.label.as_deref().is_some_and(|l| l.starts_with("benign:")) {
        because.push("labelled honest");
    }
    Hurt {
        key: k.name.clone(),
        case: k.case.clone(),
        campaign: (k.campaign != NONE).then(|| k.campaign.clone()),
        reason: k.reason.clone(),
        requests: k.count(),
        follow_ups,
        young: o.map(|o| o.young),
        age_hours: o.filter(|o| o.age != "unknown").map(|o| o.age_hours),
        odds_nats,
        block_odds,
        label: k.label.clone(),
        because,
        allow: serde_json::json!({"name": words::entry_name(k.case.as_deref()), "key": k.name}),
    }
}

/// True for the index of an action that serves a request.
pub fn is_served(done: u8) -> bool {
    usize::from(done) <= TAG
}
