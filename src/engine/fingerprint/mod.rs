//! Text to fingerprint: sampled 4-word shingles. Text ends here.

/// Values kept per region.
pub const CAP: usize = 24;
/// Values that touch the learning tables.
pub const ANCHORS: usize = 12;

/// Fingerprint of some regions of text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    /// Sorted, unique; top two bits 00 (the text axis). At most `CAP` per region.
    pub values: Vec<u64>,
    /// Order-dependent mix of all word hashes; `None` below 4 words.
    pub exact: Option<u64>,
}

/// Reusable working memory.
#[derive(Debug)]
pub struct Fingerprinter {
    #[allow(dead_code, reason = "placeholder")]
    seed: u64,
}

impl Fingerprinter {
    /// `seed`: the policy's text key.
    pub fn new(seed: u64) -> Fingerprinter {
        Fingerprinter { seed }
    }
    /// Takes the fingerprint of `regions` (each folded and sampled alone) into `out`, replacing what it holds.
    pub fn take(&mut self, _regions: &[&[u8]], out: &mut Fingerprint) {
        out.values.clear();
        out.exact = None;
    }
}
