//! Results as tables and as JSON, and which targets were missed.

use super::bound;
use super::run::{ClassResult, Report};
use super::scenarios::{self, Scenario, find};
use crate::table;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The scenarios of these names and groups.
///
/// # Errors
/// A message: there is no such name.
pub fn names(given: &[String]) -> Result<Vec<&'static Scenario>, String> {
    if given.is_empty() {
        return Err("name scenarios with --scenario, or see --list".into());
    }
    let mut out: Vec<&'static Scenario> = Vec::new();
    for name in given {
        let before = out.len();
        match scenarios::group(name) {
            Some(group) => out.extend(scenarios::all().filter(|s| group(s))),
            None => out.extend(scenarios::all().filter(|s| s.family == name.as_str())),
        }
        if out.len() > before {
            continue;
        }
        out.push(find(name).ok_or_else(|| format!("no scenario {name:?}: see --list"))?);
    }
    Ok(out)
}

/// Prints all scenarios, for `--list`.
pub fn list() {
    let heads = ["scenario", "family", "accounts", "served %", "convicted", "within"];
    let mut rows = table::new(2, &heads);
    rows.set_header(heads.iter().chain(&["campaign"]));
    for s in scenarios::all() {
        let t = s.target.filter(|t| t.served < 100.0);
        let show = |f: &dyn Fn(&super::scenarios::Target) -> String| t.as_ref().map_or_else(|| "-".into(), f);
        rows.add_row([
            s.name.to_string(),
            s.family.to_string(),
            s.accounts.to_string(),
            show(&|t| format!("≤ {}", t.served)),
            show(&|t| format!("≥ {} %", t.convicted)),
            show(&|t| format!("{} h", t.first_block)),
            s.title.to_string(),
        ]);
    }
    println!("{}\n\nIn every scenario: no honest key blocked.", rows.trim_fmt());
}

/// Targets that a result misses, in words.
pub fn missed(r: &Report) -> Vec<String> {
    let mut out = Vec::new();
    let Some(t) = find(r.name).and_then(|s| s.target) else { return out };
    if r.honest_blocked() > 0 {
        out.push(format!("{} honest keys blocked", r.honest_blocked()));
    }
    if r.accounts == 0 {
        return out;
    }
    let percent = |n: u32| 100.0 * f64::from(n) / f64::from(r.accounts);
    if r.served_percent() > t.served {
        out.push(format!("served > {} %", t.served));
    }
    if r.convicted_percent() < t.convicted - 1e-9 {
        out.push(format!("convicted < {} %", t.convicted));
    }
    if t.first_block < 1e6 && r.first_block_h.is_none_or(|h| h > t.first_block) {
        out.push(format!("first block > {} h", t.first_block));
    }
    if percent(r.alarmed) < t.alarmed {
        out.push(format!("alarmed < {} %", t.alarmed));
    }
    out
}

/// Prints one line when a run ends, on standard error.
pub fn line(r: &Report) {
    let blocked: Vec<String> =
        r.honest.iter().filter(|c| c.blocked > 0).map(|c| format!("{} {}", c.name, c.blocked)).collect();
    let throttled: u32 = r.honest.iter().map(|c| c.throttled).sum();
    let (over, of) = (|c: &ClassResult| c.requests_over_budget, |c: &ClassResult| c.requests);
    let (over, of): (u64, u64) = (r.honest.iter().map(over).sum(), r.honest.iter().map(of).sum());
    let over_keys: u32 = r.honest.iter().map(|c| c.over_budget).sum();
    let missed = missed(r);
    eprintln!(
        "{:<22} seed {:<2} served {:>8.4} % ({}/{})  convicted {}/{}  blocked {}  first block {}  alarm 24h {} ever {}  honest blocked {} of {} {:?} throttled {} over budget {} keys {:.4} %  {} ns/request  {:.0} s{}{}{}",
        r.name,
        r.seed,
        r.served_percent(),
        r.served,
        r.attack_requests,
        r.convicted,
        r.active,
        r.blocked_accounts,
        r.first_block_h.map_or("-".into(), |h| format!("{h:.2} h")),
        r.alarmed_24h,
        r.alarmed,
        r.honest_blocked(),
        r.honest_keys(),
        blocked,
        throttled,
        over_keys,
        100.0 * over as f64 / of.max(1) as f64,
        r.ns_per_request,
        r.elapsed.as_secs_f64(),
        rolled(r),
        if missed.is_empty() { "" } else { "  MISSED: " },
        missed.join(", ")
    );
}

/// Share served since the nodes were restarted in turn.
fn rolled(r: &Report) -> String {
    let (sent, served) = r.rolled;
    if r.fleet.is_none_or(|f| f.roll.is_none()) {
        return String::new();
    }
    format!("  after the roll {:.4} % ({served}/{sent})", 100.0 * served as f64 / sent.max(1) as f64)
}

/// Properties of the nodes; `null` for one node.
fn fleet(r: &Report) -> Value {
    r.fleet.map_or(Value::Null, |f| {
        json!({"nodes": f.nodes, "hub": f.hub, "quorum": f.quorum, "skew_s": f.skew.secs(), "roaming": f.roaming, "delay_ms": f.delay.millis(), "loss_percent": f.loss,
            "restarts": f.restarts, "rolled": f.roll.map(|_| json!({"requests": r.rolled.0, "served": r.rolled.1}))})
    })
}

/// A run as JSON.
pub fn json(r: &Report) -> Value {
    let honest: serde_json::Map<String, Value> = r
        .honest
        .iter()
        .map(|c| {
            let v = json!({"keys": c.keys, "blocked": c.blocked, "throttled": c.throttled, "requests": c.requests,
                "requests_blocked": c.requests_blocked, "over_budget": c.over_budget,
                "requests_over_budget": c.requests_over_budget});
            (c.name.to_string(), v)
        })
        .collect();
    let baselines: serde_json::Map<String, Value> = r
        .baselines
        .iter()
        .map(|(n, hit, wrong)| (n.to_string(), json!({"accounts_percent": hit, "honest_keys": wrong})))
        .collect();
    json!({
        "scenario": r.name, "family": find(r.name).map_or("", |s| s.family), "seed": r.seed, "edges": r.edges, "fleet": fleet(r),
        "requests": r.requests,
        "attack": {"accounts": r.accounts, "convicted": r.convicted, "active": r.active, "requests": r.attack_requests, "served": r.served,
            "first_block_h": r.first_block_h, "alarmed": r.alarmed, "alarmed_24h": r.alarmed_24h,
            "blocked": r.blocked_accounts},
        "honest": honest, "state_bytes": r.status.state_bytes, "ns_per_request": r.ns_per_request,
        "baselines": baselines, "missed": missed(r), "elapsed_s": r.elapsed.as_secs_f64(),
    })
}

/// Keys and blocked keys of each honest class over all runs: a key of two runs is two.
fn by_class(reports: &[Report]) -> BTreeMap<&'static str, (u64, u64)> {
    let mut all = BTreeMap::new();
    for c in reports.iter().flat_map(|r| &r.honest) {
        let ClassResult { name, keys, blocked, .. } = c;
        let sum: &mut (u64, u64) = all.entry(*name).or_default();
        *sum = (sum.0 + u64::from(*keys), sum.1 + u64::from(*blocked));
    }
    all
}

/// The honest keys of all runs by class, each with the largest share that may still be blocked (95 %).
pub fn json_total(reports: &[Report], origin: &str) -> Value {
    let line = |keys: u64, blocked: u64| json!({"keys": keys, "blocked": blocked, "upper_percent": 100.0 * bound::upper(blocked, keys)});
    let classes = by_class(reports);
    let (keys, blocked) = classes.values().fold((0, 0), |n, c| (n.0 + c.0, n.1 + c.1));
    let each: serde_json::Map<String, Value> =
        classes.iter().map(|(name, (k, b))| (name.to_string(), line(*k, *b))).collect();
    json!({"total": line(keys, blocked), "classes": each, "runs": reports.len(), "texts": origin})
}

/// Prints mean and worst result over the seeds of each scenario.
pub fn table(reports: &[Report], origin: &str, edges: u8) {
    println!("texts: {origin}; edges: {edges}\n");
    let heads = ["scenario", "seeds", "served % (worst)", "convicted %", "first block h", "honest blocked"];
    let mut table = table::new(1, &heads);
    table.set_header(heads.iter().chain(&["missed"]));
    let mut at = 0;
    while at < reports.len() {
        let name = reports[at].name;
        let rows: Vec<&Report> = reports[at..].iter().take_while(|r| r.name == name).collect();
        at += rows.len();
        table.add_row(row(&rows));
    }
    println!("{}", table.trim_fmt());
    total(reports);
    for r in reports.iter().filter(|r| !r.baselines.is_empty()) {
        let all: Vec<String> = r
            .baselines
            .iter()
            .map(|(n, hit, wrong)| format!("{n}: {hit:.0} % of accounts, {wrong} honest keys"))
            .collect();
        println!("{:<18} seed {}  {}", r.name, r.seed, all.join("; "));
    }
}

fn total(reports: &[Report]) {
    let mut seeds: Vec<u64> = reports.iter().map(|r| r.seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    println!("\nseeds {seeds:?}; upper: 95 % limit of the honest share that is blocked (0 of n is 3/n)");
    let mut rows = table::new(1, &["honest class", "key-runs", "blocked", "%", "upper %"]);
    let mut line = |name: &str, keys: u64, blocked: u64| {
        let percent = 100.0 * blocked as f64 / keys.max(1) as f64;
        let upper = 100.0 * bound::upper(blocked, keys);
        rows.add_row([
            name.to_string(),
            keys.to_string(),
            blocked.to_string(),
            format!("{percent:.3}"),
            format!("{upper:.3}"),
        ]);
    };
    let classes = by_class(reports);
    classes.iter().for_each(|(name, (keys, blocked))| line(name, *keys, *blocked));
    let (keys, blocked) = classes.values().fold((0, 0), |n, c| (n.0 + c.0, n.1 + c.1));
    line("total", keys, blocked);
    println!("{}", rows.trim_fmt());
}

fn row(rows: &[&Report]) -> [String; 7] {
    let n = rows.len() as f64;
    let mean = |f: &dyn Fn(&Report) -> f64| rows.iter().map(|r| f(r)).sum::<f64>() / n;
    let worst = |f: &dyn Fn(&Report) -> f64| rows.iter().map(|r| f(r)).fold(f64::MIN, f64::max);
    let first = |r: &Report| r.first_block_h.unwrap_or(f64::INFINITY);
    let blocked: u32 = rows.iter().map(|r| r.honest_blocked()).sum();
    let keys: u32 = rows.iter().map(|r| r.honest_keys()).sum();
    let mut misses: Vec<String> = rows.iter().flat_map(|r| missed(r)).collect();
    misses.sort();
    misses.dedup();
    let attack = rows.iter().any(|r| r.accounts > 0);
    let cell = |text: String| if attack { text } else { "-".into() };
    [
        rows[0].name.to_string(),
        rows.len().to_string(),
        cell(format!("{:.3} ({:.3})", mean(&Report::served_percent), worst(&Report::served_percent))),
        cell(format!("{:.1} ({:.1})", mean(&Report::convicted_percent), -worst(&|r| -r.convicted_percent()))),
        cell(format!("{:.2} ({:.2})", mean(&first), worst(&first))),
        format!("{blocked} of {keys}"),
        misses.join(", "),
    ]
}
