//! The one thread that changes the hub. It collects incoming exchanges into a group, has another thread make
//! it durable, meanwhile learns from the group before, and answers.
//!
//! A group holds what came while the one before was made durable, so an exchange waits for one fsync that was
//! under way and one of its own.

use super::acts::{Act, NoAct};
use super::audit::Audit;
use super::core::{Exchange, Hub, Moment, Refused};
use super::histogram::Histogram;
use super::judged::Judged;
use super::lease::Lease;
use super::log;
use super::nodes::{Counts, NodeId};
use super::store::{Done, Store, StoreError, StoreStatus};
use crate::audit::chain::{Head, hex};
use axum::body::Bytes;
use serde_json::json;
use std::num::NonZero;
use std::sync::mpsc::{Receiver, RecvError, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use weir::engine::units::Nanos;

/// Size from which a group is written without waiting for more, bytes.
const GROUP_BYTES: usize = 1 << 20;
const TICK: Nanos = Nanos::from_millis(100);
/// Largest share of the thread's time for publishing: 1/`SHARE`.
const SHARE: u64 = 10;
/// Largest age of the tables' counts (a pass over them).
const STALE: Nanos = Nanos::from_secs(1);
/// Time from a checkpoint that failed to the next attempt.
const AGAIN: Nanos = Nanos::from_secs(1);

/// Why an exchange got no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Refused(Refused),
    #[error(transparent)]
    Store(StoreError),
}

impl Failure {
    /// Name in metrics and replies.
    pub fn name(&self) -> &'static str {
        match self {
            Failure::Refused(e) => e.name(),
            Failure::Store(e) => e.name(),
        }
    }
}

pub type Answer = Result<Vec<u8>, Failure>;

/// Why a decision of people was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ActFailure {
    #[error(transparent)]
    No(NoAct),
    #[error(transparent)]
    Store(StoreError),
    #[error("{0}")]
    Audit(String),
}

impl ActFailure {
    /// Name in metrics and replies.
    pub fn name(&self) -> &'static str {
        match self {
            ActFailure::No(e) => e.name(),
            ActFailure::Store(e) => e.name(),
            ActFailure::Audit(_) => "audit_failed",
        }
    }
}

/// A decision as it is stored.
pub type Acted = Result<Act, ActFailure>;

pub enum Job {
    Exchange(Box<Exchange<Bytes>>, oneshot::Sender<Answer>),
    Status(oneshot::Sender<Box<Status>>),
    /// A query for people.
    Look(Box<dyn FnOnce(&Hub) + Send>),
    /// A decision of people; answered when it is durable.
    Act(Box<Act>, oneshot::Sender<Acted>),
    /// Stop: learn everything, write a checkpoint, end.
    Stop,
}

/// One node, for people.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    pub id: NodeId,
    pub counts: Counts,
    pub offset_ms: i64,
    pub silent_ms: u64,
    pub exchanges: u64,
    pub quota_percent: u64,
    pub rings: usize,
    /// The identity of its id, in words.
    pub identity: String,
}

/// Status of the hub.
#[derive(Clone, Debug, Default)]
pub struct Status {
    pub ledger: weir::engine::Status,
    pub judged: Judged,
    pub capacity: u32,
    pub totals: Counts,
    pub nodes: Vec<NodeStatus>,
    pub far: usize,
    /// Quorum; identities heard of within a day; cases withheld.
    pub quorum: u8,
    pub identities: usize,
    pub withheld: usize,
    pub store: StoreStatus,
    pub store_error: Option<&'static str>,
    pub epoch: u64,
    pub shards_too_long: u64,
    pub checkpoints: u64,
    pub checkpoint_ms: u64,
    pub checkpoint_bytes: u64,
    pub checkpoint_failures: u64,
    pub store_errors: [u64; 2],
    pub fsync: Histogram,
    /// True if this hub may acknowledge exchanges; otherwise another one does.
    pub is_active: bool,
    /// Number of this hub's lease, 0 without one; how often it became active.
    pub fence: u64,
    pub takeovers: u64,
    /// Head of the audit log, and how often it could not be written.
    pub audit: Option<(Head, u64)>,
}

impl Status {
    /// The status of a hub that has just started.
    pub fn of(hub: &Hub, store: StoreStatus) -> Status {
        Status {
            ledger: hub.status(),
            capacity: hub.sizes().keys,
            totals: hub.totals(),
            epoch: hub.epoch(),
            store,
            ..Status::default()
        }
    }
}

/// How the thread ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It was asked to. True if the last checkpoint was written.
    Stopped(bool),
    /// Another hub is active.
    Fenced,
}

pub struct Options {
    pub period_ms: u32,
    pub checkpoint_every: Duration,
    pub checkpoint_bytes: u64,
    /// The present moment by both clocks. The loop reads no other clock, but for durations that it reports.
    pub clock: Arc<dyn Fn() -> Moment + Send + Sync>,
    /// How often this process became active.
    pub takeovers: u64,
    pub audit: Option<Audit>,
}

pub type Shared = Arc<Mutex<Box<dyn Store>>>;

fn locked(store: &Shared) -> std::sync::MutexGuard<'_, Box<dyn Store>> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Result of the thread that makes groups durable.
struct Synced {
    group: Vec<u8>,
    result: Result<(), StoreError>,
    took: Duration,
}

/// Result of a checkpoint, and its buffers.
type Written = (Result<Done, StoreError>, Vec<Vec<u8>>);

struct Writing {
    thread: JoinHandle<Written>,
    began: Instant,
}

/// The thread that makes groups durable.
pub struct Disk {
    groups: Sender<Vec<u8>>,
    synced: Receiver<Synced>,
    thread: JoinHandle<()>,
}

impl Disk {
    /// `None` if the system starts no thread.
    pub fn start(store: &Shared) -> Option<Disk> {
        let (groups, of_work) = channel::<Vec<u8>>();
        let (done, synced) = channel();
        let store = Arc::clone(store);
        let write = move || write_groups(&store, &of_work, &done);
        let thread = std::thread::Builder::new().name("weir-journal".into()).spawn(write).ok()?;
        Some(Disk { groups, synced, thread })
    }

    fn end(self) {
        drop(self.groups);
        let _ = self.thread.join();
    }
}

/// The hub at work. `run` calls `round` until it is time to end.
pub struct Work {
    hub: Hub,
    store: Shared,
    disk: Disk,
    lease: Option<Arc<Lease>>,
    options: Options,
    /// The group that is durable and not learned yet.
    pending: Vec<u8>,
    writing: Option<Writing>,
    /// Buffers of the last checkpoint, one more than there are cores. They are kept, so that their memory is
    /// not allocated again.
    parts: Vec<Vec<u8>>,
    checkpointed: Nanos,
    ticked: Nanos,
    publish_at: Nanos,
    seen: Option<(Nanos, weir::engine::Status)>,
    told: (u32, u32),
    status: Status,
}

/// Runs until `Stop`, until no sender of jobs is left, or until another hub is active. Returns the options.
pub fn run(hub: Hub, store: Box<dyn Store>, jobs: &Receiver<Job>, options: Options) -> (End, Options) {
    let store: Shared = Arc::new(Mutex::new(store));
    let Some(disk) = Disk::start(&store) else { return (End::Stopped(false), options) };
    let mut work = Work::begin(hub, store, disk, options);
    while work.round(jobs) {}
    work.end()
}

fn write_groups(store: &Shared, groups: &Receiver<Vec<u8>>, done: &Sender<Synced>) {
    while let Ok(group) = groups.recv() {
        let began = Instant::now();
        let result = {
            let mut store = locked(store);
            store.append(&group).and_then(|()| store.sync())
        };
        if done.send(Synced { group, result, took: began.elapsed() }).is_err() {
            return;
        }
    }
}

impl Work {
    pub fn begin(hub: Hub, store: Shared, disk: Disk, options: Options) -> Work {
        let now = (options.clock)().mono;
        let lease = locked(&store).lease();
        let status = Status::of(&hub, locked(&store).status());
        let mut work = Work {
            hub,
            store,
            disk,
            lease,
            options,
            pending: Vec::new(),
            writing: None,
            parts: vec![Vec::new(); 1 + std::thread::available_parallelism().map_or(2, NonZero::get).min(8)],
            checkpointed: now,
            ticked: now,
            publish_at: now,
            seen: None,
            told: (0, 0),
            status,
        };
        work.mark("started");
        work.tick();
        work
    }

    /// Ends the work. Returns how it has ended, and the options.
    pub fn end(mut self) -> (End, Options) {
        let end = if self.is_over() { self.abandon() } else { End::Stopped(self.finish()) };
        self.disk.end();
        (end, self.options)
    }

    fn mono(&self) -> Nanos {
        (self.options.clock)().mono
    }

    /// Handles one group. False if the thread must end.
    pub fn round(&mut self, jobs: &Receiver<Job>) -> bool {
        let due = TICK.since(self.mono().since(self.ticked));
        let mut next = match self.pending.is_empty() {
            true => jobs.recv_timeout(Duration::from_nanos(due.0)).ok(),
            false => jobs.try_recv().ok(),
        };
        let (mut group, mut waiting, mut go_on) = (Vec::new(), Vec::new(), true);
        let mut acted = None;
        while let Some(job) = next {
            match job {
                Job::Exchange(x, reply) => match self.hub.accept(&x, &mut group) {
                    Ok(accepted) => {
                        if let Some(ms) = accepted.far_ms {
                            log::warn("clock_far", json!({"node": hex(&x.node), "hub_ahead_ms": ms}));
                        }
                        waiting.push((x, reply, accepted.waits));
                    }
                    Err(why) => drop(reply.send(Err(Failure::Refused(why)))),
                },
                Job::Status(reply) => drop(reply.send(Box::new(self.status()))),
                Job::Look(look) => look(&self.hub),
                Job::Act(mut act, reply) => {
                    self.learn();
                    match self.decide(&mut act, &mut group) {
                        Ok(()) => {
                            // The next one is decided by what comes of this one.
                            acted = Some((act, reply));
                            break;
                        }
                        Err(why) => drop(reply.send(Err(why))),
                    }
                }
                Job::Stop => {
                    go_on = false;
                    break;
                }
            }
            if group.len() >= GROUP_BYTES {
                break;
            }
            next = match jobs.try_recv() {
                Ok(job) => Some(job),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => {
                    go_on = false;
                    None
                }
            };
        }
        let failed = if group.is_empty() {
            self.learn();
            self.hub.commit();
            None
        } else {
            let sent = self.disk.groups.send(group).is_ok();
            self.learn();
            let lost = |_| Synced {
                group: Vec::new(),
                result: Err(StoreError::Failed("the journal's thread has ended".into())),
                took: Duration::ZERO,
            };
            let synced = if sent { self.disk.synced.recv().unwrap_or_else(lost) } else { lost(RecvError) };
            self.settle(synced)
        };
        if let Some((act, reply)) = acted {
            drop(reply.send(self.acted(*act, failed.clone())));
        }
        // A hub that may not be the active one any more says nothing of what it knows.
        let silent = self.silent();
        for (x, reply, waits) in waiting {
            let answer = match silent.as_ref().or(failed.as_ref().filter(|_| waits)) {
                Some(e) => Err(Failure::Store(e.clone())),
                None => {
                    let mut out = Vec::new();
                    self.hub.reply(&x, self.options.period_ms, &mut out);
                    Ok(out)
                }
            };
            // Who has gone away in the meantime asks again.
            drop(reply.send(answer));
        }
        if self.mono().since(self.ticked) >= TICK {
            self.tick();
        }
        go_on && !self.is_over()
    }

    fn is_over(&self) -> bool {
        self.lease.as_ref().is_some_and(|l| l.is_over())
    }

    /// Why the hub may not acknowledge; `None` if it may.
    fn silent(&self) -> Option<StoreError> {
        self.lease.as_ref()?.silence()
    }

    /// Ends this hub, because another one continues from what is durable.
    fn abandon(&mut self) -> End {
        if let Some(w) = self.writing.take() {
            let _ = w.thread.join();
        }
        let fence = self.lease.as_ref().map(|l| l.fence);
        log::warn(
            "fenced",
            json!({"fence": fence, "consequence": "another hub is active, this one stands by"}),
        );
        End::Fenced
    }

    /// Writes a decision of people to the audit log, and then to the group.
    fn decide(&mut self, act: &mut Act, group: &mut Vec<u8>) -> Result<(), ActFailure> {
        let len = group.len();
        self.hub.decide(act, (self.options.clock)(), group).map_err(ActFailure::No)?;
        let told = self.options.audit.as_mut().map_or(Ok(()), |a| a.act(act));
        told.map_err(|e| {
            group.truncate(len);
            ActFailure::Audit(e.to_string())
        })
    }

    fn mark(&mut self, event: &str) {
        let position = locked(&self.store).status().position;
        if let Some(a) = &mut self.options.audit {
            a.mark(event, &self.hub, position);
        }
    }

    /// Ends a decision whose group is durable (it is applied and published at once) or failed (it has no
    /// effect).
    fn acted(&mut self, act: Act, failed: Option<StoreError>) -> Acted {
        if let Some(e) = failed {
            if let Some(a) = &mut self.options.audit {
                a.not_taken(e.name());
            }
            return Err(ActFailure::Store(e));
        }
        self.learn();
        self.publish_at = self.mono();
        self.tick();
        if let Some(a) = &self.options.audit {
            a.taken(&act);
        }
        log::info("act", json!({"verb": act.verb.name(), act.name.kind(): act.name.text()}));
        Ok(act)
    }

    /// Ends a group that is durable, or that failed and has no effect.
    fn settle(&mut self, Synced { group, result, took }: Synced) -> Option<StoreError> {
        self.status.fsync.add(took);
        match result {
            Ok(()) => {
                self.hub.commit();
                self.pending = group;
                if self.status.store_error.take().is_some() {
                    log::info("store_ok", json!({}));
                }
                None
            }
            Err(e) => {
                self.hub.rollback();
                let which = usize::from(matches!(e, StoreError::Failed(_)));
                self.status.store_errors[which] = self.status.store_errors[which].saturating_add(1);
                if self.status.store_error != Some(e.name()) {
                    log::warn(
                        e.name(),
                        json!({"message": e.to_string(), "consequence": "nothing is acknowledged"}),
                    );
                }
                self.status.store_error = Some(e.name());
                Some(e)
            }
        }
    }

    fn learn(&mut self) {
        if !self.pending.is_empty() {
            self.hub.apply(&self.pending);
            self.pending.clear();
        }
    }

    fn tick(&mut self) {
        let at = (self.options.clock)();
        self.ticked = at.mono;
        self.learn();
        self.hub.tick(at.now);
        if self.ticked >= self.publish_at {
            let too_long = self.hub.too_long();
            let fresh = self.hub.publish();
            let ended = self.hub.ended();
            if let Some(a) = self.options.audit.as_mut().filter(|_| fresh > 0) {
                a.ended(&ended);
                a.published(&self.hub);
            }
            if too_long == 0 && self.hub.too_long() > 0 {
                log::warn(
                    "shard_too_long",
                    json!({"consequence": "proxies keep an older one: more keys are convicted than their cells hold"}),
                );
            }
            let now = self.mono();
            self.publish_at = now.plus(Nanos(now.since(self.ticked).0.saturating_mul(SHARE)));
            self.tell();
        }
        self.look_after_checkpoint();
    }

    /// Logs changes of what is known.
    fn tell(&mut self) {
        let s = self.counts();
        let now = (s.campaigns, s.convicted);
        if now != self.told {
            self.told = now;
            log::info(
                "verdicts",
                json!({"campaigns": s.campaigns, "convicted": s.convicted, "keys": s.keys}),
            );
        }
    }

    fn counts(&mut self) -> weir::engine::Status {
        let now = self.mono();
        match self.seen {
            Some((at, s)) if now.since(at) < STALE => s,
            _ => {
                let s = self.hub.status();
                self.seen = Some((now, s));
                s
            }
        }
    }

    fn status(&mut self) -> Status {
        let mono = self.mono();
        let mut nodes: Vec<NodeStatus> = self
            .hub
            .nodes()
            .iter()
            .map(|(id, n)| NodeStatus {
                id: *id,
                counts: n.counts,
                offset_ms: n.offset() / 1_000_000,
                silent_ms: mono.since(n.contact).millis(),
                exchanges: n.contacts,
                quota_percent: n.quota_percent(mono),
                rings: n.rings.iter().filter(|r| r.heard).count(),
                identity: n.identity.as_ref().map_or("shared", |i| i.name()).to_string(),
            })
            .collect();
        nodes.sort_by_key(|n| n.id);
        self.status.far = self.hub.nodes().iter().filter(|(_, n)| n.told).count();
        self.status.ledger = self.counts();
        self.status.judged = self.hub.judged().clone();
        (self.status.quorum, self.status.identities) = (self.hub.quorum(), self.hub.nodes().identities());
        self.status.withheld = self.hub.withheld().len();
        self.status.totals = self.hub.totals();
        self.status.shards_too_long = self.hub.too_long();
        self.status.audit = self.options.audit.as_ref().map(|a| (a.head().clone(), a.failures()));
        // What is being written is not counted yet.
        if let Ok(store) = self.store.try_lock() {
            self.status.store = store.status();
        }
        let silent = self.silent().map(|e| e.name());
        let lost = self.status.store.lost.then_some("store_lost");
        Status {
            nodes,
            store_error: silent.or(self.status.store_error).or(lost),
            is_active: silent.is_none(),
            fence: self.lease.as_ref().map_or(0, |l| l.fence),
            takeovers: self.options.takeovers,
            ..self.status.clone()
        }
    }

    fn look_after_checkpoint(&mut self) {
        if let Some(w) = self.writing.take_if(|w| w.thread.is_finished()) {
            self.written(w);
        }
        let behind = {
            let s = locked(&self.store).status();
            (s.position > s.checkpoint, s.bytes, s.lost)
        };
        let elapsed = self.mono().since(self.checkpointed);
        let due = behind.2
            || u128::from(elapsed.0) >= self.options.checkpoint_every.as_nanos()
            || behind.1 >= self.options.checkpoint_bytes;
        let soon = elapsed >= AGAIN;
        if self.writing.is_none() && (behind.0 || behind.2) && due && soon {
            self.begin_checkpoint();
        }
    }

    fn begin_checkpoint(&mut self) {
        self.checkpointed = self.mono();
        self.learn();
        let began = Instant::now();
        let writer = locked(&self.store).begin();
        let writer = match writer {
            Ok(writer) => writer,
            Err(e) => return self.not_written(&e),
        };
        let mut parts = std::mem::take(&mut self.parts);
        self.hub.checkpoint(&mut parts);
        let thread =
            std::thread::Builder::new().name("weir-checkpoint".into()).spawn(move || (writer(&parts), parts));
        match thread {
            Ok(thread) => self.writing = Some(Writing { thread, began }),
            Err(e) => self.not_written(&e.into()),
        }
    }

    fn not_written(&mut self, e: &StoreError) {
        self.status.checkpoint_failures = self.status.checkpoint_failures.saturating_add(1);
        log::warn(
            "checkpoint_failed",
            json!({"message": e.to_string(), "consequence": "the journal is kept"}),
        );
    }

    fn written(&mut self, w: Writing) -> bool {
        let done = match w.thread.join() {
            Ok((done, parts)) => {
                self.status.checkpoint_bytes = parts.iter().map(|p| p.len() as u64).sum();
                self.parts = parts;
                done
            }
            Err(_) => Err(StoreError::Failed("the thread that wrote it has panicked".into())),
        };
        match done.and_then(|done| locked(&self.store).cut(&done)) {
            Ok(()) => {
                self.status.checkpoints = self.status.checkpoints.saturating_add(1);
                self.status.checkpoint_ms = u64::try_from(w.began.elapsed().as_millis()).unwrap_or(u64::MAX);
                true
            }
            Err(e) => {
                self.not_written(&e);
                false
            }
        }
    }

    fn finish(&mut self) -> bool {
        self.learn();
        if let Some(w) = self.writing.take() {
            self.written(w);
        }
        self.begin_checkpoint();
        let kept = self.writing.take().is_some_and(|w| self.written(w));
        self.mark("stopped");
        locked(&self.store).release();
        let s = locked(&self.store).status();
        log::info("stopped", json!({"checkpoint": kept, "position": s.position, "journal_bytes": s.bytes}));
        kept
    }
}

/// For a test that runs the rounds itself.
#[cfg(test)]
impl Work {
    pub fn hub(&self) -> &Hub {
        &self.hub
    }
    /// Learns what is durable; the hub as it is then.
    pub fn learned(&mut self) -> &Hub {
        self.learn();
        &self.hub
    }
    /// Is a checkpoint being written?
    pub fn is_writing(&self) -> bool {
        self.writing.as_ref().is_some_and(|w| !w.thread.is_finished())
    }
}

#[cfg(test)]
#[path = "work_tests.rs"]
mod tests;
