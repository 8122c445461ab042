use super::cells::{FREE, Head, LED, RING, SLOTS, Slot, YIELDED};
use super::memory::Memory;
use super::*;
use crate::engine::config::parse;
use crate::engine::edge::identity::Head as Request;

mod hub_tests;
mod model_tests;
mod schedules_tests;

fn config(policy: &str, seed: &str) -> Arc<Config> {
    let text = format!(
        r#"{{"policy":"{policy}","seed":"{}","keys":1024,"campaign":{{"groups":64,"doorkeeper_bits":10,"novelty_bits":10}},"limits":[]}}"#,
        seed.repeat(32)
    );
    Arc::new(parse(&text).unwrap())
}

fn add(sum: &mut Counts, c: Counts) {
    sum.sent += c.sent;
    sum.applied += c.applied;
    sum.lost += c.lost;
    sum.dropped += c.dropped;
    sum.late += c.late;
    sum.cells_refused += c.cells_refused;
    sum.pages_refused += c.pages_refused;
}

/// A request on a VM: its headers and its prompt.
fn ask(
    vm: &mut Node,
    cells: &mut dyn Cells,
    now: Nanos,
    headers: &[(&[u8], &[u8])],
    prompt: &str,
) -> Decision {
    let config = Arc::clone(&vm.config);
    let mut s = vm.open(&config, &of(headers));
    s.push(body(prompt).as_bytes(), true);
    vm.decide(cells, &config, now, &mut s)
}

fn of<'a>(headers: &'a [(&'a [u8], &'a [u8])]) -> Request<'a> {
    Request { path: b"/v1/chat/completions", authority: b"a", headers, ..Request::default() }
}

fn body(prompt: &str) -> String {
    format!(r#"{{"messages":[{{"role":"user","content":"{prompt}"}}]}}"#)
}

/// VMs of one process; a dead one is `None`.
struct World {
    memory: Memory,
    vms: Vec<Option<Node>>,
    /// Counters of the dead.
    gone: Counts,
}

impl World {
    fn new(vms: usize) -> World {
        let mut w = World { memory: Memory::default(), vms: Vec::new(), gone: Counts::default() };
        w.memory.now = 1_000 * TICK;
        // The canary configures first and never ticks.
        assert!(Node::new(config("p", "ab"), 1).join(&mut w.memory));
        for _ in 0..vms {
            w.start(1);
        }
        w
    }
    fn start(&mut self, rank: u32) -> usize {
        let mut node = Node::new(config("p", "ab"), rank);
        assert!(node.join(&mut self.memory));
        self.vms.push(Some(node));
        self.vms.len() - 1
    }
    fn tick(&mut self, i: usize) {
        let now = Nanos::from_secs(1_780_000_000).plus(Nanos(self.memory.now));
        if let Some(vm) = &mut self.vms[i] {
            vm.tick(&mut self.memory, now, TICK);
        }
    }
    /// `n` ticks of all VMs but `stalled`.
    fn run(&mut self, n: usize, stalled: &[usize]) {
        for _ in 0..n {
            self.memory.now += TICK;
            for i in (0..self.vms.len()).filter(|i| !stalled.contains(i)) {
                self.tick(i);
            }
        }
    }
    fn request(&mut self, i: usize, key: u64) -> Decision {
        let now = Nanos::from_secs(1_780_000_000).plus(Nanos(self.memory.now));
        let vm = self.vms[i].as_mut().unwrap();
        let credential = format!("key-{key}");
        ask(
            vm,
            &mut self.memory,
            now,
            &[(b"x-api-key", credential.as_bytes())],
            &format!("some words about number w{key}x"),
        )
    }
    fn leader(&self) -> Option<usize> {
        let all: Vec<usize> =
            (0..self.vms.len()).filter(|i| self.vms[*i].as_ref().is_some_and(Node::leads)).collect();
        assert!(all.len() <= 1, "{all:?} lead");
        all.first().copied()
    }
    /// Who leads beside one that does not know it yet.
    fn leader_but(&self, former: usize) -> usize {
        let leads = |i: &usize| *i != former && self.vms[*i].as_ref().is_some_and(Node::leads);
        (0..self.vms.len()).find(leads).unwrap()
    }
    fn kill(&mut self, i: usize) {
        let c = self.vms[i].take().unwrap().counts();
        add(&mut self.gone, c);
    }
    fn counts(&self) -> Counts {
        let mut sum = self.gone;
        self.vms.iter().flatten().for_each(|vm| add(&mut sum, vm.counts()));
        sum
    }
    fn keys(&mut self) -> u32 {
        let leader = self.leader().unwrap();
        self.vms[leader].as_mut().unwrap().status().unwrap().keys
    }
    fn head(&mut self) -> Head {
        let name = format!("{}H", cells::prefix(&config("p", "ab")));
        Head::decode(&self.memory.get(&name).unwrap().0).unwrap()
    }
    fn cell(&mut self, kind: &str) -> &mut Vec<u8> {
        let name = format!("{}{kind}", cells::prefix(&config("p", "ab")));
        &mut self.memory.cells.get_mut(&name).unwrap().0
    }
}

#[test]
fn at_a_cold_start_the_first_vm_leads_and_no_other() {
    let mut w = World::new(3);
    w.run(1, &[]);
    assert_eq!(w.leader(), Some(0), "number one claims at once");
    w.run(100, &[]);
    assert_eq!(w.leader(), Some(0));
    assert_eq!(w.head().epoch, 1);
    let health = w.vms[2].as_mut().unwrap().health(&mut w.memory);
    assert!(health.present && !health.serving && health.beat_age_ms <= 100, "{health:?}");
}

#[test]
fn on_a_host_without_canaries_somebody_leads_too() {
    let mut w = World::new(0);
    w.memory.cells.clear();
    w.start(1);
    w.start(1);
    w.run(15, &[]);
    assert!(w.leader().is_some());
}

#[test]
fn without_shared_data_nobody_joins() {
    let mut memory = Memory { broken: true, ..Memory::default() };
    assert!(!Node::new(config("p", "ab"), 1).join(&mut memory));
}

#[test]
fn what_the_workers_see_is_in_one_ledger_and_nothing_is_lost() {
    let mut w = World::new(4);
    w.run(2, &[]);
    for i in 0..600 {
        w.request(1 + i as usize % 3, i / 2);
        if i % 20 == 0 {
            w.run(1, &[]);
        }
    }
    w.run(3, &[]);
    let c = w.counts();
    assert_eq!((c.sent, c.applied, c.lost, c.dropped), (600, 600, 0, 0));
    assert_eq!(w.keys(), 300);
    assert_eq!(w.leader(), Some(0), "the VM without streams leads");
}

#[test]
fn a_dead_leader_is_followed_within_its_lease_and_its_ledger_goes_on() {
    let mut w = World::new(3);
    w.run(2, &[]);
    for i in 0..200 {
        w.request(1 + i as usize % 2, i);
    }
    w.run(5, &[]);
    assert_eq!(w.keys(), 200);
    w.kill(0);
    let died = w.memory.now;
    // Requests go on all the while: 500 a second on each of two workers.
    let mut n = 200;
    while w.leader().is_none() {
        for _ in 0..50 {
            w.request(1, n);
            w.request(2, n);
            n += 1;
        }
        w.run(1, &[]);
        assert!(w.memory.now - died < 4_000 * MS, "no successor");
    }
    assert!(w.memory.now - died > STALE, "the lease was not respected");
    w.run(50, &[]);
    let c = w.counts();
    assert_eq!(c.sent, c.applied + c.lost);
    assert_eq!((c.lost, c.dropped, c.pages_refused), (0, 0, 0), "the rings bridge the gap");
    assert!(c.late > 0, "and it is told");
    assert_eq!(w.head().epoch, 2);
    assert_eq!(w.keys(), 1_024, "of {n} keys as many as the table holds");
}

#[test]
fn a_stalled_leader_that_wakes_steps_down_before_it_writes() {
    let mut w = World::new(3);
    w.run(2, &[]);
    w.request(1, 1);
    w.run(2, &[]);
    w.run(60, &[0]);
    let successor = w.leader_but(0);
    let before = w.memory.cells.clone();
    // It wakes up, first of all.
    w.memory.now += TICK;
    w.tick(0);
    assert_eq!(w.leader(), Some(successor));
    for (name, (bytes, _)) in &w.memory.cells {
        let own = name.contains("/s/");
        assert!(own || before.get(name).is_some_and(|(b, _)| b == bytes), "{name} was written");
    }
    w.run(20, &[]);
    assert_eq!(w.head().epoch, 2);
}

#[test]
fn a_leader_that_stalled_past_its_lease_mends_no_head_and_does_not_lead_again_with_its_old_ledger() {
    for is_lost in [false, true] {
        let mut w = World::new(3);
        w.run(2, &[]);
        w.request(1, 1);
        w.run(5, &[]);
        w.run(60, &[0]);
        let successor = w.leader_but(0);
        w.request(3 - successor, 2);
        w.run(5, &[0]);
        // The successor dies, and the head is damaged before anybody else sees it. The old leader wakes first.
        w.kill(successor);
        if is_lost {
            w.memory.cells.retain(|name, _| !name.ends_with("/H"));
        } else {
            *w.cell("H") = vec![7; 40];
        }
        w.memory.now += TICK;
        w.tick(0);
        assert_eq!(w.leader(), None, "it has lost the lease");
        w.run(40, &[]);
        let c = w.counts();
        assert_eq!((w.keys(), c.sent, c.applied), (2, 2, 2), "nothing is applied again: {c:?}");
    }
}

#[test]
fn tails_and_pages_that_a_stalled_leader_wrote_over_are_written_again_though_nothing_is_learned() {
    let mut w = World::new(3);
    w.run(2, &[]);
    w.request(1, 1);
    w.run(5, &[]);
    let of_before = w.memory.cells.clone();
    w.kill(0);
    w.run(40, &[]);
    let leader = w.leader().unwrap();
    w.request(leader, 2);
    w.run(60, &[]);
    assert_eq!(w.counts().applied, 2);
    // What the one before would have written in the rest of its callback.
    let of_pages = |name: &str| name.contains("/c/") || name.ends_with("/cm");
    for (name, cell) in of_before.into_iter().filter(|c| of_pages(&c.0)) {
        w.memory.set(&name, &cell.0, 0);
    }
    w.run(10, &[]);
    w.kill(leader);
    w.run(60, &[]);
    let c = w.counts();
    assert_eq!((w.keys(), c.sent, c.applied, c.lost), (2, 2, 2, 0), "each is in the ledger once");
}

#[test]
fn a_process_that_was_stopped_keeps_its_leader() {
    let mut w = World::new(3);
    w.run(5, &[]);
    w.memory.now += 600 * STALE;
    // The leader comes last to its first tick.
    for i in [2, 1, 0] {
        w.tick(i);
    }
    w.run(20, &[]);
    assert_eq!((w.leader(), w.head().epoch), (Some(0), 1));
}

#[test]
fn newer_code_takes_over_and_older_code_does_not() {
    let mut w = World::new(3);
    w.run(2, &[]);
    for i in 0..100 {
        w.request(1, i);
    }
    w.run(3, &[]);
    let (old, new) = (w.start(0), w.start(7));
    w.run(30, &[]);
    assert_eq!(w.leader(), Some(new));
    assert_eq!(w.head().epoch, 2, "one hand-over");
    assert_eq!((w.keys(), w.counts().lost), (100, 0));
    // The old workers' rings are read by the new leader; an idle VM of old code does not get the lease back.
    for i in 100..200 {
        w.request(2, i);
    }
    w.request(new, 1_000);
    w.run(150, &[]);
    assert_eq!(w.leader(), Some(new), "{old} is older code");
    assert_eq!(w.keys(), 201);
    // The newest code is gone for good: any VM leads.
    w.kill(new);
    w.run(40, &[]);
    assert!(w.leader().is_some());
    assert_eq!(w.keys(), 201);
}

#[test]
fn a_serving_leader_yields_to_an_idle_vm_but_only_to_a_live_one() {
    let mut w = World::new(2);
    w.run(2, &[]);
    w.request(0, 1);
    w.request(1, 2);
    w.run(150, &[]);
    assert_eq!((w.leader(), w.head().epoch), (Some(0), 1), "nobody is idle: nothing is offered");
    let idle = w.start(1);
    w.run(110, &[]);
    assert_eq!((w.leader(), w.head().epoch), (Some(idle), 2));
    assert_eq!(w.counts().lost, 0);
    w.run(300, &[]);
    assert_eq!(w.head().epoch, 2, "and it stays there");
}

#[test]
fn a_yield_that_nobody_takes_ends() {
    let mut w = World::new(2);
    w.run(2, &[]);
    w.request(0, 1);
    let mut head = w.head();
    // A candidate asks and dies.
    head.want = 9;
    let name = format!("{}H", cells::prefix(&config("p", "ab")));
    w.memory.set(&name, &head.encode(), 0);
    w.run(2, &[]);
    assert_eq!(w.head().state, YIELDED);
    for i in 0..30 {
        w.request(0, i);
    }
    w.run(11, &[]);
    assert_eq!((w.head().state, w.leader()), (LED, Some(0)));
    w.run(2, &[]);
    assert_eq!((w.counts().applied, w.counts().lost), (31, 0));
}

#[test]
fn an_overrun_ring_is_counted_to_the_observation() {
    let mut w = World::new(2);
    w.run(2, &[]);
    // The leader sleeps; a worker writes more than its ring holds.
    let mut sent = 0;
    while w.counts().sent < 30_000 {
        w.request(1, sent % 700);
        sent += 1;
    }
    w.run(1, &[0]);
    let cells = w.memory.cells.keys().filter(|k| k.contains("/r/")).count();
    assert_eq!(cells as u64, RING, "the ring does not grow");
    w.run(60, &[]);
    let c = w.counts();
    assert!(c.lost > 0, "{c:?}");
    assert_eq!(c.sent, c.applied + c.lost, "{c:?}");
    assert_eq!(c.sent + c.dropped, sent);
}

#[test]
fn a_drain_keeps_its_budget_and_every_ring_its_turn() {
    let mut w = World::new(4);
    w.run(2, &[]);
    while w.counts().sent < 9_000 {
        for i in 1..4 {
            w.request(i, w.counts().sent % 500);
        }
    }
    w.run(1, &[0]);
    // Each look at the clock takes 3 ms: about seven batches fit.
    w.memory.slow = 3 * MS;
    let mut last = w.counts().applied;
    for _ in 0..40 {
        let before = w.memory.now;
        w.tick(0);
        w.memory.now = before + TICK;
        let applied = w.counts().applied;
        assert!(applied - last < 3_000, "{} at once", applied - last);
        last = applied;
    }
    assert_eq!(w.counts().applied, w.counts().sent);
}

#[test]
fn damaged_and_foreign_cells_are_refused_and_counted() {
    let mut w = World::new(2);
    w.run(2, &[]);
    for i in 0..20 {
        w.request(1, i);
    }
    w.run(1, &[0]);
    // One batch is damaged on its way.
    w.cell("r/1/0")[60] ^= 1;
    w.run(2, &[]);
    let c = w.counts();
    assert_eq!((c.applied, c.lost, c.cells_refused), (0, 20, 1));
    for i in 0..20 {
        w.request(1, i);
    }
    w.run(40, &[]);
    // A slot and the head are overwritten with nonsense: both are mended.
    w.cell("s/1").truncate(9);
    w.run(3, &[]);
    *w.cell("H") = vec![7; 40];
    w.run(40, &[]);
    assert_eq!(w.leader(), Some(0));
    assert!(w.counts().cells_refused > 1);
    w.request(1, 3);
    w.run(3, &[]);
    assert_eq!(w.counts().applied, 21);
    // A damaged page costs its part of the tables and is counted; the successor leads all the same.
    w.cell("c/0")[30] ^= 1;
    w.kill(0);
    w.run(40, &[]);
    assert_eq!((w.leader(), w.counts().pages_refused), (Some(1), 1));
}

#[test]
fn a_batch_that_kills_its_reader_is_passed_over() {
    let mut w = World::new(3);
    w.run(2, &[]);
    for i in 0..30 {
        w.request(1, i);
    }
    w.run(1, &[0]);
    let slot = (0..3).find(|s| Slot::decode(w.cell(&format!("s/{s}"))).unwrap().total == 30).unwrap();
    // The leader marked the batch and trapped in it.
    let name = format!("{}p", cells::prefix(&config("p", "ab")));
    w.memory.set(&name, &cells::progress(true, slot, 0), 0);
    w.kill(0);
    for i in 0..10 {
        w.request(1, i);
    }
    w.run(40, &[]);
    let c = w.counts();
    assert_eq!((c.applied, c.lost), (10, 30));
}

#[test]
fn rings_behind_one_that_the_host_has_lost_are_read_within_a_second() {
    let mut w = World::new(4);
    w.run(5, &[]);
    let first = (0..4).find(|i| w.vms[*i].as_ref().unwrap().ring_place() == Some(0)).unwrap();
    w.kill(first);
    w.run(40, &[]);
    let name = format!("{}s/0", cells::prefix(&config("p", "ab")));
    w.memory.cells.remove(&name).unwrap();
    let others: Vec<usize> = (0..4).filter(|i| *i != first).collect();
    for (key, i) in others.iter().enumerate() {
        w.request(*i, key as u64);
        w.run(1, &[]);
    }
    w.run(leader::ALL_RINGS, &[]);
    assert!(!w.memory.cells.contains_key(&name), "nobody has claimed it");
    assert_eq!((w.keys(), w.counts().lost, w.counts().late), (3, 0, 0));
}

#[test]
fn counts_are_taken_anew_when_something_has_changed() {
    let mut w = World::new(2);
    w.run(5, &[]);
    for key in 0..8 {
        assert_eq!(w.keys(), key);
        w.request(1, key.into());
        w.run(3, &[]);
    }
}

#[test]
fn without_a_free_ring_observations_are_dropped_and_counted_and_requests_decided() {
    let mut w = World::new(SLOTS + 1);
    w.run(2, &[]);
    for i in 0..500 {
        w.request(SLOTS, i);
    }
    let c = w.counts();
    assert_eq!(c.sent, 0);
    assert!(c.dropped > 300, "{c:?}");
    // A VM dies: after five seconds its ring goes to the one that waits, and goes on where it stood.
    w.kill(5);
    w.run(60, &[]);
    for i in 0..10 {
        w.request(SLOTS, i);
    }
    w.run(3, &[]);
    let c = w.counts();
    assert_eq!(c.sent + c.dropped, 510);
    assert_eq!((c.applied, c.lost), (c.sent, 0));
}

#[test]
fn a_recycled_ring_continues_its_sequence() {
    let mut w = World::new(3);
    w.run(2, &[]);
    for i in 0..50 {
        w.request(1, i);
    }
    w.run(3, &[]);
    w.kill(1);
    w.run(60, &[]);
    let new = w.start(1);
    w.run(2, &[]);
    for i in 0..50 {
        w.request(new, i);
    }
    w.run(3, &[]);
    let slots = w.memory.cells.keys().filter(|k| k.contains("/s/")).count();
    assert_eq!(slots, 3);
    let c = w.counts();
    assert_eq!((c.sent, c.applied, c.lost), (100, 100, 0));
}

#[test]
fn the_last_root_frees_the_lease_with_everything_in_the_pages() {
    let mut w = World::new(3);
    w.run(2, &[]);
    for i in 0..100 {
        w.request(1, i);
    }
    w.run(1, &[0]);
    let mut leader = w.vms[0].take().unwrap();
    leader.leave(&mut w.memory);
    assert_eq!(w.head().state, FREE);
    w.gone.applied += leader.counts().applied;
    let freed = w.memory.now;
    while w.leader().is_none() {
        w.run(1, &[]);
    }
    assert!(w.memory.now - freed <= TICK, "no lease to wait for");
    w.run(2, &[]);
    assert_eq!((w.keys(), w.counts().lost), (100, 0));
}

#[test]
fn policies_and_seeds_are_apart() {
    let mut memory = Memory::default();
    let mut vms: Vec<Node> = [("p", "ab"), ("q", "ab"), ("p", "cd")]
        .map(|(p, s)| {
            let mut n = Node::new(config(p, s), 1);
            assert!(n.join(&mut memory));
            n
        })
        .into();
    for _ in 0..40 {
        memory.now += TICK;
        for vm in &mut vms {
            vm.tick(&mut memory, Nanos::from_secs(1_780_000_000), TICK);
        }
    }
    assert!(vms.iter().all(Node::leads));
    let prefixes: std::collections::BTreeSet<String> =
        memory.cells.keys().map(|k| k.rsplit_once('/').unwrap().0.into()).collect();
    assert!(prefixes.iter().any(|p| p.starts_with("weir1/4/p/")), "{prefixes:?}");
}

#[test]
fn several_roots_tick_once() {
    let mut w = World::new(1);
    w.memory.now += TICK;
    let now = Nanos::from_secs(1_780_000_000);
    let vm = w.vms[0].as_mut().unwrap();
    assert!(vm.tick(&mut w.memory, now, TICK));
    w.memory.now += TICK / 2;
    assert!(!vm.tick(&mut w.memory, now, TICK));
    w.memory.now += TICK / 2;
    assert!(vm.tick(&mut w.memory, now, TICK));
}

#[test]
fn table_sizes_outlive_a_configuration_that_changes_them() {
    let mut w = World::new(3);
    w.run(2, &[]);
    for i in 0..100 {
        w.request(1, i);
    }
    w.run(5, &[]);
    w.kill(0);
    let wide = parse(&format!(r#"{{"policy":"p","seed":"{}","keys":4096}}"#, "ab".repeat(32))).unwrap();
    for vm in w.vms.iter_mut().flatten() {
        vm.reconfigure(&Arc::new(wide.clone()));
    }
    w.run(50, &[]);
    assert_eq!((w.keys(), w.counts().pages_refused), (100, 0));
}

#[test]
fn a_stale_leaders_shard_is_ignored_and_written_again() {
    let mut w = World::new(3);
    w.run(2, &[]);
    w.request(1, 1);
    w.run(60, &[0]);
    w.run(5, &[]);
    // The old leader wrote over a shard in the rest of its callback.
    w.cell("v/3")[0] = 1;
    let late = w.start(1);
    w.request(late, 5);
    assert_eq!(w.counts().cells_refused, 0);
    w.run(70, &[]);
    assert_eq!(w.cell("v/3")[0], 2);
}

#[test]
fn two_cells_are_the_same_if_no_byte_differs() {
    for size in [0, 1, 7, 8, 9, 16, 700, 1_301] {
        let cell: Vec<u8> = (0..size).map(|i| i as u8).collect();
        assert!(cells::same(&cell, &cell.clone()));
        for at in 0..size {
            let mut other = cell.clone();
            other[at] ^= 0x80;
            assert!(!cells::same(&cell, &other) && !cells::same(&cell, &cell[..at]), "{size} {at}");
        }
    }
}

#[test]
fn cells_have_their_stated_sizes() {
    let mut w = World::new(2);
    w.run(2, &[]);
    for i in 0..2_000 {
        w.request(1, i);
    }
    w.run(3, &[]);
    let prefix = cells::prefix(&config("p", "ab"));
    let mut seen = std::collections::BTreeSet::new();
    for (name, (bytes, _)) in &w.memory.cells {
        let kind = name[prefix.len()..].split('/').next().unwrap();
        let (kind, _, most) = *cells::table(9, true).iter().find(|c| c.0 == kind).unwrap();
        seen.insert(kind);
        let exact = ["H", "n", "p", "cm", "s"].contains(&kind);
        assert!(bytes.len() <= most, "{name}: {}", bytes.len());
        assert!(!exact || bytes.len() == most, "{name}: {}", bytes.len());
    }
    assert_eq!(seen.len(), 8);
}

#[test]
fn a_tick_writes_so_many_pages_and_no_more() {
    let mut w = World::new(2);
    w.run(1, &[]);
    assert_eq!(w.leader(), Some(0));
    let count = w.vms[0].as_ref().unwrap().lead.as_ref().unwrap().ledger.page_count() as usize;
    let prefix = cells::prefix(&config("p", "ab"));
    let mut written = Vec::new();
    while written.last() != Some(&count) {
        w.run(1, &[]);
        written.push(w.memory.cells.keys().filter(|k| k[prefix.len()..].starts_with("c/")).count());
        assert!(written.len() <= count);
    }
    let most = PAGES_PER_TICK as usize;
    assert!(count > most && written[0] == most, "{written:?} of {count}");
    assert!(written.windows(2).all(|w| w[1] - w[0] <= most), "{written:?}");
}
