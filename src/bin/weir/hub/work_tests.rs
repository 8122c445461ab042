//! The loop between listener, store and ledger, with a store that refuses every third group.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::super::core::sizes;
use super::super::fake::{Fake, config, requests, traffic};
use super::*;
use weir::engine::config::Config;
use weir::engine::units::Nanos;

#[derive(Default)]
struct Kept {
    groups: Vec<Vec<u8>>,
    checkpoints: u64,
}

struct Flaky {
    kept: Arc<Mutex<Kept>>,
    written: Option<Vec<u8>>,
    n: u64,
}

impl Store for Flaky {
    fn append(&mut self, group: &[u8]) -> Result<(), StoreError> {
        self.n += 1;
        self.written = (self.n % 6 != 3).then(|| group.to_vec());
        self.written.as_ref().map(|_| ()).ok_or(StoreError::Full("no room".into()))
    }
    fn sync(&mut self) -> Result<(), StoreError> {
        if self.n.is_multiple_of(6) {
            return Err(StoreError::Failed("fsync".into()));
        }
        self.kept.lock().unwrap().groups.extend(self.written.take());
        Ok(())
    }
    fn begin(&mut self) -> Result<super::super::store::Checkpoint, StoreError> {
        let kept = Arc::clone(&self.kept);
        Ok(Box::new(move |parts| {
            let mut kept = kept.lock().unwrap();
            kept.checkpoints += 1;
            assert!(parts.iter().all(|p| !p.is_empty()));
            Ok(Done { position: kept.groups.len() as u64, part: 1 })
        }))
    }
    fn cut(&mut self, _: &Done) -> Result<(), StoreError> {
        Ok(())
    }
    fn status(&self) -> StoreStatus {
        StoreStatus { position: self.kept.lock().unwrap().groups.len() as u64, ..StoreStatus::default() }
    }
}

fn ask(jobs: &Sender<Job>, config: &Config, f: &mut Fake, t: Nanos) -> Result<(), Failure> {
    let x = Exchange::read(Bytes::from(f.request(t)), config, Moment { now: t, mono: t }).unwrap();
    let (reply, answer) = oneshot::channel();
    jobs.send(Job::Exchange(Box::new(x), reply)).unwrap();
    answer.blocking_recv().unwrap().map(|bytes| {
        f.take(&bytes);
    })
}

#[test]
fn a_store_that_refuses_every_third_group_loses_nothing_and_doubles_nothing() {
    let config = config("");
    let all = traffic(30, 30, 30.0, 9);
    let t = all.last().unwrap().time;
    let kept = Arc::new(Mutex::new(Kept::default()));
    let store = Flaky { kept: Arc::clone(&kept), written: None, n: 0 };
    let new = || Hub::new(Arc::clone(&config), sizes(&config, 1_024), u32::MAX, 1);
    let began = Instant::now();
    let options = Options {
        period_ms: 500,
        checkpoint_every: Duration::from_millis(1),
        checkpoint_bytes: u64::MAX,
        clock: Arc::new(move || Moment { now: t, mono: t.plus(Nanos(began.elapsed().as_nanos() as u64)) }),
        takeovers: 1,
        audit: None,
    };
    let (jobs, inbox) = channel();
    let (refused, hub) = (Mutex::new([0u32; 2]), new());
    std::thread::scope(|scope| {
        let work = scope.spawn(move || run(hub, Box::new(store), &inbox, options));
        std::thread::scope(|nodes| {
            for (i, part) in all.chunks(all.len().div_ceil(3)).enumerate() {
                let (jobs, refused, config) = (&jobs, &refused, &config);
                nodes.spawn(move || {
                    let mut f = Fake::new(i as u64, config);
                    for chunk in part.chunks(4) {
                        f.write((chunk.len() % 2) as u8, chunk);
                        while let Err(e) = ask(jobs, config, &mut f, t) {
                            let Failure::Store(e) = e else { panic!("{e:?}") };
                            refused.lock().unwrap()[usize::from(e.name() == "store_full")] += 1;
                            assert!(!f.unacked.is_empty());
                        }
                        assert!(f.unacked.is_empty(), "acknowledged");
                    }
                });
            }
        });
        jobs.send(Job::Stop).unwrap();
        assert_eq!(work.join().unwrap().0, End::Stopped(true));
    });
    let [failed, full] = refused.into_inner().unwrap();
    assert!(failed >= 10 && full >= 10, "{failed} {full}");
    let (kept, mut back) = (kept.lock().unwrap(), new());
    assert!(kept.groups.iter().all(|g| back.replay(g).is_some()));
    let t = back.totals();
    assert_eq!((t.applied, t.lost, t.before, t.duplicate), (all.len() as u64, 0, 0, 0));
    let mut sent = std::collections::BTreeMap::new();
    all.iter().for_each(|o| *sent.entry(o.key).or_insert(0) += 1);
    assert_eq!(requests(back.ledger()), sent);
    assert!(kept.checkpoints >= 1);
}
