//! The decision record: one JSON line of hashes and figures without text, enough to explain a verdict and to
//! appeal against it.
//!
//! It is rendered only when a line is written, and read by `weir explain`. Shares are whole percent.

use super::config::read::quote;
use super::config::{Campaign, Config};
use super::decimal::Tenths;
use super::ledger::Ledger;
use super::rules::FACTORS;
use super::units::Nanos;
use super::value::Axis;
use super::{Decision, Engine, GroupReport, KeyReport};
use std::fmt::Write;

impl Engine {
    /// The record of a decision that was just made.
    pub fn record(&self, now: Nanos, d: &Decision) -> String {
        d.record(now, &self.config, Some(&self.ledger))
    }
}

impl Decision {
    /// The record of this decision, which was just made. The group `own` (facts of the key) is present if a
    /// ledger is given and knows the key, `group` if the verdict rests on evidence across keys. `sample` is
    /// the hash by which a group's sample holds the key.
    #[inline(never)]
    pub fn record(&self, now: Nanos, config: &Config, ledger: Option<&Ledger>) -> String {
        let (d, v) = (self, &self.verdict);
        let e = &v.evidence;
        let case = v.case_id.map_or_else(|| "null".to_string(), |c| format!("\"{c}\""));
        let profile = config.profile(d.profile).map_or("", |p| p.name.as_str());
        let mut out = format!(
            "{{\"weir\":\"decision\",\"t_ms\":{},\"case\":{case},\"campaign\":\"{:08x}\",\"key\":\"{}\",\"policy\":\"{}\",\
             \"profile\":{},\"mode\":\"{}\",\"action\":\"{}\",\"would\":\"{}\",\"reason\":\"{}\",\"evidence\":{{\"matched\":{},\
             \"values\":{},\"score\":{},\"group_keys\":{},\"strikes\":{},\"requests\":{}}},\"sample\":\"{:08x}\"",
            now.millis(),
            v.campaign,
            d.key,
            config.policy,
            quote(profile),
            d.mode.name(),
            d.action.name(),
            v.action.name(),
            v.reason.name(),
            e.matched,
            e.values,
            e.score,
            e.group_keys,
            e.strikes,
            e.requests,
            e.sample,
        );
        // Writing to a string cannot fail.
        if let Some(k) = ledger.and_then(|l| l.key_report(d.key.0, v)) {
            let _ = own(&mut out, &k, &config.campaign);
        }
        if let Some(g) = ledger.and_then(|l| l.evidence_group(d.key.0, v)) {
            let _ = group(&mut out, &g, &config.campaign);
        }
        out.push('}');
        out
    }

    /// The record of a verdict that the ledger reached on an edge's observation. Its field `at` tells it from
    /// records of edges.
    pub fn record_at_ledger(&self, now: Nanos, config: &Config, ledger: &Ledger) -> String {
        let mut out = self.record(now, config, Some(ledger));
        out.pop();
        out.push_str(",\"at\":\"ledger\"}");
        out
    }
}

fn own(out: &mut String, k: &KeyReport, c: &Campaign) -> std::fmt::Result {
    write!(
        out,
        ",\"own\":{{\"young\":{},\"age\":\"{}\",\"age_hours\":{},\"automatic\":{},\"convicted\":{},\"requests\":{},\
         \"openings_percent\":{},\"repeats_percent\":{},\"matches_percent\":{},\"hits\":{},\"strikes\":{},\"shared\":{},\"talk\":{}",
        k.young,
        k.age,
        k.age_hours,
        k.automatic,
        k.convicted,
        k.requests,
        k.openings_percent,
        k.repeats_percent,
        k.matches_percent,
        k.hits,
        k.strikes,
        k.shared,
        k.talk,
    )?;
    if let Some(odds) = k.odds {
        // Nats with one decimal: e^0.1 is a tenth more.
        write!(out, ",\"block_odds\":{},\"odds_nats\":{},\"factors\":{{", c.block_odds, Tenths(odds.nats()))?;
        let mut comma = "";
        for (name, nats) in FACTORS.iter().zip(odds.0) {
            write!(out, "{comma}\"{name}\":{}", Tenths(nats.into()))?;
            comma = ",";
        }
        out.push('}');
    }
    out.push('}');
    Ok(())
}

fn group(out: &mut String, g: &GroupReport, c: &Campaign) -> std::fmt::Result {
    // A profile is in alarm by its number of keys.
    let min_keys = match g.axis {
        a if a == Axis::Text.name() => c.d_min,
        a if a == Axis::Network.name() => c.net_d_min,
        _ => c.profile_min,
    };
    write!(
        out,
        ",\"group\":{{\"id\":\"{}\",\"axis\":\"{}\",\"state\":\"{}\",\"campaign\":\"{:08x}\",\"since_s\":{},\"keys\":{},\
         \"min_keys\":{min_keys},\"requests\":{},\"nats\":{},\"threshold\":{},\"explanations\":{{",
        g.id, g.axis, g.state, g.campaign, g.since_s, g.keys, g.requests, g.nats, c.nats,
    )?;
    let mut comma = "";
    for (name, nats) in &g.explanations {
        write!(out, "{comma}\"{name}\":{nats}")?;
        comma = ",";
    }
    out.push_str("},\"campaign_percent\":");
    match g.campaign_percent {
        Some(p) => write!(out, "{p}")?,
        None => out.push_str("null"),
    }
    write!(
        out,
        ",\"young_percent\":{},\"novel_percent\":{},\"single_percent\":{},\"old_percent\":{},\"sampled_keys\":[",
        g.young_percent, g.novel_percent, g.single_percent, g.old_percent,
    )?;
    comma = "";
    for hash in &g.sampled_keys {
        write!(out, "{comma}\"{hash:08x}\"")?;
        comma = ",";
    }
    out.push_str("]}");
    Ok(())
}
