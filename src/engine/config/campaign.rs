//! Detection parameters: one place, each with its unit and the measurement behind it. Laws that were fitted are in
//! `config::fitted`.
//!
//! | parameter | measurement |
//! |---|---|
//! | `nats` 20, `block_odds` 5000 | `make leave-one-out`, `tests/detection/README.md` |
//! | `profile_min` 250 | against 400: accounts in alarm within 24 h 90 -> 96 % (S6) |
//! | sleepless, tireless | thresholds by drawing hours from a flat day and from a person's: see `detect::automation` |
//! | `dominance` 4, half of the requests | by the largest total ever met: S3 served 1.3 instead of 0.4 % |
//! | `arm` 2, `fleet_cap` | `make ablation` |

use super::fitted::Fitted;
use super::problem::Problems;
use super::read::Object;
use crate::engine::units::Nanos;

/// `campaign` of the configuration: parameters of detection.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// Least distinct keys of a text group that may be confirmed.
    pub d_min: u32,
    /// The same of a network group.
    pub net_d_min: u32,
    /// Nats by which a campaign must beat the best honest explanation of a value's keys.
    pub nats: u32,
    /// Odds, to one, at which a key is blocked; it is watched at a tenth of them.
    pub block_odds: u32,
    /// Largest fleet of timers, and largest set of keys of one owner, that is taken for honest; keys.
    pub fleet_cap: u32,
    /// A phrase that stands in at most 1/`dominance` of a template's requests is a slot, not part of the
    /// template.
    pub dominance: u32,
    /// Keys younger than this are young, seconds.
    pub young_for_s: u64,
    /// Ageing period of counters, seconds, aligned to wall time.
    pub epoch_s: u64,
    /// Blocks by load or by a roll-out of prompts after which a key is convicted.
    pub strikes: u8,
    /// Consecutive evaluations that must agree before a group is confirmed.
    pub arm: u8,
    /// Young automatic keys in one octave of load that raise a profile's alarm.
    pub profile_min: u32,
    /// Keys that must have sent as many shared prompts as a roll-out before one is blocked for it.
    pub rollout_keys: u32,
    /// Time for which a released value or case is not confirmed again, seconds.
    pub release_immunity_s: u64,
    /// Capacity of the group table (1,224 bytes a group).
    pub groups: u32,
    /// log2 of the first doorkeeper's cells (4 bytes each).
    pub doorkeeper_bits: u8,
    /// log2 of the cells of the table of texts seen (8 bytes each).
    pub novelty_bits: u8,
    /// Bitmap of the terms switched off by `switch_off`: 0 but in ablation runs of `weir simulate`.
    pub off: u32,
    /// Fitted numbers: the committed ones but in `weir simulate --leave-one-out` and `--fitted`.
    pub fitted: Fitted,
}

/// Rules that an ablation can switch off.
const TERMS: [(&str, u32); 4] = [
    ("dominance", off::DOMINANCE),
    ("arm", off::ARM),
    ("siblings", off::SIBLINGS),
    ("opening", off::OPENING),
];

/// Bits of `Campaign::off` beside those of the explanations (`1 << index`).
pub mod off {
    /// Slots are confirmed like other phrases.
    pub const DOMINANCE: u32 = 1 << 9;
    /// One evaluation is enough to confirm.
    pub const ARM: u32 = 1 << 10;
    /// The other values of a confirmed request are not confirmed with it.
    pub const SIBLINGS: u32 = 1 << 12;
    /// Any assistant message makes a request a follow-up.
    pub const OPENING: u32 = 1 << 13;
}

impl Campaign {
    /// Switches a rule off by its name, for ablations. False if there is no such rule. Honest explanations: see
    /// `detect::switch_off`.
    pub fn switch_off(&mut self, term: &str) -> bool {
        match TERMS.iter().find(|t| t.0 == term) {
            Some((_, bit)) => {
                self.off |= bit;
                true
            }
            None => false,
        }
    }
    /// True if the term of this bit is switched off.
    pub fn is_off(&self, bit: u32) -> bool {
        self.off & bit != 0
    }
}

impl Default for Campaign {
    fn default() -> Campaign {
        Campaign {
            d_min: 24,
            net_d_min: 24,
            nats: 20,
            block_odds: 5_000,
            fleet_cap: 1000,
            dominance: 4,
            young_for_s: 14 * 86_400,
            epoch_s: 72 * 3_600,
            strikes: 4,
            arm: 2,
            profile_min: 250,
            rollout_keys: 48,
            release_immunity_s: 14 * 86_400,
            groups: 2_048,
            doorkeeper_bits: 18,
            novelty_bits: 17,
            off: 0,
            fitted: Fitted::default(),
        }
    }
}

/// Reads `campaign` of the configuration.
pub(super) fn read(mut o: Object<'_>, p: &mut Problems) -> Campaign {
    let d = Campaign::default();
    let n = |o: &mut Object<'_>, p: &mut Problems, key, default: u32, lo, hi| {
        u32::try_from(o.number(key, u64::from(default), lo, hi, p)).unwrap_or(default)
    };
    let secs = |o: &mut Object<'_>, p: &mut Problems, key, default: u64, lo: u64, hi: u64| {
        o.duration(key, Nanos::from_secs(default), Nanos::from_secs(lo), Nanos::from_secs(hi), p).secs()
    };
    let out = Campaign {
        d_min: n(&mut o, p, "d_min", d.d_min, 12, 100_000),
        net_d_min: n(&mut o, p, "net_d_min", d.net_d_min, 12, 100_000),
        nats: n(&mut o, p, "nats", d.nats, 5, 1_000),
        block_odds: n(&mut o, p, "block_odds", d.block_odds, 10, 1_000_000_000),
        fleet_cap: n(&mut o, p, "fleet_cap", d.fleet_cap, 0, 1_000_000),
        dominance: n(&mut o, p, "dominance", d.dominance, 1, 100),
        young_for_s: secs(&mut o, p, "young_for", d.young_for_s, 3_600, 365 * 86_400),
        epoch_s: secs(&mut o, p, "epoch", d.epoch_s, 3_600, 30 * 86_400),
        strikes: n(&mut o, p, "strikes", d.strikes.into(), 1, 100) as u8,
        arm: n(&mut o, p, "arm", d.arm.into(), 1, 10) as u8,
        profile_min: n(&mut o, p, "profile_min", d.profile_min, 12, 1_000_000),
        rollout_keys: n(&mut o, p, "rollout_keys", d.rollout_keys, 1, 1_000_000),
        release_immunity_s: secs(&mut o, p, "release_immunity", d.release_immunity_s, 0, 365 * 86_400),
        groups: n(&mut o, p, "groups", d.groups, 64, 16_384),
        doorkeeper_bits: n(&mut o, p, "doorkeeper_bits", d.doorkeeper_bits.into(), 10, 22) as u8,
        novelty_bits: n(&mut o, p, "novelty_bits", d.novelty_bits.into(), 10, 22) as u8,
        off: 0,
        fitted: d.fitted,
    };
    o.finish(p);
    out
}
