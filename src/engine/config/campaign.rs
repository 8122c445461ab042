//! Detection parameters: one place, each with its unit. Defaults and their measurements: DETECTION 4.6 and 5.6.

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
    /// Groups (832 bytes each, plus 384 for old members).
    pub groups: u32,
    /// log2 of the first doorkeeper's cells (4 bytes each).
    pub doorkeeper_bits: u8,
    /// log2 of the novelty table's cells (8 bytes each).
    pub novelty_bits: u8,
}

impl Default for Campaign {
    fn default() -> Campaign {
        Campaign {
            d_min: 24,
            net_d_min: 32,
            t_confirm: 115,
            t_watch: 80,
            t_release: 75,
            v_gate: 15,
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
            profile_min: 400,
            aged_d_min: 256,
            rollout_keys: 48,
            release_immunity_s: 14 * 86_400,
            groups: 2_048,
            doorkeeper_bits: 18,
            novelty_bits: 17,
        }
    }
}
