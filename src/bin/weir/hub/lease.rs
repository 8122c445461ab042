//! The right to be the one hub that writes: a lease that expires, and a number that only grows. No I/O.

use super::store_error::StoreError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Time after which the store forgets the holder.
pub const LEASE: Duration = Duration::from_secs(3);
/// Time between renewals.
pub const RENEW: Duration = Duration::from_secs(1);
/// Time by which a hub gives up its lease earlier than the store does: clocks do not run at the same rate.
const MARGIN: Duration = Duration::from_millis(300);

/// A lease that was granted. The threads of a hub share it.
#[derive(Debug)]
pub struct Lease {
    /// Number of the lease. Each write carries it, and the store refuses writes with any but the newest
    /// number.
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
    /// A lease granted in answer to a call made at `asked`.
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

    /// Notes a renewal in answer to a call made at `asked`.
    pub fn renewed(&self, asked: Instant) {
        let until = asked.duration_since(self.began) + LEASE.saturating_sub(MARGIN);
        self.until_ms.fetch_max(ms(until), SeqCst);
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Lets it run out, as after a time without a renewal.
    #[cfg(test)]
    pub fn lapse(&self) {
        self.until_ms.store(0, SeqCst);
    }

    /// Notes that a renewal failed.
    pub fn failed(&self, why: StoreError) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }

    /// Ends the lease: another hub is active.
    pub fn end(&self) {
        self.over.store(true, SeqCst);
    }
    pub fn is_over(&self) -> bool {
        self.over.load(SeqCst)
    }

    /// True if this hub may acknowledge exchanges.
    pub fn holds(&self) -> bool {
        !self.is_over() && ms(self.began.elapsed()) < self.until_ms.load(SeqCst)
    }

    /// Why it may not; `None` if it may.
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

    /// Number of groups that the store must hold.
    pub fn position(&self) -> u64 {
        self.position.load(SeqCst)
    }
    pub fn kept(&self, position: u64) {
        self.position.store(position, SeqCst);
    }

    /// Notes whether the store has lost groups that it had kept.
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
