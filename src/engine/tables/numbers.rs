//! What is published of a case: the numbers by which its keys are judged. Single precision, 116 bytes.

use crate::engine::beta_binomial::Share;
use crate::engine::wire::{Encoded, Reader, Writer};

/// How keys send: `detect::coming::Pace` in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rhythm {
    /// Probability that a key stops after a visit.
    pub stop: f32,
    /// Mean gap between requests, ticks.
    pub gap: f32,
    /// How alike keys' rates are: shape of their gamma distribution.
    pub shape: f32,
}

/// A beta distribution of shares: `beta_binomial::Share` in single precision.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Beta {
    /// Mean.
    pub mean: f32,
    /// Precision: high where all keys have about the same share.
    pub precision: f32,
}

impl From<Share> for Beta {
    fn from(s: Share) -> Beta {
        Beta { mean: s.mean as f32, precision: s.precision as f32 }
    }
}

impl From<Beta> for Share {
    fn from(b: Beta) -> Share {
        Share::new(f64::from(b.mean), f64::from(b.precision))
    }
}

const FLOATS: usize = 26;

/// Bytes of encoded numbers.
pub const BYTES: usize = 12 + 4 * FLOATS;

/// Numbers by which the keys of a case are judged. Fields named `honest_…` are of honest users of the
/// template, their counterparts of the campaign. The default accuses nobody.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// Odds that a key which sends the template is the campaign's, before anything is known of it, nats.
    pub prior: f32,
    /// Factor of a key that is known to be young, nats.
    pub young: f32,
    /// Factor of a key that is known to be old, nats.
    pub old: f32,
    /// The campaign's keys were born from this minute on (minutes since the epoch).
    pub born_from_min: u32,
    /// The campaign's keys were born up to this minute.
    pub born_to_min: u32,
    /// A key that came after this minute is a newcomer: the evidence does not cover it.
    pub came_to_min: u32,
    /// Factor of a newcomer, nats; never above 0.
    pub newcomer: f32,
    /// Share of the template in a campaign's key's openings.
    pub devoted: Beta,
    /// The same of an honest user.
    pub honest_devoted: Beta,
    /// How the campaign's keys send.
    pub queue: Rhythm,
    /// How honest users send.
    pub honest: Rhythm,
    /// Share of follow-ups among requests of a campaign's key.
    pub talk: Beta,
    /// The same of an honest user.
    pub honest_talk: Beta,
    /// Share of repeats among openings of a campaign's key.
    pub repeats: Beta,
    /// The same of an honest user.
    pub honest_repeats: Beta,
    /// Share of the campaign's keys that sleep.
    pub sleep: f32,
    /// Share of honest users that sleep.
    pub honest_sleep: f32,
    /// Factor of a key that is on a timer, nats.
    pub regular: f32,
    /// Probability that the opening of an old key is an honest user's: a campaign's accounts may be bought.
    pub old_honest: f32,
}

impl Default for Numbers {
    fn default() -> Numbers {
        let (rhythm, share) =
            (Rhythm { stop: 0.1, gap: 6.0, shape: 1.0 }, Beta { mean: 0.1, precision: 2.0 });
        Numbers {
            prior: -20.0,
            young: 0.0,
            old: 0.0,
            born_from_min: 0,
            born_to_min: u32::MAX,
            came_to_min: u32::MAX,
            newcomer: 0.0,
            devoted: share,
            honest_devoted: share,
            queue: rhythm,
            honest: rhythm,
            talk: share,
            honest_talk: share,
            repeats: share,
            honest_repeats: share,
            sleep: 0.5,
            honest_sleep: 0.5,
            regular: 0.0,
            old_honest: 1.0,
        }
    }
}

impl Numbers {
    /// True if they differ enough to be published again.
    pub fn differ(&self, other: &Numbers) -> bool {
        let far = |a: f32, b: f32, by: f32| (a - b).is_nan() || (a - b).abs() > by;
        far(self.prior, other.prior, 0.25)
            || far(self.young, other.young, 0.25)
            || far(self.old, other.old, 0.25)
            || self.born_from_min.abs_diff(other.born_from_min) > 120
            || self.born_to_min.abs_diff(other.born_to_min) > 120
            || far(self.newcomer, other.newcomer, 0.25)
            || self.newcomer < -0.25 && self.came_to_min.abs_diff(other.came_to_min) > 30
    }
}

impl Encoded for Numbers {
    fn put(&self, w: &mut Writer<'_>) {
        w.u32(self.born_from_min);
        w.u32(self.born_to_min);
        w.u32(self.came_to_min);
        self.floats().into_iter().for_each(|f| w.f32(f));
    }
    fn take(r: &mut Reader<'_>) -> Option<Numbers> {
        let (born_from_min, born_to_min, came_to_min) = (r.u32()?, r.u32()?, r.u32()?);
        let mut f = [0f32; FLOATS];
        for slot in &mut f {
            *slot = r.f32()?;
        }
        let [
            prior,
            young,
            old,
            sleep,
            honest_sleep,
            regular,
            a,
            b,
            c,
            d,
            e,
            g,
            h,
            i,
            j,
            k,
            l,
            m,
            n,
            o,
            p,
            q,
            s,
            t,
            old_honest,
            newcomer,
        ] = f;
        Some(Numbers {
            prior,
            young,
            old,
            born_from_min,
            born_to_min,
            came_to_min,
            newcomer,
            sleep,
            honest_sleep,
            regular,
            old_honest,
            queue: Rhythm { stop: a, gap: b, shape: c },
            honest: Rhythm { stop: d, gap: e, shape: g },
            talk: Beta { mean: h, precision: i },
            honest_talk: Beta { mean: j, precision: k },
            repeats: Beta { mean: l, precision: m },
            honest_repeats: Beta { mean: n, precision: o },
            devoted: Beta { mean: p, precision: q },
            honest_devoted: Beta { mean: s, precision: t },
        })
    }
}

impl Numbers {
    fn floats(&self) -> [f32; FLOATS] {
        [
            self.prior,
            self.young,
            self.old,
            self.sleep,
            self.honest_sleep,
            self.regular,
            self.queue.stop,
            self.queue.gap,
            self.queue.shape,
            self.honest.stop,
            self.honest.gap,
            self.honest.shape,
            self.talk.mean,
            self.talk.precision,
            self.honest_talk.mean,
            self.honest_talk.precision,
            self.repeats.mean,
            self.repeats.precision,
            self.honest_repeats.mean,
            self.honest_repeats.precision,
            self.devoted.mean,
            self.devoted.precision,
            self.honest_devoted.mean,
            self.honest_devoted.precision,
            self.old_honest,
            self.newcomer,
        ]
    }
}
