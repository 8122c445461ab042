//! Compares a partner's indicators with the operator's own logs: who sends these templates here, whether they
//! look honest, and what the own hashes of the phrases are.
//!
//! An import blocks nothing. A partner may be wrong, or lie, and name what honest people send. So indicators
//! are first compared with the operator's own keys, and the proposal is a list in shadow mode that somebody
//! has to adopt.

use super::counts;
use super::form::{Indicator, Indicators};
use super::traffic;
use crate::requests::reader::{Import, Reader};
use serde::Serialize;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::hash::Seed;
use weir::engine::observation::CONVERSATION;
use weir::engine::value::KeyId;

/// Own values that are proposed of one indicator.
const PROPOSED: usize = 8;
/// Keys that are listed.
const KEYS: usize = 1_000;
/// Percent of the senders that look honest from which nothing is proposed.
pub const HONEST_PERCENT: usize = 5;
/// Time for which a key must have been here without the template to count as a customer, seconds.
const HERE_S: u64 = 86_400;
/// A common value of matching requests is proposed if less than one in this many of its requests is no match.
const OWN: u64 = 100;

/// A key that sends it.
#[derive(Default)]
struct Sender {
    first_s: u64,
    requests: u64,
    age_known: bool,
    honest: bool,
}

#[derive(Debug, Serialize)]
pub struct Match {
    pub issuer: String,
    pub indicator: String,
    pub nats_of_issuer: i64,
    pub need_phrases: usize,
    pub requests: u64,
    pub keys: usize,
    /// Senders that are old, converse, or sent something else here a day before.
    pub keys_honest: usize,
    pub keys_age_known: usize,
    /// Time of the first request that matches, seconds since the epoch.
    pub first_s: Option<u64>,
    pub last_s: Option<u64>,
    /// Why nothing is proposed; `None` if something is.
    pub held_back: Option<String>,
    /// The operator's own hashes of the phrases, as proposed.
    pub templates: Vec<String>,
    /// Keys that send it, in the order of their first requests.
    pub senders: Vec<String>,
}

struct Running {
    issuer: String,
    indicator: Indicator,
    phrases: HashSet<u64>,
    senders: HashMap<u64, Sender>,
    requests: u64,
    span: Option<(u64, u64)>,
    /// The operator's own values in matching requests, with counts.
    values: HashMap<u64, u64>,
}

/// Matches, and the number of lines skipped.
///
/// # Errors
/// The path of a file that cannot be read, and why.
pub fn find(
    config: &Arc<Config>,
    exchange: &Seed,
    all: &[Indicators],
    traces: &[PathBuf],
) -> Result<(Vec<Match>, u64), (PathBuf, std::io::Error)> {
    let one = |issuer: &str, i: &Indicator| Running {
        issuer: issuer.into(),
        phrases: i.values().into_iter().collect(),
        indicator: i.clone(),
        senders: HashMap::new(),
        requests: 0,
        span: None,
        values: HashMap::new(),
    };
    let mut running: Vec<Running> =
        all.iter().flat_map(|a| a.indicators.iter().map(|i| one(&a.issuer, i))).collect();
    let young_s = config.campaign.young_for_s;
    let mut seen: HashMap<u64, u64> = HashMap::new();
    let readers = || {
        [Reader::new(config, &Import::default()), Reader::with_texts(config, exchange, &Import::default())]
    };
    let skipped = traffic::read(traces, &mut readers(), |[own, other], early| {
        if early.is_some() {
            return;
        }
        let (key, t) = (own.x.key.0, own.time.secs());
        let here = t.saturating_sub(*seen.entry(key).or_insert(t));
        for r in running.iter_mut().filter(|r| r.matches(&other.x.values)) {
            let created = u64::from(own.x.obs.created_s);
            let sender = r.senders.entry(key).or_insert_with(|| Sender {
                first_s: t,
                honest: here >= HERE_S,
                ..Sender::default()
            });
            sender.requests += 1;
            sender.age_known |= created > 0;
            sender.honest |=
                own.x.obs.flags & CONVERSATION != 0 || created > 0 && t.saturating_sub(created) >= young_s;
            r.requests += 1;
            r.span = Some(r.span.map_or((t, t), |(a, b)| (a.min(t), b.max(t))));
            for v in &own.x.values {
                *r.values.entry(*v).or_default() += 1;
            }
        }
    })?;
    for r in &mut running {
        counts::keep_common(&mut r.values, r.requests);
    }
    // What of it comes otherwise.
    let mut otherwise: Vec<HashMap<u64, u64>> = running.iter().map(|_| HashMap::new()).collect();
    traffic::read(traces, &mut readers(), |[own, other], early| {
        if early.is_some() {
            return;
        }
        for (r, counts) in running.iter().zip(&mut otherwise).filter(|(r, _)| !r.matches(&other.x.values)) {
            for v in own.x.values.iter().filter(|v| r.values.contains_key(v)) {
                *counts.entry(*v).or_default() += 1;
            }
        }
    })?;
    Ok((running.iter().zip(&otherwise).map(|(r, counts)| r.end(counts)).collect(), skipped))
}

impl Running {
    fn matches(&self, values: &[u64]) -> bool {
        values.iter().filter(|v| self.phrases.contains(v)).count() >= self.indicator.need()
    }

    fn held_back(&self) -> Option<String> {
        let n = self.senders.len();
        let honest = self.senders.values().filter(|s| s.honest).count();
        let known = self.senders.values().filter(|s| s.age_known).count();
        if n == 0 {
            return Some("nobody sends it here".into());
        }
        if honest * 100 > n * HONEST_PERCENT {
            return Some(format!(
                "{honest} of {n} keys that send it look honest (old, conversing, or here a day before without it): here it may be an honest template"
            ));
        }
        (known * 2 < n).then(|| format!("the age of {} of {n} keys is not known (`identity.age`): nothing tells customers from accounts of a campaign", n - known))
    }

    fn end(&self, otherwise: &HashMap<u64, u64>) -> Match {
        let mut held_back = self.held_back();
        let values = counts::own(&self.values, otherwise, OWN, PROPOSED);
        if held_back.is_none() && values.is_empty() {
            held_back = Some("no phrase of it is its own here: all are sent otherwise, too".into());
        }
        let mut senders: Vec<(u64, u64)> = self.senders.iter().map(|(k, s)| (s.first_s, *k)).collect();
        senders.sort_unstable();
        Match {
            issuer: self.issuer.clone(),
            indicator: self.indicator.id.clone(),
            nats_of_issuer: self.indicator.nats,
            need_phrases: self.indicator.need(),
            requests: self.requests,
            keys: self.senders.len(),
            keys_honest: self.senders.values().filter(|s| s.honest).count(),
            keys_age_known: self.senders.values().filter(|s| s.age_known).count(),
            first_s: self.span.map(|s| s.0),
            last_s: self.span.map(|s| s.1),
            templates: if held_back.is_some() {
                Vec::new()
            } else {
                values.iter().map(|(_, v)| format!("tid:{v:016x}")).collect()
            },
            held_back,
            senders: senders.iter().take(KEYS).map(|(_, k)| KeyId(*k).to_string()).collect(),
        }
    }
}

/// A configuration with the proposal, in shadow mode: `weir check` accepts it, and it blocks nothing.
pub fn proposal(matches: &[Match]) -> serde_json::Value {
    let mut known = HashSet::new();
    let entries = matches.iter().flat_map(|m| m.templates.iter().map(move |t| (m, t)));
    let entries: Vec<serde_json::Value> = entries
        .filter(|(_, t)| known.insert(t.as_str()))
        .map(|(m, t)| json!({"name": format!("indicator {} of {}", m.indicator, m.issuer), "template": t}))
        .collect();
    json!({"mode": "shadow", "deny": entries})
}
