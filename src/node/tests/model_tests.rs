//! Random schedules of everything that may go wrong between the VMs of one node. One seed, one schedule.
//!
//! What happens: VMs tick, decide requests of people and of a campaign, die, stall between two ticks or in the midst of one, die in the
//! midst of one, leave, and are replaced by newer or older code; the whole process is stopped; the wall clock steps; the configuration
//! changes; shared data is full for a while; cells are lost, damaged, or hold again what they held before.
//!
//! After each step:
//! * at most one VM believes that it leads and is named by the head, with its epoch;
//! * the head's epoch does not go back, unless the head was hurt;
//! * numbers of VMs differ, unless their counter was hurt;
//! * what workers say they sent is what the rings say was written, and what was applied and lost is what the leader's tails say: no more
//!   than was written, and the rest is in the rings. Slots and tails that were hurt end these sums, and a head that names again
//!   who led before;
//! * every VM's tables stay within their bound, and at the end every kind of cell;
//! * no cell and no page is refused, unless one was damaged;
//! * no request of people is refused. An engine alone, with the same requests in the same order, refuses none either.
//!
//! When the faults end somebody leads within `LEADS` ticks. After `AUDIT` more the rings are empty, and the pages make the same ledger. If
//! no cell was hurt, who was convicted before is refused at every worker, and so are new accounts of the same campaign. Else another campaign
//! is convicted. Where that fails an engine alone fails as well.
//!
//! By design this does not hold:
//! * a leader's death costs its ledger what is in no page yet, a cycle of pages at most. Its counters do not say so;
//! * what a VM counted in the callback in which it dies nobody hears: the host tells counters between callbacks;
//! * what a leader applied in a callback in which it dies, or loses the lease by a stall, the next one applies again: pages that were written
//!   in it count that twice. The same is so of a leader that dies before its first tick after another has written over the tails;
//! * a worker that begins to serve right after a take-over has no verdicts until the new leader has published, and lacks a shard that was
//!   written over by a leader that stalled until the new one has looked at it, `AUDIT` ticks at most.

use super::*;
use crate::engine::hash::mix;
use crate::engine::ledger::Ledger;
use std::collections::{BTreeMap, BTreeSet};

mod ends_tests;
mod faults_tests;

use ends_tests::{engine, learned};
use faults_tests::Host;
use schedules_tests::Midway;

/// Seconds of the wall clock to one of the other while the campaign is learned: a tick is six minutes.
const LEARNING: u64 = 3_600;
/// The same in a schedule: a tick is six seconds, and a death of the leader delays observations by three minutes.
const SCALE: u64 = 60;
const START_S: u64 = 1_780_000_000;
/// Of the campaign, before a schedule begins.
const ACCOUNTS: u64 = 60;
/// The first of those that nobody has seen before, and of another campaign.
const FRESH: u64 = 1_000;
const ANOTHER: u64 = 2_000;
const PEOPLE: u64 = 40;
/// Keys of the widest configuration.
const MOST_KEYS: u32 = 2_048;
/// Most VMs at once.
const VMS: usize = 5;
const STEPS: u64 = 150;
/// Ticks after the faults within which somebody leads: a lease of twenty, the grace of ten, a hand-over of ten, and as many to spare.
const LEADS: u64 = 50;
/// Ticks in which a leader looks at each of its shards: one that a leader of before has written over is not there until then.
const AUDIT: u64 = 70;
/// Ticks after that within which a campaign that was forgotten is convicted again: 30 hours.
const LEARNS: u64 = 300;
/// The same if it was not forgotten: six hours.
const KEEPS: u64 = 60;
/// Bytes of a VM's tables.
const VM_BYTES: usize = 3 << 20;

fn settings(keys: u32, more: &str) -> Arc<Config> {
    let text = format!(
        r#"{{"policy":"p","seed":"{}","mode":"enforce","keys":{keys},"limits":[],"identity":{{"learn":"0s","age":{{"header":"x-created"}}}},"campaign":{{"groups":128,"doorkeeper_bits":12,"novelty_bits":12}}{more}}}"#,
        "ab".repeat(32)
    );
    Arc::new(parse(&text).unwrap())
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }
    fn words(&mut self, n: u64) -> String {
        let mut word = || (0..5).map(|_| char::from(b'a' + self.below(26) as u8)).collect::<String>();
        (0..n).map(|_| word()).collect::<Vec<_>>().join(" ")
    }
}

/// A request, and what came of it.
#[derive(Clone)]
struct Asked {
    now: Nanos,
    credential: String,
    created: String,
    prompt: String,
}

impl Asked {
    fn headers(&self) -> Vec<(&[u8], &[u8])> {
        let all: [(&[u8], &str); 2] = [(b"x-api-key", &self.credential), (b"x-created", &self.created)];
        all.into_iter().filter(|h| !h.1.is_empty()).map(|(name, value)| (name, value.as_bytes())).collect()
    }
}

/// What was learned before a schedule begins: the campaign is convicted, and everybody has left.
struct Learned {
    memory: Memory,
    wall: Nanos,
    /// Accounts that are refused.
    caught: Vec<u64>,
    asked: Vec<Asked>,
}

/// What was hurt.
#[derive(Default)]
struct Hurt {
    any: bool,
    numbers: bool,
    sums: bool,
}

struct Schedule<'a> {
    from: Option<&'a Learned>,
    seed: u64,
    w: World,
    config: Arc<Config>,
    rng: Rng,
    /// Until when a VM stalls.
    asleep: Vec<u64>,
    wall: Nanos,
    scale: u64,
    is_full: bool,
    /// What some cells held before.
    old: BTreeMap<String, Vec<u8>>,
    hurt: Hurt,
    /// A VM has died in the midst of a callback.
    is_unheard: bool,
    epoch: u64,
    /// Observations in the rings, and in the ledger, before the schedule began.
    before: u64,
    /// Whom the head named when the sums were last right, and what had been applied twice by then.
    sound: Option<(u64, u64)>,
    twice: u64,
    /// As much will be for a leader that goes on where the tails' cell stands; and what leaders have learned since in callbacks in which
    /// they lost the lease.
    next_twice: u64,
    perhaps_twice: u64,
    asked: Vec<Asked>,
    steps: u64,
    seen: BTreeMap<&'static str, u64>,
    is_told: bool,
}

/// A failure names its seed.
impl Drop for Schedule<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "seed {} failed in step {}: NODE_SEED={} cargo test --lib node::tests::model -- --nocapture",
                self.seed, self.steps, self.seed
            );
        }
    }
}

impl<'a> Schedule<'a> {
    fn new(seed: u64, from: Option<&'a Learned>) -> Schedule<'a> {
        let config = settings(1_024, "");
        let memory = match from {
            Some(l) => Memory {
                cells: l.memory.cells.clone(),
                version: l.memory.version,
                now: l.memory.now,
                ..Memory::default()
            },
            None => Memory { now: 1_000 * TICK, ..Memory::default() },
        };
        let mut s = Schedule {
            from,
            seed,
            w: World { memory, vms: Vec::new(), gone: Counts::default() },
            rng: Rng(seed << 20),
            asleep: Vec::new(),
            wall: from.map_or(Nanos::from_secs(START_S), |l| l.wall),
            scale: SCALE,
            is_full: false,
            old: BTreeMap::new(),
            hurt: Hurt::default(),
            is_unheard: false,
            epoch: 0,
            before: 0,
            sound: None,
            twice: 0,
            next_twice: 0,
            perhaps_twice: 0,
            asked: Vec::new(),
            steps: 0,
            seen: BTreeMap::new(),
            is_told: false,
            config,
        };
        // The canary configures first and never ticks.
        assert!(Node::new(Arc::clone(&s.config), 1).join(&mut s.w.memory));
        s.before = s.written();
        (0..2 + s.rng.below(3)).for_each(|_| s.start(1));
        s
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
        if self.is_told {
            println!("{:>4} {:>7} ms: {what}", self.steps, self.w.memory.now / MS);
        }
    }

    fn start(&mut self, rank: u32) {
        let mut node = Node::new(Arc::clone(&self.config), rank);
        let has_joined = node.join(&mut self.w.memory);
        assert!(has_joined);
        self.w.vms.push(Some(node));
        self.asleep.push(0);
    }

    fn wait(&mut self, ns: u64) {
        self.w.memory.now += ns;
        self.wall = self.wall.plus(Nanos(ns * self.scale));
    }

    fn live(&self) -> Vec<usize> {
        (0..self.w.vms.len()).filter(|i| self.w.vms[*i].is_some()).collect()
    }
    fn awake(&self) -> Vec<usize> {
        self.live().into_iter().filter(|i| self.asleep[*i] <= self.w.memory.now).collect()
    }
    fn one_of(&mut self, of: &[usize]) -> Option<usize> {
        let at = self.rng.below(of.len() as u64) as usize;
        of.get(at).copied()
    }

    fn cell_of<T>(&mut self, kind: &str, mut decode: impl FnMut(&[u8]) -> Option<T>) -> Option<T> {
        let name = cells::name(&cells::prefix(&self.config), kind, &[]);
        self.w.memory.get(&name).and_then(|(bytes, _)| decode(&bytes))
    }
    /// Observations that were written into the rings since there are cells.
    fn written(&mut self) -> u64 {
        let slots = (0..SLOTS).filter_map(|i| self.cell_of(&format!("s/{i}"), Slot::decode));
        slots.map(|s| s.total).sum()
    }
    /// VM and epoch that the head names.
    fn named(&mut self) -> Option<(u64, u64)> {
        self.cell_of("H", Head::decode).map(|h| (h.uid, h.epoch))
    }
    /// Does it lead, and is it named by the head?
    fn holds(&mut self, vm: &Node) -> bool {
        let named = self.named();
        vm.lead.as_ref().is_some_and(|l| named == Some((l.head.uid, l.head.epoch)))
    }
    fn holder(&mut self) -> Option<usize> {
        let mut all = Vec::new();
        for i in self.live() {
            let vm = self.w.vms[i].take().unwrap();
            if self.holds(&vm) {
                all.push(i);
            }
            self.w.vms[i] = Some(vm);
        }
        assert!(all.len() <= 1, "{all:?} hold the lease");
        all.first().copied()
    }

    /// One callback of a VM. `None`: it has died.
    fn on<T>(
        &mut self,
        i: usize,
        midway: Midway,
        act: impl FnOnce(&mut Node, &mut Host<'_, 'a>) -> T,
    ) -> Option<T> {
        let mut vm = self.w.vms[i].take()?;
        let (before, held) = (vm.counts(), self.holds(&vm));
        let named = self.named();
        let mut host = Host { s: self, midway, is_dead: false };
        let out = act(&mut vm, &mut host);
        if host.is_dead {
            add(&mut self.w.gone, before);
            self.is_unheard = true;
            return None;
        }
        if held && self.named() != named {
            let after = vm.counts();
            self.perhaps_twice += after.applied + after.lost - before.applied - before.lost;
        }
        self.w.vms[i] = Some(vm);
        Some(out)
    }

    fn tick(&mut self, i: usize, midway: Midway) {
        let now = self.wall;
        self.on(i, midway, |vm, host| vm.tick(host, now, TICK));
    }

    /// So many ticks of all that do not stall, in any order.
    fn pass(&mut self, ticks: u64) {
        for _ in 0..ticks {
            let ns = TICK * (8 + self.rng.below(6)) / 10;
            self.wait(ns);
            let mut all = self.awake();
            while let Some(i) = self.one_of(&all) {
                all.retain(|other| *other != i);
                self.tick(i, Midway::Nothing);
            }
        }
    }

    /// A request on a VM: is it refused? `None`: the VM has died.
    fn ask(&mut self, i: usize, midway: Midway, asked: Asked) -> Option<bool> {
        let d = self.on(i, midway, |vm, host| ask(vm, host, asked.now, &asked.headers(), &asked.prompt));
        self.asked.push(asked);
        d.map(|d| d.action.rejects())
    }
    fn person(&mut self, i: usize, midway: Midway) {
        let key = self.rng.below(PEOPLE);
        // Of some nobody knows the age.
        let created =
            if key.is_multiple_of(3) { String::new() } else { (START_S - 200 * 86_400).to_string() };
        let prompt = self.rng.words(14);
        let now = self.wall;
        let asked = Asked { now, credential: format!("person-{key}"), created, prompt };
        let refused = self.ask(i, midway, asked);
        assert_ne!(refused, Some(true), "person {key} is refused");
    }
    fn account(&mut self, i: usize, account: u64) -> Option<bool> {
        let template = if account < ANOTHER {
            "Write a worked solution for the task below and check it with a second method before you finish the last line. Then name the rule that you used and say why no other rule applies here."
        } else {
            "You are given one passage. List each claim it makes, grade how sure you are of each from one to five, and close with the single strongest objection a careful reader would raise."
        };
        let prompt = format!("{template} {}", self.rng.words(14));
        let (now, created) = (self.wall, (START_S - 3 * 86_400).to_string());
        self.ask(i, Midway::Nothing, Asked { now, credential: format!("account-{account}"), created, prompt })
    }

    fn check(&mut self) {
        let holder = self.holder();
        if let Some(head) = self.cell_of("H", Head::decode) {
            assert!(head.epoch >= self.epoch, "the epoch goes back from {} to {}", self.epoch, head.epoch);
            self.epoch = head.epoch;
        }
        let uids: Vec<u64> = self.w.vms.iter().flatten().map(|vm| vm.uid).filter(|uid| *uid != 0).collect();
        let differ = uids.iter().collect::<BTreeSet<_>>().len() == uids.len();
        assert!(differ || self.hurt.numbers, "{uids:?}");
        let largest = self.w.vms.iter().flatten().map(Node::size_bytes).max().unwrap_or(0);
        assert!(largest <= VM_BYTES, "{largest} bytes in a VM");
        let c = self.w.counts();
        assert!(self.hurt.any || (c.cells_refused, c.pages_refused) == (0, 0), "{c:?}");
        if self.hurt.sums {
            return;
        }
        let written = self.written() - self.before;
        let known = c.applied + c.lost;
        assert!(
            c.sent == written || self.is_unheard && c.sent < written,
            "{written} are in the rings: {c:?}"
        );
        assert!(
            known <= written + self.twice.max(self.next_twice) + self.perhaps_twice,
            "{written} are in the rings: {c:?}"
        );
        let Some(lead) = holder.and_then(|i| self.w.vms[i].as_ref()?.lead.as_ref()) else { return };
        let passed = lead.tails.iter().map(|t| t.total).sum::<u64>() - self.before;
        let (named, twice) = (Some((lead.head.uid, lead.head.epoch)), known - passed);
        if named != self.sound {
            let most = self.twice.max(self.next_twice) + self.perhaps_twice;
            assert!(
                (self.twice.min(self.next_twice)..=most).contains(&twice),
                "{twice} were applied twice, {} before, {most} at most: {c:?}",
                self.twice
            );
            (self.sound, self.twice) = (named, twice);
        }
        assert_eq!(twice, self.twice, "the tails stand at {passed}: {c:?}");
        // The next leader goes on where the tails' cell stands. A leader of before may have written over it, before this one's next tick.
        let meta = self.cell_of("cm", cells::Meta::decode).filter(|m| Some(m.epoch) < named.map(|n| n.1));
        let stands = meta.map_or(passed, |m| m.tails.iter().map(|t| t.total).sum::<u64>() - self.before);
        (self.next_twice, self.perhaps_twice) = (known - stands, 0);
    }

    /// Each kind of cell within its bounds.
    fn check_cells(&self) {
        let prefix = cells::prefix(&self.config);
        let pages = Ledger::new(&settings(MOST_KEYS, "")).page_count();
        let mut left = cells::table(pages, false).map(|(kind, count, bytes)| {
            let each = if ["s", "r"].contains(&kind) { SLOTS as u64 } else { 1 };
            (kind, count * each, bytes)
        });
        for (name, (bytes, _)) in &self.w.memory.cells {
            let kind = name[prefix.len()..].split('/').next().unwrap();
            let (_, count, most) = left.iter_mut().find(|(k, ..)| *k == kind).unwrap();
            assert!(bytes.len() <= *most && *count > 0, "{name}: {} bytes", bytes.len());
            *count -= 1;
        }
    }
}

fn run(seed: u64, from: &Learned, is_told: bool) -> Schedule<'_> {
    // Some begin without anything learned.
    let from = Some(from).filter(|_| seed % 16 != 15);
    let mut s = Schedule::new(seed, from);
    s.is_told = is_told;
    (0..STEPS).for_each(|_| s.step());
    s.settle(from.map_or(&[], |l| &l.caught));
    s.check_cells();
    if let Some(l) = from.filter(|_| seed.is_multiple_of(100)) {
        engine(&[&l.asked[..], &s.asked].concat());
    }
    s
}

fn schedules(from: u64, to: u64) {
    let base = learned();
    let ran = |seed, is_told| {
        let s = run(seed, &base, is_told);
        (s.steps, s.seen.clone())
    };
    let Some(seen) = schedules_tests::schedules("NODE_SEED", (from, to), ran) else { return };
    assert!(seen.len() >= 21 && seen.values().all(|n| *n > 0) || to - from < 100, "{seen:?}");
}

fn asked_for(default: u64) -> u64 {
    schedules_tests::number("NODE_SCHEDULES").unwrap_or(default)
}

#[test]
fn hundreds_of_schedules_of_faults_leave_one_leader_exact_sums_and_nobody_honest_refused() {
    schedules(1, 1 + asked_for(200));
}

#[test]
#[ignore = "a quarter of an hour: make test-slow"]
fn many_thousand_schedules_of_faults_leave_one_leader_exact_sums_and_nobody_honest_refused() {
    schedules(100_001, 100_001 + asked_for(20_000));
}
