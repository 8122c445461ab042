//! Detection parameters: one place, each with its unit and the measurement behind it.
//!
//! Measured with `weir simulate` (honest 0.3, seeds 1 and 2) unless the design's own figures (DETECTION 4.6, 5.6) are named:
//!
//! | parameter | measurement |
//! |---|---|
//! | `v_gate` 12 | 4 nats: at most 2 % by luck on a look (Wald's bound), two looks needed. Highest by chance in 24 runs of newcomers (N40, N150, N800, 8 seeds, all other gates but the sum waived): 5 nats, six of 1,606 looks over 4. Against the old null alone 15 nats were seen; a gate of 8 nats on it (and 2 on the new) blocked 326 of 101,594 newcomers (N40, N150, NS60, N800, 8 seeds), this one none |
//! | panel of 256 keys | 12 nats against the old null leave no doubt: S21 served 18 -> 10 % against 20 nats, no honest key in N40-N3000 |
//! | `net_d_min` 24 | against 32: S6n first block 12.5 -> 11.0 h |
//! | `profile_min` 250 | against 400: accounts in alarm within 24 h 90 -> 96 % (S6) |
//! | young share of a network 95 % | at 85 %: 7 honest keys of a popular client blocked in S15 |
//! | sleepless, tireless | thresholds by drawing hours from a flat day and from a person's: see `detect::automation` |
//! | `dominance` 4, half of the requests | by the largest total ever met: S3 served 1.3 instead of 0.4 % |
//! | `arm` 2, `y_gate`, `n_gate`, `fleet_cap`, `part_*` | DETECTION 5.6; `make ablation` repeats it |

use super::read::{Object, Problems};
use crate::engine::units::Nanos;

/// `campaign` of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Campaign {
    /// Distinct keys before a text group can be confirmed.
    pub d_min: u32,
    /// The same for a network group.
    pub net_d_min: u32,
    /// Points to confirm a group.
    pub t_confirm: i32,
    /// Points to watch a group.
    pub t_watch: i32,
    /// Points below which a confirmed group is released.
    pub t_release: i32,
    /// Load gate of text groups, points.
    pub v_gate: i32,
    /// Load gate of network groups, points.
    pub net_v_gate: i32,
    /// Share of automatic keys that replaces the load gate, ppm.
    pub a_min_ppm: u32,
    /// Youth gate, share of young keys, ppm.
    pub y_gate_ppm: u32,
    /// Novelty gate, ppm.
    pub n_gate_ppm: u32,
    /// Opening share a group needs to be confirmed, ppm.
    pub single_gate_ppm: u32,
    /// Largest fleet of timers that is protected, keys.
    pub fleet_cap: u32,
    /// Weight of the timer evidence, points.
    pub reg_weight: i32,
    /// A phrase in 1/dominance of a template's requests or fewer is a slot.
    pub dominance: u32,
    /// Distinct confirmed values a key must have shown before partial matches block.
    pub part_values: u32,
    /// ... and one in this many recent requests must match.
    pub part_density: u32,
    /// Keys younger than this are young, seconds.
    pub young_for_s: u64,
    /// Ageing period, seconds, aligned to wall time.
    pub epoch_s: u64,
    /// Blocks before a key is convicted.
    pub strikes: u8,
    /// Consecutive evaluations before a group is confirmed.
    pub arm: u8,
    /// Young automatic keys in one octave of load for a profile alarm.
    pub profile_min: u32,
    /// Distinct keys for the path that catches bought accounts.
    pub aged_d_min: u32,
    /// Watched keys before a rollout blocks.
    pub rollout_keys: u32,
    /// A case released by an operator or by evidence is not confirmed again for this time, seconds.
    pub release_immunity_s: u64,
    /// Groups (1,416 bytes each, 448 of them for old members).
    pub groups: u32,
    /// log2 of the first doorkeeper's cells (4 bytes each).
    pub doorkeeper_bits: u8,
    /// log2 of the novelty table's cells (8 bytes each).
    pub novelty_bits: u8,
    /// Evidence switched off by `switch_off`: always 0 outside ablation runs of `weir simulate`.
    pub off: u32,
}

/// Evidence and rules that an ablation can switch off: the detectors by name, then rules.
const TERMS: [&str; 16] = [
    "spread",
    "youth",
    "load",
    "novelty",
    "single_turn",
    "exclusivity",
    "flat_day",
    "timers",
    "automation",
    "dominance",
    "arm",
    "established",
    "siblings",
    "opening",
    "panels",
    "cohort",
];

/// Bits of `Campaign::off` that are not a detector's (those are `1 << index`).
pub mod off {
    /// Automation does not stand in for the load test.
    pub const AUTOMATION: u32 = 1 << 8;
    /// Slots are confirmed like skeletons.
    pub const DOMINANCE: u32 = 1 << 9;
    /// One evaluation confirms.
    pub const ARM: u32 = 1 << 10;
    /// Established users vouch for nothing.
    pub const ESTABLISHED: u32 = 1 << 11;
    /// Other values of a confirmed request wait for their own evaluations.
    pub const SIBLINGS: u32 = 1 << 12;
    /// Any assistant message makes a request a continuation.
    pub const OPENING: u32 = 1 << 13;
    /// No large samples.
    pub const PANELS: u32 = 1 << 14;
    /// Any young key may be of the campaign, whenever it was born and whatever its load.
    pub const COHORT: u32 = 1 << 15;
}

impl Campaign {
    /// For ablations: takes a term out. `false` if there is none of that name.
    pub fn switch_off(&mut self, term: &str) -> bool {
        match TERMS.iter().position(|t| *t == term) {
            Some(i) => {
                self.off |= 1u32 << (i as u32 & 31);
                true
            }
            None => false,
        }
    }
    /// Is it switched off?
    pub fn is_off(&self, bit: u32) -> bool {
        self.off & bit != 0
    }
}

impl Default for Campaign {
    fn default() -> Campaign {
        Campaign {
            d_min: 24,
            net_d_min: 24,
            t_confirm: 115,
            t_watch: 80,
            t_release: 75,
            v_gate: 12,
            net_v_gate: 24,
            a_min_ppm: 700_000,
            y_gate_ppm: 550_000,
            n_gate_ppm: 850_000,
            single_gate_ppm: 750_000,
            fleet_cap: 1000,
            reg_weight: 80,
            dominance: 4,
            part_values: 4,
            part_density: 8,
            young_for_s: 14 * 86_400,
            epoch_s: 72 * 3_600,
            strikes: 4,
            arm: 2,
            profile_min: 250,
            aged_d_min: 256,
            rollout_keys: 48,
            release_immunity_s: 14 * 86_400,
            groups: 2_048,
            doorkeeper_bits: 18,
            novelty_bits: 17,
            off: 0,
        }
    }
}

/// Reads `campaign`.
pub(super) fn read(mut o: Object<'_>, p: &mut Problems) -> Campaign {
    let d = Campaign::default();
    let n = |o: &mut Object<'_>, p: &mut Problems, key, default: u32, lo, hi| {
        u32::try_from(o.number(key, u64::from(default), lo, hi, p)).unwrap_or(default)
    };
    let points = |o: &mut Object<'_>, p: &mut Problems, key, default: i32| {
        i32::try_from(o.number(key, default.unsigned_abs().into(), 0, 1_000, p)).unwrap_or(default)
    };
    let secs = |o: &mut Object<'_>, p: &mut Problems, key, default: u64, lo: u64, hi: u64| {
        o.duration(key, Nanos::from_secs(default), Nanos::from_secs(lo), Nanos::from_secs(hi), p).secs()
    };
    let out = Campaign {
        d_min: n(&mut o, p, "d_min", d.d_min, 12, 100_000),
        net_d_min: n(&mut o, p, "net_d_min", d.net_d_min, 12, 100_000),
        t_confirm: points(&mut o, p, "t_confirm", d.t_confirm),
        t_watch: points(&mut o, p, "t_watch", d.t_watch),
        t_release: points(&mut o, p, "t_release", d.t_release),
        v_gate: points(&mut o, p, "v_gate", d.v_gate),
        net_v_gate: points(&mut o, p, "net_v_gate", d.net_v_gate),
        a_min_ppm: o.share("a_min", d.a_min_ppm, p),
        y_gate_ppm: o.share("y_gate", d.y_gate_ppm, p),
        n_gate_ppm: o.share("n_gate", d.n_gate_ppm, p),
        single_gate_ppm: o.share("single_gate", d.single_gate_ppm, p),
        fleet_cap: n(&mut o, p, "fleet_cap", d.fleet_cap, 0, 1_000_000),
        reg_weight: points(&mut o, p, "reg_weight", d.reg_weight),
        dominance: n(&mut o, p, "dominance", d.dominance, 1, 100),
        part_values: n(&mut o, p, "part_values", d.part_values, 1, 32),
        part_density: n(&mut o, p, "part_density", d.part_density, 1, 64),
        young_for_s: secs(&mut o, p, "young_for", d.young_for_s, 3_600, 365 * 86_400),
        epoch_s: secs(&mut o, p, "epoch", d.epoch_s, 3_600, 30 * 86_400),
        strikes: n(&mut o, p, "strikes", d.strikes.into(), 1, 100) as u8,
        arm: n(&mut o, p, "arm", d.arm.into(), 1, 10) as u8,
        profile_min: n(&mut o, p, "profile_min", d.profile_min, 12, 1_000_000),
        aged_d_min: n(&mut o, p, "aged_d_min", d.aged_d_min, 12, 1_000_000),
        rollout_keys: n(&mut o, p, "rollout_keys", d.rollout_keys, 1, 1_000_000),
        release_immunity_s: secs(&mut o, p, "release_immunity", d.release_immunity_s, 0, 365 * 86_400),
        groups: n(&mut o, p, "groups", d.groups, 64, 16_384),
        doorkeeper_bits: n(&mut o, p, "doorkeeper_bits", d.doorkeeper_bits.into(), 10, 22) as u8,
        novelty_bits: n(&mut o, p, "novelty_bits", d.novelty_bits.into(), 10, 22) as u8,
        off: 0,
    };
    let order = [
        (
            "t_release",
            out.t_release > out.t_watch,
            "is above t_watch: a confirmed group would be released while it is still watched",
        ),
        (
            "t_watch",
            out.t_watch > out.t_confirm,
            "is above t_confirm: nothing would be watched before it is confirmed",
        ),
    ];
    for (key, wrong, message) in order {
        if wrong {
            o.problem(key, message, p);
        }
    }
    o.finish(p);
    out
}
