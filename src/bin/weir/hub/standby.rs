//! A hub beside others on one store: it learns what the active one journals, and takes over when that one is
//! gone.

use super::core::Hub;
use super::exchange::Clock;
use super::lease::{LEASE, Lease};
use super::log;
use super::restored;
use super::store::{Blocked, StoreError, StoreStatus};
use super::valkey::place::Place;
use super::valkey::{AT_ONCE, Follower, Keeper, Taken, Trouble, Valkey, standby};
use super::work::{self, ActFailure, End, Failure, Job, Options, Status};
use serde_json::json;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use weir::engine::config::Config;

/// Time between two calls to the store.
const EVERY: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(50);
/// Time for which an emptied store is left to the hub that was active.
const PATIENCE: Duration = Duration::from_secs(2 * LEASE.as_secs());
/// Largest age of the tables' counts (a pass over them).
const STALE: Duration = Duration::from_secs(5);

/// Settings of a hub on a store.
#[derive(Clone)]
pub struct Setup {
    pub place: Arc<Place>,
    pub config: Arc<Config>,
    pub keys: u32,
    pub quota: u32,
    pub quorum: u8,
    pub clock: Clock,
    /// Name of this hub, unique among all.
    pub holder: String,
}

/// Is standby and active in turns until it is asked to stop. True if the last checkpoint was written.
///
/// # Errors
/// The store's content cannot be used; with what to do about it.
pub fn run(setup: &Setup, jobs: &Receiver<Job>, mut options: Options) -> Result<bool, Blocked> {
    options.takeovers = 0;
    loop {
        let Some((hub, store)) = stand_by(setup, jobs, options.takeovers)? else { return Ok(true) };
        options.takeovers += 1;
        let (end, back) = work::run(hub, Box::new(store), jobs, options);
        options = back;
        match end {
            End::Stopped(kept) => return Ok(kept),
            End::Fenced => {}
        }
    }
}

/// Answers jobs while another thread follows the store. `None`: it was asked to stop.
fn stand_by(setup: &Setup, jobs: &Receiver<Job>, takeovers: u64) -> Result<Option<(Hub, Valkey)>, Blocked> {
    let stop = Arc::new(AtomicBool::new(false));
    let seen = Arc::new(Mutex::new(Status { takeovers, store_error: Some("starting"), ..Status::default() }));
    let follows = Follows {
        follower: Follower::new(&setup.place, &setup.config.policy, setup.config.seed.check(), &setup.holder),
        setup: setup.clone(),
        hub: None,
        seen: Arc::clone(&seen),
        stop: Arc::clone(&stop),
        counted: None,
        empty: None,
        told: None,
    };
    let thread = std::thread::Builder::new().name("weir-standby".into()).spawn(move || follows.run());
    let thread: JoinHandle<_> = thread.map_err(|e| Blocked(e.to_string()))?;
    loop {
        match jobs.recv_timeout(TICK) {
            Ok(Job::Exchange(_, reply)) => drop(reply.send(Err(Failure::Store(standby())))),
            Ok(Job::Status(reply)) => {
                let status = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
                drop(reply.send(Box::new(status)));
            }
            Ok(Job::Act(_, reply)) => drop(reply.send(Err(ActFailure::Store(standby())))),
            // Who asks hears that nobody answers.
            Ok(Job::Look(_)) => {}
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => stop.store(true, SeqCst),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if thread.is_finished() {
            let end = thread.join();
            return end
                .unwrap_or_else(|_| Err(Blocked("the thread that follows the store has panicked".into())));
        }
    }
}

struct Follows {
    setup: Setup,
    follower: Follower,
    /// The hub with what it has learned so far.
    hub: Option<Hub>,
    seen: Arc<Mutex<Status>>,
    stop: Arc<AtomicBool>,
    counted: Option<Instant>,
    /// Time since which the store is empty although it was not before.
    empty: Option<Instant>,
    told: Option<&'static str>,
}

impl Follows {
    fn run(mut self) -> Result<Option<(Hub, Valkey)>, Blocked> {
        loop {
            if self.stop.load(SeqCst) {
                return Ok(None);
            }
            let name = match self.step() {
                Ok(Some((lease, keeper))) => {
                    let Some(hub) = self.hub.take() else { continue };
                    return Ok(Some((hub, self.follower.into_store(lease, keeper))));
                }
                Ok(None) => "standby",
                Err(Trouble::Store(e)) => {
                    self.tell(&e);
                    e.name()
                }
                Err(Trouble::Behind) => {
                    self.hub = None;
                    "standby"
                }
                Err(Trouble::Blocked(why)) => return Err(why),
            };
            if self.told.is_some_and(|t| t != name) {
                log::info(name, json!({}));
            }
            self.told = Some(name);
            self.show(name);
            let until = Instant::now() + EVERY;
            while Instant::now() < until && !self.stop.load(SeqCst) {
                std::thread::sleep(TICK);
            }
        }
    }

    fn step(&mut self) -> Result<Option<(Arc<Lease>, Keeper)>, Trouble> {
        let insist = self.empty.is_some_and(|at| at.elapsed() >= PATIENCE);
        match self.follower.acquire(insist)? {
            Taken::Mine(lease, keeper) => return self.take_over(lease, keeper).map(Some),
            Taken::Held => {
                self.empty = None;
                self.keep_up()?;
            }
            Taken::Empty => drop(self.empty.get_or_insert_with(Instant::now)),
        }
        Ok(None)
    }

    /// Learns what is new in the store.
    fn keep_up(&mut self) -> Result<(), Trouble> {
        let mut hub = match self.hub.take() {
            Some(hub) => hub,
            None => {
                let bytes = self.follower.load()?;
                let s = &self.setup;
                restored(
                    &s.config,
                    bytes.as_deref(),
                    (s.keys, s.quota, s.quorum),
                    (s.clock)().mono.0,
                    s.place.shown(),
                )
                .map_err(Trouble::Blocked)?
            }
        };
        let read = loop {
            match self.follower.follow(|group| hub.replay(group).is_some()) {
                Ok(AT_ONCE..) if !self.stop.load(SeqCst) => {}
                Ok(_) => break Ok(()),
                Err(e) => break Err(e),
            }
        };
        // Half a read changes nothing: the next one goes on where it ended.
        self.hub = Some(hub);
        read
    }

    /// Reads what is left in the store, now that no other hub writes, and becomes active.
    fn take_over(&mut self, lease: Arc<Lease>, mut keeper: Keeper) -> Result<(Arc<Lease>, Keeper), Trouble> {
        let began = Instant::now();
        let (mut is_anew, before) = (self.hub.is_none(), self.follower.position());
        loop {
            match self.keep_up().and_then(|()| self.follower.is_whole()) {
                Ok(true) => break,
                // What this hub has learned is more than the store holds.
                Ok(false) => {
                    log::warn(
                        "store_lost",
                        json!({"consequence": "a checkpoint of what this hub knows is written at once"}),
                    );
                    lease.set_lost(true);
                    break;
                }
                Err(Trouble::Behind | Trouble::Blocked(_)) if !is_anew => {
                    (self.hub, is_anew) = (None, true);
                }
                Err(e) => {
                    keeper.release();
                    return Err(match e {
                        Trouble::Behind => Trouble::Blocked(self.follower.missing()),
                        e => e,
                    });
                }
            }
        }
        let Some(hub) = &mut self.hub else { return Err(Trouble::Behind) };
        hub.publish();
        let f = &self.follower;
        log::info(
            "started",
            json!({
                "ms": began.elapsed().as_millis() as u64, "position": f.position(), "checkpoint": f.checkpoint(),
                "groups_replayed": f.position().saturating_sub(if is_anew { f.checkpoint() } else { before }),
                "nodes": hub.nodes().len(), "keys": hub.status().keys, "capacity": hub.sizes().keys,
                "process": std::process::id(), "fence": lease.fence, "was_following": !is_anew,
            }),
        );
        Ok((lease, keeper))
    }

    fn tell(&self, e: &StoreError) {
        if self.told != Some(e.name()) {
            log::warn(
                e.name(),
                json!({"message": e.to_string(), "consequence": "this hub cannot take over"}),
            );
        }
    }

    fn show(&mut self, name: &'static str) {
        let store = self.status();
        let fresh = self.counted.is_none_or(|at| at.elapsed() >= STALE);
        let of_hub = self.hub.as_ref().filter(|_| fresh).map(|hub| Status::of(hub, store));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = of_hub {
            self.counted = Some(Instant::now());
            *seen = Status { takeovers: seen.takeovers, ..status };
        }
        (seen.store, seen.store_error) = (store, Some(name));
    }

    fn status(&self) -> StoreStatus {
        let (position, checkpoint) = (self.follower.position(), self.follower.checkpoint());
        StoreStatus { position, checkpoint, ..StoreStatus::default() }
    }
}

/// Calls the store once, before the hub listens, so that a wrong setting ends the start. Errors that may pass
/// by themselves do not.
///
/// # Errors
/// A password, a user, a certificate or a key that is wrong.
pub fn first_contact(setup: &Setup) -> Result<(), Blocked> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    match Follower::new(&setup.place, &setup.config.policy, setup.config.seed.check(), &setup.holder).look() {
        Err(Trouble::Store(e)) if e.is_a_setting() => Err(Blocked(format!("{}: {e}", e.name()))),
        Err(Trouble::Blocked(why)) => Err(why),
        _ => Ok(()),
    }
}
