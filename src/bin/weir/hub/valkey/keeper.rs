//! The thread that renews a lease.

use super::link::Link;
use super::place::Place;
use super::scripts::{LAYOUT, RELEASE, RENEW};
use super::{Keys, run};
use crate::hub::lease::{LEASE, Lease, RENEW as EVERY};
use crate::hub::log;
use serde_json::json;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest time for the answer to a renewal.
const ANSWER: Duration = Duration::from_millis(800);
/// Time until the next attempt after a failure.
const SOON: Duration = Duration::from_millis(200);

/// Renews a lease in a thread of its own until it is dropped, or the lease is over.
pub struct Keeper {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    place: Arc<Place>,
    keys: Keys,
    holder: String,
}

impl Keeper {
    pub fn start(
        place: &Arc<Place>,
        keys: &Keys,
        holder: &str,
        seed_check: u32,
        lease: &Arc<Lease>,
    ) -> std::io::Result<Keeper> {
        let (stop, stopped) = channel();
        let mut k = Keeper {
            stop: Some(stop),
            thread: None,
            place: Arc::clone(place),
            keys: keys.clone(),
            holder: holder.into(),
        };
        let (link, lease, keys, holder) =
            (Link::new(place, ANSWER), Arc::clone(lease), keys.clone(), holder.to_string());
        let thread = std::thread::Builder::new()
            .name("weir-lease".into())
            .spawn(move || renew(link, &keys, &holder, seed_check, &lease, &stopped))?;
        k.thread = Some(thread);
        Ok(k)
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }

    /// Ends the lease, so that another hub can become active at once.
    pub fn release(&mut self) {
        self.end();
        // If the store does not hear of it, the lease runs out.
        let mut link = Link::new(&self.place, ANSWER);
        let _ = run(&mut link, RELEASE, &[&self.keys.lease], &[self.holder.as_bytes()]);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.end();
    }
}

fn renew(mut link: Link, keys: &Keys, holder: &str, seed_check: u32, lease: &Lease, stopped: &Receiver<()>) {
    let (mut wait, mut told) = (EVERY, None);
    while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        let (asked, position) = (Instant::now(), lease.position());
        let ms = LEASE.as_millis().to_string();
        let (fence, seed) = (lease.fence.to_string(), seed_check.to_string());
        let args = [holder, &ms, &fence, &seed, LAYOUT].map(str::as_bytes);
        match run(&mut link, RENEW, &[&keys.lease, &keys.meta], &args) {
            Ok(answer) => {
                let next = answer.get(1).cloned().flatten().and_then(|n| n.parse::<u64>().ok());
                match answer.first().and_then(|a| a.as_deref()) {
                    Some("OK" | "BACK") => lease.renewed(asked),
                    _ => {
                        lease.end();
                        return;
                    }
                }
                if next.is_none_or(|n| n < position) {
                    lease.set_lost(true);
                }
                (wait, told) = (EVERY, None);
            }
            Err(e) => {
                if told != Some(e.name()) {
                    log::warn("lease_not_renewed", json!({"error": e.name(), "message": e.to_string()}));
                }
                (wait, told) = (SOON, Some(e.name()));
                lease.failed(e);
            }
        }
    }
}
