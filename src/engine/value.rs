//! Keys of clients, and values on three axes: what everything is counted by.

use super::hash;

/// What a value is a hash of. It stands in the top two bits of the value's tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Four consecutive words of a prompt (a sampled shingle).
    Text,
    /// An octave of load of young automatic keys.
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
    /// The tag of a hash as a value on this axis.
    pub const fn tag(self, hash: u64) -> u64 {
        let low = hash & (u64::MAX >> 2);
        match self {
            Axis::Text => low,
            Axis::Profile => low | (1 << 62),
            Axis::Network => low | (2 << 62),
        }
    }
    /// Name in reports and records.
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

/// Bucket of a template budget: that of the case, else that of the suspicious value, else 0 (none).
pub fn bucket(case: u16, suspect: u64) -> u64 {
    match (case, suspect) {
        (0, 0) => 0,
        (0, v) => hash::combine(v, 1).max(1),
        (case, _) => hash::combine(u64::from(case), 2).max(1),
    }
}
