//! Decisions of people in the hub's ledger, journal and checkpoints.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::acts::{Act, Name, NoAct, Verb};
use super::super::fake::{Fake, account, config, traffic};
use super::super::tell;
use super::tests::{at, whole};
use super::*;

const ACCOUNTS: u64 = 80;

/// A hub with its journal, and one node.
struct World {
    hub: Hub,
    node: Fake,
    journal: Vec<Vec<u8>>,
}

impl World {
    fn new(config: &Arc<Config>) -> World {
        let hub = Hub::new(Arc::clone(config), sizes(config, 1_024), 1_000_000, 1);
        World { hub, node: Fake::new(1, config), journal: Vec::new() }
    }

    fn keep(&mut self, group: Vec<u8>) {
        self.hub.commit();
        self.hub.apply(&group);
        self.journal.push(group);
    }

    /// All of it arrives, a minute at a time.
    fn learn(&mut self, all: &[Observation]) {
        let config = Arc::clone(&self.node.config);
        for minute in all.chunk_by(|a, b| a.time.secs() / 60 == b.time.secs() / 60) {
            let t = minute[minute.len() - 1].time;
            self.node.write(0, minute);
            let x = Exchange::read(self.node.request(t), &config, at(t)).unwrap();
            let mut group = Vec::new();
            self.hub.accept(&x, &mut group).unwrap();
            self.keep(group);
            self.hub.tick(t);
            self.hub.publish();
            let mut reply = Vec::new();
            self.hub.reply(&x, 500, &mut reply);
            self.node.take(&reply);
        }
    }

    fn decide(&mut self, verb: Verb, name: Name, t: Nanos, for_s: u32) -> Result<Act, NoAct> {
        let now_s = t.secs() as u32;
        let reason = "asked for".to_string();
        let mut act = Act { verb, name, since_s: now_s, until_s: now_s + for_s, reason, values: Vec::new() };
        let mut group = Vec::new();
        self.hub.decide(&mut act, at(t), &mut group)?;
        self.keep(group);
        self.hub.tick(t);
        self.hub.publish();
        Ok(act)
    }
}

fn denied(f: &Fake, t: Nanos) -> usize {
    let now_s = t.secs() as u32;
    let freed = |id: u64| f.snapshot.exception(id, now_s) == weir::engine::snapshot::RELEASED;
    let held = |i: &u64| {
        f.snapshot.key(account(*i), now_s).is_some_and(|k| !freed(k.key) && !freed(k.campaign.into()))
    };
    (0..ACCOUNTS).filter(held).count()
}

#[test]
fn a_released_case_ends_and_does_not_come_back_before_its_exception_ends() {
    let config = config("");
    let all = traffic(ACCOUNTS, 20, 60.0, 1);
    let mut w = World::new(&config);
    let split = all.partition_point(|o| o.time.secs() < super::super::fake::START_S + 25 * 3_600);
    let (before, rest) = all.split_at(split);
    w.learn(before);
    let t = before[split - 1].time;
    assert!(denied(&w.node, t) > 60, "{}", denied(&w.node, t));
    let path = std::env::temp_dir().join(format!("weir-people-{}.jsonl", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let mut audit = super::super::audit::Audit::open(&path, Default::default()).unwrap();
    audit.published(&w.hub);
    let cases = tell::cases(&w.hub, &Default::default());
    let case = u32::from_str_radix(cases["cases"][0]["case"].as_str().unwrap(), 16).unwrap();
    assert!(cases["cases"][0]["convicted"].as_u64().unwrap() > 60, "{cases}");
    let told = tell::case(&w.hub, case).unwrap();
    assert!(
        told["groups"][0]["explanations"]["campaign"] == 0 && told["groups"].as_array().unwrap().len() > 5,
        "{told}"
    );
    let lists = tell::lists(&w.hub);
    assert!(lists["deny"].as_array().unwrap().len() > 60);
    let with_lists = super::super::fake::config_text(&format!(r#","deny":{},"allow":[]"#, lists["deny"]));
    let read = weir::engine::config::parse(&with_lists).unwrap();
    assert_eq!(read.profiles[0].deny.entries().len(), lists["deny"].as_array().unwrap().len());

    assert_eq!(w.decide(Verb::Release, Name::Case(case ^ 1), t, 9), Err(NoAct::Unknown));
    let act = w.decide(Verb::Release, Name::Case(case), t, 20 * 3_600).unwrap();
    assert!(act.values.len() >= 6, "{}", act.values.len());
    assert_eq!(
        (w.hub.status().convicted > 0, w.hub.ledger.cases_report().len()),
        (true, 0),
        "keys wait for a request"
    );
    assert_eq!(w.hub.convicted().len(), 0, "nothing of it is published");
    assert_eq!(tell::lists(&w.hub)["deny"].as_array().unwrap().len(), 0);
    audit.published(&w.hub);
    audit.published(&w.hub);
    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let events: Vec<&str> = lines.iter().map(|l| l["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["case_opened", "convicted", "acquitted", "case_ended"]);
    assert!(lines.iter().all(|l| l["case"] == format!("{case:08x}")) && lines[1]["keys"] == lines[2]["keys"]);
    assert!(lines[1]["keys"].as_array().unwrap().len() > 60);
    std::fs::remove_file(path).unwrap();
    // Again: the same, with another end.
    let again = w.decide(Verb::Release, Name::Case(case), t, 21 * 3_600).unwrap();
    assert_eq!((again.values, w.hub.book().acts().count()), (act.values, 1));
    let until = u64::from(again.until_s);
    let middle = rest.partition_point(|o| o.time.secs() <= until);
    w.learn(&rest[..middle]);
    let t = rest[middle - 1].time;
    assert_eq!((denied(&w.node, t), w.hub.ledger.cases_report().len()), (0, 0), "nothing is learned from it");

    // A start from the journal, and one from a checkpoint, know the same.
    let mut back = Hub::new(Arc::clone(&config), sizes(&config, 1_024), 1_000_000, 2);
    assert!(w.journal.iter().all(|g| back.replay(g).is_some()));
    let restored = Hub::restore(Arc::clone(&config), &whole(&w.hub), 1_000_000, 3).unwrap();
    for other in [&back, &restored] {
        assert_eq!(other.book().acts().collect::<Vec<_>>(), w.hub.book().acts().collect::<Vec<_>>());
        assert_eq!(other.ledger.cases_report().len(), 0);
    }

    w.learn(&rest[middle..]);
    let t = all[all.len() - 1].time;
    assert_eq!(w.hub.book().len(), 0, "it has ended");
    assert!(denied(&w.node, t) > 60, "and the campaign, which went on, is convicted: {}", denied(&w.node, t));
}

#[test]
fn a_released_key_is_free_and_the_others_are_not() {
    let config = config("");
    let all = traffic(ACCOUNTS, 20, 26.0, 2);
    let mut w = World::new(&config);
    w.learn(&all);
    let (t, key) = (all[all.len() - 1].time, account(3));
    let n = denied(&w.node, t);
    assert!(w.hub.ledger.conviction(key).is_some() && n > 60);
    let told = tell::key(&w.hub, key).unwrap();
    assert_eq!(
        (&told["convicted"], &told["record"]["reason"]),
        (&true.into(), &"convicted".into()),
        "{told}"
    );
    assert!(told["record"]["own"]["convicted"] == true && told["record"]["group"]["axis"] == "text");
    // The case id that its client was told names case and key.
    let case_id = u32::from_str_radix(told["record"]["case"].as_str().unwrap(), 16).unwrap();
    assert_eq!(tell::case(&w.hub, case_id).unwrap()["told_to"], told["key"]);
    w.decide(Verb::Release, Name::Key(key), t, 3_600).unwrap();
    assert_eq!(
        (w.hub.ledger.conviction(key), tell::key(&w.hub, key).unwrap()["convicted"] == false),
        (None, true)
    );
    assert_eq!(w.hub.convicted().len(), n - 1);
    w.decide(Verb::Undo, Name::Key(key), t, 0).unwrap();
    assert_eq!(w.hub.book().len(), 0);
    assert!(tell::key(&w.hub, 12_345).is_none());
    w.decide(Verb::Deny, Name::Key(12_345), t, 60).unwrap();
    assert_eq!(tell::key(&w.hub, 12_345).unwrap()["exception"]["verb"], "deny");
    assert_eq!(tell::lists(&w.hub)["deny"][0]["key"], "kid:0000000000003039");
}

#[test]
fn no_node_speaks_in_the_name_of_people() {
    let config = config("");
    let mut f = Fake::new(1, &config);
    f.id = PEOPLE;
    let t = Nanos::from_secs(super::super::fake::START_S);
    assert_eq!(Exchange::read(f.request(t), &config, at(t)).unwrap_err(), Refused::Malformed);
}
