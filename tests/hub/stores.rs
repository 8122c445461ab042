//! Hubs on real stores: what is acknowledged survives hubs and stores, and one hub at a time is active.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_types,
    reason = "tests"
)]

mod fake;
mod faults;
mod followed;
mod lines;
mod load;
mod process;
mod servers;
mod wait;

use fake::{Fake, Rng, config, config_text};
use process::{Dir, Hub, command_on, ends, now};
use servers::{Cluster, Kind, Server};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use wait::until;
use weir::engine::config::Config;
use weir::engine::observation::Observation;

/// A node, what it has sent and what was acknowledged.
struct Sender {
    fake: Fake,
    rng: Rng,
    sent: u64,
    /// The last request that was acknowledged.
    last: Vec<u8>,
}

impl Sender {
    fn new(n: u64, config: &Arc<Config>) -> Sender {
        Sender { fake: Fake::new(n, config), rng: Rng(n), sent: 0, last: Vec::new() }
    }

    fn write(&mut self, n: u64) {
        let one = |r: &mut Rng| Observation {
            time: now(),
            key: r.next() | 1,
            exact: r.next(),
            ..Default::default()
        };
        let all: Vec<Observation> = (0..n).map(|_| one(&mut self.rng)).collect();
        self.fake.write((self.sent % 3) as u8, &all);
        self.sent += n;
    }

    /// One exchange with all that is not acknowledged.
    fn send(&mut self, hub: &Hub) -> Result<(), (u16, String)> {
        let request = self.fake.request(now());
        hub.exchange(&mut self.fake, now())?;
        assert!(self.fake.unacked.is_empty());
        self.last = request;
        Ok(())
    }

    /// Some more, which must be acknowledged.
    fn more(&mut self, hub: &Hub) {
        for n in 1..6 {
            self.write(n);
            self.send(hub).unwrap();
        }
    }

    /// Sends until it is acknowledged.
    fn insist(&mut self, hub: &Hub) {
        until(30, || self.send(hub).is_ok(), || format!("nothing is acknowledged: {}", hub.logged()));
    }

    /// Sends to one after the other until one acknowledges.
    fn insist_on(&mut self, hubs: [&Hub; 2]) {
        until(30, || hubs.iter().any(|hub| self.send(hub).is_ok()), || "no hub acknowledges".into());
    }

    /// Everything is there, once; what comes again is known.
    fn is_known_to(&self, hub: &Hub) {
        assert_eq!(hub.post(&self.last).0, 200);
        hub.settled("observations", self.sent);
        hub.settled("keys", self.sent);
        let s = hub.status();
        assert_eq!((&s["lost"], &s["refused_batches"]), (&0.into(), &0.into()), "{s}");
        assert!(s["duplicate_batches"].as_u64() >= Some(1), "{s}");
    }
}

/// A directory with the configuration.
struct Setting {
    _dir: Dir,
    file: PathBuf,
    config: Arc<Config>,
}

impl Setting {
    fn new(name: &str) -> Setting {
        let dir = Dir::new(&format!("store-{name}"));
        let file = dir.file("c.json", config_text(""));
        Setting { file, config: config(""), _dir: dir }
    }
    fn hub(&self, url: &str, args: &[&str]) -> Hub {
        let mut all = vec!["--store", url];
        all.extend(args);
        Hub::spawn(command_on(&self.file, &all))
    }
    /// One that is active.
    fn active(&self, url: &str) -> Hub {
        let hub = self.hub(url, &[]);
        hub.says("ready");
        hub
    }
    /// One that stands by.
    fn standby(&self, url: &str) -> Hub {
        let hub = self.hub(url, &[]);
        hub.says("standby");
        hub
    }
    fn sender(&self, n: u64) -> Sender {
        Sender::new(n, &self.config)
    }
}

fn role(hub: &Hub) -> (u64, u64, u64) {
    let m = |name: &str| hub.metric(&format!("weir_hub_{name}"));
    (m("active"), m("fence"), m("takeovers_total"))
}

#[test]
fn what_is_acknowledged_survives_kill_9_of_the_hub_on_any_store() {
    let (valkey, redis, cluster) =
        (Server::start(Kind::Valkey, &[]), Server::start(Kind::Redis, &[]), Cluster::start());
    for url in [valkey.url(), format!("{}/2", redis.url()), cluster.url()] {
        let s = Setting::new("kill");
        let mut node = s.sender(1);
        for round in 0..4 {
            // The last rounds go over checkpoints.
            let hub = s.hub(&url, if round < 2 { &[] } else { &["--checkpoint-s", "1"] });
            hub.says("ready");
            assert_eq!(hub.status()["observations"], node.sent);
            node.more(&hub);
            node.is_known_to(&hub);
            if round >= 2 {
                let until = Instant::now() + Duration::from_secs(10);
                while hub.metric("weir_hub_checkpoints_total") == 0 {
                    assert!(Instant::now() < until);
                    node.more(&hub);
                    std::thread::sleep(Duration::from_millis(200));
                }
                node.more(&hub);
            }
            hub.kill();
        }
        let hub = s.active(&url);
        node.is_known_to(&hub);
        assert_eq!(role(&hub), (1, 5, 1), "the fifth hub in a row");
        assert_eq!(hub.stop(), 0);
        let hub = s.active(&url);
        assert_eq!(hub.events("started")[0]["groups_replayed"], 0, "a checkpoint was written at the end");
        node.is_known_to(&hub);
    }
}

#[test]
fn a_password_comes_from_file_environment_or_url_and_is_never_shown() {
    let server = Server::start(Kind::Valkey, &["--requirepass", "geheim-1"]);
    let (s, port) = (Setting::new("password"), server.port);
    let (plain, with) = (format!("redis://127.0.0.1:{port}"), format!("redis://:geheim-1@127.0.0.1:{port}"));
    let file = s._dir.file("password", "geheim-1\n");
    let wrong = s._dir.file("wrong", "geheim-2\n");
    let mut env = command_on(&s.file, &["--store", &plain]);
    env.env("WEIR_STORE_PASSWORD", "geheim-1");
    let of_file = command_on(&s.file, &["--store", &plain, "--store-password-file", file.to_str().unwrap()]);
    for c in [env, of_file, command_on(&s.file, &["--store", &with])] {
        let hub = Hub::spawn(c);
        hub.says("ready");
        s.sender(1).more(&hub);
        let log = Arc::clone(&hub.log);
        assert_eq!(hub.stop(), 0);
        assert!(!log.lock().unwrap().join("\n").contains("geheim"), "{log:?}");
    }
    for args in [
        vec!["--store", &plain],
        vec!["--store", &with.replace("geheim-1", "geheim-2")],
        vec!["--store", &plain, "--store-password-file", wrong.to_str().unwrap()],
    ] {
        let (status, said) = ends(command_on(&s.file, &args));
        assert!(status == 2 && said.contains("store_auth") && !said.contains("geheim"), "{status} {said}");
    }
}

#[test]
fn what_must_not_start_does_not() {
    let server = Server::start(Kind::Redis, &[]);
    let (s, url) = (Setting::new("usage"), server.url());
    for (args, status, word) in [
        (vec![], 1, "--state"),
        (vec!["--store", &url, "--state", "/tmp/x"], 1, "cannot be used with"),
        (vec!["--store", "http://h:1"], 1, "redis://HOST:PORT"),
        (vec!["--store", "redis://u:geheim@h:x"], 1, "do not parse"),
        (vec!["--store", &url, "--store-cert-file", "/nowhere"], 1, "--store-key-file"),
        (vec!["--store", &url, "--store-password-file", "/nowhere/p"], 2, "/nowhere/p"),
    ] {
        let (got, said) = ends(command_on(&s.file, &args));
        assert!(got == status && said.contains(word) && !said.contains("geheim"), "{args:?}: {got} {said}");
    }
    // Keys that hold something else, another seed, another version.
    let _: u64 = server.say(&["LPUSH", "weir:{fake}:meta", "x"]);
    let (status, said) = ends(command_on(&s.file, &["--store", &url]));
    assert!(status == 2 && said.contains("store_type"), "{said}");
    for (field, word) in [("seed", "another seed"), ("layout", "another version")] {
        let _: u64 = server.say(&["DEL", "weir:{fake}:meta"]);
        let _: u64 = server.say(&["HSET", "weir:{fake}:meta", field, "77"]);
        let (status, said) = ends(command_on(&s.file, &["--store", &url]));
        assert!(status == 2 && said.contains(word) && said.contains("The way out"), "{said}");
    }
}

#[test]
fn one_hub_is_active_and_another_takes_over_when_it_dies() {
    let server = Server::start(Kind::Valkey, &[]);
    let (s, url) = (Setting::new("two"), server.url());
    let first = s.active(&url);
    let mut node = s.sender(1);
    node.more(&first);
    let (second, third) = (s.standby(&url), s.standby(&url));
    for hub in [&second, &third] {
        assert_eq!((hub.get("/healthz").0, hub.get("/readyz")), (200, (503, "standby\n".into())));
        assert_eq!(hub.refused(&node.fake.request(now())), (503, "standby".into()));
        assert_eq!((role(hub), &hub.status()["role"]), ((0, 0, 0), &"standby".into()));
        assert_eq!(hub.metric("weir_hub_errors_total{kind=\"standby\"}"), 1);
    }
    assert_eq!((role(&first), first.get("/readyz").0), ((1, 1, 1), 200));
    node.more(&first);
    // A standby dies: nothing happens.
    third.kill();
    node.more(&first);
    // A batch that was sent and not acknowledged.
    node.write(3);
    first.kill();
    let began = Instant::now();
    second.says("ready");
    println!("taken over {:?} after the kill", began.elapsed());
    assert_eq!(role(&second), (1, 2, 1));
    assert_eq!(second.events("started")[0]["was_following"], true);
    node.send(&second).unwrap();
    node.is_known_to(&second);
    // One that is stopped hands over at once, and the next has nothing to replay.
    let third = s.standby(&url);
    node.more(&second);
    assert_eq!(second.stop(), 0);
    third.says("ready");
    node.more(&third);
    node.is_known_to(&third);
    assert_eq!(role(&third), (1, 3, 1));
}

#[test]
fn a_hub_that_slept_writes_nothing_when_it_wakes_and_stands_by() {
    let server = Server::start(Kind::Redis, &[]);
    let (s, url) = (Setting::new("paused"), server.url());
    let first = s.active(&url);
    let mut node = s.sender(1);
    node.more(&first);
    let second = s.standby(&url);
    // It sleeps while an exchange is under way, and a checkpoint is due.
    first.sleep();
    node.write(4);
    let request = node.fake.request(now());
    let address = first.address;
    let old = std::thread::spawn(move || process::send(address, None, "POST /v1/exchange", &request));
    second.says("ready");
    node.send(&second).unwrap();
    node.more(&second);
    let entries: u64 = server.say(&["XLEN", "weir:{fake}:journal"]);
    first.wake();
    let (status, _) = old.join().unwrap().unwrap();
    assert_eq!(status, 503, "it says nothing of what it knows");
    first.says("standby");
    assert_eq!(server.say::<u64>(&["XLEN", "weir:{fake}:journal"]), entries, "and writes nothing");
    node.more(&second);
    node.is_known_to(&second);
    assert_eq!((role(&first).0, role(&second)), (0, (1, 2, 1)));
    assert_eq!(first.events("fenced").len(), 1);
    // And takes over again, with everything.
    second.kill();
    first.says("ready");
    node.more(&first);
    node.is_known_to(&first);
    assert_eq!(role(&first), (1, 3, 2));
}

/// Two hubs and a store, each of which is killed or sleeps while eight nodes send without a pause.
#[test]
fn hubs_and_store_are_killed_under_load_and_nothing_is_lost_or_counted_twice() {
    let mut server = Server::start(Kind::Valkey, &[]);
    let s = Setting::new("load");
    let args = ["--keys", "1048576", "--checkpoint-s", "1"];
    let start = || s.hub(&server.url(), &args);
    let mut hubs = vec![start(), start()];
    let addresses = Mutex::new([hubs[0].address, hubs[1].address]);
    let (done, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let (url, setting) = (server.url(), &s);
    std::thread::scope(|scope| {
        for i in 0..8 {
            let (addresses, done, sent) = (&addresses, &done, &sent);
            scope.spawn(move || {
                let mut node = setting.sender(100 + i);
                while !done.load(Relaxed) || !node.fake.unacked.is_empty() {
                    // Few enough keys for no bucket of the table to be full.
                    if !done.load(Relaxed) && node.fake.unacked.len() < 200 && sent.load(Relaxed) < 100_000 {
                        let n = 1 + node.rng.below(8);
                        node.write(n);
                        sent.fetch_add(n, Relaxed);
                    }
                    let to = addresses.lock().unwrap()[(node.rng.below(2)) as usize];
                    match process::send(to, None, "POST /v1/exchange", &node.fake.request(now())) {
                        Ok((200, body)) => drop(node.fake.take(&body)),
                        Ok((503, _)) | Err(_) => std::thread::sleep(Duration::from_millis(10)),
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
        let mut rng = Rng(8);
        for round in 0..12 {
            std::thread::sleep(Duration::from_millis(300 + rng.below(1_200)));
            let active = usize::from(hubs[1].get("/readyz").0 == 200);
            match round % 4 {
                0 => {
                    hubs.remove(active).kill();
                    hubs.insert(active, setting.hub(&url, &args));
                }
                1 => {
                    server.kill();
                    std::thread::sleep(Duration::from_millis(rng.below(1_000)));
                    server.again();
                }
                2 => {
                    hubs[active].sleep();
                    std::thread::sleep(Duration::from_millis(2_000 + rng.below(3_000)));
                    hubs[active].wake();
                }
                _ => {
                    server.sleep();
                    std::thread::sleep(Duration::from_millis(500 + rng.below(4_000)));
                    server.wake();
                }
            }
            *addresses.lock().unwrap() = [hubs[0].address, hubs[1].address];
        }
        std::thread::sleep(Duration::from_millis(300));
        done.store(true, Relaxed);
    });
    until(20, || hubs.iter().any(|h| h.get("/readyz").0 == 200), || "no hub is active".into());
    let active = usize::from(hubs[1].get("/readyz").0 == 200);
    let (sent, st) = (sent.into_inner(), hubs[active].status());
    println!("{sent} observations, fence {}", st["fence"]);
    assert_eq!(
        (&st["observations"], &st["lost"], &st["refused_batches"]),
        (&sent.into(), &0.into(), &0.into())
    );
    assert!(st["nodes"].as_array().unwrap().iter().all(|n| n["before"] == 0), "{st}");
    hubs[active].settled("keys", sent);
    hubs.into_iter().for_each(Hub::kill);
    let hub = s.active(&server.url());
    hub.settled("keys", sent);
}

/// `make bench-hub`.
#[test]
#[ignore = "a measurement"]
fn fifty_nodes_on_valkey() {
    for fsync in ["everysec", "always"] {
        let server = Server::start(Kind::Valkey, &["--appendonly", "yes", "--appendfsync", fsync]);
        let s = Setting::new("fifty");
        let what = format!("Valkey, appendfsync {fsync}");
        let hub = s.hub(&server.url(), load::ARGS);
        hub.says("ready");
        load::steady(&what, &hub, &s.config);
        load::saturated(&what, &hub, &s.config);
        if fsync == "always" {
            continue;
        }
        // Take-over with all those keys: by one that follows, and by one that starts.
        let second = s.hub(&server.url(), load::ARGS);
        let position = |h: &Hub| h.status()["store"]["position"].clone();
        until(60, || position(&second) == position(&hub), || "the second hub does not keep up".into());
        let keys = hub.status()["keys"].clone();
        hub.kill();
        let began = Instant::now();
        second.says("ready");
        println!(
            "{what}: {keys} keys taken over {:?} after the kill by a hub that followed",
            began.elapsed()
        );
        assert_eq!(second.stop(), 0);
        let began = Instant::now();
        let third = s.hub(&server.url(), load::ARGS);
        third.says("ready");
        println!(
            "{what}: {} keys read by a hub that starts in {:?}",
            third.status()["keys"],
            began.elapsed()
        );
    }
}

#[test]
fn a_node_id_stays_its_tokens_on_the_hub_that_takes_over() {
    let server = Server::start(Kind::Valkey, &[]);
    let s = Setting::new("identity");
    let tokens = s._dir.file("tokens", "one token-of-the-first\ntwo token-of-the-second\n");
    let start = || s.hub(&server.url(), &["--tokens", tokens.to_str().unwrap()]);
    let mut node = s.sender(1);
    let mut first = start();
    first.token = Some("token-of-the-first".into());
    first.says("ready");
    let mut second = start();
    second.says("standby");
    // Nothing but its identity is journalled before the hub dies.
    node.send(&first).unwrap();
    first.kill();
    second.says("ready");
    second.token = Some("token-of-the-second".into());
    node.write(3);
    assert_eq!(node.send(&second), Err((403, "identity".into())));
    second.token = Some("token-of-the-first".into());
    node.send(&second).unwrap();
    second.settled("observations", 3);
    let known = second.status()["nodes"][0].clone();
    assert_eq!((&known["identity"], &known["lost"]), (&"token one".into(), &0.into()));
}
