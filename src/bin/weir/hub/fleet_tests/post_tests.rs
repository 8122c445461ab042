//! The hub of a fleet: its store in memory, the process that is active, one that was, and one that follows.

use super::*;
use crate::hub::group::entries;
use crate::hub::lease::Lease;
use crate::hub::store::{Checkpoint, Done, Store, StoreError, StoreStatus};
use crate::hub::work::{ActFailure, Acted, Disk, Failure, Job, Options, Shared, Work};
use crate::hub::{Clock, Hub, Moment, QUORUM, restored};
use axum::body::Bytes;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use weir::engine::observation;

/// Keys of the hub's tables: as many as those of a proxy.
const KEYS: u32 = 1_024;
/// Time between exchanges that the hub asks for, milliseconds: less than that of the configuration.
const PERIOD_MS: u32 = 50;
/// Time between checkpoints: some forty a schedule.
const CHECKPOINT: Duration = Duration::from_secs(2);
/// Longer than a schedule takes, however busy the machine.
const FOR_EVER: Duration = Duration::from_secs(1 << 20);

/// Minutes after which a ledger believes any time.
const MINUTES: u64 = 3;

/// What goes wrong with the store in the next round.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    Nothing,
    /// It takes no group.
    Refuses,
    /// The group stands there, and the hub does not hear of it.
    Unanswered,
}

/// A group as a store keeps it.
#[derive(Clone)]
struct Group {
    tag: u64,
    /// Of the one before.
    before: u64,
    bytes: Arc<Vec<u8>>,
}

/// What survives every hub.
#[derive(Clone, Default)]
pub struct Kept {
    /// Number of the hub that is active.
    fence: u64,
    attempts: u64,
    checkpoint: Option<(usize, Arc<Vec<u8>>)>,
    groups: Vec<Group>,
    fault: Fault,
    /// No checkpoint can be written.
    is_full: bool,
}

/// The store as one hub sees it.
struct Keeps {
    kept: Arc<Mutex<Kept>>,
    lease: Arc<Lease>,
    is_shared: bool,
    position: usize,
    tag: u64,
    written: Option<u64>,
    checkpoint: usize,
}

impl Keeps {
    fn is_silent(&self) -> Result<(), StoreError> {
        self.lease.silence().filter(|_| self.is_shared).map_or(Ok(()), Err)
    }
}

impl Store for Keeps {
    fn append(&mut self, group: &[u8]) -> Result<(), StoreError> {
        self.is_silent()?;
        let mut kept = self.kept.lock().unwrap();
        self.written = None;
        if kept.fence != self.lease.fence {
            self.lease.end();
            return Err(StoreError::Standby("another hub is active".into()));
        }
        let fault = std::mem::take(&mut kept.fault);
        if fault == Fault::Refuses {
            return Err(StoreError::Full("no room".into()));
        }
        kept.attempts += 1;
        // What an attempt left there whose answer did not come.
        let (tag, at) = (kept.attempts, self.position);
        kept.groups.truncate(at);
        kept.groups.push(Group { tag, before: self.tag, bytes: Arc::new(group.to_vec()) });
        if fault == Fault::Unanswered {
            return Err(StoreError::Slow("no answer".into()));
        }
        self.written = Some(tag);
        Ok(())
    }
    fn sync(&mut self) -> Result<(), StoreError> {
        let Some(tag) = self.written.take() else { return Ok(()) };
        self.is_silent()?;
        (self.position, self.tag) = (self.position + 1, tag);
        Ok(())
    }
    fn begin(&mut self) -> Result<Checkpoint, StoreError> {
        self.is_silent()?;
        let (kept, fence, position) = (Arc::clone(&self.kept), self.lease.fence, self.position);
        Ok(Box::new(move |parts| {
            let mut kept = kept.lock().unwrap();
            if kept.is_full || kept.fence != fence {
                return Err(StoreError::Full("no room for a checkpoint".into()));
            }
            kept.checkpoint = Some((position, Arc::new(parts.concat())));
            Ok(Done { position: position as u64, part: 0 })
        }))
    }
    fn cut(&mut self, done: &Done) -> Result<(), StoreError> {
        self.checkpoint = done.position as usize;
        Ok(())
    }
    fn status(&self) -> StoreStatus {
        let (position, checkpoint) = (self.position as u64, self.checkpoint as u64);
        StoreStatus { position, checkpoint, ..StoreStatus::default() }
    }
    fn lease(&self) -> Option<Arc<Lease>> {
        self.is_shared.then(|| Arc::clone(&self.lease))
    }
}

/// What is durable, and known to be: counted once by whoever looks at it, and never by the hub.
#[derive(Clone, Default)]
pub struct Tally {
    /// Groups.
    at: usize,
    /// First number of each ring that is not.
    pub next: BTreeMap<(NodeId, u8), u64>,
    /// Requests of each key.
    requests: BTreeMap<u64, u32>,
    pub observations: u64,
    /// Observations of each node.
    pub of_node: BTreeMap<NodeId, u64>,
    /// Whatever its name was by then.
    batches: BTreeSet<Vec<u8>>,
    /// Greatest number that a reply has acknowledged.
    acked: BTreeMap<(NodeId, u8), u64>,
    /// Keys that are denied, as it was answered.
    denied: BTreeSet<u64>,
}

impl Tally {
    pub fn denied(&self) -> Vec<u64> {
        self.denied.iter().copied().collect()
    }

    fn take(&mut self, group: &[u8], check: u32, is_written: &IsWritten<'_>) {
        let whole = entries(group, |e| {
            for s in &e.sent {
                let next = self.next.entry((e.node, s.ring)).or_default();
                assert!(s.seq >= *next, "batch {} of ring {} is durable twice", s.seq, s.ring);
                *next = s.seq + 1;
                assert!(is_written(&e.node, s.ring, s.seq, s.bytes), "no worker wrote this batch");
                assert!(self.batches.insert(s.bytes.to_vec()), "a batch is durable under two names");
                let n = observation::decode(s.bytes, check, |o| {
                    *self.requests.entry(o.key).or_default() += 1;
                });
                assert_eq!(n.ok(), Some(s.count));
                self.observations += u64::from(s.count);
                *self.of_node.entry(e.node).or_default() += u64::from(s.count);
            }
        });
        assert!(whole.is_some(), "what is durable is a group");
    }
}

/// One hub.
struct Process {
    work: Box<Work>,
    store: Shared,
    lease: Arc<Lease>,
    clock: Clock,
    jobs: Sender<Job>,
    inbox: Receiver<Job>,
}

/// A hub that does not know yet that another is active, and how many rounds it has left.
struct Former(Process, u64);

/// A hub that follows: how far, and the tag of the last group.
struct Standby(Box<Hub>, usize, Option<u64>);

/// How a call ends: its number, the status, what was answered.
pub type Ended = (u64, u32, Vec<u8>);

/// See the module.
pub struct Post {
    pub kept: Arc<Mutex<Kept>>,
    pub tally: Tally,
    config: Arc<Config>,
    /// Several hubs use the store.
    pub is_shared: bool,
    /// The wall clock, and nanoseconds that every clock counts alike.
    wall: Arc<AtomicU64>,
    now: Arc<AtomicU64>,
    active: Option<Process>,
    former: Option<Former>,
    standby: Option<Standby>,
    /// The lease is not renewed.
    pub is_lapsed: bool,
}

impl Post {
    pub fn new(config: &Arc<Config>, kept: Kept, tally: Tally, is_shared: bool) -> Post {
        Post {
            kept: Arc::new(Mutex::new(kept)),
            tally,
            config: Arc::clone(config),
            is_shared,
            wall: Arc::default(),
            now: Arc::default(),
            active: None,
            former: None,
            standby: None,
            is_lapsed: false,
        }
    }

    pub fn set_clocks(&self, wall: Nanos, now: u64) {
        self.wall.store(wall.0, Ordering::SeqCst);
        self.now.store(now, Ordering::SeqCst);
    }
    pub fn wall(&self) -> Nanos {
        Nanos(self.wall.load(Ordering::SeqCst))
    }
    pub fn is_up(&self) -> bool {
        self.active.is_some()
    }
    /// The hub that is active.
    pub fn hub(&mut self) -> &Hub {
        self.active.as_mut().unwrap().work.learned()
    }

    /// As `weir hub` starts: the checkpoint, and every group behind it.
    fn load(&self, epoch: u64) -> Standby {
        let checkpoint = self.kept.lock().unwrap().checkpoint.clone();
        let at = checkpoint.as_ref().map_or(0, |c| c.0);
        let bytes = checkpoint.as_ref().map(|c| &c.1[..]);
        let hub = restored(&self.config, bytes, (KEYS, u32::MAX, QUORUM), epoch, "memory").unwrap();
        Standby(Box::new(hub), at, None)
    }

    /// Reads what is new. `None`: what it has read was replaced, or is cut off.
    fn follow(&self, Standby(mut hub, mut at, mut tag): Standby) -> Option<Standby> {
        let kept = self.kept.lock().unwrap();
        if kept.checkpoint.as_ref().is_some_and(|c| at < c.0) || at > kept.groups.len() {
            return None;
        }
        for group in &kept.groups[at..] {
            if tag.is_some_and(|t| t != group.before) {
                return None;
            }
            assert!(hub.replay(&group.bytes).is_some(), "a group of the journal is refused");
            (at, tag) = (at + 1, Some(group.tag));
        }
        // The last one may have been replaced by one that has not come yet.
        let last = kept.groups.last().map(|g| g.tag);
        tag.is_none_or(|t| Some(t) == last).then_some(Standby(hub, at, tag))
    }

    /// Keys that are convicted everywhere by a hub which learns at one go all that became durable since.
    pub fn learned_again(&self, since: &Kept) -> BTreeSet<u64> {
        let (at, bytes) = since.checkpoint.as_ref().map_or((0, None), |c| (c.0, Some(&c.1[..])));
        let mut hub = restored(&self.config, bytes, (KEYS, u32::MAX, QUORUM), 1, "memory").unwrap();
        let groups = self.kept.lock().unwrap().groups[at..].to_vec();
        assert!(groups.iter().all(|g| hub.replay(&g.bytes).is_some()));
        let now = self.wall();
        // The time is believed that goes on for a while.
        (0..MINUTES).for_each(|minute| hub.tick(now.plus(Nanos::from_secs(60 * minute))));
        hub.publish();
        hub.listed().iter().filter(|k| k.until_s > now.secs() as u32).map(|k| k.key).collect()
    }

    pub fn stand_by(&mut self) {
        let epoch = self.wall().0;
        let s = self.standby.take().unwrap_or_else(|| self.load(epoch));
        self.standby = self.follow(s);
    }

    /// A hub becomes active. Had it followed?
    pub fn start(&mut self) -> bool {
        assert!(self.active.is_none());
        let (wall, began) = (Arc::clone(&self.wall), self.now.load(Ordering::SeqCst));
        // The clock that does not step begins where the other one stands.
        let (now, first) = (Arc::clone(&self.now), self.wall());
        let clock: Clock = Arc::new(move || Moment {
            now: Nanos(wall.load(Ordering::SeqCst)),
            mono: first.plus(Nanos(now.load(Ordering::SeqCst) - began)),
        });
        let fence = {
            let mut kept = self.kept.lock().unwrap();
            kept.fence += 1;
            kept.fault = Fault::Nothing;
            kept.fence
        };
        let warm = self.standby.take().and_then(|s| self.follow(s));
        let is_warm = warm.is_some();
        let Standby(mut hub, position, _) = warm.unwrap_or_else(|| {
            let s = self.load(first.0);
            self.follow(s).unwrap()
        });
        hub.publish();
        let lease = Arc::new(Lease::new(fence, Instant::now()));
        lease.renewed(Instant::now() + FOR_EVER);
        let (tag, checkpoint) = {
            let kept = self.kept.lock().unwrap();
            (kept.groups.last().map_or(0, |g| g.tag), kept.checkpoint.as_ref().map_or(0, |c| c.0))
        };
        let store = Keeps {
            kept: Arc::clone(&self.kept),
            lease: Arc::clone(&lease),
            is_shared: self.is_shared,
            position,
            tag,
            written: None,
            checkpoint,
        };
        let store: Shared = Arc::new(Mutex::new(Box::new(store)));
        let options = Options {
            period_ms: PERIOD_MS,
            checkpoint_every: CHECKPOINT,
            checkpoint_bytes: u64::MAX,
            clock: Arc::clone(&clock),
            takeovers: 1,
            audit: None,
        };
        let disk = Disk::start(&store).unwrap();
        let work = Box::new(Work::begin(*hub, Arc::clone(&store), disk, options));
        let (jobs, inbox) = channel();
        self.active = Some(Process { work, store, lease, clock, jobs, inbox });
        self.is_lapsed = false;
        is_warm
    }

    /// The active hub is killed: nobody hears anything more of it.
    pub fn kill(&mut self) {
        self.active = None;
        self.is_lapsed = false;
    }

    /// It ends in order, with a checkpoint.
    pub fn stop(&mut self) {
        let Some(p) = self.active.take() else { return };
        drop(p.work.end());
        self.is_lapsed = false;
    }

    /// Another hub becomes active while this one works on for a few rounds.
    pub fn replace(&mut self, rounds: u64) -> bool {
        self.former = self.active.take().map(|p| Former(p, rounds));
        self.start()
    }

    pub fn lapse(&mut self) {
        if let Some(p) = &self.active {
            p.lease.lapse();
            self.is_lapsed = true;
        }
    }
    pub fn renew(&mut self) {
        if let Some(p) = &self.active {
            p.lease.renewed(Instant::now() + FOR_EVER);
        }
        self.is_lapsed = false;
    }

    pub fn set_fault(&self, fault: Fault) {
        self.kept.lock().unwrap().fault = fault;
    }
    pub fn set_full(&self, is_full: bool) {
        self.kept.lock().unwrap().is_full = is_full;
    }

    /// Exchanges reach the listener, each with its call and whose token it bears. The last of each: it goes to the hub that was active.
    /// `dies`: the hub is killed before anybody hears of it.
    pub fn serve(
        &mut self,
        calls: Vec<(u64, Vec<u8>, Arc<Identity>, bool)>,
        dies: bool,
        is_written: &IsWritten<'_>,
    ) -> Vec<Ended> {
        let (mut ended, mut waiting) = (Vec::new(), Vec::new());
        let (mut of_active, mut of_former) = (false, false);
        for (call, bytes, identity, to_former) in calls {
            let to_former = to_former && self.former.is_some();
            let p = match &self.former {
                Some(Former(p, _)) if to_former => Some(p),
                _ => self.active.as_ref(),
            };
            let Some(p) = p else {
                ended.push((call, AWAY, Vec::new()));
                continue;
            };
            let x = match Exchange::read(Bytes::from(bytes), &self.config, (p.clock)()) {
                Ok(x) => x.by(identity),
                Err(why) => {
                    ended.push((call, BAD, why.name().into()));
                    continue;
                }
            };
            (of_active, of_former) = (of_active || !to_former, of_former || to_former);
            let rings: Vec<(NodeId, u8)> = x.pieces.iter().map(|piece| (x.node, piece.ring)).collect();
            let (reply, answer) = oneshot::channel();
            p.jobs.send(Job::Exchange(Box::new(x), reply)).unwrap();
            waiting.push((call, rings, answer, to_former));
        }
        if let Some(mut former) = self.former.take_if(|_| of_former) {
            let goes_on = round(&mut former.0);
            let over = former.0.lease.is_over();
            assert_eq!(goes_on, !over, "who is fenced ends");
            former.1 = former.1.saturating_sub(1);
            self.former = Some(former).filter(|f| goes_on && f.1 > 0);
        }
        if let Some(p) = &mut self.active {
            assert!(round(p), "the active hub goes on");
        }
        self.count(is_written);
        if dies {
            self.kill();
            waiting.retain(|w| w.3);
        }
        for (call, rings, mut answer, to_former) in waiting {
            let said = answer.try_recv().expect("each exchange is answered in its round");
            ended.push(match said {
                Ok(bytes) => {
                    assert!(to_former || !self.is_lapsed, "a hub without a lease answers");
                    self.acknowledge(&bytes, &rings);
                    (call, OK, bytes)
                }
                Err(Failure::Refused(why)) => (call, BAD, why.name().into()),
                Err(Failure::Store(_)) => (call, AWAY, Vec::new()),
            });
        }
        ended
    }

    /// Denies a key. Was it answered that it is denied?
    pub fn deny(&mut self, key: u64, is_written: &IsWritten<'_>) -> bool {
        let now_s = self.wall().secs() as u32;
        let Some(p) = &mut self.active else { return false };
        let act = Act {
            verb: Verb::Deny,
            name: Name::Key(key),
            since_s: now_s,
            until_s: now_s + DENIED_S,
            reason: "asked for".into(),
            values: Vec::new(),
        };
        let (reply, mut answer) = oneshot::channel::<Acted>();
        p.jobs.send(Job::Act(Box::new(act), reply)).unwrap();
        assert!(round(p), "the active hub goes on");
        self.count(is_written);
        let said = answer.try_recv().unwrap();
        assert!(!matches!(said, Err(ActFailure::No(_) | ActFailure::Audit(_))), "{said:?}");
        if said.is_ok() {
            self.tally.denied.insert(key);
        }
        said.is_ok()
    }

    /// Takes what has become durable into account.
    fn count(&mut self, is_written: &IsWritten<'_>) {
        let Some(p) = &self.active else { return };
        let position = p.store.lock().unwrap().status().position as usize;
        let kept = self.kept.lock().unwrap();
        let check = self.config.seed.check();
        for group in &kept.groups[self.tally.at..position] {
            self.tally.take(&group.bytes, check, is_written);
        }
        self.tally.at = position;
    }

    /// What a reply acknowledges is durable.
    fn acknowledge(&mut self, bytes: &[u8], rings: &[(NodeId, u8)]) {
        assert!(bytes.len() <= REPLY_BYTES);
        let reply = Reply::decode(bytes, self.config.seed.check()).unwrap();
        let Some((node, _)) = rings.first() else { return };
        for (ring, next) in reply.acks {
            let durable = self.tally.next.get(&(*node, ring)).copied().unwrap_or(0);
            assert!(next <= durable, "{next} of ring {ring} is acknowledged, {durable} is durable");
            let acked = self.tally.acked.entry((*node, ring)).or_default();
            *acked = next.max(*acked);
        }
    }

    /// What the hub says of itself is what is durable. `deep`: so says its ledger.
    pub fn check(&mut self, deep: bool, is_written: &IsWritten<'_>) {
        // A group that was there at a start without anybody's knowing counts from then on.
        self.count(is_written);
        let Some(p) = &mut self.active else { return };
        let (hub, tally) = (p.work.hub(), &self.tally);
        let t = hub.totals();
        assert_eq!((t.applied, t.refused, t.over_quota), (tally.observations, 0, 0), "{t:?}");
        for ((node, ring), next) in &tally.next {
            let known = hub.nodes().get(node).map(|n| n.rings[usize::from(*ring)].next);
            assert_eq!(known, Some(*next), "ring {ring}");
        }
        for ((node, ring), acked) in &tally.acked {
            let known = hub.nodes().get(node).map_or(0, |n| n.rings[usize::from(*ring)].next);
            assert!(known >= *acked, "{acked} of ring {ring} was acknowledged, {known} is known");
        }
        for (_, n) in hub.nodes().iter() {
            let (c, total) = (n.counts, n.rings.iter().map(|r| r.total).sum::<u64>());
            assert_eq!(c.applied + c.lost + c.before, total, "{c:?}");
        }
        let denied: BTreeSet<u64> = hub.book().acts().map(|a| a.name.id()).collect();
        assert!(denied.is_superset(&tally.denied), "a decision is forgotten");
        assert_eq!(hub.too_long(), 0);
        let bytes = hub.ledger().size_bytes();
        assert!(bytes <= HUB_BYTES, "{bytes} bytes in the hub");
        if deep {
            let hub = p.work.learned();
            assert_eq!(requests(hub.ledger()), tally.requests, "an observation is lost or counted twice");
        }
    }
}

/// A round of a hub, and of the checkpoint that it may have begun.
fn round(p: &mut Process) -> bool {
    // It waits for nothing.
    p.jobs.send(Job::Look(Box::new(|_| ()))).unwrap();
    let goes_on = p.work.round(&p.inbox);
    while p.work.is_writing() {
        std::thread::yield_now();
    }
    goes_on
}
