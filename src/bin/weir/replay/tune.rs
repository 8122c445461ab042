//! `weir replay --tune`: what the operator's traffic suggests for the configuration: templates that honest
//! keys share, the effect of other values of `campaign.block_odds`, and fields that tell the age of keys.
//! Each proposal is a merge patch (RFC 7396).

pub mod ages;
pub mod print;
mod templates;

use crate::deployment::Deployment;
use crate::requests::batch::Request;
use ages::Ages;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;
use weir::engine::config::{Config, merged};
use weir::engine::edge::extract::Extracted;
use weir::engine::hash;
use weir::engine::observation::CONVERSATION;
use weir::engine::units::Nanos;
use weir::engine::verdict::Action;

/// Odds that are tried beside the configured ones.
const ODDS: [u32; 6] = [500, 2_000, 5_000, 20_000, 100_000, 1_000_000];
/// Keys that are counted, about 150 bytes each. Later ones are in no figure.
pub const KEYS: usize = 1 << 20;
/// Least percentage of follow-ups with which a key counts as one that converses.
const TALKS: u32 = 10;

/// Counts of one key.
#[derive(Clone, Default)]
pub struct Seen {
    /// Its hash in templates' samples: its tenant's, if it has one.
    sample: u32,
    requests: u32,
    follow_ups: u32,
    /// True if its age was told and is not that of a new key.
    old: bool,
    age_known: bool,
    /// Its class by its labels.
    truth: Option<Truth>,
    /// True if it is suspected under some of the odds.
    suspect: bool,
    /// Requests that passed, for each of the odds.
    served: [u32; ODDS.len() + 1],
}

#[derive(Clone, Copy, PartialEq)]
enum Truth {
    Benign,
    Attack,
}

impl Seen {
    /// True if its labels say so; without labels: if it is old, or converses.
    fn is_honest(&self, labelled: bool) -> bool {
        match self.truth {
            Some(truth) => truth == Truth::Benign,
            None => !labelled && (self.old || self.talks()),
        }
    }

    fn is_campaign(&self, labelled: bool) -> bool {
        match self.truth {
            Some(truth) => truth == Truth::Attack,
            None => !labelled && self.suspect && !self.is_honest(labelled),
        }
    }

    fn talks(&self) -> bool {
        u64::from(self.follow_ups) * 100 >= u64::from(self.requests) * u64::from(TALKS) && self.follow_ups > 0
    }
}

/// The same traffic under several values of `campaign.block_odds`.
pub struct Tune {
    odds: Vec<u32>,
    /// Index of the configuration's own odds.
    own: usize,
    /// The deployments of all other odds.
    others: Vec<(usize, Deployment)>,
    keys: HashMap<u64, Seen>,
    not_counted: u64,
    labelled: bool,
    ages: Ages,
    young_for_s: u64,
    /// The configuration's own entries, which a patch of `allow` must repeat.
    allow: Vec<Value>,
}

impl Tune {
    /// `text`: the configuration file's text.
    pub fn new(config: &Arc<Config>, edges: u8, text: Option<&str>) -> Tune {
        let mut odds: Vec<u32> = ODDS.into_iter().chain([config.campaign.block_odds]).collect();
        odds.sort_unstable();
        odds.dedup();
        let own = odds.iter().position(|o| *o == config.campaign.block_odds).unwrap_or(0);
        let other = |(i, odds): (usize, &u32)| {
            let mut config = Config::clone(config);
            config.campaign.block_odds = *odds;
            (i, Deployment::new(Arc::new(config), edges))
        };
        let parsed: Value = text
            .and_then(|t| serde_json::from_str(t.trim_start_matches('\u{feff}')).ok())
            .unwrap_or_default();
        Tune {
            others: odds.iter().enumerate().filter(|(i, _)| *i != own).map(other).collect(),
            odds,
            own,
            keys: HashMap::new(),
            not_counted: 0,
            labelled: false,
            ages: Ages::default(),
            young_for_s: config.campaign.young_for_s,
            allow: parsed.get("allow").and_then(Value::as_array).cloned().unwrap_or_default(),
        }
    }

    /// Deployments that judge beside the replay's own.
    pub fn deployments(&mut self) -> impl Iterator<Item = &mut Deployment> {
        self.others.iter_mut().map(|(_, d)| d)
    }

    /// Advances them as the replay's own is advanced.
    pub fn tick(&mut self, now: Nanos) {
        self.others.iter_mut().for_each(|(_, d)| d.tick(now));
    }

    pub fn finish(&mut self) {
        self.others.iter_mut().for_each(|(_, d)| d.finish());
    }

    /// Judges a request in them: for each value of the odds, whether it passed and whether it was suspected.
    pub fn judge(&mut self, now: Nanos, x: &Extracted) -> Judged {
        let mut judged = Judged::default();
        for (i, deployment) in &mut self.others {
            let d = deployment.judge(now, &mut x.clone());
            judged.add(*i, &d);
        }
        judged
    }

    /// Counts a request that was judged; `judged` includes the replay's own decision.
    pub fn count(
        &mut self,
        now: Nanos,
        r: &Request,
        label: Option<&str>,
        judged: Judged,
        times: &[(String, u32)],
    ) {
        let obs = &r.x.obs;
        let full = self.keys.len() >= KEYS && !self.keys.contains_key(&obs.key);
        if obs.key == 0 || full {
            self.not_counted += 1;
            return;
        }
        let truth = match label.and_then(|l| l.split_once(':')).map(|(kind, _)| kind) {
            Some("benign") => Some(Truth::Benign),
            Some("attack") => Some(Truth::Attack),
            _ => None,
        };
        self.labelled |= truth.is_some();
        let seen = self.keys.entry(obs.key).or_default();
        let owner = if obs.tenant == 0 { obs.key } else { obs.tenant };
        seen.sample = (hash::mix(owner) >> 32) as u32;
        seen.requests += 1;
        seen.follow_ups += u32::from(obs.flags & CONVERSATION != 0);
        seen.age_known |= obs.created_s != 0;
        let age_s = now.secs().saturating_sub(u64::from(obs.created_s));
        seen.old |= obs.created_s != 0 && age_s >= self.young_for_s;
        seen.truth = truth.or(seen.truth);
        seen.suspect |= judged.suspected;
        for (i, served) in seen.served.iter_mut().enumerate() {
            *served += u32::from(judged.blocked >> i & 1 == 0);
        }
        self.ages.add(obs.key, now, times);
    }

    /// Index of the replay's own decision in `Judged`.
    pub fn own(&self) -> usize {
        self.own
    }

    /// Everything found, with the patches, as JSON.
    pub fn report(&self, deployment: &Deployment) -> Value {
        let curve: Vec<Value> = (0..self.odds.len()).map(|i| self.at(i)).collect();
        let odds = self.propose_odds(&curve);
        let templates = templates::find(self, deployment);
        let mut ages = self.ages.report(self.keys.len());
        let unknown = self.keys.values().filter(|k| !k.age_known).count();
        let has_age = deployment.config().profiles.iter().any(|p| p.identity.age.is_some());
        if has_age {
            // What is configured is not proposed.
            ages.1 = json!({});
        }
        let mut patch = json!({});
        for one in [&odds.1, &templates.1, &ages.1] {
            patch = merged(Some(&patch), one);
        }
        json!({
            "keys": self.keys.len(), "requests_not_counted": self.not_counted, "labelled": self.labelled,
            "honest_keys": self.keys.values().filter(|k| k.is_honest(self.labelled)).count(),
            "campaign_keys": self.keys.values().filter(|k| k.is_campaign(self.labelled)).count(),
            "block_odds": {"now": self.odds[self.own], "curve": curve, "why": odds.0, "patch": odds.1},
            "templates": {"found": templates.0, "patch": templates.1},
            "ages": {"keys_of_unknown_age": unknown, "source_configured": has_age, "fields": ages.0, "patch": ages.1},
            "patch": patch,
        })
    }

    /// The result of one of the odds.
    fn at(&self, i: usize) -> Value {
        let (mut honest, mut touched, mut campaign, mut blocked, mut requests, mut served) =
            (0u64, 0u64, 0u64, 0u64, 0u64, 0u64);
        for k in self.keys.values() {
            let is_touched = u64::from(k.served[i] < k.requests);
            if k.is_honest(self.labelled) {
                honest += 1;
                touched += is_touched;
            } else if k.is_campaign(self.labelled) {
                campaign += 1;
                blocked += is_touched;
                requests += u64::from(k.requests);
                served += u64::from(k.served[i]);
            }
        }
        let percent = (requests > 0).then(|| (served * 1_000 / requests) as f64 / 10.0);
        json!({
            "block_odds": self.odds[i], "honest_keys": honest, "honest_keys_touched": touched, "campaign_keys": campaign,
            "campaign_keys_blocked": blocked, "campaign_requests": requests, "campaign_served_percent": percent,
        })
    }

    /// The proposed odds: those that block or tag the fewest honest keys; of those, that serve the least of
    /// the campaign; of those, the configured ones.
    fn propose_odds(&self, curve: &[Value]) -> (String, Value) {
        let cost = |i: usize| {
            (
                curve[i]["honest_keys_touched"].as_u64(),
                curve[i]["campaign_served_percent"].as_f64().map(|p| (p * 10.0) as u64),
                i != self.own,
            )
        };
        let best = (0..curve.len()).min_by_key(|i| cost(*i)).unwrap_or(self.own);
        let campaign = curve[self.own]["campaign_requests"].as_u64().unwrap_or(0);
        if best == self.own || (campaign == 0 && cost(best).0 == cost(self.own).0) {
            let why = if campaign == 0 {
                "no campaign in this traffic: nothing says that other odds would be better"
            } else {
                "no other odds touch fewer honest keys, or serve the campaign less at as few"
            };
            return (why.into(), json!({}));
        }
        let why = format!(
            "{} honest keys touched instead of {}, and of the campaign {} % served instead of {} %",
            curve[best]["honest_keys_touched"],
            curve[self.own]["honest_keys_touched"],
            curve[best]["campaign_served_percent"],
            curve[self.own]["campaign_served_percent"],
        );
        (why, json!({"campaign": {"block_odds": self.odds[best]}}))
    }
}

/// Decisions on one request under each value of the odds.
#[derive(Clone, Copy, Default)]
pub struct Judged {
    /// Whether the request was blocked, a bit for each of the odds.
    blocked: u8,
    suspected: bool,
}

impl Judged {
    pub fn add(&mut self, i: usize, d: &weir::engine::Decision) {
        self.blocked |= u8::from(d.verdict.action == Action::Block) << i;
        self.suspected |= d.verdict.action >= Action::Tag && d.verdict.reason.is_campaign();
    }
}
