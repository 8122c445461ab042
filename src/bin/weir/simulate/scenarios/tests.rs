//! Checks of the scenarios' traffic: requests of a family are as it claims.

#![allow(clippy::unwrap_used, reason = "tests")]

use super::{Scenario, all, find};
use crate::simulate::corpus::{self, Corpus, Split};
use crate::simulate::run::{Setup, world};
use crate::simulate::texts::Said;
use crate::simulate::world::{START_S, World};
use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

fn texts() -> Arc<Corpus> {
    static TEXTS: OnceLock<Arc<Corpus>> = OnceLock::new();
    Arc::clone(TEXTS.get_or_init(|| Arc::new(corpus::load(None, Split::All).unwrap().0)))
}

fn built(scenario: &Scenario, seed: u64) -> World {
    built_at(scenario, seed, 0.01)
}

fn built_at(scenario: &Scenario, seed: u64, campaign: f64) -> World {
    let setup = Setup {
        scenario: *scenario,
        seed,
        honest: 0.01,
        campaign,
        baselines: false,
        pipelined: false,
        verbose: false,
        trace: false,
        edges: 0,
        fleet: None,
        fitted: None,
    };
    world(&setup, &texts())
}

/// What the requests of some classes look like.
#[derive(Debug, Default)]
struct Shape {
    keys: usize,
    /// Percent of requests.
    follow_ups: f64,
    /// Percent of requests whose last text was sent before, by whomever.
    repeated: f64,
    /// Percent of requests at the five quietest hours of the clock.
    quiet: f64,
    /// Percent of keys made less than two weeks before they were first seen, of those that tell.
    young: f64,
    /// Percent of keys that tell.
    told: f64,
    prefixes: usize,
    each: f64,
}

fn shape(w: &World, wanted: &dyn Fn(&str) -> bool, only_its_own: bool) -> Shape {
    let mut s = Shape::default();
    let (mut keys, mut prefixes, mut texts) = (HashSet::new(), HashSet::new(), HashSet::new());
    let (mut n, mut follow, mut repeated, mut young, mut told) = (0u32, 0u32, 0u32, 0u32, 0u32);
    let (mut hours, mut said) = ([0u32; 24], Said::new(1));
    w.requests(|e| {
        let a = &w.actors[e.actor as usize];
        let beside = matches!(a.text, crate::simulate::texts::Text::Chat) && !a.packed;
        if !wanted(w.classes[usize::from(a.class)].name) || only_its_own && beside {
            return;
        }
        w.compose(e, &mut said);
        let id = w.identity(a, e);
        n += 1;
        follow += u32::from(said.facts.conversation);
        let (head, tail) = said.facts.user.regions();
        repeated += u32::from(!texts.insert([head, tail, &said.facts.body.to_le_bytes()].concat()));
        hours[(e.t_ms / 3_600_000 % 24) as usize] += 1;
        prefixes.insert(id.prefix);
        if keys.insert(id.key.0) && a.created_s != 0 {
            told += 1;
            let seen = START_S + e.t_ms / 1000;
            young += u32::from(seen.saturating_sub(u64::from(a.created_s)) < 14 * 86_400);
        }
    });
    let percent = |k: u32, of: u32| 100.0 * f64::from(k) / f64::from(of.max(1));
    hours.sort_unstable();
    s.keys = keys.len();
    s.follow_ups = percent(follow, n);
    s.repeated = percent(repeated, n);
    s.quiet = percent(hours[..5].iter().sum(), n);
    s.young = percent(young, told);
    s.told = percent(told, s.keys as u32);
    s.prefixes = prefixes.len();
    s.each = f64::from(n) / s.keys.max(1) as f64;
    s
}

/// Row; at least and at most: keys, percent of follow-ups, of repeated texts, of young keys, prefixes; requests a key; and at
/// most percent of requests in the quietest five hours of the clock (21 % is even).
type Claim = (&'static str, [usize; 2], [f64; 2], [f64; 2], [f64; 2], [usize; 2], [f64; 2], f64);
#[rustfmt::skip]
const CLAIMS: &[Claim] = &[
    ("P-passed-300",           [250, 350],   [1.0, 22.0],  [0.0, 0.5],   [25.0, 75.0],   [240, 350], [1.5, 7.0],     15.0),
    ("P-rollout-150",          [125, 175],   [58.0, 87.0], [0.0, 0.5],   [100.0, 100.0], [3, 3],     [20.0, 200.0],  1.0),
    ("P-rollout-few-150",      [125, 175],   [9.0, 21.0],  [0.0, 0.5],   [100.0, 100.0], [3, 3],     [20.0, 200.0],  1.0),
    ("P-ingestion-40",         [33, 47],     [0.0, 0.0],   [0.0, 0.5],   [100.0, 100.0], [1, 3],     [1000.0, 2e4],  20.8),
    ("P-ingestion-tenant-40",  [33, 47],     [0.0, 0.0],   [0.0, 0.5],   [100.0, 100.0], [1, 3],     [1000.0, 2e4],  20.8),
    ("P-poisoned-300",         [285, 300],   [12.0, 43.0], [0.0, 0.5],   [99.0, 100.0],  [285, 300], [5.0, 200.0],   20.0),
    ("P-migration-300",        [420, 700],   [0.0, 20.0],  [0.0, 0.5],   [40.0, 60.0],   [240, 350], [10.0, 400.0],  20.0),
    ("P-desks-300",            [250, 350],   [9.0, 31.0],  [0.0, 0.5],   [40.0, 95.0],   [8, 10],    [30.0, 400.0],  20.8),
    ("P-installs-300",         [200, 350],   [0.0, 0.0],   [0.0, 0.5],   [100.0, 100.0], [200, 350], [5.0, 60.0],    20.0),
    ("P-homework-300",         [250, 350],   [10.0, 29.0], [10.0, 60.0], [85.0, 100.0],  [240, 350], [30.0, 300.0],  0.0),
    ("P-crowd-200",            [165, 235],   [0.0, 5.5],   [2.5, 7.0],   [65.0, 95.0],   [160, 235], [250.0, 1200.0], 19.0),
    ("P-marketplace-300",      [250, 350],   [0.0, 0.0],   [0.0, 0.5],   [35.0, 65.0],   [4, 350],   [60.0, 500.0],  20.0),
    ("P-game-300",             [220, 350],   [0.0, 0.0],   [0.0, 0.5],   [100.0, 100.0], [220, 350], [40.0, 250.0],  6.0),
    ("P-extension-500",        [420, 580],   [4.0, 16.0],  [0.0, 0.5],   [100.0, 100.0], [400, 580], [2.5, 7.0],     16.0),
    ("P-backoff-300",          [250, 350],   [0.0, 0.0],   [5.0, 50.0],  [98.0, 100.0],  [240, 350], [30.0, 500.0],  20.8),
    ("P-hall-150",             [125, 175],   [12.0, 48.0], [5.0, 60.0],  [100.0, 100.0], [1, 2],     [20.0, 250.0],  4.0),
    ("P-carrier-300",          [250, 350],   [3.0, 33.0],  [0.0, 0.5],   [100.0, 100.0], [30, 200],  [8.0, 150.0],   4.0),
    ("P-tokens-150",           [1500, 9000], [8.0, 50.0],  [0.0, 0.5],   [5.0, 40.0],    [20, 120],  [1.5, 6.0],     3.0),
    ("P-contest-150",          [110, 175],   [0.0, 0.0],   [70.0, 99.0], [100.0, 100.0], [105, 175], [100.0, 500.0], 20.0),
    ("P-packed-150",           [120, 180],   [0.0, 0.1],   [0.0, 0.1],   [60.0, 85.0],   [100, 180], [20.0, 400.0],  20.0),
    ("P-digests-300",          [250, 350],   [0.0, 0.0],   [0.0, 0.5],   [100.0, 100.0], [2, 4],     [15.0, 200.0],  12.0),
];

#[test]
fn families_have_the_properties_they_claim() {
    let mut wrong = Vec::new();
    for (name, keys, follow_ups, repeated, young, prefixes, each, quiet) in CLAIMS {
        let s = find(name).unwrap();
        let class = name[2..].rsplit_once('-').unwrap().0.replace('-', "_");
        for seed in 1..=2 {
            let got = shape(&built(s, seed), &|c| c == class, true);
            let within = |x: f64, [lo, hi]: [f64; 2]| (lo..=hi).contains(&x);
            let count = |x: usize, [lo, hi]: [usize; 2]| (lo..=hi).contains(&x);
            let kept = count(got.keys, *keys)
                && within(got.follow_ups, *follow_ups)
                && within(got.repeated, *repeated)
                && within(got.young, *young)
                && count(got.prefixes, *prefixes)
                && within(got.each, *each)
                && got.quiet <= *quiet;
            if !kept {
                wrong.push(format!("{name} seed {seed}: {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_family_has_its_claims() {
    let known = ["launch", "staff", "hackathon", "rotated", "jitter", "viral", "narrow"];
    for s in all().filter(|s| s.name.starts_with("P-") && !known.contains(&s.family)) {
        assert!(CLAIMS.iter().any(|c| find(c.0).unwrap().family == s.family), "{}", s.name);
    }
}

#[test]
fn names_are_unique() {
    let mut seen = HashSet::new();
    for s in all() {
        assert!(seen.insert(s.name.to_ascii_lowercase()), "{}", s.name);
        assert!(!s.family.is_empty() && super::group(s.family).is_none_or(|_| s.family == "newcomers"));
    }
}

#[test]
fn ages_are_told_by_all_by_half_or_by_none() {
    for (name, lo, hi) in
        [("P-rollout-150", 100.0, 100.0), ("P-rollout-150m", 38.0, 62.0), ("P-rollout-150u", 0.0, 0.0)]
    {
        let got = shape(&built(find(name).unwrap(), 1), &|_| true, false);
        assert!((lo..=hi).contains(&got.told), "{name}: {got:?}");
    }
}

#[test]
fn a_world_is_made_again_from_its_seed_and_another_seed_differs() {
    for name in ["P-passed-150m", "P-marketplace-40", "P-tokens-40"] {
        let trace = |seed: u64| {
            let w = built(find(name).unwrap(), seed);
            let (mut all, mut said) = (Vec::new(), Said::new(1));
            w.requests(|e| {
                let probe = w.compose(e, &mut said);
                let id = w.identity(&w.actors[e.actor as usize], e);
                let (head, tail) = said.facts.user.regions();
                all.push((*e, probe, id.key.0, id.prefix, [head, tail].concat()));
            });
            all
        };
        let first = trace(7);
        assert!(first == trace(7), "{name}");
        assert!(first != trace(8), "{name}");
    }
}

/// Times of a scenario's chat, follow-ups among it, and of its probes, by account.
fn attack(name: &str) -> Vec<(Vec<u64>, Vec<u64>)> {
    let w = built_at(find(name).unwrap(), 3, 0.04);
    let mut out = vec![(Vec::new(), Vec::new()); w.actors.len()];
    let mut said = Said::new(1);
    w.requests(|e| {
        if w.classes[usize::from(w.actors[e.actor as usize].class)].name == "campaign" {
            let probe = w.compose(e, &mut said);
            let account = &mut out[w.owner(e.actor) as usize];
            if probe { account.1.push(e.t_ms) } else { account.0.push(e.t_ms) }
        }
    });
    out.retain(|a| !a.1.is_empty());
    out
}

#[test]
fn campaigns_do_what_they_claim() {
    let sum =
        |all: &[(Vec<u64>, Vec<u64>)]| all.iter().fold((0, 0), |n, a| (n.0 + a.0.len(), n.1 + a.1.len()));
    let plain = attack("S3");
    let (chat, probes) = sum(&plain);
    assert!(chat == 0 && plain.len() == 100);

    let (chat, same) = sum(&attack("A-cover"));
    assert!((0.42..0.58).contains(&(chat as f64 / (chat + same) as f64)), "{chat} of {same}");
    let (chat, same) = sum(&attack("A-cover67"));
    assert!((0.58..0.75).contains(&(chat as f64 / (chat + same) as f64)), "{chat} of {same}");

    let warm = attack("A-warm");
    let before = warm.iter().filter(|a| a.0.iter().all(|t| t < &a.1[0])).count();
    assert!(before >= warm.len() - 1, "{before} of {}", warm.len());
    let each = sum(&warm).0 as f64 / warm.len() as f64;
    assert!((7.0..13.0).contains(&each), "{each}");

    let rests = attack("A-rest");
    let days = |a: &(Vec<u64>, Vec<u64>)| a.1.iter().map(|t| t / 86_400_000).collect::<HashSet<_>>().len();
    assert!(rests.iter().all(|a| days(a) <= 4), "five days, each account one or two away");
    assert!((sum(&rests).1 as f64 / probes as f64 - 1.0).abs() < 0.15);

    let born = |all: &[(Vec<u64>, Vec<u64>)], last_h: u64| {
        all.iter().filter(|a| a.1[0] >= (156 - last_h) * 3_600_000).count() as f64 / all.len() as f64
    };
    let growing = attack("A-growth");
    assert!((0.35..0.65).contains(&born(&growing, 24)), "half of them on the last day");

    let mut rates: Vec<usize> = attack("A-tiers").iter().map(|a| a.1.len()).collect();
    rates.sort_unstable();
    let (low, high) = (rates[rates.len() / 6], rates[rates.len() * 5 / 6]);
    assert!((6.0..16.0).contains(&(high as f64 / low as f64)), "{low} {high}");

    assert!(attack("A-twins").len() > 140);
}

#[test]
fn campaigns_write_and_hide_as_they_claim() {
    let of = |name: &str| shape(&built_at(find(name).unwrap(), 3, 0.04), &|c| c == "campaign", false);
    let (plain, invented, twice) = (of("S3"), of("A-invent"), of("A-twice"));
    assert!(plain.follow_ups == 0.0 && plain.repeated < 0.1, "{plain:?}");
    assert!((13.0..17.0).contains(&invented.follow_ups), "{invented:?}");
    assert!((0.8..3.0).contains(&twice.repeated), "{twice:?}");
    let (each, hourly) = (of("A-disposable"), of("A-hourly-keys"));
    assert!(each.each == 1.0 && each.told == 0.0, "{each:?}");
    assert!((1.2..2.2).contains(&hourly.each) && hourly.told == 0.0, "{hourly:?}");
    let (relays, laundered) = (of("A-relays"), of("A-launder"));
    assert!((190..=200).contains(&relays.prefixes), "{relays:?}");
    assert!(laundered.prefixes == 10 && laundered.told == 0.0, "{laundered:?}");
}
