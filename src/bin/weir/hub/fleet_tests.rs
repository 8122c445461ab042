//! A whole fleet from one seed: proxies with several VMs each, the network, and the hub with its store. One seed, one schedule.
//!
//! Real are the VMs (`weir::node`), the hub's loop (`work`) and the hub itself; made up are cells, network, clocks and the store. What
//! happens: VMs decide requests of people and of a campaign, die, stall between two ticks or in the midst of one, die in the midst of one,
//! leave, are replaced by newer or older code; whole proxies are stopped for a minute, or end and begin anew with nothing; every wall clock
//! steps; configurations change, with the hub and without; a host loses a cell. Requests and replies are lost, late, doubled, damaged, in
//! another order; proxies are cut off. The hub stalls, ends in order, is killed before and after a group is durable, and comes back from
//! its last checkpoint and the groups behind it; its store refuses, keeps a group without a word, takes no checkpoint; its lease is not
//! renewed, and another hub takes over, from the checkpoint or as one that has followed, while the first one works on. People deny keys.
//!
//! After each step:
//! * of a proxy's VMs at most one is named by the head and leads, and none leads behind a tick of its own that the head does not name;
//! * no batch is durable twice, nor under two names, and each is one that a worker wrote;
//! * the hub has applied what is durable, no more and no less: by its counts, by each node's rings, and by each key in its ledger;
//! * what it has ever acknowledged is durable, batches and decisions of people, whoever is the hub by now. Who has no lease says nothing;
//! * no proxy counts more for acknowledged than is durable;
//! * no page, cell, shard or batch is refused, and no request or reply that was not damaged;
//! * VMs, hub, requests and replies stay within their bounds, and at the end every kind of cell;
//! * no request of people is refused. An engine alone, with the same requests in the same order, refuses none either.
//!
//! When the faults end somebody leads each proxy within `LEADS` ticks, and within `QUIET` more all that was written is with the hub, or
//! counted for lost there; none is lost where nothing happened that loses. Then every VM of every proxy refuses the accounts that were
//! convicted when the schedule began, and the keys that people have denied. Who is convicted by the hub, then or since, is so everywhere. Where the hub has
//! let an account go, an engine alone would as well, or a hub that learns the same without an end. No proxy alone sees enough accounts to
//! convict one: all of it comes from the hub.
//!
//! In a schedule without faults nothing fails, is lost, dropped or sent twice.
//!
//! By design this does not hold: a leader that stalls as it hears an answer, until another one leads, counts for acknowledged what that
//! one counts, too; when clocks step the evidence is another, and a hub may let accounts go which an engine alone would not. Of what else goes wrong among the VMs of one proxy see `node::tests::model_tests`.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, reason = "tests")]

use super::acts::{Act, Name, Verb};
use super::core::Exchange;
use super::fake::{Rng, SEED, START_S, requests};
use super::identity::Identity;
use super::nodes::NodeId;
use memory::Memory;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use weir::engine::config::{Config, parse};
use weir::engine::edge::identity::Head as Request;
use weir::engine::ledger::Ledger;
use weir::engine::units::Nanos;
use weir::engine::verdict::Reason;
use weir::engine::{Decision, Engine};
use weir::node::cells::{self, Cell, Head, HubMeta, RING, SLOTS, Slot};
use weir::node::exchange::{REPLY_BYTES, REQUEST_BYTES, Reply};
use weir::node::{Answer, CALL_MS, Cells, Counts, Node, Set, TICK};

mod ends_tests;
mod faults_tests;
#[path = "../../../node/memory.rs"]
mod memory;
mod post_tests;
mod proxy_tests;
#[path = "../../../node/tests/schedules_tests.rs"]
mod schedules_tests;

use ends_tests::{engine, learned};
use post_tests::{Fault, Kept, Post, Tally};
use proxy_tests::{Host, Proxy, Vm};
use schedules_tests::Midway;

const MS: u64 = 1_000_000;
const MINUTE: i64 = 60_000 * MS as i64;
/// Seconds of the wall clock to one of the other while the campaign is learned: a tick is six minutes.
const LEARNING: u64 = 3_600;
/// The same in a schedule: a tick is six seconds.
const SCALE: u64 = 60;
/// Each sees twenty of the campaign's accounts, and it takes twenty-four to convict.
const PROXIES: usize = 3;
const ACCOUNTS: u64 = 60;
/// The first of those that nobody has seen before, and how many of them come in a schedule.
const FRESH: u64 = 1_000;
const NEW: u64 = 12;
const PEOPLE: u64 = 40;
/// Most VMs of a proxy at once.
const VMS: usize = 3;
const STEPS: u64 = 80;
/// Ticks after the faults within which somebody leads: see `node::tests::model_tests`.
const LEADS: u64 = 50;
/// Ticks after that within which the hub knows everything: a call that is under way may fail, and the next one at a hub that was active;
/// the longest wait after failures is 300.
const QUIET: u64 = 1_000;
/// Ticks in which a leader looks at each of its shards.
const AUDIT: u64 = 70;
/// Bytes of a VM's tables, and of the hub's ledger.
const VM_BYTES: usize = 3 << 20;
const HUB_BYTES: usize = 3 << 20;
/// What is denied is denied for longer than a schedule.
const DENIED_S: u32 = 30 * 86_400;
/// Kinds of faults, and of what comes of them, that some hundred schedules show.
const KINDS: usize = 39;
/// How a call ends.
const OK: u32 = 200;
const BAD: u32 = 400;
const AWAY: u32 = 503;
const TIMEOUT: u32 = 504;

/// No campaign is a fleet: ticks of six minutes make timers of everybody.
fn settings(hub: &str, more: &str) -> Arc<Config> {
    let text = format!(
        r#"{{"policy":"fleet","seed":"{SEED}","mode":"enforce","keys":1024,"limits":[],"identity":{{"learn":"0s","age":{{"header":"x-created"}}}},"campaign":{{"fleet_cap":0,"groups":128,"doorkeeper_bits":12,"novelty_bits":12}}{hub}{more}}}"#
    );
    Arc::new(parse(&text).unwrap())
}

/// With the hub.
fn usual() -> Arc<Config> {
    settings(r#","hub":{"cluster":"hub","every":"100ms"}"#, "")
}

/// A request, by the hub's clock; without a credential, the time alone.
#[derive(Clone, Default)]
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
    fn body(&self) -> String {
        format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, self.prompt)
    }
}

fn of<'a>(headers: &'a [(&'a [u8], &'a [u8])]) -> Request<'a> {
    Request { path: b"/v1/chat/completions", authority: b"a", headers, ..Request::default() }
}

/// What was learned before a schedule begins: the hub has convicted the campaign, and all VMs have left.
struct Learned {
    memories: Vec<BTreeMap<String, (Vec<u8>, u32)>>,
    kept: Kept,
    tally: Tally,
    names: BTreeMap<NodeId, usize>,
    written: Written,
    now: u64,
    wall: Nanos,
    /// Accounts that are refused everywhere.
    caught: Vec<u64>,
    asked: Vec<Asked>,
}

/// Batches by process, ring and number: more than one if a worker could not say that it had written.
type Written = BTreeMap<(usize, u8, u64), Vec<Vec<u8>>>;

type IsWritten<'a> = dyn Fn(&NodeId, u8, u64, &[u8]) -> bool + 'a;

/// A call that a host has made for a VM, and when.
struct Call {
    place: usize,
    life: usize,
    vm: usize,
    made: u64,
}

/// What is under way, and when it comes.
struct Packet {
    due: u64,
    call: u64,
    place: usize,
    what: What,
}

enum What {
    Request(Vec<u8>),
    Reply(u32, Vec<u8>),
}

/// See the module.
pub struct Fleet<'a> {
    from: Option<&'a Learned>,
    seed: u64,
    rng: Rng,
    /// Does anything go wrong now? Does nothing in all of the schedule?
    faults: bool,
    is_good: bool,
    now: u64,
    /// The true time.
    wall: Nanos,
    scale: u64,
    proxies: Vec<Proxy>,
    /// Processes so far.
    lives: usize,
    /// Whose the ids of nodes are.
    names: BTreeMap<NodeId, usize>,
    /// What workers have written: process, ring, number.
    written: Written,
    post: Post,
    /// The hub's wall clock less the true one; until when it stalls; when another begins if there is none.
    hub_ahead: i64,
    hub_asleep: u64,
    hub_back: u64,
    /// The lease is renewed again then.
    renewed_at: u64,
    /// What happens to the next VM that hears an answer.
    next_answer: Midway,
    is_full: bool,
    calls: BTreeMap<u64, Call>,
    called: u64,
    net: Vec<Packet>,
    /// Until when a proxy is cut off.
    cut: [u64; PROXIES],
    /// Keys that people may deny, by their credentials.
    guests: BTreeMap<u64, String>,
    /// What each process had told the hub before the schedule began.
    before: BTreeMap<NodeId, u64>,
    /// Something happened that may lose observations; that may count an acknowledgement twice; that makes a node another one; a clock
    /// stepped.
    may_lose: bool,
    may_double: bool,
    is_hurt: bool,
    has_stepped: bool,
    asked: Vec<Asked>,
    steps: u64,
    seen: BTreeMap<&'static str, u64>,
    is_told: bool,
}

/// A failure names its seed.
impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "seed {} failed in step {}: FLEET_SEED={} cargo test --bin weir hub::fleet -- --nocapture",
                self.seed, self.steps, self.seed
            );
        }
    }
}

fn stepped(t: Nanos, by: i64) -> Nanos {
    Nanos(t.0.saturating_add_signed(by))
}

impl<'a> Fleet<'a> {
    fn new(seed: u64, from: Option<&'a Learned>) -> Fleet<'a> {
        let config = usual();
        let (is_shared, is_good) = (seed.is_multiple_of(2), seed.is_multiple_of(8));
        let (kept, tally) = from.map(|l| (l.kept.clone(), l.tally.clone())).unwrap_or_default();
        let before = tally.of_node.clone();
        let mut f = Fleet {
            from,
            seed,
            rng: Rng(seed << 20),
            faults: !is_good,
            is_good,
            now: from.map_or(1_000 * TICK, |l| l.now),
            wall: from.map_or(Nanos::from_secs(START_S), |l| l.wall),
            scale: SCALE,
            proxies: Vec::new(),
            lives: PROXIES,
            names: from.map(|l| l.names.clone()).unwrap_or_default(),
            written: BTreeMap::new(),
            post: Post::new(&config, kept, tally, is_shared),
            hub_ahead: 0,
            hub_asleep: 0,
            hub_back: 0,
            renewed_at: 0,
            next_answer: Midway::Nothing,
            is_full: false,
            calls: BTreeMap::new(),
            called: 0,
            net: Vec::new(),
            cut: [0; PROXIES],
            guests: BTreeMap::new(),
            before,
            may_lose: false,
            may_double: false,
            is_hurt: false,
            has_stepped: false,
            asked: Vec::new(),
            steps: 0,
            seen: BTreeMap::new(),
            is_told: false,
        };
        f.wait(0);
        for place in 0..PROXIES {
            let mut memory = Memory::default();
            if let Some(cells) = from.and_then(|l| l.memories.get(place)) {
                // Versions go on behind those that there are.
                (memory.version, memory.cells) = (1 << 30, cells.clone());
            }
            f.proxies.push(Proxy::new(memory, Arc::clone(&config), place, 0));
            f.begin_process(place);
        }
        f.post.start();
        // The main thread's VM comes first.
        (0..PROXIES).for_each(|place| f.tick(place, 0, Midway::Nothing));
        f
    }

    fn note(&mut self, what: &'static str) {
        *self.seen.entry(what).or_default() += 1;
        if self.is_told {
            println!("{:>4} {:>7} ms: {what}", self.steps, self.now / MS);
        }
    }

    /// Something of the hub's, which asks of each batch whether a worker has written it.
    fn at_post<T>(&mut self, act: impl FnOnce(&mut Post, &IsWritten<'_>) -> T) -> T {
        let (names, written, from) = (&self.names, &self.written, self.from);
        let is_written = move |node: &NodeId, ring: u8, seq: u64, bytes: &[u8]| {
            let place = names.get(node).map(|life| (*life, ring, seq));
            let mut all = [Some(written), from.map(|l| &l.written)].into_iter().flatten();
            place.is_some_and(|p| all.any(|w| w.get(&p).is_some_and(|all| all.iter().any(|b| b == bytes))))
        };
        act(&mut self.post, &is_written)
    }

    /// Does it go wrong, once in so many?
    fn fault(&mut self, what: &'static str, one_in: u64) -> bool {
        let it_does = self.faults && self.rng.one_in(one_in);
        if it_does {
            self.note(what);
        }
        it_does
    }

    fn wait(&mut self, ns: u64) {
        self.skip(ns, ns * self.scale);
    }
    fn skip(&mut self, ns: u64, of_wall: u64) {
        self.now += ns;
        self.wall = self.wall.plus(Nanos(of_wall));
        self.post.set_clocks(stepped(self.wall, self.hub_ahead), self.now);
    }

    fn one_of(&mut self, of: &[usize]) -> Option<usize> {
        let at = self.rng.below(of.len() as u64) as usize;
        of.get(at).copied()
    }
    fn any_proxy(&mut self) -> usize {
        self.rng.below(PROXIES as u64) as usize
    }

    /// A process begins: the canary, which never ticks, and two or three VMs.
    fn begin_process(&mut self, place: usize) {
        self.start(place, 1);
        self.proxies[place].vms.remove(0);
        (0..2 + self.rng.below(2)).for_each(|_| self.start(place, 1));
    }

    fn start(&mut self, place: usize, rank: u32) {
        let node = Node::new(Arc::clone(&self.proxies[place].config), rank);
        let vm = Vm { node: Some(node), is_dead: false, uid: 0, asleep: 0, mail: Vec::new() };
        self.proxies[place].vms.push(vm);
        let i = self.proxies[place].vms.len() - 1;
        assert_eq!(self.on(place, i, Midway::Nothing, |vm, host| vm.join(host)), Some(true));
    }

    /// A process ends with all that it holds, and the next one begins.
    fn restart(&mut self, place: usize) {
        let (config, ahead) = (Arc::clone(&self.proxies[place].config), self.proxies[place].ahead);
        self.proxies[place] = Proxy::new(Memory::default(), config, self.lives, ahead);
        self.lives += 1;
        self.begin_process(place);
    }

    /// One callback of a VM. `None`: it has died.
    fn on<T>(
        &mut self,
        place: usize,
        i: usize,
        midway: Midway,
        act: impl FnOnce(&mut Node, &mut Host<'_, 'a>) -> T,
    ) -> Option<T> {
        let mut node = self.proxies[place].vms[i].node.take()?;
        let before = node.counts();
        let mut host = Host { fleet: self, at: (place, i), midway, is_dead: false };
        let out = act(&mut node, &mut host);
        let is_dead = host.is_dead;
        let proxy = &mut self.proxies[place];
        if is_dead {
            proxy.bury(i, before);
            return None;
        }
        proxy.vms[i].node = Some(node);
        Some(out)
    }

    fn kill(&mut self, place: usize, i: usize) {
        let counts = self.proxies[place].vms[i].node.as_ref().map(Node::counts);
        self.proxies[place].bury(i, counts.unwrap_or_default());
    }

    fn leave(&mut self, place: usize, i: usize) {
        self.on(place, i, Midway::Nothing, |vm, host| vm.leave(host));
        self.kill(place, i);
    }

    /// What the host does for a VM each tick.
    fn tick(&mut self, place: usize, i: usize, midway: Midway) {
        let proxy = &self.proxies[place];
        let (config, now, life) = (Arc::clone(&proxy.config), stepped(self.wall, proxy.ahead), proxy.life);
        let due = self.on(place, i, midway, |vm, host| {
            vm.reconfigure(&config);
            vm.tick(host, now, TICK).then(|| vm.hub_request(host, now))
        });
        let due = due.flatten();
        if midway == Midway::Nothing && due.is_some() {
            let proxy = &mut self.proxies[place];
            let named = proxy.named();
            let vm = &proxy.vms[i];
            let leads = vm.node.as_ref().is_some_and(Node::leads);
            assert!(!leads || named == Some(vm.uid), "{} leads, and the head names {named:?}", vm.uid);
        }
        let Some(Some(bytes)) = due else { return };
        assert!(bytes.len() <= REQUEST_BYTES);
        if self.fault("a host makes no call", 60) {
            self.on(place, i, Midway::Nothing, |vm, host| vm.hub_not_sent(host));
            return;
        }
        self.called += 1;
        let call = self.called;
        self.calls.insert(call, Call { place, life, vm: i, made: self.now });
        if self.fault("a request comes twice", 20) {
            self.send(call, place, What::Request(bytes.clone()));
        }
        self.send(call, place, What::Request(bytes));
    }

    /// Something is on its way, and may be lost, late or damaged.
    fn send(&mut self, call: u64, place: usize, what: What) {
        if self.cut[place] > self.now || self.fault("a request or a reply is lost", 25) {
            return;
        }
        let mut late = MS * (1 + self.rng.below(30));
        if self.fault("a request or a reply is late", 15) {
            // Some come when the host has given the call up.
            let most = if self.rng.one_in(4) { 2 * u64::from(CALL_MS) } else { 500 };
            late = self.rng.below(most) * MS;
        }
        let mut packet = Packet { due: self.now + late, call, place, what };
        let (What::Request(bytes) | What::Reply(_, bytes)) = &mut packet.what;
        if !bytes.is_empty() && self.fault("a request or a reply is damaged", 60) {
            let at = self.rng.below(bytes.len() as u64) as usize;
            bytes[at] ^= 1 << self.rng.below(8);
        }
        self.net.push(packet);
    }

    /// A call has ended, if the host has not given it up.
    fn hang_up(&mut self, call: u64, status: u32, body: Vec<u8>) {
        let Some(c) = self.calls.remove(&call) else { return };
        let proxy = &mut self.proxies[c.place];
        if proxy.life == c.life && !proxy.vms[c.vm].is_dead {
            proxy.vms[c.vm].mail.push((status, body));
        }
    }

    /// The network, and the hub.
    fn network(&mut self) {
        let given_up = |c: &Call| self.now.saturating_sub(c.made) >= u64::from(CALL_MS) * MS;
        let over: Vec<u64> = self.calls.iter().filter(|(_, c)| given_up(c)).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.hang_up(id, TIMEOUT, Vec::new()));
        if !self.post.is_up() && self.now >= self.hub_back {
            if self.post.start() {
                self.note("one that has followed begins");
            }
            self.post.set_full(self.is_full);
        }
        if self.post.is_lapsed && self.now >= self.renewed_at {
            self.post.renew();
        }
        let is_stalled = self.hub_asleep > self.now;
        let due = |p: &Packet| p.due <= self.now && !(is_stalled && matches!(p.what, What::Request(_)));
        let (mut due, rest): (Vec<Packet>, Vec<Packet>) =
            std::mem::take(&mut self.net).into_iter().partition(due);
        self.net = rest;
        let mut to_hub = Vec::new();
        while !due.is_empty() {
            let at = self.rng.below(due.len() as u64) as usize;
            let p = due.swap_remove(at);
            match p.what {
                What::Request(bytes) => {
                    let to_former = self.rng.one_in(2);
                    let identity = Identity::of_token(&format!("proxy-{}", p.place));
                    to_hub.push((p.call, bytes, identity, to_former));
                }
                What::Reply(status, body) => self.hang_up(p.call, status, body),
            }
        }
        self.asked.push(Asked { now: self.post.wall(), ..Asked::default() });
        if is_stalled {
            return;
        }
        self.hub_round(to_hub);
    }

    /// A round of the hub: it may be its last.
    fn hub_round(&mut self, to_hub: Vec<(u64, Vec<u8>, Arc<Identity>, bool)>) {
        let places: BTreeMap<u64, usize> =
            to_hub.iter().filter_map(|c| Some((c.0, self.calls.get(&c.0)?.place))).collect();
        let is_busy = !to_hub.is_empty() && self.post.is_up();
        if is_busy && self.fault("the store refuses", 40) {
            self.post.set_fault(Fault::Refuses);
        } else if is_busy && self.fault("the store's answer is lost", 40) {
            self.post.set_fault(Fault::Unanswered);
        }
        let dies = is_busy && self.fault("the hub is killed before it answers", 60);
        let ended = self.at_post(|post, is_written| post.serve(to_hub, dies, is_written));
        if dies {
            self.hub_back = self.now + self.rng.below(20) * TICK;
        }
        for (call, status, body) in ended {
            if let Some(place) = places.get(&call) {
                self.send(call, *place, What::Reply(status, body));
            }
        }
    }

    /// So many ticks of everything that does not stall, in any order.
    fn pass(&mut self, ticks: u64) {
        for _ in 0..ticks {
            let ns = TICK * (8 + self.rng.below(6)) / 10;
            self.wait(ns);
            let network_at = self.rng.below(PROXIES as u64 + 1) as usize;
            for place in 0..PROXIES {
                if network_at == place {
                    self.network();
                }
                let mut all = self.proxies[place].awake(self.now);
                while let Some(i) = self.one_of(&all) {
                    all.retain(|other| *other != i);
                    let hears_first = self.rng.one_in(2);
                    if hears_first {
                        self.hear(place, i);
                    }
                    self.tick(place, i, Midway::Nothing);
                    if !hears_first {
                        self.hear(place, i);
                    }
                }
            }
            if network_at == PROXIES {
                self.network();
            }
        }
    }

    /// A VM hears what has come for it.
    fn hear(&mut self, place: usize, i: usize) {
        for (status, body) in std::mem::take(&mut self.proxies[place].vms[i].mail) {
            let midway = std::mem::replace(&mut self.next_answer, Midway::Nothing);
            let answer = self.on(place, i, midway, |vm, host| vm.hub_answer(host, status, &body));
            assert!(!self.is_good || answer == Some(Some(Answer::Taken)), "{status} {answer:?}");
        }
    }

    /// A request on a VM. `None`: the VM has died.
    fn ask(&mut self, place: usize, i: usize, midway: Midway, asked: Asked) -> Option<Decision> {
        let proxy = &self.proxies[place];
        let (config, now) = (Arc::clone(&proxy.config), stepped(self.wall, proxy.ahead));
        let (headers, body) = (asked.headers(), asked.body());
        let d = self.on(place, i, midway, |vm, host| {
            let mut s = vm.open(&config, &of(&headers));
            s.push(body.as_bytes(), true);
            vm.decide(host, &config, now, &mut s)
        });
        drop(headers);
        self.asked.push(asked);
        d
    }

    fn words(&mut self, n: u64) -> String {
        let mut word = || (0..5).map(|_| char::from(b'a' + self.rng.below(26) as u8)).collect::<String>();
        (0..n).map(|_| word()).collect::<Vec<_>>().join(" ")
    }

    fn person(&mut self, place: usize, i: usize, midway: Midway) {
        let key = self.rng.below(PEOPLE);
        // Of some nobody knows the age.
        let created =
            if key.is_multiple_of(3) { String::new() } else { (START_S - 200 * 86_400).to_string() };
        let (now, prompt) = (self.post.wall(), self.words(14));
        let asked = Asked { now, credential: format!("person-{key}"), created, prompt };
        let said = self.ask(place, i, midway, asked);
        assert!(!said.is_some_and(|d| d.action.rejects()), "person {key} is refused");
    }

    fn account(&mut self, place: usize, i: usize, account: u64) -> Option<Decision> {
        let template = "Write a worked solution for the task below and check it with a second method before you finish the last line. Then name the rule that you used and say why no other rule applies here.";
        let prompt = format!("{template} {}", self.words(14));
        let (now, created) = (self.post.wall(), (START_S - 3 * 86_400).to_string());
        let asked = Asked { now, credential: format!("account-{account}"), created, prompt };
        self.ask(place, i, Midway::Nothing, asked)
    }

    fn guest(&mut self, place: usize, i: usize, credential: String) -> Option<Decision> {
        let (now, prompt) = (self.post.wall(), self.words(14));
        let created = (START_S - 200 * 86_400).to_string();
        self.ask(place, i, Midway::Nothing, Asked { now, credential, created, prompt })
    }
}

fn run(seed: u64, from: &Learned, is_told: bool) -> Fleet<'_> {
    let mut f = Fleet::new(seed, Some(from));
    f.is_told = is_told;
    (0..STEPS).for_each(|_| f.step());
    f.settle(&from.caught);
    if seed.is_multiple_of(100) {
        engine(&[&from.asked[..], &f.asked].concat());
    }
    f
}

fn schedules(from: u64, to: u64) {
    let base = learned();
    let ran = |seed, is_told| {
        let f = run(seed, &base, is_told);
        (f.steps, f.seen.clone())
    };
    let Some(seen) = schedules_tests::schedules("FLEET_SEED", (from, to), ran) else { return };
    assert!(seen.len() >= KINDS || to - from < 200, "{}: {seen:?}", seen.len());
}

fn asked_for(default: u64) -> u64 {
    schedules_tests::number("FLEET_SCHEDULES").unwrap_or(default)
}

#[test]
fn hundreds_of_schedules_of_a_fleets_faults_lose_and_double_nothing_and_refuse_nobody_honest() {
    schedules(1, 1 + asked_for(200));
}

#[test]
#[ignore = "half an hour: make test-slow"]
fn many_thousand_schedules_of_a_fleets_faults_lose_and_double_nothing_and_refuse_nobody_honest() {
    schedules(100_001, 100_001 + asked_for(20_000));
}
