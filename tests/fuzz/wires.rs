//! What travels between workers, leader and hub, and what is saved: damaged or foreign bytes are refused, and what is accepted harms nobody,
//! whatever it says. Most inputs get a good head and checksum, so that the rest is looked at.

use crate::engine::config::{Config, parse};
use crate::engine::edge::Edge;
use crate::engine::edge::head::Head;
use crate::engine::ledger::Ledger;
use crate::engine::observation::{self, Batch, Observation};
use crate::engine::snapshot::{Shard, Snapshot, shard_of};
use crate::engine::units::Nanos;
use crate::engine::wire;
use crate::node::cells::{self, Cell, HubMeta, Meta, Slot, table};
use crate::node::exchange::{Reply, Request};
use crate::node::{CREATE, Cells, Node, Set};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// Small tables, and a hub.
pub static SMALL: LazyLock<Arc<Config>> = LazyLock::new(|| {
    let text = format!(
        r#"{{"policy":"fuzz","mode":"enforce","seed":"{}","keys":1024,"campaign":{{"groups":64,"doorkeeper_bits":10,"novelty_bits":10}},
            "actions":{{"watch":"budget"}},"hub":{{"cluster":"hub","token_env":"T"}}}}"#,
        "5a".repeat(32)
    );
    Arc::new(parse(&text).expect("small tables"))
});

/// A good time of a request.
const NOW: Nanos = Nanos(1_790_000_000_000_000_000);

/// The head of `like` before `body`, and a good checksum.
fn sealed(like: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = [like, body].concat();
    wire::seal(&mut out);
    out
}

/// What is published can be taken over.
fn publish(ledger: &mut Ledger, edge: &mut Edge) {
    ledger.publish(|_, shard| edge.apply(shard).expect("a shard of our own"));
}

/// Requests that meet what was published.
fn serve(edge: &mut Edge, config: &Config) {
    let keys = crate::engine::edge::identity::Keys::new(&config.seed);
    let body = br#"{"messages":[{"role":"user","content":"four words are here, and a few more of them"}]}"#;
    for (secret, now) in
        [(&b"Bearer one"[..], NOW), (b"Bearer two", Nanos(0)), (b"Bearer one", Nanos(u64::MAX))]
    {
        let headers: [(&[u8], &[u8]); 1] = [(b"authorization", secret)];
        let head = Head {
            path: b"/v1/chat/completions",
            headers: &headers,
            source: b"203.0.113.7:1",
            ..Head::default()
        };
        let mut session = edge.open(config, &keys, &head);
        session.push(body, true);
        session.finish();
        let mut d = edge.answer(now, &mut session);
        let _ = d.record(now, config, None);
        edge.refused_since(now, now.0, 7, &d);
        edge.hear_wait(now, 7, &mut d);
    }
}

/// A ledger goes on whatever it holds: time, observations, publication, reports, and what it writes it can read.
fn goes_on(ledger: &mut Ledger, batch: &[u8]) {
    let config = &*SMALL;
    let mut edge = Edge::new(Arc::clone(config));
    for now in [NOW, Nanos(NOW.0 + 3_600_000_000_000), Nanos(NOW.0 + 90_000_000_000_000)] {
        ledger.tick(now);
        let _ = ledger.observe(batch, |_, _| ());
        publish(ledger, &mut edge);
    }
    let _ = (ledger.status(), ledger.groups_report(), ledger.cases_report(), ledger.common_groups(1));
    serve(&mut edge, config);
    let state = ledger.write_state();
    let mut again = Ledger::new(config);
    again.read_state(&state).expect("a state of our own");
}

/// Observations that a worker could have made.
pub fn batch() -> Vec<u8> {
    let (mut batch, mut out) = (Batch::default(), Vec::new());
    for i in 0..8u64 {
        let obs = Observation {
            time: Nanos(NOW.0 + i),
            key: crate::engine::hash::mix(i % 5 + 1),
            cost: 1,
            value_count: 9,
            exact: i,
            last_user: i,
            first_user: i,
            anchors: observation::Few::of((1..9).map(crate::engine::hash::mix)),
            flags: observation::SERVED,
            ..Observation::default()
        };
        batch.push(&obs, 1 << 16);
    }
    batch.drain(SMALL.seed.check(), &mut out);
    out
}

pub fn observations(data: &[u8]) {
    let (config, check) = (&*SMALL, SMALL.seed.check());
    let _ = observation::decode(data, check, |_| ());
    let [low, high, body @ ..] = data else { return };
    let mut head = Vec::new();
    Batch::default().drain(check, &mut head);
    head.truncate(12);
    (head[8], head[9]) = (*low, *high);
    let bytes = sealed(&head, body);
    let mut all = Vec::new();
    let Ok(n) = observation::decode(&bytes, check, |o| all.push(*o)) else {
        assert!(all.is_empty(), "a part of a batch was applied");
        return;
    };
    assert_eq!(usize::from(n), all.len());
    let (mut batch, mut again) = (Batch::default(), Vec::new());
    assert!(all.iter().all(|o| batch.push(o, usize::MAX)));
    batch.drain(check, &mut again);
    assert_eq!(bytes, again, "what was read is written alike");
    goes_on(&mut Ledger::new(config), &bytes);
}

pub fn shards(data: &[u8]) {
    let (config, check) = (&*SMALL, SMALL.seed.check());
    let _ = Shard::decode(data, check);
    let [index, ahead, body @ ..] = data else { return };
    let mut head = Vec::new();
    Shard::default().encode(*index, check, &mut head);
    head.truncate(8);
    let bytes = sealed(&head, body);
    let mut snapshot = Snapshot::new(check);
    let Ok((_, shard)) = Shard::decode(&bytes, check) else {
        assert!(snapshot.apply(&bytes).is_err());
        return;
    };
    let mut again = Vec::new();
    shard.encode(*index, check, &mut again);
    assert_eq!(bytes, again, "what was read is written alike");
    snapshot.apply(&bytes).expect("it was read");
    let values: Vec<u64> =
        shard.values.iter().map(|v| v.value).chain(shard.suspects.iter().copied()).collect();
    let _ = (snapshot.best_match(&values), snapshot.suspect(&values), snapshot.exception_of_any(&values, 0));
    for k in shard.keys.iter().map(|k| k.key).chain(shard.overdrawn.iter().map(|o| o.key)) {
        let _ =
            (shard_of(k), snapshot.key(k, 0), snapshot.overdrawn(k, 0, NOW), snapshot.exception(k, u32::MAX));
        let _ = (snapshot.is_known(k), snapshot.is_proven(k), snapshot.case(k as u16));
    }
    let mut edge = Edge::new(Arc::clone(config));
    edge.apply(&bytes).expect("it was read");
    serve(&mut edge, config);
    edge.set_hub_ahead((i64::from(*ahead) - 128) << (ahead & 63));
    let _ = edge.apply_hub(&bytes);
    serve(&mut edge, config);
    edge.forget_hub();
}

pub fn pages(data: &[u8]) {
    let config = &*SMALL;
    let mut ledger = Ledger::new(config);
    let _ = ledger.read_page(0, data);
    let mut rest = data;
    let mut any = false;
    // Several pages, each with its number and length.
    while let [low, high, len, more, body @ ..] = rest {
        let index = u32::from(u16::from_le_bytes([*low, *high])) % ledger.page_count();
        let (body, after) = body.split_at(usize::from(u16::from_le_bytes([*len, *more])).min(body.len()));
        rest = after;
        let mut page = Vec::new();
        ledger.write_page(index, &mut page);
        let before = page.clone();
        page.truncate(10);
        let bytes = sealed(&page, body);
        if ledger.read_page(index, &bytes).is_ok() {
            any = true;
        } else if index > 0 {
            ledger.write_page(index, &mut page);
            assert_eq!(page, before, "a refused page changes nothing");
        }
    }
    if any {
        ledger.finish_restore();
        goes_on(&mut ledger, &batch());
    }
}

pub fn exchange(data: &[u8]) {
    let check = SMALL.seed.check();
    let _ = (Request::decode(data), Reply::decode(data, check));
    let Some((&which, body)) = data.split_first() else { return };
    let (mut out, mut again) = (Vec::new(), Vec::new());
    if which & 1 == 0 {
        let held = [0; cells::HUB_SHARDS];
        let none = Request {
            seed_check: check,
            node: [0; 16],
            policy: "",
            clock: NOW,
            hub_epoch: 0,
            held,
            batches: Vec::new(),
        };
        none.encode(&mut out);
        let bytes = sealed(&out[..8], body);
        if let Ok(request) = Request::decode(&bytes) {
            request.encode(&mut again);
            assert_eq!(bytes, again, "what was read is written alike");
            for b in &request.batches {
                let _ = observation::decode(b.bytes, check, |_| ());
            }
        }
    } else {
        let none = Reply {
            seed_check: check,
            hub_epoch: 0,
            period_ms: 0,
            offset_ms: 0,
            acks: vec![],
            shards: vec![],
        };
        none.encode(&mut out);
        let bytes = sealed(&out[..8], body);
        if let Ok(reply) = Reply::decode(&bytes, check) {
            reply.encode(&mut again);
            assert_eq!(bytes, again, "what was read is written alike");
            let mut edge = Edge::new(Arc::clone(&SMALL));
            edge.set_hub_ahead(reply.offset_ms);
            let good = reply.shards.iter().filter(|s| edge.apply_hub(s.2).is_ok()).count();
            if good > 0 {
                serve(&mut edge, &SMALL);
            }
        }
    }
}

/// Cells as Envoy keeps them.
#[derive(Default)]
struct Memory {
    cells: BTreeMap<String, (Vec<u8>, u32)>,
    version: u32,
    now: u64,
}

impl Cells for Memory {
    fn get(&mut self, name: &str) -> Option<(Vec<u8>, u32)> {
        self.cells.get(name).cloned()
    }
    fn set(&mut self, name: &str, value: &[u8], cas: u32) -> Set {
        match self.cells.get(name) {
            Some((_, version)) if cas != 0 && cas != *version => return Set::Mismatch,
            None if cas != 0 && cas != CREATE => {}
            _ => {}
        }
        self.version += 1;
        self.cells.insert(name.into(), (value.to_vec(), self.version));
        Set::Done
    }
    fn random(&mut self) -> Option<[u8; 16]> {
        Some([7; 16])
    }
    fn monotonic(&mut self) -> u64 {
        self.now += 60_000_000;
        self.now
    }
}

pub fn cells(data: &[u8]) {
    let Some((&which, body)) = data.split_first() else { return };
    let mut good = body.to_vec();
    wire::seal(&mut good);
    for bytes in [body, &good] {
        if let Some(head) = cells::Head::decode(bytes) {
            assert_eq!(cells::Head::decode(&head.encode()), Some(head));
        }
        if let Some(slot) = Slot::decode(bytes) {
            assert_eq!(Slot::decode(&slot.encode()), Some(slot));
        }
        if let Some(meta) = Meta::decode(bytes) {
            assert!(Meta::decode(&meta.encode()).is_some());
        }
        if let Some(meta) = HubMeta::decode(bytes) {
            assert!(HubMeta::decode(&meta.encode()).is_some());
        }
        let _ = (Cell::decode(bytes), cells::unshard(bytes), cells::unfinished(bytes));
    }
    if which & 1 == 0 {
        return;
    }
    // Two VMs of a proxy whose cells somebody overwrites.
    let config = &*SMALL;
    let prefix = cells::prefix(config);
    let mut memory = Memory::default();
    let mut nodes = [Node::new(Arc::clone(config), 1), Node::new(Arc::clone(config), 1)];
    let mut now = NOW.0;
    let mut run = |memory: &mut Memory, nodes: &mut [Node; 2]| {
        for node in nodes {
            let headers: [(&[u8], &[u8]); 1] = [(b"authorization", b"Bearer one")];
            let head = Head { path: b"/v1/chat/completions", headers: &headers, ..Head::default() };
            let mut session = node.open(config, &head);
            session.push(br#"{"messages":[{"role":"user","content":"four words are here"}]}"#, true);
            session.finish();
            let mut d = node.decide(memory, config, Nanos(now), &mut session);
            node.word_in(Nanos(now), now, 7, &d);
            node.hear_wait(Nanos(now), 7, &mut d);
            node.tick(memory, Nanos(now), 1);
            if node.hub_request(memory, Nanos(now)).is_some() {
                node.hub_answer(memory, 200, body);
                node.hub_not_sent(memory);
            }
            let _ = (node.health(memory), node.news(), node.status());
        }
        now += 700_000_000;
    };
    for node in &mut nodes {
        assert!(node.join(&mut memory));
    }
    for _ in 0..6 {
        run(&mut memory, &mut nodes);
    }
    let kinds = table(4, true);
    let mut rest = body;
    while let [kind, number, len, damaged @ ..] = rest {
        let (bytes, after) = damaged.split_at(usize::from(*len).min(damaged.len()));
        rest = after;
        let (kind_name, n, _) = kinds[usize::from(*kind & 0x3f) % kinds.len()];
        let numbers: &[u64] = match (kind_name, kind & 0x40) {
            ("s", _) => &[u64::from(*number) % 3],
            ("r", _) => &[u64::from(*number) & 1, u64::from(*number) >> 1],
            _ if n > 1 => &[u64::from(*number) % n],
            _ => &[],
        };
        let mut value = bytes.to_vec();
        if kind & 0x80 == 0 {
            wire::seal(&mut value);
        }
        memory.set(&cells::name(&prefix, kind_name, numbers), &value, 0);
        run(&mut memory, &mut nodes);
    }
    for _ in 0..4 {
        run(&mut memory, &mut nodes);
    }
    nodes[0].leave(&mut memory);
    run(&mut memory, &mut nodes);
}
