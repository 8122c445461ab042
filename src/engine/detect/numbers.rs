//! Turns an evaluation into the numbers by which a key is judged: the two components of the mixture, as far as a key's state shows them.

use super::coming::{self, MOST, Pace, Weights};
use super::hypothesis::ln_sleep;
use super::keys::{Age, Keys};
use super::mixture::{Mixture, OWN};
use super::shared::Seen;
use super::{people, queue, shared};
use crate::engine::beta_binomial::Share;
use crate::engine::config::fitted::Fitted;
use crate::engine::math::{clamp, exp, ln};
use crate::engine::sort::sort;
use crate::engine::tables::groups::Group;
use crate::engine::tables::numbers::Numbers;

/// Traits of a campaign that decide what counts as a sign of honest users.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// The campaign follows up, so a follow-up is no sign.
    pub converses: bool,
    /// Share of old keys' openings that come from honest users, 0 to 1.
    pub old_honest: f64,
}

impl From<&Numbers> for Traits {
    fn from(n: &Numbers) -> Traits {
        Traits { converses: f64::from(n.talk.mean) > CONVERSES, old_honest: n.old_honest.into() }
    }
}

impl Traits {
    /// Requests with signs (see `shared`): among all requests of a value, and among its latest.
    fn seen(self, group: &Group) -> (Seen, Seen) {
        let count = |talk: u32, repeats: u32, old: u32| {
            let talk = if self.converses { 0 } else { talk };
            talk.saturating_add(repeats).saturating_add((f64::from(old) * self.old_honest) as u32)
        };
        let talk = group.total.saturating_sub(group.single);
        let signs = count(talk, group.single.saturating_sub(group.novel), group.old);
        let late = group.late;
        let late_signs = count(late.talk.into(), late.repeats.into(), late.old.into());
        (Seen { signs, requests: group.total }, Seen { signs: late_signs, requests: late.total.into() })
    }
}

/// Prior odds that a key which sends the value is a campaign's, by the value's counters alone, nats.
pub fn prior(group: &Group, traits: Traits, fitted: &Fitted) -> f64 {
    let honest = shared::honest_share(fitted.sign, traits.seen(group).0, None, 0.0);
    ln((1.0 - honest) / honest)
}

/// The minute after which a key counts as a newcomer, and a newcomer's factor, nats: see `shared::newcomer`. Compares the value's latest
/// requests with those before. `prior`: odds that a key is the campaign's, nats.
pub fn newcomer(group: &Group, traits: Traits, prior: f64, fitted: &Fitted) -> (u32, f64) {
    let (all, late) = traits.seen(group);
    let before = Seen {
        signs: all.signs.saturating_sub(late.signs),
        requests: all.requests.saturating_sub(late.requests),
    };
    let honest = 1.0 / (1.0 + exp(prior));
    ((group.last_s / 60).saturating_sub(LATE_MIN), shared::newcomer(fitted.sign, honest, late, before))
}

/// Time for which a key is a newcomer, minutes: as long as the least observation before an evaluation concludes anything.
const LATE_MIN: u32 = super::PATIENCE as u32 * 10;
/// Share of young keys below which some of a campaign's accounts are taken to be bought.
const BOUGHT: f64 = 0.9;
/// Mean share of follow-ups from which on a campaign counts as one that converses.
pub const CONVERSES: f64 = 0.05;

/// The numbers by which keys are judged, from a fitted mixture.
pub fn numbers(group: &Group, keys: &Keys<'_>, m: &Mixture) -> Numbers {
    let (n, fitted) = (keys.len() as f64, &keys.fitted);
    let campaign = m.weights.iter().take(keys.len()).sum::<f64>();
    let others = n - campaign;
    let seen = others > OWN;
    let old = keys.ages().zip(&m.weights).filter(|(age, _)| *age == Age::Old);
    let (honest_old, all_old) =
        old.fold((0.0, 1.0e-9), |(h, all), (_, w)| (h + if *w < 0.5 { 1.0 } else { 0.0 }, all + 1.0));
    // If a campaign's accounts are new, no old key is its own, however much it looks like one.
    let old_honest: f64 = if all_old < 1.0 || m.queue.young > BOUGHT { 1.0 } else { honest_old / all_old };
    let traits = Traits { converses: m.queue.talk.mean > CONVERSES, old_honest };
    // The large sample knows the share of keys better than the signs do: those come mostly from keys that send much.
    let large_sample = seen.then(|| (others + others.sqrt() + 1.0) / n);
    let honest = shared::honest_share(fitted.sign, traits.seen(group).0, large_sample, m.ln - m.ln_alone);
    let whole = coming::Bins::new(keys.whole());
    let queue_pace = coming::fit(&whole, &m.weights, keys.len(), &queue::QUEUE.coming, None).1;
    let rest = m.weights.map(|w| 1.0 - w);
    let honest_pace = if seen {
        coming::fit(&whole, &rest, keys.len(), &people::PEOPLE.coming, None).1
    } else {
        Pace { stop: fitted.stop, shape: fitted.shape, gap: queue_pace.gap }
    };
    let honest_young = if seen { m.honest.young } else { fitted.young };
    // The honest keys that the mixture found are those that differ most from the campaign. The others are closer to it.
    let mean = if seen { m.honest.talk.mean } else { fitted.talk.mean };
    let honest_pace = Pace { shape: honest_pace.shape.min(fitted.shape_most), ..honest_pace };
    let (born_from_min, born_to_min) = births(group, keys, m);
    let prior = ln((1.0 - honest) / honest);
    let (came_to_min, newcomer) = newcomer(group, traits, prior, fitted);
    Numbers {
        prior: prior as f32,
        young: ln(m.queue.young / honest_young) as f32,
        old: ln((1.0 - m.queue.young) / (1.0 - honest_young)) as f32,
        born_from_min,
        born_to_min,
        came_to_min,
        newcomer: newcomer as f32,
        devoted: devoted(keys, &m.weights, 8.0).into(),
        honest_devoted: if seen { devoted(keys, &rest, 2.0) } else { fitted.devoted }.into(),
        queue: queue_pace.into(),
        honest: honest_pace.into(),
        talk: m.queue.talk.into(),
        honest_talk: honest_talk(mean, fitted.talk.precision).into(),
        repeats: m.queue.repeats.into(),
        honest_repeats: if seen { m.honest.repeats } else { fitted.repeats }.into(),
        sleep: m.queue.sleep as f32,
        honest_sleep: honest_sleep(keys, &rest) as f32,
        regular: regular(keys, &m.weights) as f32,
        old_honest: old_honest as f32,
    }
}

/// The law of honest users' follow-ups with this mean: as precise as `fitted`, and more precise where follow-ups are rare.
/// Otherwise most keys would have a share near zero, and a follow-up would speak against a key.
pub fn honest_talk(mean: f64, fitted: f64) -> Share {
    Share::new(mean, fitted.max(0.3 / mean.max(1.0e-3)))
}

/// Mean share of the template among all openings of a weighted key.
fn devoted(keys: &Keys<'_>, weights: &Weights, precision: f64) -> Share {
    let (sum, all) = keys.parts.each().zip(weights).fold((1.0, 1.5), |(sum, all), ((h, a), w)| {
        (sum + w * f64::from(h) / f64::from(a).max(1.0), all + w)
    });
    Share::new(clamp(sum / all, 0.05, 0.98), precision)
}

/// Share of the honest keys that sleep: people do, back ends may not. Estimated from the keys, with `sleep_weight` keys of
/// the population added.
fn honest_sleep(keys: &Keys<'_>, rest: &Weights) -> f64 {
    let mut best = (f64::MIN, 0.0);
    for share in [0.02, 0.2, 0.5, 0.8, 0.97] {
        let told = keys.sleep().iter().zip(rest).fold(0.0, |sum, (s, w)| sum + w * ln_sleep(share, *s));
        let (before, worth) = (keys.fitted.sleep, keys.fitted.sleep_weight);
        let total = told + worth * (before * ln(share) + (1.0 - before) * ln(1.0 - share));
        if total > best.0 {
            best = (total, share);
        }
    }
    best.1
}

/// Nats by which being on a timer speaks for a key; never for the campaign.
fn regular(keys: &Keys<'_>, weights: &Weights) -> f64 {
    let (mut k, mut n) = (0.5, 1.0);
    for (s, w) in keys.samples.iter().zip(weights) {
        n += w;
        k += if s.regular() { *w } else { 0.0 };
    }
    ln(k / n / 0.3).min(0.0)
}

/// Minute of the evaluation: the large sample's tick, made absolute by the group's last request.
fn now_min(group: &Group, keys: &Keys<'_>) -> u32 {
    let last_tick = (group.last_s / 600) as u16;
    (group.last_s / 60).saturating_add(u32::from(keys.tick.wrapping_sub(last_tick)).saturating_mul(10))
}

/// First and last minute at which the campaign's keys were born, without 2 % of them at each end, with slack. 0 and
/// `u32::MAX` if no ages are known.
fn births(group: &Group, keys: &Keys<'_>, m: &Mixture) -> (u32, u32) {
    let mut ago = [0u32; MOST];
    let mut n = 0usize;
    let theirs =
        keys.samples.iter().zip(&m.weights).filter(|(s, w)| **w > 0.5 && super::keys::age(s) != Age::Unknown);
    for (slot, (s, _)) in ago.iter_mut().zip(theirs) {
        *slot = s.birth_ago(keys.tick);
        n = n.saturating_add(1);
    }
    if n < 12 {
        return (0, u32::MAX);
    }
    let ago = ago.get_mut(..n).unwrap_or_default();
    sort(ago);
    let at = |part: usize| ago.get(n.saturating_mul(part) / 50).or(ago.last()).copied().unwrap_or(0);
    let (youngest, oldest) = (at(1), at(48));
    let slack = (oldest.saturating_sub(youngest) / 4).max(36);
    let now_min = now_min(group, keys);
    let minute = |ticks: u32| now_min.saturating_sub(ticks.saturating_mul(10));
    // While new keys keep coming there is no end yet.
    let to =
        if youngest <= slack { u32::MAX } else { minute(youngest).saturating_add(slack.saturating_mul(10)) };
    (minute(oldest.saturating_add(slack)).max(1), to)
}
