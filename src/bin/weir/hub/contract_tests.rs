//! Requirements on a store, run on all of them: a directory, real Valkey, real Redis, a real Cluster.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::journal::{GROUP_BYTES, Journal};
use super::servers::{Cluster, Folder, Kind, Server};
use super::store::{Checkpoint, Done, Store, StoreError, StoreStatus};
use super::valkey::place::Place;
use super::valkey::{Follower, Taken, Trouble};
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

const SEED: u32 = 7;

/// A store that was opened, and what was in it.
struct Start {
    store: Box<dyn Store>,
    checkpoint: Option<Vec<u8>>,
    groups: Vec<Vec<u8>>,
}

/// Opens a store under a name and a seed; as the hub of before, or as another one.
trait Backend {
    fn open(&self, name: &str, seed: u32, holder: &str) -> Result<Start, String>;
    fn start(&self, name: &str) -> Start {
        // A server that another test starts has a copy of our files, and so of the lock, until it is a program of its own.
        for _ in 0..100 {
            match self.open(name, SEED, "hub") {
                Err(why) if why.contains("uses this directory") => {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                start => return start.unwrap(),
            }
        }
        self.open(name, SEED, "hub").unwrap()
    }
    /// Makes the next `append` and `sync` fail; the group may be stored all the same.
    fn fails(&self, s: &mut Start, group: &[u8]) -> StoreError;
    /// Number of pages or files of checkpoints other than the valid one.
    fn leftovers(&self, name: &str) -> usize;
}

struct Files(Folder, Arc<AtomicBool>);

/// A journal whose next `sync` fails if it is told so.
struct Failing(Journal, Arc<AtomicBool>);

impl Store for Failing {
    fn append(&mut self, group: &[u8]) -> Result<(), StoreError> {
        self.0.append(group)
    }
    fn sync(&mut self) -> Result<(), StoreError> {
        self.0.fail_sync = self.1.swap(false, SeqCst);
        self.0.sync()
    }
    fn begin(&mut self) -> Result<Checkpoint, StoreError> {
        self.0.begin()
    }
    fn cut(&mut self, done: &Done) -> Result<(), StoreError> {
        self.0.cut(done)
    }
    fn status(&self) -> StoreStatus {
        self.0.status()
    }
}

impl Backend for Files {
    fn open(&self, name: &str, seed: u32, _: &str) -> Result<Start, String> {
        let (mut journal, found) = Journal::open(&self.0.0.join(name), seed).map_err(|e| e.0)?;
        let mut groups = Vec::new();
        let read = journal.replay(|g| {
            groups.push(g.to_vec());
            true
        });
        read.map_err(|e| e.0)?;
        let store = Box::new(Failing(journal, Arc::clone(&self.1)));
        Ok(Start { store, checkpoint: found.checkpoint, groups })
    }
    fn fails(&self, s: &mut Start, group: &[u8]) -> StoreError {
        // It stands on the disk and was not made durable.
        s.store.append(group).unwrap();
        self.1.store(true, SeqCst);
        s.store.sync().unwrap_err()
    }
    fn leftovers(&self, name: &str) -> usize {
        let names = std::fs::read_dir(self.0.0.join(name)).unwrap().map(|e| e.unwrap().file_name());
        names.filter(|n| n.to_string_lossy().starts_with("checkpoint")).count().saturating_sub(1)
    }
}

struct Stores {
    place: Arc<Place>,
    /// Those that may hold a key.
    servers: Vec<Server>,
}

fn owner<'a>(servers: &'a [Server], name: &str) -> &'a Server {
    let key = format!("weir:{{{name}}}:meta");
    let has = |s: &&Server| s.try_say::<u64>(&["EXISTS", &key]).is_ok();
    servers.iter().find(has).unwrap()
}

thread_local! {
    static NAME: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Backend for Stores {
    fn open(&self, name: &str, seed: u32, holder: &str) -> Result<Start, String> {
        NAME.with(|n| *n.borrow_mut() = name.into());
        let mut f = Follower::new(&self.place, name, seed, holder);
        let text = |t: Trouble| match t {
            Trouble::Store(e) => format!("{}: {e}", e.name()),
            Trouble::Blocked(b) => b.0,
            Trouble::Behind => "behind".into(),
        };
        let Taken::Mine(lease, keeper) = f.acquire(false).map_err(text)? else {
            return Err("another hub is active".into());
        };
        let checkpoint = f.load().map_err(text)?;
        let mut groups = Vec::new();
        while f
            .follow(|g| {
                groups.push(g.to_vec());
                true
            })
            .map_err(text)?
            > 0
        {}
        assert_eq!(f.is_whole(), Ok(true));
        Ok(Start { store: Box::new(f.into_store(lease, keeper)), checkpoint, groups })
    }
    fn fails(&self, s: &mut Start, group: &[u8]) -> StoreError {
        let name = NAME.with(|n| n.borrow().clone());
        // The answer does not come; the group does.
        let server = owner(&self.servers, &name);
        server.sleep();
        let e = s.store.append(group).unwrap_err();
        server.wake();
        server.ready();
        // The hub renews its lease meanwhile.
        let lease = s.store.lease().unwrap();
        while !lease.holds() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        e
    }
    fn leftovers(&self, name: &str) -> usize {
        let s = owner(&self.servers, name);
        let all: Vec<String> = s.say(&["KEYS", &format!("weir:{{{name}}}:page:*")]);
        let text: Option<String> = s.say(&["HGET", &format!("weir:{{{name}}}:meta"), "checkpoint"]);
        let pages = text.and_then(|t| t.split(' ').nth(1)?.parse::<usize>().ok()).unwrap_or(0);
        all.len().saturating_sub(pages)
    }
}

fn group(n: u64) -> Vec<u8> {
    (0..40 + n % 7).map(|i| (n * 31 + i) as u8).collect()
}

fn all(groups: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    groups.map(group).collect()
}

fn keep(s: &mut Start, groups: std::ops::Range<u64>) {
    for n in groups {
        s.store.append(&group(n)).unwrap();
        s.store.sync().unwrap();
    }
}

fn checkpoint(s: &mut Start, parts: &[Vec<u8>]) {
    let done = s.store.begin().unwrap()(parts).unwrap();
    s.store.cut(&done).unwrap();
}

fn what_was_kept_comes_back_over_any_number_of_starts(b: &dyn Backend) {
    for n in 0..4 {
        let mut s = b.start("back");
        assert_eq!((&s.checkpoint, &s.groups), (&None, &all(0..n * 5)));
        assert_eq!(s.store.status().position, n * 5);
        keep(&mut s, n * 5..n * 5 + 5);
        let status = s.store.status();
        assert_eq!((status.position, status.checkpoint, status.lost), (n * 5 + 5, 0, false));
        assert!(status.bytes >= all(0..n * 5 + 5).concat().len() as u64);
    }
}

fn groups_of_any_size_and_content_come_back_and_too_long_ones_are_refused(b: &dyn Backend) {
    let mut s = b.start("sizes");
    let sizes = [1, 2, 63, 64, 4_096, 1 << 20, GROUP_BYTES];
    for (i, n) in sizes.iter().enumerate() {
        s.store.append(&vec![i as u8 ^ 0xff; *n]).unwrap();
        s.store.sync().unwrap();
    }
    assert!(s.store.append(&vec![0; GROUP_BYTES + 1]).is_err());
    keep(&mut s, 0..1);
    drop(s);
    let s = b.start("sizes");
    assert_eq!(s.groups.len(), sizes.len() + 1);
    for (i, (n, g)) in sizes.iter().zip(&s.groups).enumerate() {
        assert!(*g == vec![i as u8 ^ 0xff; *n], "{n} bytes");
    }
}

fn a_checkpoint_stands_for_what_came_before(b: &dyn Backend) {
    let mut s = b.start("checkpoint");
    keep(&mut s, 0..4);
    let write = s.store.begin().unwrap();
    // Groups go on while it is written.
    keep(&mut s, 4..6);
    let done = write(&[b"four ".to_vec(), Vec::new(), b"groups".to_vec()]).unwrap();
    assert_eq!(done.position, 4);
    drop(s);
    // The crash comes before what it stands for is removed.
    let mut s = b.start("checkpoint");
    assert_eq!((s.checkpoint.as_deref(), &s.groups), (Some(&b"four groups"[..]), &all(4..6)));
    assert_eq!((s.store.status().position, s.store.status().checkpoint), (6, 4));
    keep(&mut s, 6..7);
    checkpoint(&mut s, &[b"seven".to_vec()]);
    let status = s.store.status();
    assert_eq!((status.position, status.checkpoint, status.bytes), (7, 7, 0));
    drop(s);
    let mut s = b.start("checkpoint");
    assert_eq!((s.checkpoint.as_deref(), s.groups.len()), (Some(&b"seven"[..]), 0));
    assert_eq!((s.store.status().position, b.leftovers("checkpoint")), (7, 0));
    // Also with nothing new.
    checkpoint(&mut s, &[b"seven again".to_vec()]);
    keep(&mut s, 7..9);
    drop(s);
    let s = b.start("checkpoint");
    assert_eq!((s.checkpoint.as_deref(), &s.groups), (Some(&b"seven again"[..]), &all(7..9)));
}

fn a_checkpoint_that_was_not_written_changes_nothing(b: &dyn Backend) {
    let mut s = b.start("begun");
    keep(&mut s, 0..3);
    checkpoint(&mut s, &[b"three".to_vec()]);
    keep(&mut s, 3..5);
    drop(s.store.begin().unwrap());
    keep(&mut s, 5..6);
    drop(s);
    let mut s = b.start("begun");
    assert_eq!((s.checkpoint.as_deref(), &s.groups), (Some(&b"three"[..]), &all(3..6)));
    checkpoint(&mut s, &[b"six".to_vec()]);
    assert_eq!(b.leftovers("begun"), 0);
}

fn a_large_checkpoint_comes_back(b: &dyn Backend) {
    let parts: Vec<Vec<u8>> = (0..3u8).map(|i| vec![i + 1; (9 << 20) + usize::from(i)]).collect();
    let mut s = b.start("large");
    keep(&mut s, 0..2);
    for _ in 0..2 {
        checkpoint(&mut s, &parts);
    }
    keep(&mut s, 2..3);
    drop(s);
    let s = b.start("large");
    assert!(s.checkpoint.unwrap() == parts.concat());
    assert_eq!((s.groups, b.leftovers("large")), (all(2..3), 0));
}

fn after_an_error_the_next_group_takes_its_place(b: &dyn Backend) {
    let mut s = b.start("error");
    keep(&mut s, 0..2);
    for n in 2..4 {
        b.fails(&mut s, &group(90 + n));
        assert_eq!(s.store.status().position, n);
        keep(&mut s, n..n + 1);
    }
    drop(s);
    assert_eq!(b.start("error").groups, all(0..4));
}

fn one_hub_writes(b: &dyn Backend) {
    let mut s = b.start("one");
    keep(&mut s, 0..1);
    let why = b.open("one", SEED, "another").err().unwrap();
    assert!(why.contains("another hub"), "{why}");
    keep(&mut s, 1..2);
    s.store.release();
    drop(s);
    assert_eq!(b.open("one", SEED, "another").unwrap().groups, all(0..2));
}

fn another_seed_is_refused_and_the_way_out_named(b: &dyn Backend) {
    let mut s = b.start("seed");
    keep(&mut s, 0..1);
    drop(s);
    let why = b.open("seed", 8, "hub").err().unwrap();
    assert!(why.contains("another seed") && why.contains("The way out"), "{why}");
    assert_eq!(b.start("seed").groups, all(0..1));
}

fn names_do_not_mix(b: &dyn Backend) {
    let (mut one, mut two) = (b.start("a"), b.start("a-b"));
    keep(&mut one, 0..3);
    keep(&mut two, 10..12);
    checkpoint(&mut one, &[b"of a".to_vec()]);
    drop((one, two));
    assert_eq!(b.start("a-b").groups, all(10..12));
    assert_eq!(b.start("a").checkpoint.as_deref(), Some(&b"of a"[..]));
}

fn contract(b: &dyn Backend) {
    what_was_kept_comes_back_over_any_number_of_starts(b);
    groups_of_any_size_and_content_come_back_and_too_long_ones_are_refused(b);
    a_checkpoint_stands_for_what_came_before(b);
    a_checkpoint_that_was_not_written_changes_nothing(b);
    a_large_checkpoint_comes_back(b);
    after_an_error_the_next_group_takes_its_place(b);
    one_hub_writes(b);
    another_seed_is_refused_and_the_way_out_named(b);
    names_do_not_mix(b);
}

fn at(url: &str) -> Arc<Place> {
    Arc::new(Place::new(url, None, None).unwrap())
}

#[test]
fn a_directory_keeps_the_contract() {
    contract(&Files(Folder::new(), Arc::default()));
}

#[test]
fn valkey_keeps_the_contract() {
    let server = Server::start(Kind::Valkey, &[]);
    contract(&Stores { place: at(&server.url()), servers: vec![server] });
}

#[test]
fn redis_keeps_the_contract() {
    let server = Server::start(Kind::Redis, &[]);
    contract(&Stores { place: at(&format!("{}/0", server.url())), servers: vec![server] });
}

#[test]
fn a_cluster_keeps_the_contract() {
    let cluster = Cluster::start();
    contract(&Stores { place: at(&cluster.url()), servers: cluster.0 });
}
