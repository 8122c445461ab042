//! What everything counts by: keys of clients, and values on three axes.

use super::hash;

/// What a group's value stands for: the top two bits of the tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// A sampled shingle of the prompt.
    Text,
    /// An octave of load of automatic young keys.
    Profile,
    /// An address prefix or a request shape.
    Network,
}

impl Axis {
    /// The axis of a tag.
    pub const fn of(tag: u64) -> Axis {
        match tag >> 62 {
            0 => Axis::Text,
            1 => Axis::Profile,
            _ => Axis::Network,
        }
    }
    /// The tag of a hash on this axis.
    pub const fn tag(self, hash: u64) -> u64 {
        let low = hash & (u64::MAX >> 2);
        match self {
            Axis::Text => low,
            Axis::Profile => low | (1 << 62),
            Axis::Network => low | (2 << 62),
        }
    }
    /// For reports.
    pub const fn name(self) -> &'static str {
        match self {
            Axis::Text => "text",
            Axis::Profile => "profile",
            Axis::Network => "network",
        }
    }
}

/// Keyed hash that names a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kid:{:016x}", self.0)
    }
}

/// The bucket of a case, else of a suspicious value, else 0.
pub fn bucket(case: u16, suspect: u64) -> u64 {
    match (case, suspect) {
        (0, 0) => 0,
        (0, v) => hash::combine(v, 1).max(1),
        (case, _) => hash::combine(u64::from(case), 2).max(1),
    }
}
