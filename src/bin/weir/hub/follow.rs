//! `--follow`: edges that cannot call the hub write logs, and the hub learns from their lines.
//!
//! Each part of a log (`tail`) is a node of its own, and its exchanges go the same way as a proxy's: checked,
//! journalled, learned. The number of a batch is the byte offset behind its last line, so the journal holds
//! the position together with what was learned: after a restart the hub knows how far it is, and no line is
//! learned twice. Lines that were not acknowledged are read again. Of several hubs on one store only the
//! active one reads; one that becomes active asks for the positions again, as another may have read on.
//!
//! A line is a request as `weir replay` reads it. It counts as served unless `response.status` is 401, 403 or
//! 429.

mod tail;

use super::core::{Exchange, Hub as Ledger, Refused};
use super::exchange::Clock;
use super::identity::Identity;
use super::log;
use super::store::StoreError;
use super::work::{Failure, Job};
use crate::import;
use crate::import::request::Beside;
use crate::lines::MAX_LINE;
use crate::requests::batch::Request as Parsed;
use crate::requests::reader::{Import, Reader};
use crate::skip::Skip;
use crate::trace::Line;
use axum::body::Bytes;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tail::{Log, Part, Piece};
use tokio::sync::oneshot;
use weir::engine::config::Config;
use weir::engine::edge::Edge;
use weir::engine::observation::Batch;
use weir::engine::units::Nanos;
use weir::node::cells::HUB_SHARDS;
use weir::node::exchange::{Reply, Request, Sent};

/// Largest number of logs.
pub const LOGS: usize = 256;
/// Time between two looks at the logs.
const EVERY: Duration = Duration::from_millis(250);
/// Time after which a refused exchange is sent again.
const AGAIN: Duration = Duration::from_secs(1);
/// Largest size of a batch, bytes.
const SEND_BYTES: usize = 512 << 10;
/// Time between two reports of counts.
const TELL: Duration = Duration::from_secs(60);
/// Age of a line above which it is learned as if it came now: the ledger's clock would not believe it.
const LATE: Nanos = Nanos::from_secs(600);
/// Kinds of faults that are reported separately, at most.
const KINDS: usize = 16;

/// The thread that follows logs.
pub struct Follower {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Follower {
    /// Starts the thread. `from_start`: parts that the hub does not know are read from their beginning, not
    /// from their end.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        paths: &[PathBuf],
        from_start: bool,
        config: &Arc<Config>,
        jobs: Sender<Job>,
        clock: Clock,
    ) -> std::io::Result<Follower> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut follow = Follow {
            logs: Vec::new(),
            paths: paths.to_vec(),
            from_start,
            hub: Hub {
                config: Arc::clone(config),
                jobs,
                clock,
                stop: Arc::clone(&stop),
                turn: None,
                epoch: 0,
                held: [0; HUB_SHARDS],
                shards: Vec::new(),
                refused: None,
                identity: Identity::shared(),
            },
            reader: Reader::new(config, &Import::default()),
            edge: Edge::new(Arc::clone(config)),
            counts: Counts::default(),
            told: Instant::now(),
            told_late: false,
        };
        let thread =
            std::thread::Builder::new().name("weir-follow".into()).spawn(move || while follow.round() {})?;
        Ok(Follower { stop, thread })
    }

    /// Stops the thread. What was read and not acknowledged is read again at the next start.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.join();
    }
}

/// Counts of what became of lines.
#[derive(Default)]
struct Counts {
    lines: u64,
    learned: u64,
    late: u64,
    skipped: BTreeMap<String, u64>,
}

impl Counts {
    /// Reports each kind of fault once.
    fn skip(&mut self, path: &std::path::Path, end: u64, skip: &Skip) {
        let full = self.skipped.len() >= KINDS && !self.skipped.contains_key(skip.kind());
        let kind = if full { "other" } else { skip.kind() };
        let n = self.skipped.entry(kind.to_string()).or_default();
        *n = n.saturating_add(1);
        if *n == 1 {
            log::warn("line_skipped", json!({"log": path, "ends_at": end, "why": skip.why, "kind": kind}));
        }
    }
}

/// Why the thread stops or must ask again.
enum Ends {
    /// The hub's thread has ended.
    Stopped,
    /// Another hub is active, or was in the meantime: the positions must be asked for again.
    Moved,
}

struct Follow {
    paths: Vec<PathBuf>,
    logs: Vec<Log>,
    from_start: bool,
    hub: Hub,
    reader: Reader,
    edge: Edge,
    counts: Counts,
    told: Instant,
    /// True once it was reported that lines are late.
    told_late: bool,
}

/// A batch, and the lines it stands for.
struct Ready {
    end: u64,
    count: u64,
    bytes: Vec<u8>,
}

impl Follow {
    /// Looks at every log once. False if the thread must end.
    fn round(&mut self) -> bool {
        let began = Instant::now();
        let done = self.look();
        if matches!(done, Err(Ends::Moved)) {
            self.begin_anew();
        }
        let ends = matches!(done, Err(Ends::Stopped)) || self.hub.stop.load(Ordering::Relaxed);
        if ends || self.told.elapsed() >= TELL {
            self.tell();
        }
        while !ends && began.elapsed() < EVERY && !self.hub.stop.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(25));
        }
        !ends
    }

    fn look(&mut self) -> Result<(), Ends> {
        if self.logs.is_empty() {
            self.hub.turn = Some(self.hub.active()?);
            self.logs = self.paths.iter().map(|p| Log::new(p)).collect();
        }
        let mut logs = std::mem::take(&mut self.logs);
        for log in &mut logs {
            if let Err(e) = self.log(log)? {
                let skip = Skip::of(e.to_string(), "the log cannot be read");
                self.counts.skip(&log.path, 0, &skip);
            }
        }
        self.logs = logs;
        Ok(())
    }

    /// Drops what was read and not acknowledged: another hub may have learned it.
    fn begin_anew(&mut self) {
        log::info("follow_anew", json!({"why": "another hub is active, or was"}));
        self.logs.clear();
        self.edge = Edge::new(Arc::clone(&self.hub.config));
        (self.hub.epoch, self.hub.held) = (0, [0; HUB_SHARDS]);
        self.hub.shards.clear();
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        let c = std::mem::take(&mut self.counts);
        if c.lines > 0 || !c.skipped.is_empty() {
            log::info(
                "followed",
                json!({"lines": c.lines, "learned": c.learned, "late": c.late, "skipped": c.skipped}),
            );
        }
        // A kind that was told once is not told again.
        self.counts.skipped = c.skipped.into_keys().map(|kind| (kind, 1)).collect();
    }

    fn log(&mut self, log: &mut Log) -> Result<std::io::Result<()>, Ends> {
        self.hub.identity = Identity::of_log(&log.path);
        if let Err(e) = log.look() {
            return Ok(Err(e));
        }
        let is_new = !std::mem::replace(&mut log.known, true);
        if is_new {
            // What was rotated away while nobody looked, as far as the hub has begun to read it.
            let known = self.hub.places()?;
            let here: Vec<_> = log.parts.iter().map(|p| p.id).collect();
            let known =
                log.rotated().into_iter().filter(|p| known.of.contains_key(&p.id) && !here.contains(&p.id));
            let behind = log.parts.split_off(0);
            log.parts = known.chain(behind).collect();
        }
        for part in &mut log.parts {
            if !part.placed
                && let Err(e) = self.place(part, is_new)?
            {
                return Ok(Err(e));
            }
            loop {
                match part.read() {
                    Ok(Some(piece)) => self.learn(&log.path, part, &piece)?,
                    Ok(None) => break,
                    Err(e) => return Ok(Err(e)),
                }
            }
        }
        Ok(Ok(()))
    }

    /// Asks the hub for the position to continue at.
    fn place(&mut self, part: &mut Part, is_new: bool) -> Result<std::io::Result<()>, Ends> {
        let known = self.hub.places()?;
        if let Some(total) = known.of.get(&part.id) {
            part.total = *total;
            let next = self.hub.send(part.id, &[])?;
            return Ok(part.go_to(next.unwrap_or(1).saturating_sub(1)));
        }
        // A part of a log that a hub has begun to read came after that.
        let at = match part.len() {
            Ok(len) if is_new && !self.from_start && !known.has_log => len,
            Ok(_) => 0,
            Err(e) => return Ok(Err(e)),
        };
        // From now on the hub knows the place.
        let ready = self.ready(at);
        self.hub.send(part.id, &[Sent { ring: 0, seq: at, first: 0, bytes: &ready.bytes }])?;
        Ok(part.go_to(at))
    }

    /// The edge's waiting observations as a batch, which may be empty.
    fn ready(&mut self, end: u64) -> Ready {
        let (count, mut bytes) = (u64::from(self.edge.waiting()), Vec::new());
        self.edge.drain(&mut bytes);
        if count == 0 {
            Batch::default().drain(self.hub.config.seed.check(), &mut bytes);
        }
        Ready { end, count, bytes }
    }

    fn learn(&mut self, path: &std::path::Path, part: &mut Part, piece: &Piece) -> Result<(), Ends> {
        let (mut end, mut batches, mut bytes) = (piece.end - piece.text.len() as u64, Vec::new(), 0);
        let mut sealed = None;
        if piece.too_long {
            let why = Skip::new(format!("line is longer than {MAX_LINE} bytes"));
            self.counts.skip(path, piece.end, &why);
        }
        for line in piece.text.split_inclusive(|b| *b == b'\n') {
            end += line.len() as u64;
            let text = line.trim_ascii();
            if !text.is_empty() {
                self.counts.lines = self.counts.lines.saturating_add(1);
                if let Err(skip) = self.line(text) {
                    self.counts.skip(path, end, &skip);
                }
            }
            if self.edge.is_full() {
                let ready = self.ready(end);
                bytes += ready.bytes.len();
                sealed = Some(end);
                batches.push(ready);
            }
            if bytes >= SEND_BYTES {
                self.send(part, &std::mem::take(&mut batches))?;
                bytes = 0;
            }
        }
        // Also where nothing was learned: the hub keeps the place.
        if sealed != Some(piece.end) {
            batches.push(self.ready(piece.end));
        }
        self.send(part, &batches)?;
        part.at = piece.end;
        Ok(())
    }

    /// Takes one line: a request, or a record of a known log.
    fn line(&mut self, text: &[u8]) -> Result<(), Skip> {
        let now = (self.hub.clock)().now.secs().to_string();
        import::requests(text, &now, |line, beside| self.request(line, beside))
    }

    /// Turns one request into hashes and counts.
    fn request(&mut self, line: &mut Line<'_>, beside: &Beside) -> Result<(), Skip> {
        let refused = line.was_refused();
        let mut r = Parsed::default();
        if self.reader.line(line, beside, &mut r)?.is_none() {
            r.x.set_time(r.time, r.age.map(|age: Nanos| r.time.since(age)));
            if self.edge.hear(&mut r.x, refused) {
                self.counts.learned = self.counts.learned.saturating_add(1);
                let by = (self.hub.clock)().now.since(r.time);
                self.counts.late = self.counts.late.saturating_add(u64::from(by > LATE));
                if by > LATE && !std::mem::replace(&mut self.told_late, true) {
                    log::warn(
                        "lines_late",
                        json!({"by_s": by.secs(), "consequence": "they are learned as if they came now, and convict nobody by themselves"}),
                    );
                }
            }
        }
        Ok(())
    }

    fn send(&mut self, part: &mut Part, batches: &[Ready]) -> Result<(), Ends> {
        let mut first = part.total;
        let sent: Vec<Sent<'_>> = batches
            .iter()
            .map(|b| {
                let sent = Sent { ring: 0, seq: b.end, first, bytes: &b.bytes };
                first = first.saturating_add(b.count);
                sent
            })
            .collect();
        if sent.is_empty() {
            return Ok(());
        }
        self.hub.send(part.id, &sent)?;
        (part.total, part.at) = (first, batches.last().map_or(part.at, |b| b.end));
        self.hub.verdicts(&mut self.edge);
        Ok(())
    }
}

/// The hub's positions in logs.
struct Places {
    /// Observations of each node that the hub knows.
    of: BTreeMap<[u8; 16], u64>,
    /// True if the hub has begun to read the present log.
    has_log: bool,
}

/// The hub, as a sender of exchanges sees it.
struct Hub {
    config: Arc<Config>,
    jobs: Sender<Job>,
    clock: Clock,
    stop: Arc<AtomicBool>,
    /// Epoch of the hub that the positions came from.
    turn: Option<u64>,
    epoch: u64,
    held: [u32; HUB_SHARDS],
    /// Published shards that the edge has not applied yet.
    shards: Vec<Vec<u8>>,
    /// Reason of the last refusal, as it was reported.
    refused: Option<&'static str>,
    /// Identity of the present log.
    identity: Arc<Identity>,
}

impl Hub {
    /// Asks the ledger's thread; `None` if this hub is standby.
    fn ask<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Ledger) -> T + Send + 'static,
    ) -> Result<Option<T>, Ends> {
        let (reply, answer) = oneshot::channel();
        let look = Box::new(move |hub: &Ledger| drop(reply.send(f(hub))));
        self.jobs.send(Job::Look(look)).map_err(|_| Ends::Stopped)?;
        Ok(answer.blocking_recv().ok())
    }

    /// Waits until this hub is active. Returns its epoch.
    fn active(&self) -> Result<u64, Ends> {
        loop {
            if let Some(epoch) = self.ask(Ledger::epoch)? {
                return Ok(epoch);
            }
            self.pause(AGAIN)?;
        }
    }

    fn places(&self) -> Result<Places, Ends> {
        let who = self.identity.who();
        let told = self.ask(move |hub| {
            let heard = hub.nodes().iter().filter(|(_, n)| n.rings.iter().any(|r| r.heard));
            let of = heard.map(|(id, n)| (*id, n.counts.applied)).collect();
            (hub.epoch(), Places { of, has_log: hub.nodes().iter().any(|(_, n)| n.who() == who) })
        })?;
        match told {
            Some((epoch, places)) if Some(epoch) == self.turn => Ok(places),
            _ => Err(Ends::Moved),
        }
    }

    fn pause(&self, wait: Duration) -> Result<(), Ends> {
        let until = Instant::now() + wait;
        while Instant::now() < until {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Ends::Stopped);
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        Ok(())
    }

    /// Sends until the batches are durable. Returns the number of the node's next batch, if it has sent any.
    fn send(&mut self, node: [u8; 16], batches: &[Sent<'_>]) -> Result<Option<u64>, Ends> {
        loop {
            let now = (self.clock)();
            let request = Request {
                seed_check: self.config.seed.check(),
                node,
                policy: &self.config.policy,
                clock: now.now,
                hub_epoch: self.epoch,
                held: self.held,
                batches: batches.to_vec(),
            };
            let mut bytes = Vec::new();
            request.encode(&mut bytes);
            let read = Exchange::read(Bytes::from(bytes), &self.config, now);
            let said = match read.map(|x| x.by(Arc::clone(&self.identity)).only(self.turn)) {
                Err(why) => Err(Failure::Refused(why)),
                Ok(x) => {
                    let (reply, answer) = oneshot::channel();
                    self.jobs.send(Job::Exchange(Box::new(x), reply)).map_err(|_| Ends::Stopped)?;
                    answer.blocking_recv().map_err(|_| Ends::Stopped)?
                }
            };
            let wait = match said {
                Ok(reply) => {
                    self.refused = None;
                    return Ok(self.take(&reply));
                }
                Err(Failure::Refused(Refused::Moved) | Failure::Store(StoreError::Standby(_))) => {
                    return Err(Ends::Moved);
                }
                Err(Failure::Refused(Refused::Quota(wait))) => Duration::from_nanos(wait.0).max(EVERY),
                Err(failure) => {
                    let name = failure.name();
                    if self.refused.replace(name) != Some(name) {
                        log::warn(
                            "follow_waits",
                            json!({"why": name, "consequence": "lines are read later"}),
                        );
                    }
                    AGAIN
                }
            };
            self.pause(wait)?;
        }
    }

    /// Applies a reply. Returns the number of the node's next batch, if it has sent any.
    fn take(&mut self, reply: &[u8]) -> Option<u64> {
        let reply = Reply::decode(reply, self.config.seed.check()).ok()?;
        if reply.hub_epoch != self.epoch {
            (self.epoch, self.held) = (reply.hub_epoch, [0; HUB_SHARDS]);
        }
        for (i, version, bytes) in reply.shards {
            if let Some(held) = self.held.get_mut(usize::from(i)) {
                *held = version;
                self.shards.push(bytes.to_vec());
            }
        }
        reply.acks.iter().find(|(ring, _)| *ring == 0).map(|(_, next)| *next)
    }

    /// Applies the waiting shards to the edge, so that it looks values up as a proxy's edge does.
    fn verdicts(&mut self, edge: &mut Edge) {
        for shard in self.shards.drain(..) {
            if edge.apply_hub(&shard).is_err() {
                log::warn("shard_refused", json!({"consequence": "lines are looked up in the one before"}));
            }
        }
    }
}
