//! One rule, two callers: an edge's verdict on a key's first request, from published shards, equals the
//! ledger's on the same request.

use super::*;
use crate::engine::config::Campaign;
use crate::engine::edge::verdicts::Verdicts;
use crate::engine::hash::Seed;
use crate::engine::tables::numbers::{Beta, Numbers, Rhythm};
use crate::engine::verdict::Reason;
use proptest::prelude::*;

const NOW_S: u32 = START as u32;
const YOUNG_FOR_S: u32 = 14 * 86_400;

fn beta() -> impl Strategy<Value = Beta> {
    (0.005f32..0.98, 0.5f32..50.0).prop_map(|(mean, precision)| Beta { mean, precision })
}

fn rhythm() -> impl Strategy<Value = Rhythm> {
    (0.0005f32..0.85, 0.05f32..500.0, 0.3f32..40.0).prop_map(|(stop, gap, shape)| Rhythm { stop, gap, shape })
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let day_min = 1_440u32;
    let births = prop_oneof![
        Just((0, u32::MAX)),
        (0..30 * day_min, 1..10 * day_min).prop_map(|(ago, over)| {
            let to = NOW_S / 60 - ago;
            (to - over, to)
        }),
    ];
    let ages = prop_oneof![
        // The campaign's accounts are new, half of them are bought, nearly all are.
        Just((1.2f32, -3.8f32)),
        Just((0.5, -0.3)),
        Just((-2.3, 0.3)),
        Just((0.0, 0.0)),
    ];
    let arrivals = prop_oneof![
        Just((u32::MAX, 0.0)),
        (0..3 * day_min, -7.0f32..0.0).prop_map(|(ago, nats)| (NOW_S / 60 - ago, nats)),
    ];
    let shares = (beta(), beta(), beta(), beta(), beta(), beta());
    let rest = (rhythm(), rhythm(), 0.02f32..0.97, 0.02f32..0.97, -6.0f32..0.0);
    let births = (births, arrivals);
    (-8.0f32..14.0, ages, births, shares, rest).prop_map(|(prior, (young, old), (births, came), s, r)| {
        Numbers {
            old_honest: 1.0,
            prior,
            young,
            old,
            born_from_min: births.0,
            born_to_min: births.1,
            came_to_min: came.0,
            newcomer: came.1,
            devoted: s.0,
            honest_devoted: s.1,
            talk: s.2,
            honest_talk: s.3,
            repeats: s.4,
            honest_repeats: s.5,
            queue: r.0,
            honest: r.1,
            sleep: r.2,
            honest_sleep: r.3,
            regular: r.4,
        }
    })
}

/// A campaign of this many values, each with what its own counters say, and how many a request of it usually shows.
#[derive(Clone, Debug)]
struct Published {
    numbers: Numbers,
    priors: Vec<f32>,
    usual: u32,
}

fn published() -> impl Strategy<Value = Published> {
    (numbers(), proptest::collection::vec(-4.0f32..14.0, 1..14), 0u32..14)
        .prop_map(|(numbers, priors, usual)| Published { numbers, priors, usual })
}

/// A ledger with the case, and an edge that has applied what it publishes.
fn both(p: &Published, learn: bool) -> (Ledger, Verdicts) {
    let c = config(|c| {
        c.keys = 1_024;
        c.learn = Nanos::from_hours(if learn { 24 } else { 0 });
    });
    let mut l = Ledger::new(&c);
    // A request of somebody else, so that time has come and a key is known.
    l.observe_one(&Observation { created_s: NOW_S - 1_000, ..opening(0.0, 77, 77) });
    let case = l.values.cases_mut().open(value(9, 0), NOW_S);
    for (v, prior) in (0u64..).zip(&p.priors) {
        assert_eq!(l.values.cases_mut().confirm(value(9, v), case, NOW_S), None);
        l.values.cases_mut().set_prior(value(9, v), *prior);
    }
    let entry = l.values.cases_mut().case_mut(case).unwrap();
    (entry.numbers, entry.usual) = (p.numbers, p.usual * 16);
    let mut s = Verdicts::new(c.seed.check());
    publish(&mut l, &mut s);
    (l, s)
}

fn publish(l: &mut Ledger, s: &mut Verdicts) {
    l.republish(u64::MAX);
    l.publish(|_, bytes| s.apply(bytes).unwrap());
}

/// A request of a key, some of the case's values in it.
fn request(key: u64, shown: u64, created_s: u32, conversation: bool) -> Observation {
    let mut values: Vec<u64> = (0..shown).map(|v| value(9, v)).collect();
    values.extend((0..12 - shown.min(12)).map(|i| mix(key << 8 | i) >> 2));
    values.sort_unstable();
    Observation {
        created_s,
        flags: if conversation { observation::CONVERSATION } else { 0 },
        value_count: values.len() as u8,
        anchors: Few::of(values),
        nets: [0, 0],
        ..opening(0.1, key, key)
    }
}

fn parameters() -> Campaign {
    config(|_| ()).campaign
}

fn at_the_edge(s: &Verdicts, obs: &Observation, c: &Campaign) -> Outcome {
    s.outcome(obs, obs.anchors.as_slice(), c).0
}

/// 0 nothing, 1 a tag, 2 a block.
fn strict(o: &Outcome) -> u8 {
    if o.block { 2 } else { u8::from(o.watch) }
}

fn created() -> impl Strategy<Value = u32> {
    prop_oneof![
        (0u32..60 * 86_400).prop_map(|age| NOW_S + 360 - age),
        // Not to the minute in which an account grows old: the ledger's state has minutes.
        (120u32..100_000).prop_map(|d| NOW_S + 360 - YOUNG_FOR_S - d),
        (120u32..100_000).prop_map(|d| NOW_S + 360 - YOUNG_FOR_S + d),
        // From the future: a clock that is wrong.
        (1u32..100_000).prop_map(|d| NOW_S + 360 + d),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Where the request tells when the account was made, both say the same.
    #[test]
    fn an_edge_says_of_a_first_request_what_the_ledger_says(
        p in published(), shown in 1u64..13, created_s in created(), conversation: bool, learn: bool, key in 1_000u64..1_000_000,
    ) {
        let (mut l, s) = both(&p, learn);
        prop_assume!(!s.is_known(mix(key)));
        let obs = request(key, shown.min(p.priors.len() as u64), created_s, conversation);
        let edge = at_the_edge(&s, &obs, &parameters());
        let ledger = l.observe_one(&obs);
        let k = l.keys.get(mix(key)).unwrap();
        let m = matched::find(l.values.cases(), &obs);
        let case = l.values.cases().case(m.case).unwrap();
        let nats = l.ladder.odds(k, l.clock.now_s(), tick_of(l.clock.now_s()), case, &m.pieces).nats();
        // The request has moved the mean of what is shown, by a sixteenth at most.
        let need = f64::from(parameters().block_odds).ln();
        let near = (nats - need).abs() < 0.2 || (nats - need + 10f64.ln()).abs() < 0.2;
        prop_assert!(near || strict(&edge) == strict(&ledger), "{edge:?} {ledger:?} {nats}");
    }

    /// Where it does not, the ledger knows more: that the key was never here before, or that it was still learning.
    #[test]
    fn an_edge_is_never_stricter_than_the_ledger(
        p in published(), shown in 1u64..13, conversation: bool, learn: bool, key in 1_000u64..1_000_000,
    ) {
        let (mut l, s) = both(&p, learn);
        prop_assume!(!s.is_known(mix(key)));
        let obs = request(key, shown.min(p.priors.len() as u64), 0, conversation);
        let edge = at_the_edge(&s, &obs, &parameters());
        let ledger = l.observe_one(&obs);
        let k = l.keys.get(mix(key)).unwrap();
        let m = matched::find(l.values.cases(), &obs);
        let case = l.values.cases().case(m.case).unwrap();
        let nats = l.ladder.odds(k, l.clock.now_s(), tick_of(l.clock.now_s()), case, &m.pieces).nats();
        let need = f64::from(parameters().block_odds).ln();
        let near = (nats - need).abs() < 0.2 || (nats - need + 10f64.ln()).abs() < 0.2;
        prop_assert!(near || strict(&edge) <= strict(&ledger), "{edge:?} {ledger:?} {nats}");
    }

    /// A key with a state is blocked by an edge if it was convicted, and only then.
    #[test]
    fn a_known_key_is_blocked_only_by_its_conviction(
        p in published(), shown in 1u64..13, created_s in created(), again in 1u32..4, key in 1_000u64..1_000_000,
    ) {
        let (mut l, mut s) = both(&p, false);
        let obs = request(key, shown.min(p.priors.len() as u64), created_s, false);
        for _ in 0..again {
            l.observe_one(&obs);
        }
        publish(&mut l, &mut s);
        let convicted = l.conviction(mix(key));
        let edge = at_the_edge(&s, &obs, &parameters());
        prop_assert_eq!(edge.block, convicted.is_some());
        if edge.block {
            prop_assert_eq!((edge.reason, Some(edge.campaign)), (Reason::Convicted, convicted));
        } else {
            prop_assert!(s.is_known(mix(key)));
        }
        // Shards of another seed say nothing at all.
        let mut other = Verdicts::new(Seed::from_text("other").check());
        l.republish(u64::MAX);
        l.publish(|_, bytes| assert!(other.apply(bytes).is_err()));
        prop_assert!(!at_the_edge(&other, &obs, &parameters()).block);
    }
}
