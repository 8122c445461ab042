//! The edge's ladder: lists, then the published verdicts of the ledger, then limits.

use crate::engine::config::{Campaign, List, ListEntry, OnUnreadable, Profile, Selector};
use crate::engine::dialect::Unreadable;
use crate::engine::observation::{self, Observation};
use crate::engine::outcome::Outcome;
use crate::engine::rules::{self, Facts, Ruling};
use crate::engine::snapshot::{Match, Snapshot};
use crate::engine::units::Nanos;
use crate::engine::units::Wait;
use crate::engine::value::KeyId;
use crate::engine::value::bucket;
use crate::engine::verdict::{Action, CaseId, Evidence, Reason, Verdict};

/// The list entry that selects the request, if any. `others`: further keys that the request may belong to.
pub fn listed<'a>(
    list: &'a List,
    obs: &Observation,
    others: &[&[u64]],
    values: &[u64],
) -> Option<&'a ListEntry> {
    if list.entries().is_empty() {
        return None;
    }
    let key = |k: u64| if k == 0 { None } else { list.get(Selector::Key(KeyId(k))) };
    let template = |v: &u64| list.get(Selector::Template(*v));
    key(obs.key)
        .or_else(|| others.iter().flat_map(|o| o.iter()).find_map(|k| key(*k)))
        .or_else(|| if obs.tenant == 0 { None } else { list.get(Selector::Tenant(obs.tenant)) })
        .or_else(|| if list.has_templates() { values.iter().find_map(template) } else { None })
        .or_else(|| obs.nets.iter().find_map(|v| list.get(Selector::Network(*v))))
}

/// The outcome of a request that nothing speaks against.
pub fn nothing(obs: &Observation, m: Match<'_>) -> Outcome {
    let evidence =
        Evidence { matched: m.pieces.count.min(255) as u8, values: obs.value_count, ..Evidence::default() };
    Outcome { evidence, ..Outcome::default() }
}

/// The outcome of a request whose key is not convicted, without the ledger: `rules` for a key at its first
/// request. A key that the ledger has a state of (or one in `beside`) is left to the ledger, which sees this
/// request within 100 ms.
pub fn from_snapshot(
    s: &Snapshot,
    obs: &Observation,
    m: Match<'_>,
    beside: Option<&Snapshot>,
    c: &Campaign,
) -> Outcome {
    let out = nothing(obs, m);
    let now_s = u32::try_from(obs.time.secs()).unwrap_or(u32::MAX);
    let Some(case) = m.case.filter(|_| obs.key != 0) else { return out };
    let template = Outcome { reason: Reason::Template, campaign: case.campaign, ..out };
    if s.is_known(obs.key) || beside.is_some_and(|b| b.is_known(obs.key)) {
        return Outcome { watch: m.pieces.count >= 3, ..template };
    }
    let ruling = |created_s: u32| {
        let facts = Facts::first(created_s, now_s, c.young_for_s, &m.pieces, case.usual);
        rules::rule(&rules::odds(&facts, &case.numbers), c.block_odds)
    };
    let mut said = ruling(obs.created_s);
    if obs.created_s == 0 && obs.flags & observation::AGE_UNREAD == 0 {
        // If the age is not told, the ledger may know the key or take it for a newcomer. The milder of the two is used.
        said = said.min(ruling(now_s));
    }
    match said {
        Ruling::Block => Outcome { block: true, ..template },
        Ruling::Watch => Outcome { watch: true, ..template },
        Ruling::Allow => out,
    }
}

/// Bucket of the template budget that a request which nothing blocks is charged to, 0 if none. Keys that are
/// proven, or told to be old, are not charged.
pub fn budget(s: &Snapshot, obs: &Observation, values: &[u64], m: Match<'_>, c: &Campaign) -> u64 {
    let bucket = bucket(m.case.map_or(0, |c| c.case), s.suspect(values));
    let age_s = obs.time.secs().saturating_sub(u64::from(obs.created_s));
    let old = obs.created_s != 0 && age_s >= c.young_for_s;
    if bucket == 0 || obs.key == 0 || old || s.is_proven(obs.key) { 0 } else { bucket }
}

/// Refusal by a limit or a budget: its reason, and the wait.
pub type Denied = Option<(Reason, Wait)>;
/// Wait that is told when a budget is used up: short for people, and still slow for a campaign.
pub const BUDGET_WAIT: Nanos = Nanos::from_secs(5);

/// True if no limit counts the request.
pub fn is_free(profile: &Profile, unreadable: Option<Unreadable>) -> bool {
    unreadable.is_some() && profile.inspect.on_unreadable == OnUnreadable::Allow
}

/// The verdict on a request. `charge` charges the limits and is called only if nothing before them decides.
pub fn verdict(
    secret: u64,
    profile: &Profile,
    obs: &Observation,
    outcome: &Outcome,
    unreadable: Option<Unreadable>,
    charge: impl FnOnce() -> Denied,
) -> Verdict {
    let case_id = |campaign: u32, reason: Reason| Some(CaseId::new(secret, campaign, obs.key, reason));
    let base = Verdict {
        reason: outcome.reason,
        campaign: outcome.campaign,
        evidence: outcome.evidence,
        ..Verdict::default()
    };
    if outcome.block {
        return Verdict {
            action: Action::Block,
            case_id: case_id(outcome.campaign, outcome.reason),
            retry_after: profile.actions.block_for,
            ..base
        };
    }
    if unreadable.is_some() && profile.inspect.on_unreadable == OnUnreadable::Reject {
        return Verdict {
            action: Action::Block,
            reason: Reason::Unreadable,
            case_id: case_id(0, Reason::Unreadable),
            ..base
        };
    }
    if let Some((reason, wait)) = charge() {
        return Verdict {
            action: Action::Throttle,
            reason,
            case_id: case_id(0, reason),
            wait,
            retry_after: told(wait, profile),
            ..base
        };
    }
    if outcome.watch {
        let action = if profile.actions.watch_tags { Action::Tag } else { Action::Allow };
        return Verdict { action, case_id: case_id(outcome.campaign, outcome.reason), ..base };
    }
    Verdict { reason: Reason::None, ..base }
}

/// The wait that a client is told: at most what is configured, because client libraries obey short waits and
/// give up on long ones.
pub fn told(wait: Wait, profile: &Profile) -> Nanos {
    wait.wait.min(profile.actions.throttle_retry_after.max(Nanos::from_secs(1)))
}

/// The verdict on a request that a list entry selects.
pub fn on_list(reason: Reason, secret: u64, obs: &Observation, profile: &Profile) -> Verdict {
    if reason == Reason::AllowList {
        return Verdict { reason, ..Verdict::default() };
    }
    Verdict {
        action: Action::Block,
        reason,
        case_id: Some(CaseId::new(secret, 0, obs.key, reason)),
        retry_after: profile.actions.block_for,
        ..Verdict::default()
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, clippy::disallowed_types, reason = "tests; one takes the time")]
mod tests {
    use super::*;
    use crate::engine::config::ListEntry;

    fn list(n: u64) -> List {
        let of = |i: u64| match i % 4 {
            0 => Selector::Key(KeyId(i)),
            1 => Selector::Tenant(i),
            2 => Selector::Template(i),
            _ => Selector::Network(i),
        };
        // In no order.
        List::new((1..=n).map(|i| ListEntry { name: i.to_string(), selector: of(i * 7 % (n + 1)) }).collect())
    }

    /// Reference for the test: entry by entry.
    fn slow(list: &List, obs: &Observation, others: &[&[u64]], values: &[u64]) -> bool {
        list.entries().iter().any(|e| match e.selector {
            Selector::Key(k) => k.0 != 0 && (k.0 == obs.key || others.iter().any(|o| o.contains(&k.0))),
            Selector::Tenant(t) => t == obs.tenant && t != 0,
            Selector::Template(v) => values.contains(&v),
            Selector::Network(v) => obs.nets.contains(&v),
        })
    }

    #[test]
    fn a_look_up_says_what_reading_every_entry_says() {
        let mut r = 1u64;
        let mut next = || {
            r = crate::engine::hash::mix(r.wrapping_add(0x9e37));
            r % 3_000
        };
        let (all, none) = (list(1_000), List::default());
        let mut hits = 0;
        for _ in 0..4_000 {
            let obs =
                Observation { key: next(), tenant: next(), nets: [next(), next()], ..Observation::default() };
            let (others, values) = ([next(), next()], [next(), next(), next()]);
            let want = slow(&all, &obs, &[&others[..1], &others[1..]], &values);
            assert_eq!(listed(&all, &obs, &[&others[..1], &others[1..]], &values).is_some(), want);
            assert!(listed(&none, &obs, &[&others], &values).is_none());
            hits += u32::from(want);
        }
        assert!((200..3_800).contains(&hits), "{hits}");
    }

    #[test]
    fn the_longest_list_takes_microseconds() {
        let all = list(65_536);
        let values: Vec<u64> = (0..144).map(|i| 1_000_000 + i).collect();
        let obs = Observation { key: 1_000_000, tenant: 5_000_000, nets: [9, 10], ..Observation::default() };
        let began = std::time::Instant::now();
        for _ in 0..1_000 {
            std::hint::black_box(listed(std::hint::black_box(&all), &obs, &[], &values));
        }
        // A debug build on a busy machine; entry by entry it was 600 us and more.
        assert!(began.elapsed().as_micros() / 1_000 < 200, "{:?} for a thousand", began.elapsed());
    }
}
