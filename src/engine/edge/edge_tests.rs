//! What an edge tells the ledger by lists, limits and decisions that were made elsewhere.

use super::*;
use crate::engine::config;
use crate::engine::observation::{ALLOWED, CONVERSATION, REFUSED, SERVED, decode};
use crate::engine::value::KeyId;

const LISTED: u64 = 0x0123_4567_89ab_cdef;

fn edge(rest: &str) -> Edge {
    Edge::new(Arc::new(config::parse(&format!("{{{rest}}}")).unwrap()))
}

/// A request of a key, as it is extracted.
fn request(key: u64) -> Extracted {
    let obs = Observation { key, flags: CONVERSATION, cost: 1, ..Observation::default() };
    Extracted { obs, key: KeyId(key), ..Extracted::default() }
}

/// What the ledger is told.
fn told(edge: &mut Edge) -> Vec<u8> {
    let (mut bytes, mut flags) = (Vec::new(), Vec::new());
    edge.drain(&mut bytes);
    if !bytes.is_empty() {
        decode(&bytes, edge.seed_check, |obs| flags.push(obs.flags)).unwrap();
    }
    flags
}

#[test]
fn what_an_allow_list_selects_is_told_as_such_beside_all_else_that_is_known_of_it() {
    let list = r#"[{"name": "ours", "key": "kid:0123456789abcdef"}]"#;
    for (lists, key, reason, flags) in [
        (format!(r#""allow": {list}"#), LISTED, Reason::AllowList, CONVERSATION | ALLOWED),
        (format!(r#""allow": {list}"#), 7, Reason::None, CONVERSATION),
        (format!(r#""deny": {list}"#), LISTED, Reason::DenyList, CONVERSATION),
    ] {
        let mut x = request(key);
        let found = edge(&lists).prepare(&mut x).map_or(Reason::None, |v| v.reason);
        assert_eq!((found, x.obs.flags), (reason, flags), "{lists} {key}");
    }
}

#[test]
fn what_was_decided_elsewhere_is_told_once_and_only_if_it_teaches() {
    let mut e = edge("");
    for (refused, flag) in [(false, SERVED), (true, REFUSED)] {
        assert!(e.hear(&mut request(7), refused));
        assert_eq!(told(&mut e), [CONVERSATION | flag]);
    }
    for other in [Other::Charged, Other::Free, Other::Refused] {
        assert!(!e.hear(&mut Extracted { other, ..request(7) }, false));
    }
    assert_eq!((e.waiting(), told(&mut e)), (0, vec![]));
}

/// Alone, before any word of the ledger.
#[test]
fn an_edge_holds_each_of_several_limits() {
    let limits = |few: usize| {
        let limit = |at: usize| match at == few {
            true => r#"{"name": "few", "requests": 3, "per": "1h"}"#.to_string(),
            false => format!(r#"{{"name": "many{at}", "requests": 1000, "per": "1m"}}"#),
        };
        (0..4).map(limit).collect::<Vec<_>>().join(", ")
    };
    for few in 0..4 {
        let seed = "1".repeat(64);
        let rest = format!(r#""mode": "enforce", "seed": "{seed}", "limits": [{}]"#, limits(few));
        let mut e = edge(&rest);
        let now = Nanos::from_secs(1_800_000_000);
        let actions = [1, 2, 3, 4].map(|_| e.judge(now, &mut request(7)).verdict.action);
        assert_eq!(actions, [Action::Allow, Action::Allow, Action::Allow, Action::Throttle], "limit {few}");
    }
}
