//! Address prefixes of all keys: number of keys by the prefix of their first request, in 256 buckets. If a
//! proxy sees only the address of its load balancer, all keys share one prefix, and a shared prefix is no
//! evidence of one owner.
//!
//! Memory: 1 KiB. Recounted after a restore; all buckets are halved when one is full.

/// Buckets.
const BUCKETS: usize = 256;

/// Keys by bucket of their home.
#[derive(Clone, Debug)]
pub struct Homes([u32; BUCKETS]);

impl Default for Homes {
    fn default() -> Homes {
        Homes([0; BUCKETS])
    }
}

impl Homes {
    /// Counts one more key of a home (hash of an address prefix; 0 = unknown).
    pub fn add(&mut self, home: u16) {
        if home == 0 {
            return;
        }
        if let Some(n) = self.0.get_mut(bucket(home)) {
            *n = n.saturating_add(1);
            if *n == u32::MAX {
                self.0.iter_mut().for_each(|n| *n /= 2);
            }
        }
    }
    /// Share of the other keys that have one of these homes; 0 if there are hardly any others. `own` and
    /// `of`: keys to leave out, of these homes and in all.
    pub fn share(&self, homes: &[u16], own: f64, of: f64) -> f64 {
        let all: f64 = self.0.iter().map(|n| f64::from(*n)).sum();
        let mut met = [false; BUCKETS];
        let mut here = 0.0;
        for home in homes.iter().filter(|h| **h != 0) {
            let at = bucket(*home);
            if let (Some(met), Some(n)) = (met.get_mut(at), self.0.get(at))
                && !std::mem::replace(met, true)
            {
                here += f64::from(*n);
            }
        }
        let others = all - of;
        if others < 12.0 { 0.0 } else { ((here - own) / others).max(0.0) }
    }
}

/// The lowest bit of a home is set.
fn bucket(home: u16) -> usize {
    usize::from(home >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_that_all_keys_have_is_nobodys() {
        let mut h = Homes::default();
        (0..300).for_each(|_| h.add(0x0101));
        assert_eq!(h.share(&[0x0101], 100.0, 100.0), 1.0);
        (0..2_000u16).for_each(|i| h.add(i.wrapping_mul(31) | 1));
        assert!(h.share(&[0x0101], 300.0, 300.0) < 0.02, "the others are elsewhere");
        h.add(0);
        assert_eq!(Homes::default().share(&[1, 3], 0.0, 0.0), 0.0);
    }
}
