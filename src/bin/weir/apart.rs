//! Workers that decide by published shards, and one ledger that hears of their requests later.

use std::collections::VecDeque;
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::edge::Edge;
use weir::engine::edge::actions::LastActions;
use weir::engine::edge::extract::Extracted;
use weir::engine::ledger::Ledger;
use weir::engine::units::Nanos;
use weir::engine::{Decision, Refused, Status, hash};

pub const STEP: Nanos = Nanos::from_millis(100);
/// Length of a step of the ledger's clock while there are no observations.
pub const IDLE: Nanos = Nanos::from_secs(60);

/// A worker, and the batches it has written since the last step.
struct Worker {
    edge: Edge,
    batches: Vec<Vec<u8>>,
}

impl Worker {
    fn flush(&mut self) {
        if self.edge.waiting() > 0 {
            let mut batch = Vec::new();
            self.edge.drain(&mut batch);
            self.batches.push(batch);
        }
    }

    fn has_news(&self) -> bool {
        self.edge.waiting() > 0 || !self.batches.is_empty()
    }
}

/// Workers, and a ledger apart from them.
pub struct Apart {
    pub config: Arc<Config>,
    workers: Vec<Worker>,
    pub ledger: Ledger,
    /// Number of requests so far.
    requests: u64,
    /// Time of the last step, 0 before the first request.
    pub at: Nanos,
    /// Batches that the ledger has applied, if there is a hub to send them to.
    pub outbox: Option<Vec<Vec<u8>>>,
    /// Published shards, each with the time from which it applies.
    shards: VecDeque<(Nanos, Vec<u8>)>,
    last: LastActions,
    pub news: Option<Vec<String>>,
}

impl Apart {
    pub fn new(config: Arc<Config>, edges: u8, has_hub: bool) -> Apart {
        let worker = |_| Worker { edge: Edge::new(Arc::clone(&config)), batches: Vec::new() };
        Apart {
            workers: (0..edges).map(worker).collect(),
            ledger: Ledger::new(&config),
            requests: 0,
            at: Nanos(0),
            outbox: has_hub.then(Vec::new),
            shards: VecDeque::new(),
            last: LastActions::default(),
            news: None,
            config,
        }
    }

    /// Number of workers.
    pub fn workers(&self) -> usize {
        self.workers.len()
    }

    pub fn judge(&mut self, now: Nanos, x: &mut Extracted) -> Decision {
        self.advance(now);
        self.requests += 1;
        let i = hash::mix(self.requests) % self.workers.len() as u64;
        let worker = &mut self.workers[i as usize];
        let decision = worker.edge.judge(now, x);
        if worker.edge.is_full() {
            worker.flush();
        }
        decision
    }

    /// Runs all steps up to `now`. While no observation waits, steps are a minute long; a long gap is crossed
    /// in at most 500.
    pub fn advance(&mut self, now: Nanos) {
        let due = Nanos(now.0 - now.0 % STEP.0);
        if self.at == Nanos(0) {
            self.at = due;
        }
        let long = Nanos(due.since(self.at).0 / 500).max(IDLE);
        while self.at < due {
            let waits = self.workers.iter().any(Worker::has_news);
            self.step(self.at.plus(if waits { STEP } else { long }).min(due));
        }
        self.apply(now);
    }

    /// Time of the next step with observations.
    pub fn due(&self) -> Option<Nanos> {
        let waits = self.at != Nanos(0) && self.workers.iter().any(Worker::has_news);
        waits.then(|| self.at.plus(STEP))
    }

    pub fn step(&mut self, at: Nanos) {
        self.apply(at);
        let (ledger, last, config) = (&mut self.ledger, &mut self.last, &self.config);
        let mut decided = Vec::new();
        for worker in &mut self.workers {
            worker.flush();
            for batch in worker.batches.drain(..) {
                let heard = ledger.observe(&batch, |obs, outcome| {
                    if self.news.is_some()
                        && let Some(d) = Decision::at_ledger(config, last, obs, &outcome)
                    {
                        decided.push((obs.time, d));
                    }
                });
                if let Err(e) = heard {
                    eprintln!("weir: a batch was refused: {e:?}");
                }
                if let Some(outbox) = &mut self.outbox {
                    outbox.push(batch);
                }
            }
        }
        ledger.tick(at);
        let (shards, due) = (&mut self.shards, at.plus(STEP));
        ledger.publish(|_, bytes| shards.push_back((due, bytes.to_vec())));
        if let Some(news) = &mut self.news {
            news.extend(decided.iter().map(|(t, d)| d.record_at_ledger(*t, config, ledger)));
        }
        self.at = at;
    }

    /// Applies the shards that are due.
    fn apply(&mut self, now: Nanos) {
        while self.shards.front().is_some_and(|(due, _)| *due <= now) {
            let Some((_, shard)) = self.shards.pop_front() else { return };
            for worker in &mut self.workers {
                if let Err(e) = worker.edge.apply(&shard) {
                    eprintln!("weir: a shard was refused: {e:?}");
                }
            }
        }
    }

    /// Applies a shard of the hub at all workers.
    pub fn apply_hub(&mut self, shard: &[u8]) {
        for worker in &mut self.workers {
            if let Err(e) = worker.edge.apply_hub(shard) {
                eprintln!("weir: a shard was refused: {e:?}");
            }
        }
    }

    pub fn status(&self) -> Status {
        let edges: usize = self.workers.iter().map(|w| w.edge.size_bytes()).sum();
        Status { state_bytes: (self.ledger.size_bytes() + edges) as u64, ..self.ledger.status() }
    }

    pub fn read_state(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut fresh =
            Apart::new(Arc::clone(&self.config), u8::try_from(self.workers.len()).unwrap_or(u8::MAX), false);
        fresh.ledger.read_state(bytes)?;
        let shards = &mut fresh.shards;
        fresh.ledger.publish(|_, shard| shards.push_back((Nanos(0), shard.to_vec())));
        fresh.news = self.news.take();
        *self = fresh;
        Ok(())
    }
}
