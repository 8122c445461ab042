//! Company: does somebody besides the campaign live by the template, the users of an app that its prompt was taken from?
//!
//! Contract: two signs, each from keys for whom the template is half or more of what they open with (a passer-by who pastes
//! it once is nobody's app). Talkers: some of the keys have followed up with it, most have not; a training pair needs no
//! conversation. Seniors: a few are old; where they are more, `established` decides, and bought accounts are more. Neither
//! exempts the template, it only makes the ladder ask each key for a record of its own. Cost: one pass over a panel.

use super::{SENIOR_SHARE, SENIORS, View, load};
use crate::engine::ledger::groups::{Axis, Sample};
use crate::engine::sketch::bottom_k::BottomK;

/// Talkers are company up to a quarter of the keys: beyond that the campaign itself converses.
const MINORITY: usize = 4;

/// Who is there besides the campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Company {
    /// Somebody is.
    pub mixed: bool,
    /// ... and follows up, so that a key that never does is telling.
    pub talks: bool,
}

/// One talker in a panel of 256 is enough. Asking for two had 25 instead of 14 users of a new app blocked before the second was
/// seen (five launches); talkers who hardly use the template (people who pasted it) made `S20` 2.3 points worse.
pub(super) fn company(view: &View<'_>) -> Company {
    if view.axis != Axis::Text {
        return Company::default();
    }
    let talkers = view.keys.iter().filter(|s| s.talk > 0 && is_devoted(s)).count();
    let talks = talkers > 0 && talkers.saturating_mul(MINORITY) <= view.keys.len();
    let old = &view.group.old;
    let few = old.estimate() < SENIOR_SHARE * view.distinct;
    Company { mixed: talks || few && seniors(old) >= SENIORS && people(old.items(), view.tick), talks }
}

/// Estimated old keys that live by the template.
fn seniors<const K: usize>(old: &BottomK<Sample, K>) -> f64 {
    let devoted = old.items().iter().filter(|s| is_devoted(s)).count();
    old.estimate() * devoted as f64 / old.items().len().max(1) as f64
}

/// Do their loads not plainly look alike? Bought accounts send what the others send: where that shows in time, one in a hundred of
/// them does not buy the others a record (`E-seniors`, one seed of three). Asking for loads that are rather people's (0 and -1 nats)
/// had 5 and 6 users of `B40` blocked at the gate's scale; this none.
fn people(old: &[Sample], tick: u16) -> bool {
    load::rate_ratio(old, tick).min(load::key_ratio(old, tick)) < 3.0
}

fn is_devoted(s: &Sample) -> bool {
    s.devotion() >= 0.5
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::ledger::groups::{Group, Touch};

    fn of(keys: &[Sample], old: u64, axis: Axis, distinct: f64) -> Company {
        with_old(keys, old, false, axis, distinct)
    }

    fn with_old(keys: &[Sample], old: u64, alike: bool, axis: Axis, distinct: f64) -> Company {
        let mut group = Group::default();
        for k in 0..old {
            let kh = (crate::engine::hash::mix(k) >> 32) as u32;
            // Some hardly ever, some often.
            for tot in 1..=if alike { 12 } else { 1 + (k as u32 % 4) * 8 } {
                group.touch(&Touch { kh, single: true, old: true, tot, ..Touch::default() });
            }
        }
        company(&View { group: &group, axis, distinct, keys, tick: 100 })
    }

    #[test]
    fn people_among_the_keys_are_company_and_passers_by_are_not() {
        let key = |talk, tot| Sample { cnt: 4, tot, talk, ..Sample::default() };
        let panel = |talkers: usize, tot: u16| -> Vec<Sample> {
            (0..256).map(|i| key(u8::from(i < talkers), tot)).collect()
        };
        let no = Company::default();
        let talks = Company { mixed: true, talks: true };
        assert_eq!(of(&panel(0, 4), 0, Axis::Text, 900.0), no, "a queue");
        assert_eq!(of(&panel(1, 4), 0, Axis::Text, 900.0), talks);
        assert_eq!(of(&panel(64, 8), 0, Axis::Text, 900.0), talks);
        assert_eq!(of(&panel(65, 4), 0, Axis::Text, 900.0), no, "the campaign converses");
        assert_eq!(of(&panel(5, 9), 0, Axis::Text, 900.0), no, "people who pasted it");
        assert_eq!(of(&panel(9, 4), 9, Axis::Network, 900.0), no);
        assert_eq!(of(&panel(0, 4), 7, Axis::Text, 900.0), no, "seven old keys");
        assert_eq!(of(&panel(0, 4), 8, Axis::Text, 900.0), Company { mixed: true, talks: false });
        assert_eq!(with_old(&panel(0, 4), 8, true, Axis::Text, 900.0), no, "bought accounts");
        assert_eq!(of(&panel(0, 4), 8, Axis::Text, 400.0), no, "two in a hundred: `established` decides");
        assert_eq!(of(&[], 0, Axis::Text, 900.0), no);
    }
}
