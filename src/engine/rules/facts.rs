//! The facts of a key that the rule uses: from its state, or of a key at its first request.

use crate::engine::detect::Age;
use crate::engine::tables::keys::{KeyState, flag};

/// The confirmed values in a request: their number, and the odds of the best three.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pieces {
    /// Number of values.
    pub count: u32,
    /// Odds of the best three, highest first, nats.
    pub best: [f32; 3],
}

impl Default for Pieces {
    fn default() -> Pieces {
        Pieces { count: 0, best: [f32::INFINITY; 3] }
    }
}

impl Pieces {
    /// `count` values of unknown odds.
    pub fn of(count: u32) -> Pieces {
        Pieces { count, ..Pieces::default() }
    }
    /// Evidence of the matched values, nats, as two factors: the odds `prior`, limited to what the values'
    /// own odds support, and the probability to match so few by accident (one phrase is met by accident a
    /// hundred times as often as three). Of one, two or three values the number with the highest sum counts.
    /// `count`: values that the key has shown; `best`: odds of the best of them, nats.
    #[inline(never)]
    pub fn worth(count: u32, best: [f32; 3], prior: f64) -> (f64, f64) {
        let mut most = (prior, -6.9);
        for ((i, best), chance) in (1u32..).zip(best).zip([-4.6, -2.3, 0.0]) {
            let template = prior.min(f64::from(best));
            if count >= i && (i == 1 || template + chance > most.0 + most.1) {
                most = (template, chance);
            }
        }
        most
    }
    /// True if this match is stronger evidence than another. The worth of its values decides, then their
    /// number: a popular text beside a campaign's own has more values and is no evidence.
    #[inline(never)]
    pub fn says_more_than(&self, other: &Pieces) -> bool {
        let rank = |p: &Pieces| {
            let (template, chance) = Pieces::worth(p.count, p.best, f64::INFINITY);
            (p.count > 0, template + chance, p.count)
        };
        rank(self) > rank(other)
    }
    /// Adds a value with these odds, nats.
    pub fn add(&mut self, prior: f32) {
        if self.count == 0 {
            self.best = [f32::NEG_INFINITY; 3];
        }
        self.count = self.count.saturating_add(1);
        let mut prior = prior;
        for b in &mut self.best {
            if prior > *b {
                std::mem::swap(b, &mut prior);
            }
        }
    }
}

/// Facts of a key, its present request included.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// Age at its first request.
    pub age: Age,
    /// Time of its birth, minutes since the epoch; 0 if unknown.
    pub born_min: u32,
    /// Its first request, minutes since the epoch.
    pub came_min: u32,
    /// Openings after the first.
    pub further: u32,
    /// Ticks since its first request.
    pub ticks: u32,
    /// Openings that carried the template.
    pub hits: u32,
    /// All openings since the first of those.
    pub after: u32,
    /// Follow-ups that carried the template.
    pub talk: u32,
    /// Repeats among its recent openings.
    pub repeats: u32,
    /// Number of those recent openings.
    pub recent: u32,
    /// Hours of the day of its openings, a bit each.
    pub hours: u32,
    /// Openings in `hours`.
    pub hours_n: u8,
    /// True if it is on a timer.
    pub regular: bool,
    /// True if it was blocked before, in another case.
    pub struck: bool,
    /// Distinct confirmed values that it has shown: in this request, or over all of them if that is more.
    pub pieces: u32,
    /// Odds of the best values in this request, nats.
    pub best: [f32; 3],
    /// Confirmed values in a request of the campaign, mean.
    pub usual: f32,
}

impl Facts {
    /// Facts of a key at its first request. An edge knows the key's age only if the request tells it
    /// (`created_s`, else 0).
    pub fn first(created_s: u32, now_s: u32, young_for_s: u64, pieces: &Pieces, usual: f32) -> Facts {
        let age = match created_s {
            0 => Age::Unknown,
            s if u64::from(now_s.saturating_sub(s)) < young_for_s => Age::Young,
            _ => Age::Old,
        };
        let born_min = if created_s == 0 { 0 } else { created_s.min(now_s) / 60 };
        Facts {
            age,
            born_min,
            came_min: now_s / 60,
            hits: 1,
            after: 1,
            recent: 1,
            hours_n: 1,
            pieces: pieces.count,
            best: pieces.best,
            usual,
            ..Facts::default()
        }
    }

    /// Facts from a key's state, the present request included.
    pub fn of(key: &KeyState, now_s: u32, tick: u16, young_for_s: u64, pieces: &Pieces, usual: f32) -> Facts {
        let unknown = key.has(flag::AGE_UNKNOWN);
        let ticks = u32::from(tick.wrapping_sub(key.born));
        let age = match () {
            () if unknown => Age::Unknown,
            () if key.came_young(now_s, tick, young_for_s) => Age::Young,
            () => Age::Old,
        };
        Facts {
            age,
            born_min: if unknown { 0 } else { key.first_min },
            came_min: (now_s / 60).saturating_sub(ticks.saturating_mul(10)),
            further: key.single.saturating_sub(1),
            ticks,
            hits: u32::from(key.hits),
            after: u32::from(key.after),
            talk: u32::from(key.talk),
            repeats: u32::from(key.win_dup),
            recent: u32::from(key.win_total),
            hours: key.hour_bits(),
            hours_n: key.map_n(),
            regular: key.is_regular(),
            struck: key.strikes > 0 && !key.has(flag::CONVICTED),
            pieces: pieces.count.max(u32::from(key.seen_values).count_ones()),
            best: pieces.best,
            usual,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(odds: &[f32]) -> Pieces {
        let mut p = Pieces::of(0);
        odds.iter().for_each(|o| p.add(*o));
        p
    }

    #[test]
    fn a_few_values_of_a_campaigns_own_say_more_than_many_of_a_popular_text() {
        let (own, popular, one) = (pieces(&[8.0; 3]), pieces(&[-1.0; 12]), pieces(&[8.0]));
        assert!(own.says_more_than(&popular) && !popular.says_more_than(&own));
        assert!(own.says_more_than(&one) && one.says_more_than(&popular));
        // Of the same worth, more values do.
        assert!(pieces(&[8.0; 4]).says_more_than(&own) && !own.says_more_than(&own));
        // Anything says more than nothing.
        assert!(popular.says_more_than(&Pieces::of(0)) && !Pieces::of(0).says_more_than(&Pieces::of(0)));
    }

    #[test]
    fn what_values_are_worth_is_bounded_by_the_case_and_by_chance() {
        let worth = |p: &Pieces, prior: f64| Pieces::worth(p.count, p.best, prior);
        assert_eq!(worth(&pieces(&[8.0; 3]), 5.0), (5.0, 0.0));
        assert_eq!(worth(&pieces(&[8.0, 8.0, 1.0]), 9.0), (8.0, -2.3), "two of three");
        assert_eq!(worth(&pieces(&[8.0]), 9.0), (8.0, -4.6), "one is met by chance");
        assert_eq!(worth(&Pieces::of(0), 9.0), (9.0, -6.9));
    }
}
