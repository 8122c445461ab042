//! The algorithm on synthetic observations: a campaign among people, fleets and agents. Seeds vary; no prompt text.

use super::*;
use crate::engine::detect;
use crate::engine::hash::mix;
use crate::engine::observation::Few;
use crate::engine::tables::groups::{self, Touch};
use crate::engine::tables::{cases, keys, large_samples};
use crate::engine::units::tick_of;
use crate::engine::value::Axis;
use std::collections::{HashMap, HashSet};

mod crash_tests;
mod parity_tests;

struct Rng(u64);
impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(1);
        mix(self.0)
    }
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
    fn exp(&mut self, mean: f64) -> f64 {
        -self.unit().ln() * mean
    }
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }
}

const HOUR: f64 = 3600.0;
const DAY: f64 = 24.0 * HOUR;
const START: f64 = 1_780_000_000.0;

/// One class of keys sharing `values` template values.
struct Class {
    name: &'static str,
    keys: u64,
    template: u64,
    values: u64,
    young: f64,
    /// Next gap in seconds for a key with its own rate factor.
    gap: fn(&mut Rng, f64, f64) -> f64,
    spread: f64,
    follow_up: f64,
    start_h: f64,
}

fn queue(r: &mut Rng, _: f64, _: f64) -> f64 {
    r.exp(HOUR)
}
/// Rates differ, but nobody sleeps: servers of independent customers rather than people.
fn people(r: &mut Rng, rate: f64, _: f64) -> f64 {
    r.exp(8.0 * HOUR / rate)
}
/// The same with a night: nobody sends between 23 and 7 o'clock.
fn sleepers(r: &mut Rng, rate: f64, now_s: f64) -> f64 {
    let awake = |t: f64| (7.0..23.0).contains(&(t / HOUR % 24.0));
    let mut gap = r.exp(8.0 * HOUR / rate);
    while !awake(now_s + gap) {
        gap += r.exp(HOUR);
    }
    gap
}
fn hourly(_: &mut Rng, _: f64, _: f64) -> f64 {
    HOUR
}

fn config(extra: impl FnOnce(&mut Config)) -> Config {
    let mut c = crate::engine::config::parse(
        r#"{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4"}"#,
    )
    .unwrap();
    c.learn = Nanos(0);
    extra(&mut c);
    c
}

struct Result {
    blocked: HashMap<&'static str, HashSet<u64>>,
    served: HashMap<&'static str, (u64, u64)>,
    first_block_h: f64,
    ledger: Ledger,
}

fn run(classes: &[Class], days: f64, seed: u64, config: &Config) -> Result {
    run_with(classes, days, seed, config, |_, _| ())
}

/// `before` each observation, with its number.
fn run_with(
    classes: &[Class],
    days: f64,
    seed: u64,
    config: &Config,
    mut before: impl FnMut(u64, &mut Ledger),
) -> Result {
    let mut n = 0;
    let mut rng = Rng(seed << 32);
    let mut ledger = Ledger::new(config);
    let mut events: std::collections::BinaryHeap<std::cmp::Reverse<(u64, usize, u64)>> = Default::default();
    let mut rates = HashMap::new();
    for (ci, c) in classes.iter().enumerate() {
        for k in 0..c.keys {
            let rate = (c.spread * rng.normal()).exp();
            rates.insert((ci, k), rate);
            let from = START + c.start_h * HOUR;
            let t = from + rng.unit() * (c.gap)(&mut rng, rate, from).max(HOUR);
            events.push(std::cmp::Reverse(((t * 1000.0) as u64, ci, k)));
        }
    }
    let mut out = Result {
        blocked: HashMap::new(),
        served: HashMap::new(),
        first_block_h: f64::INFINITY,
        ledger: Ledger::new(config),
    };
    let end = ((START + days * DAY) * 1000.0) as u64;
    let mut last_text = HashMap::new();
    while let Some(std::cmp::Reverse((t, ci, k))) = events.pop() {
        if t > end {
            break;
        }
        let c = &classes[ci];
        let id = mix((ci as u64 + 1) << 40 | k);
        let now_s = t as f64 / 1000.0;
        let follow = rng.unit() < c.follow_up && last_text.contains_key(&id);
        let text = rng.next();
        let age_days = if (k as f64) < c.young * c.keys as f64 { 2.0 } else { 200.0 };
        let mut values: Vec<u64> = (0..c.values).map(|v| mix(c.template << 8 | v) >> 2).collect();
        values.extend((0..6).map(|_| rng.next() >> 2));
        values.sort_unstable();
        let obs = Observation {
            time: Nanos(t * 1_000_000),
            key: id,
            created_s: (START - age_days * DAY) as u32,
            flags: if follow { observation::CONVERSATION } else { 0 },
            value_count: values.len() as u8,
            exact: text,
            last_user: text,
            first_user: if follow { last_text[&id] } else { text },
            nets: [Axis::Network.tag(mix(id)), Axis::Network.tag(mix(ci as u64 + 77))],
            anchors: Few::of(values.iter().copied()),
            matched: Few::of(
                values.iter().skip(12).copied().filter(|v| ledger.values.cases().get(*v).is_some()),
            ),
            ..Observation::default()
        };
        last_text.entry(id).or_insert(text);
        before(n, &mut ledger);
        n += 1;
        let o = ledger.observe_one(&obs);
        ledger.tick(obs.time);
        let tally = out.served.entry(c.name).or_insert((0, 0));
        tally.0 += 1;
        if o.block {
            out.blocked.entry(c.name).or_default().insert(id);
            out.first_block_h = out.first_block_h.min((now_s - START) / HOUR - c.start_h);
        } else {
            tally.1 += 1;
        }
        let next = now_s + (c.gap)(&mut rng, rates[&(ci, k)], now_s).max(1.0);
        events.push(std::cmp::Reverse(((next * 1000.0) as u64, ci, k)));
    }
    out.ledger = ledger;
    out
}

fn honest() -> Vec<Class> {
    vec![
        Class {
            name: "chat",
            keys: 300,
            template: 1,
            values: 0,
            young: 0.1,
            gap: people,
            spread: 1.0,
            follow_up: 0.5,
            start_h: 0.0,
        },
        Class {
            name: "agents",
            keys: 150,
            template: 2,
            values: 15,
            young: 0.4,
            gap: people,
            spread: 1.2,
            follow_up: 0.6,
            start_h: 0.0,
        },
        Class {
            name: "new app",
            keys: 150,
            template: 3,
            values: 12,
            young: 1.0,
            gap: people,
            spread: 1.0,
            follow_up: 0.2,
            start_h: 10.0,
        },
        Class {
            name: "cron",
            keys: 120,
            template: 4,
            values: 10,
            young: 0.6,
            gap: hourly,
            spread: 0.0,
            follow_up: 0.0,
            start_h: 0.0,
        },
    ]
}

fn with_nights() -> Vec<Class> {
    let mut classes = honest();
    classes.iter_mut().filter(|c| c.name != "cron").for_each(|c| c.gap = sleepers);
    classes
}

fn campaign() -> Class {
    Class {
        name: "campaign",
        keys: 420,
        template: 9,
        values: 14,
        young: 1.0,
        gap: queue,
        spread: 0.0,
        follow_up: 0.0,
        start_h: 12.0,
    }
}

#[test]
fn a_campaign_is_convicted_and_nobody_else() {
    for seed in 1..=12 {
        let mut classes = honest();
        classes.push(campaign());
        let r = run(&classes, 2.0, seed, &config(|_| ()));
        let (total, served) = r.served["campaign"];
        let share = 100.0 * served as f64 / total as f64;
        println!("seed {seed}: {total} requests, {share:.2} % served, first block {:.2} h", r.first_block_h);
        // Measured: 418 to 420 of 420 accounts, 10.6 to 14.0 % served, first block after 3.5 to 4.9 h.
        assert!(r.ledger.status().convicted >= 410, "{:?}", r.ledger.status());
        assert!(share < 16.0 && r.first_block_h < 6.0, "{share} % {} h", r.first_block_h);
        for (name, keys) in &r.blocked {
            assert!(*name == "campaign", "{name}: {} keys blocked", keys.len());
        }
    }
}

#[test]
fn honest_traffic_alone_is_never_blocked() {
    for seed in 1..=12 {
        let r = run(&with_nights(), 4.0, seed, &config(|_| ()));
        assert!(r.blocked.is_empty(), "{:?}", r.blocked.keys());
    }
}

#[test]
fn servers_under_unequal_load_are_never_blocked() {
    for seed in 1..=12 {
        let r = run(&honest(), 4.0, seed, &config(|_| ()));
        assert!(r.blocked.is_empty(), "{:?}", r.blocked.keys());
    }
}

/// A launch whose users have sent about one request each passes the load gate by luck only: at 9 points 3 of these seeds did,
/// at 15 one.
#[test]
fn a_launch_of_people_is_never_blocked() {
    let mut wrong = Vec::new();
    for seed in 1..=48 {
        let mut classes = with_nights();
        classes.push(campaign());
        let r = run(&classes, 2.0, seed, &config(|_| ()));
        if r.blocked.keys().any(|n| *n != "campaign") {
            wrong.push(seed);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Staff who are given an assistant on the morning after a campaign began to send its prompt follow up, which the campaign never did: after the
/// first of them nobody is blocked at the first request. Newcomers who do what the campaign always did are.
#[test]
fn people_who_begin_to_use_a_campaigns_template_are_noticed() {
    let (mut people_blocked, mut blocked_at_once) = (0, 0);
    for seed in 1..=6 {
        // They come over an hour; people's follow-ups come within minutes.
        let soon: fn(&mut Rng, f64, f64) -> f64 = |r, _, _| r.exp(0.05 * HOUR);
        let more = |gap, follow_up| {
            let late = Class { name: "late", keys: 80, gap, follow_up, start_h: 30.0, ..campaign() };
            run(&[campaign(), late], 1.4, seed, &config(|_| ()))
        };
        people_blocked += more(soon, 0.6).blocked.get("late").map_or(0, HashSet::len);
        let (requests, served) = more(queue, 0.0).served["late"];
        println!("seed {seed}: {served} of {requests} requests of the campaign's newcomers served");
        blocked_at_once += usize::from(served * 20 < requests);
    }
    println!(
        "{people_blocked} of 480 people blocked; newcomers of the campaign blocked at once in {blocked_at_once} of 6 runs"
    );
    assert!(people_blocked <= 48 && blocked_at_once == 6, "{people_blocked} people, {blocked_at_once} runs");
}

#[test]
fn state_round_trips_and_foreign_state_is_refused() {
    let mut classes = honest();
    classes.push(campaign());
    let c = config(|_| ());
    let r = run(&classes, 1.5, 1, &c);
    let bytes = r.ledger.write_state();
    let mut back = Ledger::new(&c);
    back.read_state(&bytes).unwrap();
    assert_eq!(back.write_state(), bytes);
    let large_samples = |l: &Ledger| -> Vec<(u64, usize, f64)> {
        l.values
            .large_samples()
            .slots()
            .iter()
            .map(|p| (p.tag, p.keys.items().len(), p.keys.estimate()))
            .collect()
    };
    assert_eq!(large_samples(&back), large_samples(&r.ledger));
    assert!(
        large_samples(&back).iter().any(|p| p.1 == large_samples::KEYS),
        "a full large_sample is among them"
    );
    assert_eq!(back.status().convicted, r.ledger.status().convicted);
    let other = config(|c| c.seed = crate::engine::hash::Seed::from_text("other"));
    assert_eq!(Ledger::new(&other).read_state(&bytes), Err(crate::engine::wire::Refused::Seed));
    let mut bad = bytes.clone();
    bad[100] ^= 1;
    assert_eq!(Ledger::new(&c).read_state(&bad), Err(crate::engine::wire::Refused::Checksum));
    for cut in [0, 5, 30, 1000, bytes.len() - 1] {
        assert!(Ledger::new(&c).read_state(&bytes[..cut]).is_err());
    }
}

#[test]
fn memory_is_fixed() {
    let c = config(|_| ());
    let mut ledger = Ledger::new(&c);
    let before = ledger.size_bytes();
    println!("ledger at {} keys: {before} bytes", c.keys);
    // 9.2 MiB: keys 2, those that left 0.5, groups 2.5, doorkeeper 1.3, novelty and openings 2, large samples 0.6, cases and origins 0.3,
    // limits 0.1.
    assert!((8 << 20..9_700_000).contains(&before), "{before}");
    let mut rng = Rng(1);
    for i in 0..200_000u64 {
        let obs = Observation {
            time: Nanos::from_secs(START as u64 + i),
            key: rng.next(),
            exact: rng.next(),
            anchors: Few::of((0..12).map(|_| rng.next() >> 2)),
            ..Observation::default()
        };
        ledger.observe_one(&obs);
    }
    assert_eq!(ledger.size_bytes(), before);
    assert!(ledger.status().keys <= c.keys);
}

fn value(template: u64, v: u64) -> u64 {
    mix(template << 8 | v) >> 2
}

#[test]
fn timers_with_a_quarter_of_jitter_are_seen_and_queues_are_not() {
    fn jittered(r: &mut Rng, _: f64, _: f64) -> f64 {
        HOUR * (0.75 + 0.5 * r.unit())
    }
    for seed in 1..=4 {
        for (gap, seen) in [(jittered as fn(&mut Rng, f64, f64) -> f64, true), (hourly, true), (queue, false)]
        {
            let c = config(|_| ());
            let r = run(&[Class { gap, keys: 200, ..campaign() }], 2.0, seed, &c);
            // One value of the template has a large sample.
            let found = (0..14)
                .filter_map(|v| {
                    r.ledger.values.assess(r.ledger.values.groups().get(value(9, v))?, r.ledger.clock.now_s())
                })
                .next();
            let f = found.unwrap();
            let fleet = detect::HONEST.iter().position(|h| h.name == "fleet").unwrap();
            println!("seed {seed}: {:.0} nats, fleet {:.0} behind", f.nats, f.behind[fleet]);
            assert!(f.ready);
            if seen {
                assert_eq!(detect::HONEST[f.best].name, "fleet", "seed {seed}: {f:?}");
                assert!(f.nats <= -40.0 && !f.campaign && r.blocked.is_empty(), "seed {seed}: {f:?}");
            } else {
                assert!(f.nats >= 40.0 && f.behind[fleet] <= 0.0, "seed {seed}: {f:?}");
                assert!(r.blocked["campaign"].len() >= 190, "seed {seed}");
            }
        }
    }
}

/// A queue of 300 young keys, a request an hour each for a day and a half: `values` of a request by its number.
fn feed(ledger: &mut Ledger, mut values: impl FnMut(u64) -> Vec<u64>) {
    let mut rng = Rng(99);
    for i in 0..10_800u64 {
        let key = mix((1 << 40) | (rng.next() % 300));
        let text = rng.next();
        let mut anchors = values(i);
        anchors.sort_unstable();
        let obs = Observation {
            time: Nanos::from_secs(START as u64 + i * 12),
            key,
            created_s: (START - 2.0 * DAY) as u32,
            value_count: anchors.len() as u8,
            exact: text,
            last_user: text,
            first_user: text,
            anchors: Few::of(anchors),
            ..Observation::default()
        };
        ledger.observe_one(&obs);
        ledger.tick(obs.time);
    }
}

#[test]
fn slots_are_not_confirmed_and_one_meeting_makes_no_slot() {
    let mut ledger = Ledger::new(&config(|_| ()));
    let popular = value(50, 0);
    let g = ledger.values.groups_mut().create(popular, START as u32).unwrap();
    g.set(groups::flag::HONEST, true);
    (g.total, g.next_eval) = (1_000_000, u32::MAX);
    let slot = |i: u64| value(60, i % 12);
    feed(&mut ledger, |i| {
        let mut v: Vec<u64> = (0..8).map(|v| value(9, v)).collect();
        v.push(slot(mix(i)));
        if i == 1_000 {
            v.push(popular);
        }
        v
    });
    for v in 0..8 {
        assert!(ledger.values.cases().get(value(9, v)).is_some(), "value {v} met something popular once");
    }
    for v in 0..12 {
        let g = ledger.values.groups().get(slot(v)).unwrap();
        assert!(g.total > 400 && g.is_slot(), "slot {v}: {} of {}", g.under, g.total);
        assert!(ledger.values.cases().get(slot(v)).is_none(), "slot {v}");
    }
}

/// A group of the young keys `keys`, each with one new opening.
fn group_of(ledger: &mut Ledger, tag: u64, keys: std::ops::Range<u64>) {
    let now_s = ledger.clock.now_s();
    let g = ledger.values.groups_mut().create(tag, now_s).unwrap();
    for k in keys {
        let key_hash = (mix(k) >> 32) as u32;
        g.touch(&Touch {
            key_hash,
            now_s,
            tick: tick_of(now_s),
            single: true,
            novel: true,
            young: true,
            key_openings: 1,
            ..Touch::default()
        });
    }
}

#[test]
fn a_value_joins_the_case_whose_large_sample_holds_its_keys() {
    for (what, keys, joins, odds) in [
        ("the same keys", 0..128, true, 99.0),
        ("the same keys, and others send both", 0..128, true, 2.0),
        ("some of the keys", 40..104, true, 99.0),
        ("other keys", 1_000..1_128, false, 99.0),
        ("one in twelve another's", 10..138, true, 99.0),
        ("one in five another's", 25..153, true, 99.0),
        ("half of them others", 64..192, false, 99.0),
    ] {
        let mut l = Ledger::new(&config(|_| ()));
        l.clock.set(START as u32);
        let (known, new) = (value(1, 1), value(1, 2));
        group_of(&mut l, known, 0..128);
        let case = l.values.cases_mut().open(known, l.clock.now_s());
        l.values.mark(known, case, START as u32);
        l.values.cases_mut().set_prior(known, odds);
        let g = *l.values.groups().get(known).unwrap();
        let slot = l.values.large_samples_mut().start(&g, 99.0, |_| 0.0);
        l.values.groups_mut().get_mut(known).unwrap().large_sample = slot;
        for k in 0..128 {
            let key_hash = (mix(k) >> 32) as u32;
            l.values.large_samples_mut().touch(
                slot,
                known,
                &Touch { key_hash, single: true, young: true, key_openings: 1, ..Touch::default() },
            );
        }
        group_of(&mut l, new, keys);
        l.values.groups_mut().get_mut(new).unwrap().total = 64;
        l.values.groups_mut().get_mut(new).unwrap().single = 64;
        l.values.groups_mut().get_mut(new).unwrap().novel = 64;
        l.values.join(new, &[known, new], START as u32);
        assert_eq!(l.values.cases().get(new).map(|v| v.case), joins.then_some(case), "{what}");
        assert_eq!(l.values.groups().get(new).unwrap().has(groups::flag::CONFIRMED), joins, "{what}");
        // It is worth what its own counters say, and no more than the large sample of its keys says.
        let prior = l.values.cases().get(new).map(|v| v.prior);
        assert!(
            prior.is_none_or(|p| p == odds || odds > 9.0 && (4.0..9.0).contains(&p)),
            "{what}: {prior:?}"
        );
    }
}

/// Time passes until an hour.
fn pass(l: &mut Ledger, hour: f64) {
    let to = (START + hour * HOUR) as u64;
    let mut t = u64::from(l.clock.now_s()).max(START as u64);
    while t < to {
        t = to.min(t + 600);
        l.tick(Nanos::from_secs(t));
    }
}

/// An opening of a key from an egress, at an hour.
fn opening(hour: f64, key: u64, egress: u64) -> Observation {
    let text = mix(key ^ (hour * HOUR) as u64);
    Observation {
        time: Nanos::from_secs((START + hour * HOUR) as u64),
        key: mix(key),
        exact: text,
        last_user: text,
        first_user: text,
        nets: [Axis::Network.tag(mix(egress)), Axis::Network.tag(mix(5))],
        ..Observation::default()
    }
}

#[test]
fn an_old_account_behind_an_egress_does_not_launder_a_campaign() {
    let mut l = Ledger::new(&config(|c| c.learn = Nanos::from_hours(24)));
    (0..10).for_each(|e| assert!(!l.observe_one(&opening(0.0, 1 << 40 | e, e)).block));
    pass(&mut l, 30.0);
    // 1,500 accounts appear within a day, each sends every two hours; the old ones go on, too.
    for i in 0..15_000u64 {
        let hour = 30.0 + i as f64 * 24.0 / 15_000.0;
        let key = if i % 97 == 0 { (1 << 40) | (i % 10) } else { 1 + mix(i) % (i / 10 + 1) };
        l.observe_one(&opening(hour, key, key % 10));
    }
    let accounts = (1..=1_500).filter_map(|k| l.keys.get(mix(k)));
    let (unknown, all) =
        accounts.fold((0, 0), |(u, n), k| (u + u32::from(k.has(keys::flag::AGE_UNKNOWN)), n + 1));
    assert!(all > 1_000 && unknown <= 30, "{unknown} of {all} are of unknown age");
}

#[test]
fn a_credential_that_is_rotated_daily_or_weekly_never_becomes_young() {
    for (every_h, rotations, young_from) in [(24u64, 60u64, None), (168, 20, None), (1, 10, Some(2))] {
        let mut l = Ledger::new(&config(|c| c.learn = Nanos::from_hours(24)));
        let mut young = None;
        for hour in 0..every_h * rotations {
            let n = hour / every_h;
            // (The first credential is known for a while before it is rotated for the first time.)
            let hour = hour as f64 + if n > 0 { 48.0 } else { 0.0 };
            pass(&mut l, hour);
            l.observe_one(&opening(hour, n + 1, 1));
            let k = l.keys.get(mix(n + 1)).unwrap();
            if l.keys.is_young(k, l.clock.now_s()) {
                young.get_or_insert(n);
            }
        }
        assert_eq!(young, young_from, "every {every_h} h");
    }
}

/// A ledger's first case, of a template of eight values: whoever sends it is the campaign's at e^9 to one.
fn accused(l: &mut Ledger) -> (Vec<u64>, u16) {
    let template: Vec<u64> = (0..8).map(|v| value(9, v)).collect();
    l.observe_one(&opening(0.0, 99, 99));
    let case = l.values.cases_mut().open(template[0], l.clock.now_s());
    template.iter().for_each(|v| l.values.mark(*v, case, START as u32));
    accuse(l, case, 9.0);
    (template, case)
}

/// From now on whoever shows a value of this case is the campaign's, by `nats` to one, unless he follows up.
fn accuse(l: &mut Ledger, case: u16, nats: f32) {
    let values: Vec<u64> = l
        .values
        .cases()
        .values()
        .iter()
        .filter(|v| v.value != 0 && v.case == case)
        .map(|v| v.value)
        .collect();
    assert!(!values.is_empty());
    for v in values {
        l.values.cases_mut().set_prior(v, nats);
    }
    let talk = |mean, precision| crate::engine::tables::numbers::Beta { mean, precision };
    let numbers = crate::engine::tables::numbers::Numbers {
        prior: nats,
        old: -6.0,
        talk: talk(0.007, 40.0),
        honest_talk: talk(0.3, 2.0),
        ..Default::default()
    };
    l.values.cases_mut().case_mut(case).unwrap().numbers = numbers;
}

#[test]
fn a_key_is_not_convicted_under_the_case_that_got_its_slot() {
    let mut l = Ledger::new(&config(|_| ()));
    let (now_s, ours) = (START as u32, value(1, 1));
    // All other slots hold cases that were seen more often.
    for v in 0..cases::CASES as u64 - 1 {
        let case = l.values.cases_mut().open(value(7, v), now_s);
        (0..1_000).for_each(|_| l.values.cases_mut().matched(case, 3, now_s));
    }
    let case = l.values.cases_mut().open(ours, now_s);
    let _ = l.values.cases_mut().confirm(ours, case, now_s);
    accuse(&mut l, case, 9.0);
    l.observe_one(&opening(0.0, 1, 1));
    let key = l.keys.get_mut(mix(1)).unwrap();
    key.set(keys::flag::CONVICTED, true);
    (key.case, key.strikes, key.seen_values) = (case, 5, 0b111);
    assert!(l.observe_one(&opening(0.1, 1, 1)).block && l.conviction(mix(1)).is_some());
    l.values.release(ours);
    let stranger = l.values.cases_mut().open(value(2, 2), now_s);
    let _ = l.values.cases_mut().confirm(value(2, 2), stranger, now_s);
    accuse(&mut l, stranger, 9.0);
    assert_eq!(l.conviction(mix(1)), None);
    assert!(!l.observe_one(&opening(0.2, 1, 1)).block);
}

/// 75 young accounts send a confirmed template's pieces (three values of twelve: two such requests block a key that has a state) once an hour for eight hours, beside a flood of
/// made-up keys with one request each. The table holds 1,024 keys: 0.8 a second are to it what 26 are to the default.
fn served_beside_a_flood(per_s: f64) -> (u64, u64, u32) {
    let c = config(|c| c.keys = 1_024);
    let mut l = Ledger::new(&c);
    let now_s = START as u32;
    let case = l.values.cases_mut().open(value(9, 0), now_s);
    (0..12).for_each(|v| assert_eq!(l.values.cases_mut().confirm(value(9, v), case, now_s), None));
    // Three pieces of the usual twelve and no more than that: a key is blocked at its second request.
    accuse(&mut l, case, 7.5);
    let send = |l: &mut Ledger, at: f64, key: u64, n: u64, part: u64| {
        let mut values: Vec<u64> = (0..part).map(|v| value(9, v)).collect();
        values.extend((0..12 - part).map(|i| mix(n << 4 | i | 1 << 60) >> 2));
        values.sort_unstable();
        let obs = Observation { value_count: 12, anchors: Few::of(values), ..opening(at / HOUR, key, key) };
        l.observe_one(&obs).block
    };
    // The flood fills the table first.
    let mut flood = 0u64;
    let before = if per_s > 0.0 { 4_096 } else { 0 };
    while flood < before {
        flood += 1;
        send(&mut l, 0.0, 1 << 50 | flood, 1 << 40 | flood, 0);
    }
    let (mut sent, mut served) = (0, 0);
    for n in 0..8 * 75u64 {
        let at = n as f64 * HOUR / 75.0;
        while ((flood - before) as f64) < per_s * at {
            flood += 1;
            send(&mut l, at, 1 << 50 | flood, 1 << 40 | flood, 0);
        }
        sent += 1;
        served += u64::from(!send(&mut l, at, 1 + n % 75, n, 3));
        l.tick(Nanos::from_secs((START + at) as u64));
    }
    (served, sent, l.status().convicted)
}

#[test]
fn a_flood_of_made_up_keys_hides_no_campaign() {
    let (alone, sent, convicted) = served_beside_a_flood(0.0);
    for per_s in [0.3, 0.8] {
        let (served, _, theirs) = served_beside_a_flood(per_s);
        println!(
            "flood {per_s}/s: {served} of {sent} served ({alone} without), convicted {theirs} ({convicted})"
        );
        assert!(served * 100 <= alone * 150 && theirs >= convicted * 8 / 10, "{served} {theirs}");
    }
}

#[test]
fn a_key_that_had_to_leave_does_not_come_back_as_a_newcomer() {
    let c = config(|c| c.keys = 1_024);
    let mut l = Ledger::new(&c);
    l.observe_one(&opening(0.0, 1, 1));
    let mut n = 0u64;
    while l.keys.get(mix(1)).is_some() {
        n += 1;
        l.observe_one(&opening(n as f64 / 3_600.0, 1 << 50 | n, n));
    }
    let hour = 20.0 * 24.0;
    pass(&mut l, hour);
    l.observe_one(&opening(hour, 1, 1));
    let k = *l.keys.get(mix(1)).unwrap();
    assert_eq!((k.total, k.single), (2, 2));
    assert!(k.is_old(l.clock.now_s(), c.campaign.young_for_s), "{}", k.first_min);
    assert!(u32::from(tick_of(l.clock.now_s()).wrapping_sub(k.born)) >= 19 * 144);
    // One that was never here is new.
    l.observe_one(&opening(hour, 2, 2));
    assert!(l.keys.get(mix(2)).unwrap().is_young(l.clock.now_s(), c.campaign.young_for_s));
}

/// A campaign of 45 days: its accounts were new when they came, and grow old while they are refused.
#[test]
fn a_key_that_grows_old_while_it_is_refused_is_no_old_user() {
    let young_for_s = crate::engine::config::Campaign::default().young_for_s;
    for (told, refused, old) in
        [(true, true, false), (true, false, true), (false, true, false), (false, false, true)]
    {
        let mut l = Ledger::new(&config(|c| c.learn = Nanos::from_secs(0)));
        let at = |hours: f64| Observation {
            created_s: if told { START as u32 - 3_600 } else { 0 },
            ..opening(hours, 1, 1)
        };
        let mut touch = |hours: f64, refused: bool| {
            pass(&mut l, hours);
            let obs = at(hours);
            if hours == 0.0 {
                l.observe_one(&obs);
            }
            let reading = l.keys.read(&obs, l.clock.now_s());
            l.keys.update(&obs, &reading, &Matched::default(), refused, &l.clock)
        };
        let first = touch(0.0, false);
        assert!(first.young && !first.old);
        let later = touch(young_for_s as f64 / HOUR + 24.0, refused);
        assert_eq!((later.young, later.old), (false, old), "told {told}, refused {refused}");
    }
}

#[test]
fn one_request_from_the_future_ends_nothing_and_a_clock_set_back_goes_on() {
    let mut l = Ledger::new(&config(|_| ()));
    let (now_s, v) = (START as u32, value(1, 1));
    let secs = |s: f64| Nanos::from_secs((START + s) as u64);
    let at = |s: f64, key: u64| opening(s / HOUR, key, key);
    (0..600).for_each(|s| {
        l.observe_one(&at(f64::from(s), 1 + s as u64 % 20));
        l.tick(secs(f64::from(s)));
    });
    let case = l.values.cases_mut().open(v, now_s);
    let _ = l.values.cases_mut().confirm(v, case, now_s + 600);
    accuse(&mut l, case, 9.0);
    let key = l.keys.get_mut(mix(3)).unwrap();
    key.set(keys::flag::CONVICTED, true);
    (key.case, key.strikes, key.seen_values) = (case, 5, 0b111);
    // A month ahead, and everything beside it goes on.
    l.observe_one(&at(600.0 + 30.0 * DAY, 1));
    for s in 600..4_200 {
        l.tick(secs(f64::from(s)));
        l.observe_one(&at(f64::from(s), 1 + s as u64 % 20));
    }
    assert_eq!((l.clock.now_s(), l.values.cases().live()), (now_s + 4_199, 1));
    assert!(l.observe_one(&at(4_199.0, 3)).block);
    // The clock is set back by an hour: a minute later the ledger follows, nothing is from the future, and limits refill.
    for s in 0..120 {
        l.tick(secs(600.0 + f64::from(s)));
        l.observe_one(&at(600.0 + f64::from(s), 1 + s as u64 % 20));
    }
    assert_eq!((l.clock.now_s(), l.values.cases().live()), (now_s + 719, 1));
    assert!(l.observe_one(&at(719.0, 3)).block);
    let (now_s, now) = (l.clock.now_s(), tick_of(l.clock.now_s()));
    for k in l.keys.table().slots().iter().filter(|k| k.id != 0) {
        assert!(k.last_s <= now_s && k.first_min <= now_s / 60 && now.wrapping_sub(k.born) < 10);
    }
    // A clock that was saved in the future is left behind.
    let ahead = l.clock.now_s() + 30 * DAY as u32;
    for s in 0..=61 {
        l.tick(Nanos::from_secs(u64::from(ahead) + s));
    }
    assert_eq!(l.clock.now_s(), ahead + 61, "a minute of ticks is believed");
    let state = l.write_state();
    let mut back = Ledger::new(&config(|_| ()));
    back.read_state(&state).unwrap();
    for s in 0..=120 {
        back.tick(secs(900.0 + f64::from(s)));
    }
    assert_eq!(back.clock.now_s(), START as u32 + 1_020);
}

/// One observation of a young key with these values, as a worker that refused (or served) it tells it.
fn told(flag: u8, at_s: f64, key: u64, values: &[u64]) -> Observation {
    let mut values = values.to_vec();
    values.sort_unstable();
    Observation {
        flags: flag,
        value_count: values.len() as u8,
        anchors: Few::of(values),
        ..opening(at_s / HOUR, key, key)
    }
}

#[test]
fn a_request_offers_eight_unknown_values_at_once() {
    // Twelve in its text and twelve in the first one of its conversation: the twelve least are learned, eight at a time.
    let mut l = Ledger::new(&config(|_| ()));
    let mut all: Vec<u64> = (0..24).map(|v| value(5, v)).collect();
    all.sort_unstable();
    let every_other = |from: usize| all.iter().copied().skip(from).step_by(2);
    let mut grown = Vec::new();
    for n in 0..200u64 {
        let own: Vec<u64> = every_other(0).collect();
        let obs = Observation {
            first_anchors: Few::of(every_other(1)),
            ..told(crate::engine::observation::SERVED, n as f64, 1 + n, &own)
        };
        l.observe_one(&obs);
        grown.push(all.iter().filter(|v| l.values.groups().get(**v).is_some()).count());
    }
    grown.dedup();
    assert_eq!(grown, [0, 8, 12]);
    assert!(all[..12].iter().all(|v| l.values.groups().get(*v).is_some()));
}

#[test]
fn a_refused_request_teaches_nothing_new() {
    use crate::engine::observation::{REFUSED, SERVED};
    let honest: Vec<u64> = (0..8).map(|v| value(3, v)).collect();
    for (flag, learnt) in [(SERVED, true), (0, true), (REFUSED, false)] {
        let mut l = Ledger::new(&config(|_| ()));
        for n in 0..400u64 {
            l.observe_one(&told(flag, n as f64, 1 + n % 40, &honest));
        }
        assert_eq!(l.values.groups().get(honest[0]).is_some(), learnt, "{flag}");
        // What is known of a value that is not confirmed stays as it is.
        if flag == SERVED {
            let total = l.values.groups().get(honest[0]).unwrap().total;
            (0..40).for_each(|n| assert!(!l.observe_one(&told(REFUSED, 400.0, 1 + n, &honest)).block));
            assert_eq!(l.values.groups().get(honest[0]).unwrap().total, total);
        }
    }
}

#[test]
fn a_case_lives_as_long_as_its_campaign_and_not_by_others_that_are_refused() {
    use crate::engine::observation::REFUSED;
    for (what, campaign) in [("the campaign goes on", true), ("strangers are refused", false)] {
        let c = config(|_| ());
        let mut l = Ledger::new(&c);
        let (template, _) = accused(&mut l);
        // An old account (its requests are refused for some other reason), or the campaign's convicted one, once an hour.
        for hour in 0..8 * 24u32 {
            let at_s = f64::from(hour) * HOUR;
            for m in 0..6 {
                l.tick(Nanos::from_secs((START + at_s) as u64 + m * 600));
            }
            let obs = told(REFUSED, at_s + 3_000.0, 7, &template);
            let created = START - if campaign { 1.0 } else { 300.0 } * DAY;
            l.observe_one(&Observation { created_s: created as u32, ..obs });
        }
        assert_eq!(l.values.cases().live() > 0, campaign, "{what}");
        assert_eq!(l.conviction(mix(7)).is_some(), campaign, "{what}");
    }
}

/// What a key showed once is not unsaid by a request with one phrase that others use, too.
#[test]
fn a_phrase_that_others_use_does_not_free_a_convicted_key() {
    let mut l = Ledger::new(&config(|_| ()));
    let (template, _) = accused(&mut l);
    l.values.cases_mut().set_prior(template[7], -1.0);
    assert!(l.observe_one(&told(0, 60.0, 7, &template)).block);
    assert!(l.observe_one(&told(0, 120.0, 7, &[])).block, "nothing of the template");
    assert!(l.observe_one(&told(0, 180.0, 7, &template[7..])).block, "one popular phrase of it");
}

/// A conviction stands on what the key did while it was served. Refused requests cost nothing: they do not wash a key, whatever
/// they are, and while they come under another template the case goes on. What frees is news of the case.
#[test]
fn what_is_refused_frees_nobody() {
    use crate::engine::observation::{REFUSED, SERVED};
    for news in [false, true] {
        let mut l = Ledger::new(&config(|_| ()));
        let (template, case) = accused(&mut l);
        let of_campaign = |obs: Observation| Observation { created_s: START as u32 - 86_400, ..obs };
        for n in 0..20 {
            l.observe_one(&of_campaign(told(SERVED, 60.0 + f64::from(n), 7, &template)));
        }
        assert!(l.conviction(mix(7)).is_some());
        // Five days of other prompts and follow-ups, once an hour: longer than a case lives that nobody sends.
        for hour in 1..120u32 {
            let at_s = f64::from(hour) * HOUR;
            for m in 0..6 {
                l.tick(Nanos::from_secs((START + at_s) as u64 + m * 600));
            }
            if news && hour == 60 {
                accuse(&mut l, case, 1.0);
            }
            l.observe_one(&of_campaign(told(REFUSED, at_s + 3_000.0, 7, &[value(5, u64::from(hour))])));
        }
        assert_eq!(l.conviction(mix(7)).is_some(), !news, "news of the case: {news}");
    }
}
