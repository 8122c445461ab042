//! The right to be the one hub that writes: a lease that runs out by itself, and a number that only grows. No I/O.

use super::store::StoreError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The store forgets who is active after this time.
pub const LEASE: Duration = Duration::from_secs(3);
/// It is renewed so often.
pub const RENEW: Duration = Duration::from_secs(1);
/// A hub counts on it for so much less: clocks do not run alike.
const MARGIN: Duration = Duration::from_millis(300);

/// A lease that was given. Shared by the threads of a hub.
#[derive(Debug)]
pub struct Lease {
    /// Writes carry it; the store refuses those with another number than the last.
    pub fence: u64,
    began: Instant,
    until_ms: AtomicU64,
    over: AtomicBool,
    lost: AtomicBool,
    position: AtomicU64,
    /// Why the last renewal failed.
    failed: Mutex<Option<StoreError>>,
}

fn ms(d: Duration) -> u64 {
    u64::try_from(d.as_millis()).unwrap_or(u64::MAX)
}

impl Lease {
    /// Given in answer to what was asked at `asked`.
    pub fn new(fence: u64, asked: Instant) -> Lease {
        let lease = Lease {
            fence,
            began: asked,
            until_ms: AtomicU64::new(0),
            over: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            position: AtomicU64::new(0),
            failed: Mutex::new(None),
        };
        lease.renewed(asked);
        lease
    }

    /// Renewed in answer to what was asked at `asked`.
    pub fn renewed(&self, asked: Instant) {
        let until = asked.duration_since(self.began) + LEASE.saturating_sub(MARGIN);
        self.until_ms.fetch_max(ms(until), SeqCst);
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// It has run out, as after a time without a renewal.
    #[cfg(test)]
    pub fn lapse(&self) {
        self.until_ms.store(0, SeqCst);
    }

    /// Not renewed.
    pub fn failed(&self, why: StoreError) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Another hub is active: this one never is again under this number.
    pub fn end(&self) {
        self.over.store(true, SeqCst);
    }
    pub fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    /// May this hub acknowledge?
    pub fn holds(&self) -> bool {
        !self.is_over() && ms(self.began.elapsed()) < self.until_ms.load(SeqCst)
    }

    /// Why it may not.
    pub fn silence(&self) -> Option<StoreError> {
        if self.is_over() {
            return Some(StoreError::Standby("another hub is active".into()));
        }
        if self.holds() {
            return None;
        }
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(failed.unwrap_or_else(|| StoreError::Slow("the lease could not be renewed in time".into())))
    }

    /// Groups that the store must have.
    pub fn position(&self) -> u64 {
        self.position.load(SeqCst)
    }
    pub fn kept(&self, position: u64) {
        self.position.store(position, SeqCst);
    }

    /// The store has lost what it had kept.
    pub fn set_lost(&self, lost: bool) {
        self.lost.store(lost, SeqCst);
    }
    pub fn is_lost(&self) -> bool {
        self.lost.load(SeqCst)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn a_lease_ends_before_the_stores_does_and_never_comes_back() {
        let asked = Instant::now();
        let lease = Lease::new(7, asked);
        assert!(lease.holds());
        let old = Instant::now().checked_sub(LEASE).unwrap();
        let lease = Lease::new(7, old);
        assert!(!lease.holds(), "the answer took as long as the lease");
        assert_eq!(lease.silence().unwrap().name(), "store_slow");
        lease.failed(StoreError::Down("gone".into()));
        assert_eq!(lease.silence().unwrap().name(), "store_down");
        lease.renewed(Instant::now());
        assert!(lease.holds());
        // An answer that comes late shortens nothing.
        lease.renewed(old);
        assert!(lease.holds());
        assert_eq!(lease.silence(), None);
        lease.end();
        lease.renewed(Instant::now());
        assert_eq!(lease.silence().unwrap().name(), "standby");
        assert!(!lease.holds() && lease.is_over());
    }
}
