//! What the hub knows, as JSON for people: hashes and counts only.

use super::acts::{Act, Name, Verb, value_text};
use super::core::Hub;
use super::growth::{Growth, Point};
use super::nodes::NodeId;
use crate::audit::chain::hex;
use serde_json::{Value, json};
use weir::engine::hash::Purpose;
use weir::engine::snapshot::{ALLOWED, DENIED, RELEASED};
use weir::engine::value::KeyId;
use weir::engine::verdict::{Action, CaseId, Reason, Verdict};
use weir::engine::{CaseReport, Decision, GroupReport};

/// Groups of a case that are listed, at most.
const GROUPS: usize = 16;
/// Convicted keys of a case that are listed, at most.
const KEYS: usize = 20;
/// Largest number of list entries in a configuration.
const MOST_LISTED: usize = 65_536;

fn decided(code: u32) -> Option<&'static str> {
    match code {
        RELEASED => Some("released"),
        ALLOWED => Some("allowed"),
        DENIED => Some("denied"),
        _ => None,
    }
}

/// A decision of people.
pub fn act(a: &Act) -> Value {
    let mut out = json!({
        "verb": a.verb.name(), a.name.kind(): a.name.text(), "reason": a.reason, "since_s": a.since_s,
    });
    if let (Verb::Release | Verb::Allow | Verb::Deny, Some(o)) = (a.verb, out.as_object_mut()) {
        o.insert("until_s".into(), a.until_s.into());
        if let Name::Case(_) = a.name {
            o.insert("values".into(), a.values.len().into());
        }
    }
    out
}

/// All decisions of people that are in force.
pub fn exceptions(hub: &Hub) -> Value {
    json!({
        "exceptions": hub.book().acts().map(act).collect::<Vec<_>>(),
        "ids": hub.book().len(),
        "most": super::acts::MOST,
    })
}

/// Nats of each explanation, beside the campaign's 0.
fn explanations(g: &GroupReport) -> Value {
    g.explanations.iter().map(|(name, nats)| ((*name).to_string(), Value::from(*nats))).collect()
}

fn group(g: &GroupReport) -> Value {
    json!({
        "id": g.id, "axis": g.axis, "state": g.state, "keys": g.keys, "requests": g.requests, "nats": g.nats,
        "explanations": explanations(g), "campaign_percent": g.campaign_percent, "young_percent": g.young_percent,
        "novel_percent": g.novel_percent, "single_percent": g.single_percent, "old_percent": g.old_percent,
    })
}

/// Where a case's verdicts are in force, in a word.
pub fn in_force(hub: &Hub, campaign: u32) -> &'static str {
    if hub.withheld().contains(&campaign) { "where_seen" } else { "everywhere" }
}

fn summary(hub: &Hub, c: &CaseReport, groups: &[GroupReport]) -> Value {
    let strongest = groups.iter().find(|g| g.campaign == c.campaign);
    let stands = decided(hub.book().decided(c.campaign.into()));
    json!({
        "case": format!("{:08x}", c.campaign), "since_s": c.since_s, "last_s": c.last_s, "requests": c.requests,
        "keys": c.keys, "convicted": c.convicted, "values": c.values.len(),
        "made": {"hour": c.made[0], "day": c.made[1], "week": c.made[2]},
        "campaign_percent": strongest.and_then(|g| g.campaign_percent), "nats": strongest.map(|g| g.nats),
        "explanations": strongest.map(explanations), "template": strongest.map(|g| g.id.clone()),
        "exception": stands, "in_force": in_force(hub, c.campaign),
    })
}

/// Open cases.
pub fn cases(hub: &Hub, growth: &Growth) -> Value {
    let groups = hub.ledger().groups_report();
    let all = hub.ledger().cases_report();
    let now_s = u32::try_from(hub.ticked().secs()).unwrap_or(u32::MAX);
    let one = |c: &CaseReport| {
        let mut out = summary(hub, c, &groups);
        let (points, [hour, day]) = growth.of(now_s, c.campaign, c.keys);
        if let Some(o) = out.as_object_mut() {
            o.insert("grown".into(), json!({"hour": hour, "day": day}));
            let point = |p: &Point| json!([p.at_s, p.keys, p.convicted]);
            o.insert("curve".into(), points.iter().map(point).collect());
        }
        out
    };
    json!({"cases": all.iter().map(one).collect::<Vec<_>>()})
}

/// One case, by the number of its campaign, or by a case id that a client was told.
pub fn case(hub: &Hub, id: u32) -> Option<Value> {
    let all = hub.ledger().cases_report();
    let mut told_to = None;
    let campaign = match all.iter().any(|c| c.campaign == id) {
        true => id,
        false => {
            let secret = hub.config().seed.key(Purpose::Case).0;
            let is_it = |campaign, key| CaseId::new(secret, campaign, key, Reason::Convicted).0 == id;
            let found = hub.convicted().into_iter().find(|k| k.campaign != 0 && is_it(k.campaign, k.key))?;
            told_to = Some(KeyId(found.key).to_string());
            found.campaign
        }
    };
    let groups = hub.ledger().groups_report();
    let mut out = summary(hub, all.iter().find(|c| c.campaign == campaign)?, &groups);
    let of_case: Vec<Value> =
        groups.iter().filter(|g| g.campaign == campaign).take(GROUPS).map(group).collect();
    let o = out.as_object_mut()?;
    o.insert("groups".into(), of_case.into());
    o.insert("told_to".into(), told_to.into());
    let mut keys: Vec<u64> =
        hub.convicted().iter().filter(|k| k.campaign == campaign).map(|k| k.key).collect();
    keys.sort_unstable();
    let some = keys.iter().take(KEYS).map(|k| KeyId(*k).to_string());
    o.insert("some_keys".into(), some.collect::<Vec<_>>().into());
    let seen = hub.witnesses().of(campaign);
    let sum = seen.iter().map(|(_, n)| n).sum::<u64>().max(1);
    let name = |id: &NodeId| {
        let identity = hub.nodes().get(id).and_then(|n| n.identity.as_ref());
        identity.map_or_else(|| "shared".to_string(), |i| i.name().to_string())
    };
    let node = |(id, keys): &(NodeId, u64)| json!({"node": hex(id), "identity": name(id), "keys": keys, "percent": keys * 100 / sum});
    o.insert("nodes".into(), seen.iter().map(node).collect::<Vec<_>>().into());
    Some(out)
}

/// One key: the decision on it, and the record of the ledger's evidence, as `weir explain` reads it.
pub fn key(hub: &Hub, key: u64) -> Option<Value> {
    let conviction = hub.ledger().conviction(key);
    let exception = hub.book().get(Name::Key(key));
    let (action, reason) = match conviction {
        Some(_) => (Action::Block, Reason::Convicted),
        None => (Action::Allow, Reason::None),
    };
    let secret = hub.config().seed.key(Purpose::Case).0;
    let campaign = conviction.unwrap_or(0);
    let case_id = conviction.map(|c| CaseId::new(secret, c, key, reason));
    let verdict = Verdict { action, reason, campaign, case_id, ..Verdict::default() };
    let known = hub.ledger().key_report(key, &verdict).is_some();
    if !known && exception.is_none() {
        return None;
    }
    let decision = Decision { verdict, action, key: KeyId(key), ..Decision::default() };
    let record = known.then(|| decision.record_at_ledger(hub.ticked(), hub.config(), hub.ledger()));
    let record: Option<Value> = record.and_then(|r| serde_json::from_str(&r).ok());
    Some(json!({
        "key": KeyId(key).to_string(), "convicted": conviction.is_some(),
        "case": conviction.map(|c| format!("{c:08x}")), "exception": exception.map(act), "record": record,
    }))
}

/// Lists in the form of a configuration, for edges that cannot call the hub. The convictions that last
/// longest come first.
pub fn lists(hub: &Hub) -> Value {
    let entry =
        |a: &Act, kind: &str| json!({"name": format!("{} by the hub", a.verb.name()), kind: a.name.text()});
    let of = |verb: Verb| hub.book().acts().filter(move |a| a.verb == verb);
    let kind = |n: Name| match n {
        Name::Key(_) => Some("key"),
        Name::Template(v) if value_text(v).starts_with("nid:") => Some("network"),
        Name::Template(_) => Some("template"),
        Name::Case(_) => None,
    };
    let allow: Vec<Value> = of(Verb::Allow).filter_map(|a| Some(entry(a, kind(a.name)?))).collect();
    let mut deny: Vec<Value> = of(Verb::Deny).filter_map(|a| Some(entry(a, kind(a.name)?))).collect();
    let now_s = u32::try_from(hub.ticked().secs()).unwrap_or(u32::MAX);
    let freed = |id: u64| hub.book().decided(id) != 0;
    let mut convicted = hub.listed();
    convicted.retain(|k| k.until_s >= now_s && !freed(k.key) && !freed(k.campaign.into()));
    convicted.sort_by_key(|k| (std::cmp::Reverse(k.until_s), k.key));
    convicted.truncate(MOST_LISTED.saturating_sub(deny.len()));
    deny.extend(
        convicted.iter().map(
            |k| json!({"name": format!("campaign {:08x}", k.campaign), "key": KeyId(k.key).to_string()}),
        ),
    );
    json!({"deny": deny, "allow": allow})
}
