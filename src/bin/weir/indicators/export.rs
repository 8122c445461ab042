//! Makes indicators of campaigns: the phrases of their templates under the exchange seed.
//!
//! A ledger keeps hashes under the policy's seed, and words are hashed with it before phrases are made of
//! them, so its values cannot be hashed again. The operator's own logs are read instead. Memory: the values
//! of a campaign's requests, at most `VALUES` for each campaign.

use super::counts;
use super::form::{self, Indicator, LEAST_PHRASES, MOST_PHRASES};
use super::traffic;
use crate::deployment::{self, Deployment, Ticker};
use crate::requests::reader::{Import, Reader};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::hash::Seed;
use weir::engine::units::Nanos;
use weir::engine::verdict::Action;

/// Values that are counted for a campaign, at most.
const VALUES: usize = 65_536;
/// A value belongs to a campaign if all other traffic sends it less than once in this many requests of the
/// campaign.
const OWN: u64 = 20;
/// Time of the traffic between two looks at the groups.
const LOOK: Nanos = Nanos::from_secs(1_800);

/// What a replay has found of a campaign.
#[derive(Default)]
struct Case {
    nats: i64,
    from_s: u64,
    to_s: u64,
    keys: u64,
    requests: u64,
    values: HashMap<u64, u64>,
}

/// Indicators to export, and messages about campaigns without one.
#[derive(Default)]
pub struct Found {
    /// Indicators, each with its campaign's number here, which is for the operator and is not exported. Those
    /// with most requests first.
    pub indicators: Vec<(Indicator, String)>,
    pub notes: Vec<String>,
    pub skipped: u64,
}

/// Reads the traces three times: once to find campaigns under the policy's seed, and twice under the exchange
/// seed.
///
/// # Errors
/// The path of a file that cannot be read, and why.
pub fn find(
    config: &Arc<Config>,
    exchange: &Seed,
    only: Option<u32>,
    traces: &[PathBuf],
) -> Result<Found, (PathBuf, std::io::Error)> {
    let (members, mut cases, skipped) = campaigns(config, traces)?;
    let mut found = Found { skipped, ..Found::default() };
    cases.retain(|c, _| only.is_none_or(|o| o == *c));
    // What the campaigns' accounts send.
    traffic::read(traces, &mut [Reader::with_texts(config, exchange, &Import::default())], |[r], early| {
        if early.is_some() {
            return;
        }
        let Some(case) = members.get(&r.x.key.0).and_then(|c| cases.get_mut(c)) else { return };
        case.requests += 1;
        let t = r.time.secs();
        case.from_s = if case.from_s == 0 { t } else { case.from_s.min(t) };
        case.to_s = case.to_s.max(t);
        for v in &r.x.values {
            *case.values.entry(*v).or_default() += 1;
        }
        if case.values.len() > VALUES {
            let rare = case.requests / 100;
            case.values.retain(|_, n| *n > rare.max(1));
        }
    })?;
    for case in cases.values_mut() {
        counts::keep_common(&mut case.values, case.requests);
    }
    // What others send of it.
    let mut others: HashMap<u64, u64> =
        cases.values().flat_map(|c| c.values.keys()).map(|v| (*v, 0)).collect();
    traffic::read(traces, &mut [Reader::with_texts(config, exchange, &Import::default())], |[r], early| {
        if early.is_none() && !members.contains_key(&r.x.key.0) {
            for v in &r.x.values {
                if let Some(n) = others.get_mut(v) {
                    *n += 1;
                }
            }
        }
    })?;
    for (campaign, case) in &cases {
        match indicator(case, &others) {
            Ok(i) => found.indicators.push((i, format!("{campaign:08x}"))),
            Err(why) => found.notes.push(format!("campaign {campaign:08x} is not told: {why}")),
        }
    }
    found.indicators.sort_by_key(|i| std::cmp::Reverse(i.0.requests));
    for (_, campaign) in found.indicators.drain(found.indicators.len().min(form::MOST_INDICATORS)..) {
        found
            .notes
            .push(format!("campaign {campaign} is not told: {} larger ones are", form::MOST_INDICATORS));
    }
    Ok(found)
}

type Campaigns = (HashMap<u64, u32>, BTreeMap<u32, Case>, u64);

/// The campaigns of a replay of the traces, with the keys that are blocked for each.
fn campaigns(config: &Arc<Config>, traces: &[PathBuf]) -> Result<Campaigns, (PathBuf, std::io::Error)> {
    let mut deployment = Deployment::new(Arc::clone(config), deployment::usual(config.scope));
    let (mut ticker, mut now, mut looked) = (Ticker::default(), Nanos(0), Nanos(0));
    let mut members: HashMap<u64, u32> = HashMap::new();
    let mut cases: BTreeMap<u32, Case> = BTreeMap::new();
    let look = |deployment: &Deployment, cases: &mut BTreeMap<u32, Case>| {
        for g in deployment.groups().iter().filter(|g| g.campaign != 0 && g.axis == "text") {
            let case = cases.entry(g.campaign).or_default();
            case.nats = case.nats.max(g.nats.into());
        }
    };
    let skipped = traffic::read(traces, &mut [Reader::new(config, &Import::default())], |[r], early| {
        now = now.max(r.time);
        ticker.to(now, |at| deployment.tick(at));
        if early.is_some() {
            return;
        }
        r.x.set_time(now, r.age.map(|age| now.since(age)));
        let d = deployment.judge(now, &mut r.x);
        let v = &d.verdict;
        if v.action == Action::Block && v.reason.is_campaign() && v.campaign != 0 {
            members.insert(d.key.0, v.campaign);
        }
        if !members.is_empty() && now.since(looked) >= LOOK {
            looked = now;
            look(&deployment, &mut cases);
        }
    })?;
    deployment.finish();
    look(&deployment, &mut cases);
    cases.retain(|c, _| members.values().any(|m| m == c));
    for c in members.values() {
        cases.entry(*c).or_default().keys += 1;
    }
    Ok((members, cases, skipped))
}

fn indicator(case: &Case, others: &HashMap<u64, u64>) -> Result<Indicator, String> {
    let values = counts::own(&case.values, others, OWN, MOST_PHRASES);
    let typical = values.iter().map(|v| v.0).sum::<u64>() / case.requests.max(1);
    if values.len() < LEAST_PHRASES || (typical as usize) < LEAST_PHRASES {
        return Err(format!(
            "it has {} phrases of its own, {typical} a request; {LEAST_PHRASES} are needed, or it would name too much",
            values.len()
        ));
    }
    let mut phrases: Vec<String> = values.iter().map(|(_, v)| format!("{v:016x}")).collect();
    phrases.sort_unstable();
    Ok(Indicator {
        id: form::id(&phrases),
        phrases,
        typical: typical as u32,
        from_s: case.from_s / 3600 * 3600,
        to_s: case.to_s.div_ceil(3600) * 3600,
        keys: two_digits(case.keys),
        requests: two_digits(case.requests),
        nats: case.nats,
    })
}

/// The first two digits of a number: enough to show the size of a campaign, and too little to identify an
/// account.
fn two_digits(n: u64) -> u64 {
    let unit = 10u64.pow(n.max(1).ilog10().saturating_sub(1));
    n / unit * unit
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_told_with_two_digits() {
        assert_eq!([0, 7, 42, 999, 12_688, 1_000_001].map(two_digits), [0, 7, 42, 990, 12_000, 1_000_000]);
    }

    #[test]
    fn what_others_send_too_is_not_told_and_too_little_is_nothing() {
        let values = (0..10u64).map(|v| (v, 100)).collect();
        let case = Case { requests: 100, keys: 30, from_s: 3_601, to_s: 3_602, values, ..Case::default() };
        let mut others: HashMap<u64, u64> = (0..10).map(|v| (v, 4)).collect();
        let all = indicator(&case, &others);
        assert_eq!(
            all.as_ref().map(|i| (i.phrases.len(), i.typical, i.from_s, i.to_s)),
            Ok((10, 10, 3_600, 7_200))
        );
        others.extend((0..6).map(|v| (v, 5)));
        assert_eq!(indicator(&case, &others).map(|i| i.phrases.len()), Ok(4));
        others.insert(6, 5);
        assert!(indicator(&case, &others).is_err_and(|e| e.contains("3 phrases")));
    }
}
