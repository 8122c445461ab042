//! What a node can do, and cannot, that has the token and the seed and lies.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::fake::{Fake, account, config, traffic};
use super::super::identity::Identity;
use super::super::tell;
use super::tests::{at, exchange, whole};
use super::*;
use weir::engine::observation::Observation;

fn send(h: &mut Hub, f: &mut Fake, t: Nanos) -> Result<Accepted, Refused> {
    let accepted = exchange(h, f, t)?;
    h.tick(t);
    Ok(accepted)
}

#[test]
fn what_it_replays_counts_once_and_in_anothers_name_it_costs_that_one_its_batches() {
    let config = config("");
    let all = traffic(4, 4, 20.0, 3);
    let t = all[all.len() - 1].time;
    let mut h = Hub::new(Arc::clone(&config), sizes(&config, 1_024), 50_000, 1);
    let (mut honest, mut liar) = (Fake::new(1, &config), Fake::new(2, &config));
    honest.write(0, &all[..10]);
    let heard = honest.unacked.clone();
    send(&mut h, &mut honest, t).unwrap();
    // Word for word, and as the other node.
    liar.id = honest.id;
    for _ in 0..10 {
        liar.unacked = heard.clone();
        assert_eq!(send(&mut h, &mut liar, t).unwrap().new, 0);
    }
    // Far ahead in the other's ring: what that one sends then is taken for known. It is counted, and its verdicts come as ever.
    liar.rings[0] = (1_000, 1_000);
    liar.write(0, &all[10..11]);
    assert_eq!(send(&mut h, &mut liar, t).unwrap().new, 1);
    honest.write(0, &all[11..20]);
    assert_eq!(send(&mut h, &mut honest, t).unwrap().new, 0);
    let node = h.nodes().get(&honest.id).unwrap();
    assert_eq!((node.counts.duplicate, node.counts.lost), (11, 990));
    assert_eq!(honest.offset_ms, 0);
}

/// A node with a token of its own, and what was journalled.
struct Node {
    fake: Fake,
    identity: Arc<Identity>,
}

fn node(i: u64, config: &Arc<Config>) -> Node {
    Node { fake: Fake::new(i, config), identity: Identity::of_token(&format!("proxy-{i}")) }
}

impl Node {
    fn send(&mut self, h: &mut Hub, journal: &mut Vec<Vec<u8>>, t: Nanos) -> Result<(), Refused> {
        let x =
            Exchange::read(self.fake.request(t), &self.fake.config, at(t))?.by(Arc::clone(&self.identity));
        let mut group = Vec::new();
        h.accept(&x, &mut group)?;
        h.commit();
        h.apply(&group);
        journal.push(group);
        h.tick(t);
        h.publish();
        let mut reply = Vec::new();
        h.reply(&x, 500, &mut reply);
        self.fake.take(&reply);
        Ok(())
    }

    fn denies(&self, key: u64, t: Nanos) -> bool {
        self.fake.snapshot.key(key, t.secs() as u32).is_some()
    }
}

/// All of it, a minute at a time; `by`: the node that sends an observation.
fn play(
    h: &mut Hub,
    nodes: &mut [Node],
    all: &[Observation],
    by: impl Fn(&Observation) -> usize,
) -> Vec<Vec<u8>> {
    let mut journal = Vec::new();
    for minute in all.chunk_by(|a, b| a.time.secs() / 60 == b.time.secs() / 60) {
        let mut of: Vec<Vec<Observation>> = vec![Vec::new(); nodes.len()];
        minute.iter().for_each(|o| of[by(o)].push(*o));
        for (n, seen) in nodes.iter_mut().zip(of) {
            if !seen.is_empty() {
                n.fake.write(0, &seen);
            }
            n.send(h, &mut journal, minute[minute.len() - 1].time).unwrap();
        }
    }
    journal
}

fn empty(config: &Arc<Config>) -> Hub {
    Hub::new(Arc::clone(config), sizes(config, 1_024), 50_000, 1)
}

/// The same hub after a crash: from its journal, and from a checkpoint.
fn again(h: &Hub, config: &Arc<Config>, journal: &[Vec<u8>]) -> [Hub; 2] {
    let mut replayed = empty(config);
    journal.iter().for_each(|g| assert!(replayed.replay(g).is_some()));
    replayed.tick(h.ticked());
    let restored = Hub::restore(Arc::clone(config), &whole(h), 50_000, 7).unwrap();
    [replayed, restored].map(|mut h| {
        h.publish();
        h
    })
}

#[test]
fn a_campaign_that_it_made_up_convicts_nobody_but_where_it_stands_itself() {
    let config = config("");
    // Of those that it accuses ten are people who come through the other node; what they send has nothing in common.
    let lies = traffic(80, 0, 26.0, 2);
    let mut truth = traffic(0, 40, 26.0, 5);
    let people: BTreeSet<u64> = truth.iter().map(|o| o.key).collect();
    for o in &mut truth {
        let i = people.range(..o.key).count() as u64;
        if i < 10 {
            (o.key, o.created_s) = (account(i), lies[0].created_s);
        }
    }
    let mut all: Vec<(usize, Observation)> =
        lies.iter().map(|o| (0, *o)).chain(truth.iter().map(|o| (1, *o))).collect();
    all.sort_by_key(|(_, o)| o.time);
    let made_up: BTreeSet<u64> = lies.iter().map(|o| o.exact).collect();
    let all: Vec<Observation> = all.into_iter().map(|(_, o)| o).collect();
    let t = all[all.len() - 1].time;
    let (mut h, mut nodes) = (empty(&config), vec![node(0, &config), node(1, &config), node(2, &config)]);
    let journal = play(&mut h, &mut nodes, &all, |o| usize::from(!made_up.contains(&o.exact)));
    let accused: Vec<u64> = (0..80).map(account).filter(|k| h.ledger.conviction(*k).is_some()).collect();
    let framed = (0..10).filter(|i| accused.contains(&account(*i))).count();
    assert!(accused.len() > 50 && framed > 0, "{} {framed}", accused.len());
    let at_liars = accused.iter().filter(|k| nodes[0].denies(**k, t)).count();
    assert_eq!(at_liars, accused.len(), "it may refuse its own callers");
    for n in &nodes[1..] {
        assert!(!accused.iter().any(|k| n.denies(*k, t)), "{}", n.identity.name());
        assert!(n.fake.snapshot.is_empty(), "nor are the phrases of the case known there");
    }
    let open = h.ledger.cases_report()[0].campaign;
    assert_eq!(tell::lists(&h)["deny"], serde_json::json!([]));
    assert_eq!(tell::case(&h, open).unwrap()["in_force"], "where_seen");
    for mut h in again(&h, &config, &journal) {
        let mut journal = Vec::new();
        let fresh =
            |i: usize| Node { fake: Fake::new(i as u64, &config), identity: Arc::clone(&nodes[i].identity) };
        let mut of = [fresh(0), fresh(1)];
        of.iter_mut().for_each(|n| n.send(&mut h, &mut journal, t).unwrap());
        let denied = |n: &Node| accused.iter().filter(|k| n.denies(**k, t)).count();
        assert_eq!((denied(&of[0]), denied(&of[1])), (accused.len(), 0), "nor after a start");
    }
}

#[test]
fn what_two_have_seen_is_in_force_everywhere_and_one_alone_needs_nobody() {
    let config = config("");
    let all = traffic(80, 20, 26.0, 2);
    let t = all[all.len() - 1].time;
    let denied = |n: &Node| (0..80).filter(|i| n.denies(account(*i), t)).count();
    // Pinned accounts: a quarter comes through the second node, and nothing through the third.
    let (mut h, mut nodes) = (empty(&config), vec![node(0, &config), node(1, &config), node(2, &config)]);
    let journal = play(&mut h, &mut nodes, &all, |o| usize::from(o.key % 4 == 0));
    let convicted = (0..80).filter(|i| h.ledger.conviction(account(*i)).is_some()).count();
    assert!(convicted > 60, "{convicted}");
    assert!(
        nodes.iter().all(|n| denied(n) == convicted),
        "{:?} of {convicted}",
        nodes.iter().map(denied).collect::<Vec<_>>()
    );
    assert_eq!((h.withheld().len(), tell::lists(&h)["deny"].as_array().unwrap().len()), (0, convicted));
    for h in again(&h, &config, &journal) {
        assert_eq!((h.withheld().len(), h.listed().len()), (0, convicted));
    }
    // A deployment of one, also one that was restarted and has another id.
    let (mut h, mut nodes) = (empty(&config), vec![node(0, &config)]);
    let mut journal = play(&mut h, &mut nodes, &all, |_| 0);
    let mut after = Node { fake: Fake::new(9, &config), identity: Arc::clone(&nodes[0].identity) };
    after.send(&mut h, &mut journal, t).unwrap();
    assert!(denied(&nodes[0]) > 60 && denied(&nodes[0]) == denied(&after) && h.withheld().is_empty());
    // Nodes that share a token are one, and a quorum of one asks for nobody else.
    for (of, quorum) in [([0, 0], QUORUM), ([0, 1], 1)] {
        let mut h = empty(&config).with_quorum(quorum);
        let name = |i: u64, whose: u64| Node {
            fake: Fake::new(i, &config),
            identity: node(whose, &config).identity,
        };
        let mut nodes = vec![name(0, of[0]), name(1, of[1])];
        play(&mut h, &mut nodes, &all, |_| 0);
        assert!(denied(&nodes[0]) > 60 && denied(&nodes[1]) == denied(&nodes[0]), "{of:?}");
    }
}

#[test]
fn what_a_log_alone_has_seen_is_in_the_list_of_its_edge() {
    let config = config("");
    let all = traffic(80, 20, 26.0, 2);
    let t = all[all.len() - 1].time;
    let of_log =
        Node { fake: Fake::new(7, &config), identity: Identity::of_log(std::path::Path::new("edge.log")) };
    let (mut h, mut nodes) = (empty(&config), vec![of_log, node(1, &config)]);
    play(&mut h, &mut nodes, &all, |_| 0);
    let denied = |n: &Node| (0..80).filter(|i| n.denies(account(*i), t)).count();
    assert!(denied(&nodes[0]) > 60 && denied(&nodes[1]) == 0);
    assert_eq!(tell::lists(&h)["deny"].as_array().unwrap().len(), denied(&nodes[0]));
}

#[test]
fn a_node_id_stays_with_whom_it_came_from() {
    let config = config("");
    let all = traffic(4, 4, 20.0, 3);
    let t = all[all.len() - 1].time;
    let (mut h, mut journal) = (empty(&config), Vec::new());
    let mut honest = node(1, &config);
    honest.fake.write(0, &all[..10]);
    // Before it had a token of its own it shared one: that pins nothing.
    send(&mut h, &mut honest.fake, t).unwrap();
    honest.fake.write(0, &all[10..20]);
    honest.send(&mut h, &mut journal, t).unwrap();
    let mut liar = node(2, &config);
    liar.fake.id = honest.fake.id;
    liar.fake.rings[0] = (1_000, 1_000);
    liar.fake.write(0, &all[20..21]);
    for mut h in again(&h, &config, &journal).into_iter().chain([h]) {
        assert_eq!(liar.send(&mut h, &mut journal, t), Err(Refused::Identity));
        // Neither with the token that all share.
        assert_eq!(send(&mut h, &mut liar.fake, t), Err(Refused::Identity));
        let known = h.nodes().get(&honest.fake.id).unwrap();
        assert_eq!((known.identity.as_ref().unwrap().name(), known.counts.lost), ("token proxy-1", 0));
        honest.send(&mut h, &mut journal, t).unwrap();
    }
}

#[test]
fn with_the_token_that_all_share_it_convicts_whom_it_names_within_its_quota_and_nobody_else() {
    let config = config("");
    let all = traffic(80, 20, 26.0, 2);
    let t = all[all.len() - 1].time;
    let mut h = Hub::new(Arc::clone(&config), sizes(&config, 1_024), 2_000, 1);
    let (mut liar, mut refused) = (Fake::new(1, &config), 0);
    for minute in all.chunk_by(|a, b| a.time.secs() / 60 == b.time.secs() / 60) {
        liar.write(0, minute);
        send(&mut h, &mut liar, minute[minute.len() - 1].time).unwrap();
    }
    let convicted = (0..80).filter(|i| h.ledger.conviction(account(*i)).is_some()).count();
    assert!(convicted > 60, "all who share a token are one: {convicted}");
    assert_eq!(h.status().convicted as usize, convicted, "people it has not named are free");
    // It stands alone, and that is shown; a start from a checkpoint knows it, too.
    let campaign = h.ledger.cases_report()[0].campaign;
    let seen = h.witnesses().of(campaign);
    assert!(seen.len() == 1 && seen[0].0 == liar.id && (55..=110).contains(&seen[0].1), "{seen:?}");
    let told = tell::case(&h, campaign).unwrap();
    assert_eq!((told["nodes"].as_array().unwrap().len(), &told["nodes"][0]["percent"]), (1, &100.into()));
    let back = Hub::restore(Arc::clone(&config), &whole(&h), 2_000, 2).unwrap();
    assert_eq!(back.witnesses(), h.witnesses());
    // All at once it may not.
    for chunk in all.chunks(1_000).cycle().take(12) {
        liar.write(1, chunk);
        refused += u32::from(matches!(send(&mut h, &mut liar, t), Err(Refused::Quota(_))));
    }
    assert!(refused >= 4, "{refused}");
}
