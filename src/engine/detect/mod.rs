//! Evidence about a recurring value: which explanation fits its keys best, and what share of them is a
//! campaign's.
//!
//! One hypothesis a file. All are fitted to the same facts of the same keys. A value is a campaign's when a
//! mixture with the campaign beats the best honest explanation by `campaign.nats`, and by enough a key.
//! `rules` then judges each key. All arithmetic is exact IEEE addition, multiplication and division, so every
//! target computes the same bits. Cost of an evaluation: see `make bench-micro`.

pub mod automation;
mod birth_burst;
pub mod coming;
pub mod counts;
mod fleet;
pub mod hours;
pub mod hypothesis;
mod keys;
mod mixture;
mod numbers;
mod owner;
mod people;
mod queue;
mod repeaters;
mod shared;
mod staff;
mod visitors;

use crate::engine::config::Campaign;
use crate::engine::config::campaign::off;
use crate::engine::math::{clamp, ln};
use crate::engine::sketch::bottom_k::BottomK;
use crate::engine::tables::groups::{Group, Sample};
use crate::engine::tables::homes::Homes;
use crate::engine::tables::numbers::Numbers;
use crate::engine::value::Axis;
use hypothesis::Hypothesis;

pub use birth_burst::{BirthBurst, birth_burst};
pub use keys::{Age, Keys};
pub use numbers::{CONVERSES, Traits, honest_talk, newcomer, prior};

/// The honest explanations. A new one is a file and its line here. An ablation switches one off by its name and place.
pub const HONEST: &[&Hypothesis] = &[
    &visitors::VISITORS,
    &people::PEOPLE,
    &staff::STAFF,
    &fleet::FLEET,
    &repeaters::REPEATING,
    &owner::OWNER,
];

/// Number of honest explanations.
const EXPLANATIONS: usize = HONEST.len();

// Bits of `Campaign::off` below those of rules.
const _: () = assert!(1 << EXPLANATIONS <= off::DOMINANCE);

/// Bit of `Campaign::off` of the honest explanation that an ablation names by the last word of its name.
fn bit_of(term: &str) -> Option<u32> {
    let place = HONEST.iter().position(|h| h.name.rsplit(' ').next() == Some(term))?;
    Some(1u32 << (place as u32 & 31))
}

/// Switches a term off for an ablation: an honest explanation, or a rule of `Campaign::switch_off`. False if there is no such
/// term.
pub fn switch_off(c: &mut Campaign, term: &str) -> bool {
    match bit_of(term) {
        Some(bit) => c.off |= bit,
        None => return c.switch_off(term),
    }
    true
}

/// Nats that the difference must be worth for each key: with a large sample even a small difference is
/// certain.
const NATS_A_KEY: f64 = 0.1;
/// Least observation before an evaluation concludes anything, ticks: two hours.
const PATIENCE: u16 = 12;
/// The same if the large sample started after the group, ticks: a day.
const DAY: u16 = 144;
/// Least mean number of requests after a key's first.
const FURTHER: f64 = 1.0;
/// The same of openings with the template, where it is a small part of the traffic.
const HERE: f64 = 0.3;
/// Least number of keys with a known gap.
const GAPS: usize = 12;
/// Share of honest users' keys that were blocked before.
const STRUCK: f64 = 0.01;

/// Result of an evaluation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Finding {
    /// Nats of the mixture with a campaign over the best honest explanation.
    pub nats: f64,
    /// Nats by which each honest explanation is worse than the best one of all, in the order of `HONEST`; 0
    /// for the best.
    pub behind: [f64; EXPLANATIONS],
    /// Index of the best honest explanation in `HONEST`.
    pub best: usize,
    /// Estimated distinct keys that have sent the value.
    pub distinct: f64,
    /// Share of the keys that are the campaign's.
    pub share: f64,
    /// True if there are enough keys, requests and hours to conclude anything.
    pub ready: bool,
    /// True if all conditions of a confirmation hold but those on other values.
    pub campaign: bool,
    /// Numbers by which a key that sends it is judged.
    pub numbers: Numbers,
}

/// Evaluates a value by its large sample.
pub fn judge(
    group: &Group,
    large_sample: &BottomK<Sample, { coming::MOST }>,
    homes: &Homes,
    tick: u16,
    c: &Campaign,
) -> Finding {
    let axis = Axis::of(group.tag);
    let keys = Keys::new(large_sample.items(), large_sample.estimate(), axis, tick, &c.fitted, homes);
    let mut f = Finding { distinct: keys.distinct, ..Finding::default() };
    let struck = keys.samples.iter().filter(|s| s.struck()).count();
    let known = struck.saturating_mul(2) >= keys.len();
    let since = keys.samples.iter().map(|s| tick.wrapping_sub(s.first)).max().unwrap_or(0);
    // Of a large sample that began in mid-life the busy keys are there first: it waits for the idle ones.
    let began = group.created_s / 600;
    let missed = tick.wrapping_sub(began as u16).saturating_sub(since);
    let patience = if missed > PATIENCE { DAY } else { PATIENCE };
    f.ready = known
        || since >= patience
            && keys.mean_further() >= FURTHER
            && (!keys.partly || keys.mean_here() >= HERE)
            && fleet::known(&keys) >= GAPS;
    if keys.len() < 12 || !f.ready {
        return f;
    }
    let all = [1.0; coming::MOST];
    let mut lns = [f64::MIN; EXPLANATIONS];
    let mut laws = [hypothesis::Law::default(); EXPLANATIONS];
    let mut alike = None;
    for (i, h) in HONEST.iter().enumerate() {
        if c.is_off(1u32 << (i as u32 & 31)) {
            continue;
        }
        let besides = (h.besides)(&keys, &all, c);
        if besides < -1.0e9 {
            continue;
        }
        // Most honest keys that are alike are so at one law.
        let coming = match alike {
            Some(found) if std::ptr::eq(h.coming.shapes, repeaters::ALIKE.shapes) => found,
            _ => coming::fit(&keys.bins, &all, keys.len(), &h.coming, None),
        };
        if std::ptr::eq(h.coming.shapes, repeaters::ALIKE.shapes) {
            alike = Some(coming);
        }
        // Fitted to bins, weighed on the keys, as the mixture is.
        let law = h.fit_with(&keys, &all, coming).1;
        let ln = law.each(&keys).iter().take(keys.len()).sum::<f64>();
        if let (Some(slot), Some(to)) = (lns.get_mut(i), laws.get_mut(i)) {
            (*slot, *to) = (ln + besides, law);
        }
    }
    let best = (0..EXPLANATIONS)
        .max_by(|a, b| lns.get(*a).unwrap_or(&f64::MIN).total_cmp(lns.get(*b).unwrap_or(&f64::MIN)));
    f.best = best.unwrap_or(0);
    let (Some(h), Some(ln), Some(law)) = (HONEST.get(f.best), lns.get(f.best), laws.get(f.best)) else {
        return f;
    };
    f.behind = lns.map(|x| x - ln);
    let m = mixture::with_campaign(&keys, h, *law);
    f.nats = m.ln - ln + struck_nats(struck, keys.len());
    if f.nats > 0.0 {
        // Are the keys that are alike honest all the same, a fleet's among people?
        f.nats = f.nats.min(-mixture::honest_alike(&keys, &m, c));
    }
    if f.nats > f64::from(c.nats) / 2.0 {
        f.nats -= (mixture::two_kinds(&keys, h, *law) - ln).max(0.0);
    }
    f.share = m.share;
    let d_min = f64::from(if axis == Axis::Text { c.d_min } else { c.net_d_min });
    f.campaign =
        f.distinct >= d_min && f.nats >= f64::from(c.nats) && f.nats >= NATS_A_KEY * keys.len() as f64;
    f.numbers = numbers::numbers(group, &keys, &m);
    f
}

/// Nats for a campaign from keys that were blocked before: any share of a campaign's keys may have been.
fn struck_nats(struck: usize, of: usize) -> f64 {
    let (k, n) = (struck as f64, of as f64);
    let p = clamp(k / n.max(1.0), STRUCK, 0.99);
    k * ln(p / STRUCK) + (n - k) * ln((1.0 - p) / (1.0 - STRUCK))
}

/// A uniform sample of keys and how many keys it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Sampled<'a> {
    /// The sample.
    pub items: &'a [Sample],
    /// Estimated distinct keys.
    pub distinct: f64,
}

impl<'a, const K: usize> From<&'a BottomK<Sample, K>> for Sampled<'a> {
    fn from(s: &'a BottomK<Sample, K>) -> Sampled<'a> {
        Sampled { items: s.items(), distinct: s.estimate() }
    }
}

/// `part / whole`, 0 when there is nothing.
pub fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { f64::from(part) / f64::from(whole) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::hash::mix;
    use crate::engine::tables::groups::Touch;
    use crate::engine::tables::large_samples::KEYS;

    /// A large sample of 200 young keys that send every hour at random for so many hours, never the same, never following up.
    /// All were made two days before they came, and some up to `spread` ticks earlier.
    fn queue(hours: u32, seed: u64, spread: u64) -> (Group, BottomK<Sample, KEYS>, u16) {
        let (mut g, mut large_sample) = (Group { tag: 7, ..Group::default() }, BottomK::default());
        let start = 1_780_000_000u32;
        g.created_s = start;
        let mut unit = {
            let mut x = mix(seed);
            move || {
                x = mix(x.wrapping_add(1));
                ((x >> 11) as f64 + 0.5) / (1u64 << 53) as f64
            }
        };
        for key in 0..200u64 {
            let (mut at, mut n, mut key_first, mut gap, mut phase) = (unit() * 3_600.0, 0, None, 0, 0u32);
            while at < f64::from(hours) * 3_600.0 {
                let now_s = start + at as u32;
                n += 1;
                let tick = (now_s / 600) as u16;
                phase |= 1 << (now_s % 3_600 * 32 / 3_600);
                let t = Touch {
                    key_hash: (mix(key) >> 32) as u32,
                    now_s,
                    tick,
                    hour: (now_s / 3_600 % 24) as u8,
                    single: true,
                    novel: true,
                    young: true,
                    key_openings: n,
                    key_first: *key_first.get_or_insert(tick),
                    age: 288 + (key % spread) as u16,
                    gap,
                    phase,
                    phase_n: n.min(63) as u8,
                    ..Touch::default()
                };
                g.touch(&t);
                crate::engine::tables::groups::admit(&mut large_sample, &t);
                let secs = -unit().ln() * 3_600.0;
                gap = crate::engine::tables::keys::gap_code(secs as u32);
                at += secs;
            }
        }
        (g, large_sample, ((start + hours * 3_600) / 600) as u16)
    }

    /// The honest side is weighed on the same data as the campaign's: the longer a queue goes on, the plainer it is.
    #[test]
    fn a_queue_never_looks_honest_again() {
        for seed in 1..=6 {
            let nats = [12, 24, 36, 48, 72].map(|hours| {
                let (g, large_sample, tick) = queue(hours, seed, 1);
                let f = judge(&g, &large_sample, &Homes::default(), tick, &Campaign::default());
                assert!(f.ready);
                f.nats as i32
            });
            println!("seed {seed}: {nats:?}");
            assert!(nats.iter().all(|n| *n >= 20), "seed {seed}: {nats:?}");
        }
    }
    #[test]
    fn the_numbers_of_a_campaign_are_those_of_its_keys() {
        let start_min = 1_780_000_000 / 60;
        let first_born = |spread: u32| start_min - 2_880 - spread * 10;
        // Births are told with a quarter of their range to spare, and six hours at least.
        for (spread, slack) in [(1u32, 360u32), (40, 360), (192, 460)] {
            let (g, large_sample, tick) = queue(48, 3, u64::from(spread));
            let f = judge(&g, &large_sample, &Homes::default(), tick, &Campaign::default());
            let n = f.numbers;
            assert!(f.behind.get(f.best) == Some(&0.0) && f.behind.iter().all(|nats| *nats <= 0.0));
            let (from, to) = (n.born_from_min, n.born_to_min);
            let about = |a: u32, b: u32| a.abs_diff(b) <= 100 + spread / 2;
            assert!(about(from, first_born(spread) - slack), "{spread}: {from}");
            assert!(about(to, start_min - 2_880 + slack), "{spread}: {to}");
            // Newcomers are who came within the time that an evaluation waits for.
            assert_eq!(n.came_to_min, g.last_s / 60 - u32::from(PATIENCE) * 10);
            assert_eq!(n.newcomer, 0.0, "nobody has begun to use it");
            assert!(n.prior > 3.0 && n.young >= 0.0 && n.old < 0.0, "{n:?}");
            assert!(n.talk.mean < 0.05 && n.devoted.mean > 0.9 && n.sleep < 0.1);
        }
    }
}
