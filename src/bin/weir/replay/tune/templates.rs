//! Templates that many keys share, and what kind of keys these are.

use super::{Seen, Tune};
use crate::deployment::Deployment;
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use weir::engine::GroupReport;

/// Keys that must share a template for it to be reported: as many as confirm one by default.
const KEYS: u32 = 24;
/// Templates that are listed, at most, of those proposed and of the others: those on most keys.
const MOST: usize = 20;
/// Least percentage of a template's sampled keys that must look honest for an entry to be proposed.
const HONEST: usize = 90;

/// A template: the phrases that the same keys send.
struct Template {
    /// The phrase on most keys.
    group: GroupReport,
    keys: BTreeSet<u32>,
    phrases: usize,
    confirmed: bool,
}

/// The templates found, and the patch of `allow`.
pub fn find(tune: &Tune, deployment: &Deployment) -> (Vec<Value>, Value) {
    let by_sample: HashMap<u32, (u64, &Seen)> = tune.keys.iter().map(|(k, s)| (s.sample, (*k, s))).collect();
    let mut templates: Vec<Template> = Vec::new();
    for group in deployment.common_groups(KEYS) {
        let keys: BTreeSet<u32> = group.sampled_keys.iter().copied().collect();
        let is_same = |t: &&mut Template| {
            let common = t.keys.intersection(&keys).count();
            common * 2 > t.keys.len().max(keys.len())
        };
        let confirmed = group.state == "confirmed";
        match templates.iter_mut().find(is_same) {
            Some(t) => (t.phrases, t.confirmed) = (t.phrases + 1, t.confirmed || confirmed),
            None => templates.push(Template { group, keys, phrases: 1, confirmed }),
        }
    }
    let (mut found, mut others, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for t in &templates {
        let sampled: Vec<_> = t.keys.iter().filter_map(|k| by_sample.get(k)).collect();
        let honest: Vec<_> = sampled.iter().filter(|(_, s)| s.is_honest(tune.labelled)).collect();
        let talking = sampled.iter().filter(|(_, s)| s.talks()).count();
        let touched = honest.iter().filter(|(_, s)| s.served[tune.own] < s.requests).count();
        let of = |n: usize| (n * 100).checked_div(sampled.len()).unwrap_or(0);
        let proposed = !sampled.is_empty() && of(honest.len()) >= HONEST;
        let entry = json!({"name": format!("tuned: {} keys", t.group.keys), "template": t.group.id});
        let list = if proposed { &mut found } else { &mut others };
        if list.len() >= MOST {
            continue;
        }
        list.push(json!({
            "template": t.group.id, "phrases": t.phrases, "keys": t.group.keys, "requests": t.group.requests,
            "confirmed": t.confirmed, "follow_up_percent": 100 - t.group.single_percent.min(100),
            "keys_that_follow_up_percent": of(talking), "honest_percent": of(honest.len()), "old_percent": t.group.old_percent,
            "honest_keys_touched": touched, "sampled": sampled.len(),
            "key": honest.first().or(sampled.first().as_ref()).map(|(k, _)| format!("kid:{k:016x}")),
            "proposed": proposed,
        }));
        if proposed {
            entries.push(entry);
        }
    }
    found.append(&mut others);
    if entries.is_empty() {
        return (found, json!({}));
    }
    // A merge patch replaces lists.
    let all: Vec<Value> = tune.allow.iter().cloned().chain(entries).collect();
    (found, json!({"allow": all}))
}
