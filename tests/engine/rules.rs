//! The rule of a key, for any facts and numbers: finite, bounded, and what speaks for a key never speaks against it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

use proptest::prelude::*;
use weir::engine::detect::{Age, CONVERSES, honest_talk};
use weir::engine::rules::{FACTORS, Facts, Odds, Ruling, odds, rule};
use weir::engine::tables::numbers::{Beta, Numbers, Rhythm};

fn beta() -> impl Strategy<Value = Beta> {
    (0.001f32..0.999, 0.1f32..200.0).prop_map(|(mean, precision)| Beta { mean, precision })
}

fn rhythm() -> impl Strategy<Value = Rhythm> {
    (0.0f32..0.99, 0.001f32..100_000.0, 0.1f32..100.0).prop_map(|(stop, gap, shape)| Rhythm {
        stop,
        gap,
        shape,
    })
}

fn numbers() -> impl Strategy<Value = Numbers> {
    let shares = (beta(), beta(), beta(), beta(), beta(), beta());
    let rest = (rhythm(), rhythm(), 0.0f32..1.0, 0.0f32..1.0, -8.0f32..0.0);
    let ages = (-6.0f32..6.0, -6.0f32..6.0);
    let times = (any::<(u32, u32)>(), (any::<u32>(), -10.0f32..0.0));
    (-20.0f32..20.0, ages, times, shares, rest).prop_map(|(prior, ages, (births, came), s, r)| Numbers {
        prior,
        young: ages.0,
        old: ages.1,
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
        old_honest: 1.0,
    })
}

fn facts() -> impl Strategy<Value = Facts> {
    let age = prop_oneof![Just(Age::Unknown), Just(Age::Young), Just(Age::Old)];
    let counts = (any::<u32>(), 0u32..65_536, 0u32..256, 0u32..256, 0u32..256, 0u32..65, 0u32..65);
    let few = (0u32..2_000, 0u32..65_536, 0u32..256, 0u32..256, 0u32..256, 0u32..65, 0u32..65);
    let best =
        prop_oneof![Just([f32::INFINITY; 3]), any::<[i8; 3]>().prop_map(|b| b.map(|b| f32::from(b) / 6.0))];
    let rest = (any::<(u32, u8, bool, bool)>(), 0u32..41, best, 0.0f32..300.0);
    (age, any::<(u32, u32)>(), prop_oneof![counts, few], rest).prop_map(
        |(age, (born_min, came_min), c, (h, pieces, best, usual))| Facts {
            age,
            born_min,
            came_min,
            further: c.0,
            ticks: c.1,
            hits: c.2,
            after: c.3.max(c.2),
            talk: c.4,
            repeats: c.5.min(c.6),
            recent: c.6,
            hours: h.0 & 0x00ff_ffff,
            hours_n: h.1 & 63,
            regular: h.2,
            struck: h.3,
            pieces,
            best,
            usual,
        },
    )
}

fn factor(o: &Odds, name: &str) -> f32 {
    o.0[FACTORS.iter().position(|f| *f == name).unwrap()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn odds_are_finite_and_no_fact_decides_alone(f in facts(), n in numbers()) {
        let o = odds(&f, &n);
        for (name, nats) in FACTORS.iter().zip(o.0) {
            prop_assert!(nats.is_finite(), "{} is {}", name, nats);
        }
        prop_assert!(o.nats().is_finite());
        for name in ["other traffic", "load", "follow-ups", "repeats", "sleep"] {
            prop_assert!(factor(&o, name).abs() <= 3.41, "{} is {}", name, factor(&o, name));
        }
        // What was met by chance, and how little of it: never for the campaign.
        prop_assert!((-10.4..=0.0).contains(&factor(&o, "skeleton")));
        prop_assert!((-4.7..=0.0).contains(&factor(&o, "birth")));
        prop_assert_eq!(factor(&o, "arrival"), if f.came_min > n.came_to_min { n.newcomer } else { 0.0 });
        prop_assert!((0.0..=2.1).contains(&factor(&o, "blocked before")));
        prop_assert!(factor(&o, "timer") <= 0.0 && factor(&o, "template") <= n.prior);
        if f.age == Age::Unknown {
            prop_assert_eq!(factor(&o, "age"), 0.0, "missing data");
        }
    }

    #[test]
    fn harder_rulings_ask_for_more(f in facts(), n in numbers(), a in 10u32..1_000_000, b in 10u32..1_000_000) {
        let o = odds(&f, &n);
        prop_assert!(rule(&o, a.max(b)) <= rule(&o, a.min(b)));
        prop_assert_eq!(rule(&o, a) == Ruling::Block, o.nats() >= f64::from(a).ln() - 1.0e-9);
    }

    /// With the laws that an evaluation may give: a campaign that does not converse, honest users who converse in any share.
    #[test]
    fn a_follow_up_never_speaks_against_a_key(
        f in facts(), n in numbers(), mean in prop_oneof![Just(0.0075f64), Just(0.1), Just(0.25), Just(0.5), Just(0.8)],
    ) {
        let talk = Beta { mean: 0.0075, precision: 40.0 };
        let n = Numbers { talk, honest_talk: honest_talk(mean, 1.5).into(), ..n };
        prop_assert!(f64::from(n.talk.mean) <= CONVERSES);
        let more = Facts { talk: f.talk + 1, ..f };
        let (before, after) = (odds(&f, &n).nats(), odds(&more, &n).nats());
        prop_assert!(after <= before + 1.0e-6, "{} {} of {}: {before} to {after}", mean, more.talk, f.hits);
    }

    #[test]
    fn an_older_key_is_never_more_suspect_unless_accounts_are_bought(f in facts(), n in numbers()) {
        let bought = n.old > n.young;
        let age = |age| odds(&Facts { age, ..f }, &n).nats();
        prop_assert_eq!(age(Age::Old) > age(Age::Young) + 1.0e-6, bought && n.old - n.young > 1.0e-6);
        // Born elsewhen is never worse than born with the campaign's accounts.
        let n = Numbers { born_from_min: n.born_from_min.clamp(2, 1 << 30), born_to_min: 1 << 30, ..n };
        let born = |born_min| odds(&Facts { born_min, ..f }, &n).nats();
        prop_assert!(born(n.born_from_min - 1) < born(n.born_from_min) && born(0) == born(1 << 30));
    }

    #[test]
    fn more_of_the_template_is_never_less_suspect(f in facts(), n in numbers()) {
        // Values that only the campaign sends: one that others send, too, may tell less than none.
        let f = Facts { best: [f32::INFINITY; 3], ..f };
        let (few, more) = (odds(&f, &n).nats(), odds(&Facts { pieces: f.pieces + 1, ..f }, &n).nats());
        prop_assert!(more >= few - 1.0e-6, "{} pieces: {few}, {more}", f.pieces);
    }
}

#[test]
fn by_default_nobody_is_accused() {
    let n = Numbers::default();
    let first = Facts::first(1_000_000, 1_000_060, 86_400, &weir::engine::rules::Pieces::of(12), 12.0);
    assert_eq!(rule(&odds(&first, &n), 10), Ruling::Allow);
}

/// Of 12 values that a request of the campaign usually has.
fn with(pieces: u32) -> Facts {
    Facts { hits: 1, after: 1, pieces, best: [f32::INFINITY; 3], usual: 12.0, ..Facts::default() }
}

#[test]
fn a_tenth_of_the_odds_that_block_is_watched() {
    for block_odds in [10, 1_000, 5_000] {
        let need = f64::from(block_odds).ln() as f32;
        let ruled = |nats: f32| {
            let mut o = Odds::default();
            (o.0[0], o.0[11]) = (nats - 1.0, 1.0);
            rule(&o, block_odds)
        };
        let tenth = need - 10f32.ln();
        assert_eq!([ruled(need + 0.01), ruled(f32::MAX)], [Ruling::Block; 2]);
        assert_eq!([ruled(need - 0.01), ruled(tenth + 0.01)], [Ruling::Watch; 2]);
        assert_eq!([ruled(tenth - 0.01), ruled(f32::MIN)], [Ruling::Allow; 2]);
    }
}

#[test]
fn the_less_of_the_template_a_key_shows_the_more_speaks_for_it() {
    let skeleton = |f: &Facts| factor(&odds(f, &Numbers::default()), "skeleton");
    let close = |f: &Facts, nats: f32| assert!((skeleton(f) - nats).abs() < 1.0e-3, "{}", skeleton(f));
    // Half of it is enough; a quarter is one in four, and no more than 30 times is said by it.
    for (pieces, nats) in [(24, 0.0), (12, 0.0), (6, 0.0), (5, -0.364_643), (3, -1.386_294)] {
        close(&with(pieces), nats);
    }
    close(&Facts { usual: 300.0, ..with(3) }, -3.4);
    close(&Facts { usual: 0.0, ..with(3) }, 0.0);
    // One value or two may be met by chance.
    close(&Facts { usual: 1.0, ..with(2) }, -2.3);
    close(&Facts { usual: 1.0, ..with(1) }, -4.6);
}

#[test]
fn births_and_arrivals_count_from_the_minute_that_is_published() {
    let n = Numbers {
        born_from_min: 100,
        born_to_min: 200,
        came_to_min: 300,
        newcomer: -2.0,
        ..Numbers::default()
    };
    let of = |born_min, came_min| odds(&Facts { born_min, came_min, ..with(12) }, &n);
    for (born_min, nats) in [(0, 0.0), (99, -4.6), (100, 0.0), (200, 0.0), (201, -4.6)] {
        assert_eq!(factor(&of(born_min, 0), "birth"), nats, "{born_min}");
    }
    for (came_min, nats) in [(299, 0.0), (300, 0.0), (301, -2.0)] {
        assert_eq!(factor(&of(0, came_min), "arrival"), nats, "{came_min}");
    }
}

/// The campaign's keys send nothing but the template, never converse or repeat, never sleep, and are not on timers.
#[test]
fn each_fact_speaks_for_the_side_that_it_is_usual_of() {
    let (rare, usual) = (Beta { mean: 0.02, precision: 40.0 }, Beta { mean: 0.6, precision: 40.0 });
    let n = Numbers {
        prior: 3.0,
        young: 1.5,
        old: -2.5,
        devoted: Beta { mean: 0.98, precision: 40.0 },
        honest_devoted: usual,
        talk: rare,
        honest_talk: usual,
        repeats: rare,
        honest_repeats: usual,
        sleep: 0.02,
        honest_sleep: 0.98,
        regular: -1.25,
        ..Numbers::default()
    };
    let is = |f: Facts, name: &str| factor(&odds(&f, &n), name);
    let base = Facts { hits: 20, after: 20, recent: 20, further: 19, ticks: 200, ..with(12) };
    assert_eq!(is(base, "template"), 3.0);
    assert_eq!(is(Facts { best: [1.0, 1.0, 1.0], ..base }, "template"), 1.0);
    assert_eq!(
        [Age::Unknown, Age::Young, Age::Old].map(|age| is(Facts { age, ..base }, "age")),
        [0.0, 1.5, -2.5]
    );
    assert_eq!([false, true].map(|regular| is(Facts { regular, ..base }, "timer")), [0.0, -1.25]);
    assert_eq!([false, true].map(|struck| is(Facts { struck, ..base }, "blocked before")), [0.0, 2.0]);
    let sides = [
        ("other traffic", base, Facts { after: 40, ..base }),
        ("follow-ups", base, Facts { talk: 20, ..base }),
        ("repeats", base, Facts { repeats: 12, ..base }),
        (
            "sleep",
            Facts { hours: 0xFF_FFFF, hours_n: 63, ..base },
            Facts { hours: 0x00_0F00, hours_n: 63, ..base },
        ),
    ];
    for (name, campaign, honest) in sides {
        let (a, b) = (is(campaign, name), is(honest, name));
        assert!(a > 0.5 && b < -0.5, "{name}: {a}, {b}");
    }
    // A single request tells nothing of its load, its other traffic or its repeats.
    let first = Facts { recent: 0, ..with(12) };
    for name in ["load", "other traffic", "repeats"] {
        assert_eq!(is(first, name), 0.0, "{name}");
    }
}
