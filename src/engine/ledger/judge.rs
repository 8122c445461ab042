//! What a key's own record must show before a confirmed template blocks it. Pure functions of the record, the match and the
//! case; the ladder's order is in `conviction`.
//!
//! A stranger who pastes the template once must pass: a verdict needs the cohort's age, enough of the template, and (where
//! old keys send it too) the campaign's load.

use super::cases::{Case, MIXED, PURE, TALK, UNIFORM};
use super::conviction::Matched;
use super::groups::Touch;
use super::keys::KeyState;
use crate::engine::config::Campaign;
use crate::engine::config::campaign::off;
use crate::engine::detect::automation::never_sleeps;

/// A confirmed template from a key that the evidence is about.
pub(super) fn template(key: &KeyState, t: &Touch, m: &Matched, c: &Campaign, case: Option<&Case>) -> bool {
    let Some(case) = case.filter(|_| m.count > 0) else { return false };
    // A campaign that has moved on leaves its template to others: only keys that were blocked before stay so.
    if case.is_dormant() && key.strikes == 0 {
        return false;
    }
    let (matched, total) = (u32::from(key.win_match), u32::from(key.win_total));
    // Where all keys carry one load, a key that sends far less is somebody else.
    let idle = case.flags & UNIFORM != 0 && is_idler(key, t, case.lam);
    let ours = c.is_off(off::COHORT) || (!idle && (key.strikes > 0 || of_cohort(key, t, case)));
    let young = t.young && ours;
    // The prompt of somebody's app: its new users send it as the campaign's keys do, at first.
    if case.flags & MIXED != 0 && key.strikes == 0 && !has_shown(key, t, case) {
        return false;
    }
    if young && (strong(key, t, m, case) || pieces(key, t, m, c, case)) {
        return true;
    }
    // Bought accounts: the key itself must be automatic, or have done nothing but this.
    if m.aged == 0 {
        return false;
    }
    let only_this = key.recent == 0xff && matched >= total;
    if !t.automatic {
        return m.aged >= 2 && only_this && key.single_percent() >= 95;
    }
    m.aged >= 2 || (key.recent == 0xff && m.count.saturating_mul(32) >= case.usual)
}

/// Enough of the template in one request.
fn strong(key: &KeyState, t: &Touch, m: &Matched, case: &Case) -> bool {
    let (matched, total) = (u32::from(key.win_match), u32::from(key.win_total));
    if m.is_contested() && key.strikes == 0 {
        // Others send it too: twice, and most of what the key does.
        return m.is_template()
            && m.count.saturating_mul(2) >= m.nfp
            && key.hits >= 2
            && matched.saturating_mul(2) >= total
            && conforms(key, t, case.lam);
    }
    let dense = matched.saturating_mul(32) >= total;
    let first = key.total <= 4 && m.count.saturating_mul(3) >= m.nfp;
    m.count >= 8 || (m.is_template() && ((key.hits >= 2 && dense) || first))
}

/// Requests that the campaign's load would have given a key, and openings without a follow-up, before it is judged in mixed
/// company. 8 / 12 requests: 21 / 14 of 732 users of a new app blocked (five launches; 513 without the rule) for 9 / 13 % of
/// that campaign's requests, 1.0 / 1.3 % of one of 45 days.
const RECORD: u32 = 12;

/// The key's own record is that of the campaign's keys: their load, and no follow-ups (where the others follow up) or no sleep.
/// A follow-up now and then buys a key a day, not immunity.
fn has_shown(key: &KeyState, t: &Touch, case: &Case) -> bool {
    let follow_ups = key.total.saturating_sub(key.single);
    let silent = case.flags & TALK != 0 && key.single >= RECORD && follow_ups.saturating_mul(25) <= key.total;
    (silent || never_sleeps(key))
        && expected(key, t, case.lam) >= f64::from(RECORD)
        && conforms(key, t, case.lam)
}

/// Pieces of the skeleton: a short one, or one with many of its words replaced.
fn pieces(key: &KeyState, t: &Touch, m: &Matched, c: &Campaign, case: &Case) -> bool {
    let (matched, total) = (u32::from(key.win_match), u32::from(key.win_total));
    let part = key.seen_values.count_ones() >= c.part_values
        && matched >= 3
        && c.part_density.saturating_mul(matched) >= total
        && !is_busier(key, t, case.lam);
    if m.is_contested() && key.strikes == 0 {
        return part && matched.saturating_mul(2) >= total && conforms(key, t, case.lam);
    }
    // Nobody old has ever sent it: one phrase twice is telling, two at once from a key that is new.
    let pure = case.flags & PURE != 0
        && key.single_percent() >= 90
        && ((m.clean >= 1
            && matched >= 2
            && matched.saturating_mul(2) >= total
            && key.seen_values.count_ones() >= 2)
            || (m.clean >= 2 && key.total <= 2 && m.clean.saturating_mul(8) >= m.nfp));
    part || pure
}

/// A young key that sends the campaign's kind of traffic from a confirmed network.
pub(super) fn is_on_network(key: &KeyState, t: &Touch, m: &Matched) -> bool {
    m.network != 0
        && t.young
        && key.single_percent() >= 90
        && key.dup_percent() <= 20
        && key.total >= 3
        && !key.is_regular()
}

/// Born with the campaign's keys, and no older than they were when it sent its first request.
pub(super) fn of_cohort(key: &KeyState, t: &Touch, case: &Case) -> bool {
    let since_first = u32::from(t.tick.wrapping_sub(key.born)).saturating_mul(10);
    let ripe = (t.now_s / 60).saturating_sub(key.first_min).saturating_sub(since_first);
    case.cohort_min == 0 || (key.first_min >= case.cohort_min && ripe <= case.ripe_min.saturating_add(20))
}

/// The key's requests are what the campaign's load would give, within one and a half standard deviations.
pub(super) fn conforms(key: &KeyState, t: &Touch, lam: f32) -> bool {
    let (mu, n) = (expected(key, t, lam), f64::from(key.total));
    lam <= 0.0 || (n >= mu - 1.5 * mu.sqrt() - 1.0 && n <= mu + 1.5 * mu.sqrt() + 2.0)
}

/// Expected requests of a key that carries the campaign's load.
pub(super) fn expected(key: &KeyState, t: &Touch, lam: f32) -> f64 {
    f64::from(lam) * f64::from(t.tick.wrapping_sub(key.born)).max(0.5)
}

/// A busy customer does not carry the campaign's load.
fn is_busier(key: &KeyState, t: &Touch, lam: f32) -> bool {
    lam > 0.0 && f64::from(key.total) > 3.0 * expected(key, t, lam) + 6.0
}

/// Far fewer requests than the campaign's load would give: three standard deviations.
fn is_idler(key: &KeyState, t: &Touch, lam: f32) -> bool {
    let mu = expected(key, t, lam);
    f64::from(key.total) < mu - 3.0 * mu.sqrt() - 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_judged_by_the_campaigns_load() {
        // Half a request a tick over a hundred ticks: fifty.
        let t = Touch { tick: 100, ..Touch::default() };
        for (total, idler, fits, busier) in [
            (1, true, false, false),
            (26, true, false, false),
            (27, false, false, false),
            (39, false, true, false),
            (50, false, true, false),
            (62, false, true, false),
            (63, false, false, false),
            (156, false, false, false),
            (157, false, false, true),
        ] {
            let k = KeyState { total, ..KeyState::default() };
            let got = (is_idler(&k, &t, 0.5), conforms(&k, &t, 0.5), is_busier(&k, &t, 0.5));
            assert_eq!(got, (idler, fits, busier), "{total}");
            let unknown = (is_idler(&k, &t, 0.0), conforms(&k, &t, 0.0), is_busier(&k, &t, 0.0));
            assert_eq!(unknown, (false, true, false), "{total}: no load known, nobody told apart");
        }
        let just_born = KeyState { total: 1, born: 100, ..KeyState::default() };
        assert!(!is_idler(&just_born, &t, 0.5) && conforms(&just_born, &t, 0.5));
    }

    #[test]
    fn in_mixed_company_a_key_is_judged_by_its_record() {
        // Half a request a tick: twenty after forty ticks, fifty after a hundred.
        let case = |flags| Case { lam: 0.5, flags, ..Case::default() };
        let never = 0x00ff_ffff | 50 << 24;
        for (what, total, single, hours, ticks, talk, silent) in [
            ("first request", 1, 1, 0, 0, false, false),
            ("two at once", 2, 2, 0, 0, false, false),
            ("twelve within the hour", 12, 12, 0, 6, false, false),
            ("an idle user", 3, 3, 0, 40, false, false),
            ("a queue", 20, 20, 0, 40, true, false),
            ("follows up", 20, 18, 0, 40, false, false),
            ("a queue, never asleep", 50, 50, never, 100, true, true),
            ("never asleep, follows up", 50, 40, never, 100, true, true),
        ] {
            let k = KeyState { total, single, hours, phase: u32::MAX, ..KeyState::default() };
            let t = Touch { tick: ticks, ..Touch::default() };
            let got = (has_shown(&k, &t, &case(MIXED | TALK)), has_shown(&k, &t, &case(MIXED)));
            assert_eq!(got, (talk, silent), "{what}");
        }
    }

    #[test]
    fn a_cohort_is_told_by_birth_and_by_age_at_the_first_request() {
        let case = Case { cohort_min: 10_000, ripe_min: 100, ..Case::default() };
        // (born, age at the first request in minutes, of the cohort); the clock has ticks of ten minutes.
        for (first_min, ripe, is) in [
            (10_000, 0, true),
            (9_999, 0, false),
            (10_000, 120, true),
            (10_000, 130, false),
            (20_000, 90, true),
        ] {
            let first_request = first_min + ripe;
            let now_min: u32 = first_request + 500;
            let k = KeyState { first_min, born: (first_request / 10) as u16, ..KeyState::default() };
            let t = Touch { now_s: now_min * 60, tick: (now_min / 10) as u16, ..Touch::default() };
            assert_eq!(of_cohort(&k, &t, &case), is, "{first_min} {ripe}");
            assert!(of_cohort(&k, &t, &Case::default()), "nothing is known");
        }
    }
}
