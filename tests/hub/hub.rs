//! The hub as a process on loopback: what is acknowledged survives it, what is not ours is refused by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::disallowed_types,
    reason = "tests"
)]

mod fake;
mod follow;
mod in_time;
mod limits;
mod lines;
mod load;
mod people;
mod process;
mod quorum;
mod wait;

use fake::{Fake, Rng, config, config_text, traffic_at};
use process::{Dir, Hub, command, ends, now, read};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use weir::engine::observation::Observation;
use weir::engine::units::scaled;
use weir::node::exchange::REQUEST_BYTES;

fn observations(rng: &mut Rng, n: usize) -> Vec<Observation> {
    let one =
        |r: &mut Rng| Observation { time: now(), key: r.next() | 1, exact: r.next(), ..Default::default() };
    (0..n).map(|_| one(rng)).collect()
}

#[test]
fn what_is_acknowledged_survives_kill_9_and_is_counted_once() {
    let (dir, config) = (Dir::new("kill"), config(""));
    let file = dir.file("c.json", config_text(""));
    let (mut rng, mut f) = (Rng(1), Fake::new(1, &config));
    let mut sent = 0u64;
    for round in 0..6u64 {
        // The last rounds go over checkpoints.
        let args: &[&str] = if round < 3 { &[] } else { &["--checkpoint-s", "1"] };
        let hub = Hub::start(&file, &dir.state(), args);
        assert_eq!(hub.status()["observations"], sent);
        assert_eq!(hub.status()["keys"], sent.min(1_024), "the ledger's own count");
        let mut last = Vec::new();
        for _ in 0..5 {
            let n = 1 + rng.below(20) as usize;
            let ring = rng.below(4) as u8;
            f.write(ring, &observations(&mut rng, n));
            sent += n as u64;
            last = f.request(now());
            hub.exchange(&mut f, now()).unwrap();
            assert!(f.unacked.is_empty(), "acknowledged");
        }
        if round >= 3 {
            std::thread::sleep(Duration::from_millis(1_300));
        }
        hub.kill();
        // The node did not hear of it, and sends again.
        let hub = Hub::start(&file, &dir.state(), &[]);
        let before = hub.status()["duplicate_batches"].as_u64().unwrap();
        assert_eq!(hub.post(&last).0, 200);
        let s = hub.status();
        assert_eq!((&s["observations"], &s["duplicate_batches"]), (&sent.into(), &(before + 1).into()));
        assert_eq!((&s["keys"], &s["lost"]), (&sent.into(), &0.into()));
        hub.kill();
    }
}

/// Eight nodes send without a pause while the hub is killed and started again.
#[test]
fn kill_9_under_load_loses_nothing_and_counts_nothing_twice() {
    let (dir, config) = (Dir::new("load"), config(""));
    let file = dir.file("c.json", config_text(""));
    let args = ["--keys", "1048576", "--checkpoint-s", "1"];
    let hub = Hub::start(&file, &dir.state(), &args);
    let (address, done) = (Mutex::new(hub.address), AtomicBool::new(false));
    let (sent, failures) = (AtomicU64::new(0), AtomicU64::new(0));
    let last = std::thread::scope(|scope| {
        for i in 0..8 {
            let (config, address, done, sent, failures) = (&config, &address, &done, &sent, &failures);
            scope.spawn(move || {
                let (mut f, mut rng) = (Fake::new(i, config), Rng(100 + i));
                while !done.load(Relaxed) || !f.unacked.is_empty() {
                    // Few enough keys for no bucket of the table to be full.
                    if !done.load(Relaxed) && f.unacked.len() < 200 && sent.load(Relaxed) < 100_000 {
                        let n = 1 + rng.below(8);
                        f.write(rng.below(4) as u8, &observations(&mut rng, n as usize));
                        sent.fetch_add(n, Relaxed);
                    }
                    let to = *address.lock().unwrap();
                    match process::send(to, None, "POST /v1/exchange", &f.request(now())) {
                        Ok((200, body)) => drop(f.take(&body)),
                        other => {
                            assert!(other.is_err(), "{other:?}");
                            failures.fetch_add(1, Relaxed);
                            std::thread::sleep(Duration::from_millis(10));
                        }
                    }
                }
            });
        }
        let (mut hub, mut rng) = (hub, Rng(8));
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(200 + rng.below(1_200)));
            hub.kill();
            hub = Hub::start(&file, &dir.state(), &args);
            *address.lock().unwrap() = hub.address;
        }
        std::thread::sleep(Duration::from_millis(300));
        done.store(true, Relaxed);
        hub
    });
    let (sent, s) = (sent.into_inner(), last.status());
    println!("{sent} observations, {} exchanges failed", failures.into_inner());
    assert_eq!((&s["observations"], &s["lost"], &s["refused_batches"]), (&sent.into(), &0.into(), &0.into()));
    assert!(s["nodes"].as_array().unwrap().iter().all(|n| n["before"] == 0), "{s}");
    last.settled("keys", sent);
}

#[test]
fn a_torn_end_is_cut_off_told_and_sent_again() {
    let (dir, config) = (Dir::new("torn"), config(""));
    let file = dir.file("c.json", config_text(""));
    let (mut rng, mut f) = (Rng(2), Fake::new(1, &config));
    let hub = Hub::start(&file, &dir.state(), &[]);
    f.write(0, &observations(&mut rng, 9));
    hub.exchange(&mut f, now()).unwrap();
    let before = std::fs::metadata(dir.segment()).unwrap().len();
    f.write(0, &observations(&mut rng, 2));
    let last = f.unacked.clone();
    hub.exchange(&mut f, now()).unwrap();
    hub.kill();
    let whole = std::fs::read(dir.segment()).unwrap();
    let segment = dir.segment();
    for i in 0..8 {
        let at = before + (whole.len() as u64 - before) * i / 8;
        std::fs::write(&segment, &whole[..at as usize]).unwrap();
        let hub = Hub::start(&file, &dir.state(), &[]);
        assert_eq!(hub.status()["observations"], 9, "cut at {at}");
        assert_eq!(hub.events("journal_cut").len(), usize::from(i > 0));
        f.unacked = last.clone();
        hub.exchange(&mut f, now()).unwrap();
        hub.settled("observations", 11);
        assert_eq!(hub.status()["lost"], 0);
        hub.kill();
        std::fs::remove_file(dir.segment()).unwrap();
    }
    // Damage that is no torn end stops it.
    let mut bad = whole.clone();
    bad[60] ^= 1;
    std::fs::write(&segment, &bad).unwrap();
    let (status, said) = ends(command(&file, &dir.state(), &[]));
    assert!(status == 2 && said.contains("at byte 44: damaged") && said.contains("The way out"), "{said}");
}

#[test]
fn sigterm_writes_a_checkpoint_and_the_next_start_replays_nothing() {
    let (dir, config) = (Dir::new("term"), config(""));
    let file = dir.file("c.json", config_text(""));
    let (mut rng, mut f) = (Rng(3), Fake::new(1, &config));
    let hub = Hub::start(&file, &dir.state(), &[]);
    f.write(0, &observations(&mut rng, 50));
    hub.exchange(&mut f, now()).unwrap();
    let epoch = f.hub_epoch;
    let log = std::sync::Arc::clone(&hub.log);
    // A connection that a proxy keeps open does not hold it up.
    let mut idle = TcpStream::connect(hub.address).unwrap();
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: hub\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let began = Instant::now();
    assert_eq!(hub.stop(), 0);
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    assert_eq!(read(idle).0, 200);
    assert!(
        log.lock()
            .unwrap()
            .iter()
            .any(|l| l.contains(r#""event":"stopped""#) && l.contains(r#""checkpoint":true"#))
    );
    let hub = Hub::start(&file, &dir.state(), &[]);
    let started = &hub.events("started")[0];
    assert_eq!((&started["observations_replayed"], &started["keys"]), (&0.into(), &50.into()));
    assert_eq!(hub.exchange(&mut f, now()), Ok(65), "all shards, of another epoch");
    assert!(f.hub_epoch > epoch);
    // The tables keep their size, and that is told.
    hub.kill();
    let hub = Hub::start(&file, &dir.state(), &["--keys", "4096"]);
    assert_eq!(
        (hub.events("tables_keep_their_size").len(), &hub.status()["keys_capacity"]),
        (1, &1_024.into())
    );
}

#[test]
fn two_hubs_never_share_a_directory() {
    let dir = Dir::new("two");
    let file = dir.file("c.json", config_text(""));
    let _first = Hub::start(&file, &dir.state(), &[]);
    let (status, said) = ends(command(&file, &dir.state(), &[]));
    assert!(status == 2 && said.contains("another hub (process "), "{said}");
}

#[test]
fn what_must_not_start_does_not() {
    let dir = Dir::new("usage");
    let file = dir.file("c.json", config_text(""));
    let (status, said) = ends(command(&file, &dir.state(), &["--listen", "0.0.0.0:0"]));
    assert!(status == 1 && said.contains("is not on loopback: without a token"), "{said}");
    let empty = dir.file("token", " \n");
    let (status, said) = ends(command(&file, &dir.state(), &["--token-file", empty.to_str().unwrap()]));
    assert!(status == 1 && said.contains("holds no token"), "{said}");
    let no_seed = dir.file("n.json", r#"{"policy":"fake"}"#);
    let (status, said) = ends(command(&no_seed, &dir.state(), &[]));
    assert!(status == 1 && said.contains("needs the proxies' seed"), "{said}");
    let (status, _) = ends(command(&file, &dir.state(), &["--keys", "10000001"]));
    assert_eq!(status, 1);
    // What was learned under another seed.
    let hub = Hub::start(&file, &dir.state(), &[]);
    assert_eq!(hub.stop(), 0);
    let other = dir.file("o.json", config_text("").replace("2d69", "0000"));
    let (status, said) = ends(command(&other, &dir.state(), &[]));
    assert!(status == 2 && said.contains("another seed") && said.contains("The way out"), "{said}");
}

#[test]
fn what_is_not_ours_is_refused_with_a_status_and_a_name_and_counted() {
    let (dir, config) = (Dir::new("refused"), config(""));
    let file = dir.file("c.json", config_text(""));
    let mut start = command(&file, &dir.state(), &["--node-quota", "100"]);
    start.env("WEIR_HUB_TOKEN", "a-secret-token");
    let mut hub = Hub::spawn(start);
    let mut f = Fake::new(1, &config);
    let good = f.request(now());
    for wrong in [None, Some(""), Some("a-secret-toke"), Some("a-secret-token2"), Some("A-secret-token")] {
        hub.token = wrong.map(String::from);
        assert_eq!(hub.refused(&good), (401, "token".into()));
        assert_eq!(hub.get("/v1/status").0, 401);
        assert_eq!((hub.get("/healthz").0, hub.get("/readyz").0, hub.get("/metrics").0), (200, 200, 200));
    }
    hub.token = Some("a-secret-token".into());
    assert_eq!(hub.post(&good).0, 200);
    assert_eq!(hub.refused(b""), (400, "malformed".into()));
    assert_eq!(hub.refused(&good[..good.len() - 1]), (400, "checksum".into()));
    let mut old = good.clone();
    old[2] = 0;
    assert_eq!(hub.refused(&old), (400, "version".into()));
    assert_eq!(hub.refused(&vec![0; REQUEST_BYTES + 1]), (413, "too_long".into()));
    let mut chunked = TcpStream::connect(hub.address).unwrap();
    let head = "POST /v1/exchange HTTP/1.1\r\nhost: hub\r\nconnection: close\r\nauthorization: bearer a-secret-token\r\ntransfer-encoding: chunked\r\n\r\n";
    chunked.write_all(head.as_bytes()).unwrap();
    for _ in 0..17 {
        let _ = chunked.write_all(format!("10000\r\n{}\r\n", "x".repeat(0x10000)).as_bytes());
    }
    assert_eq!(read(chunked).0, 413);
    let other = |from: &str, to: &str| {
        let other = weir::engine::config::parse(&config_text("").replace(from, to)).unwrap();
        Fake::new(1, &std::sync::Arc::new(other)).request(now())
    };
    assert_eq!(hub.refused(&other("2d69", "0000")), (409, "seed".into()));
    assert_eq!(hub.refused(&other("fake", "real")), (409, "policy".into()));
    let (mut rng, mut n) = (Rng(4), 0);
    f.write(0, &observations(&mut rng, 1_000));
    hub.exchange(&mut f, now()).unwrap();
    f.write(0, &observations(&mut rng, 10));
    assert_eq!(hub.exchange(&mut f, now()), Err((429, "quota".into())));
    for _ in 0..200 {
        // Garbage, and good exchanges with garbage in them.
        let mut bytes: Vec<u8> =
            if rng.one_in(2) { f.request(now()) } else { vec![0; rng.below(2_000) as usize] };
        for _ in 0..1 + rng.below(30) {
            let at = rng.below(bytes.len() as u64) as usize;
            if let Some(b) = bytes.get_mut(at) {
                *b ^= 1 << rng.below(8);
            }
        }
        let (status, _) = hub.post(&bytes);
        assert!([400, 429].contains(&status), "{status}");
        n += 1;
    }
    // What is no HTTP at all.
    for n in 0..100 {
        let mut s = TcpStream::connect(hub.address).unwrap();
        let bytes: Vec<u8> =
            (0..rng.below(40_000)).map(|_| if n % 2 == 0 { rng.next() as u8 } else { b'a' }).collect();
        let _ = s.write_all(&bytes);
    }
    assert_eq!((hub.get("/readyz").0, hub.get("/v1/status").0), (200, 200));
    assert_eq!(hub.send("POST /nowhere", b"").0, 404);
    assert_eq!(hub.send("PUT /v1/exchange", b"").0, 405);
    let count = |kind: &str| hub.metric(&format!("weir_hub_errors_total{{kind=\"{kind}\"}}"));
    let kinds = ["checksum", "version", "too_long", "seed", "policy", "not_found", "method", "token"];
    let least = [1, 1, 2, 1, 1, 1, 1, 10];
    assert!(kinds.map(count).iter().zip(least).all(|(n, least)| *n >= least), "{:?}", kinds.map(count));
    assert!(count("malformed") + count("checksum") + count("version") + count("quota") >= n);
    assert_eq!(
        (&hub.status()["observations"], &hub.status()["nodes"][0]["over_quota"]),
        (&1_000.into(), &1.into())
    );
    assert!(!hub.log.lock().unwrap().join("\n").contains("a-secret"), "the token is never printed");
}

#[test]
fn what_is_slow_holds_up_the_others_for_five_seconds_at_most_and_ends_after_ten() {
    let (dir, config) = (Dir::new("slow"), config(""));
    let hub = Hub::start(&dir.file("c.json", config_text("")), &dir.state(), &[]);
    let slow: Vec<TcpStream> = (0..64)
        .map(|_| {
            let mut s = TcpStream::connect(hub.address).unwrap();
            s.write_all(b"POST /v1/exchange HTTP/1.1\r\nhost: hub\r\nconnection: close\r\ncontent-length: 900\r\n\r\nWX").unwrap();
            s
        })
        .collect();
    std::thread::sleep(Duration::from_millis(300));
    let (began, mut f) = (Instant::now(), Fake::new(1, &config));
    assert_eq!(hub.exchange(&mut f, now()), Err((503, "busy".into())));
    assert!((4..7).contains(&began.elapsed().as_secs()));
    assert_eq!(hub.get("/readyz").0, 200);
    for s in slow {
        assert_eq!(read(s).0, 408);
    }
    assert!(began.elapsed().as_secs() < 13);
    hub.exchange(&mut f, now()).unwrap();
    assert_eq!(hub.metric("weir_hub_errors_total{kind=\"slow\"}"), 64);
}

#[test]
fn a_clock_that_is_an_hour_off_is_rebased_and_told_once() {
    let (dir, config) = (Dir::new("clock"), config(""));
    let hub = Hub::start(&dir.file("c.json", config_text("")), &dir.state(), &[]);
    let (mut rng, hour) = (Rng(5), 3_600_000_000_000i64);
    let mut nodes = [Fake::new(1, &config), Fake::new(2, &config), Fake::new(3, &config)];
    (nodes[1].clock_ahead, nodes[2].clock_ahead) = (hour, -hour);
    for _ in 0..4 {
        for f in &mut nodes {
            f.write(0, &observations(&mut rng, 3));
            hub.exchange(f, now()).unwrap();
        }
    }
    let offsets = nodes.iter().map(|f| f.offset_ms);
    for (offset, expected) in offsets.zip([0, -3_600_000, 3_600_000]) {
        assert!((offset - expected).abs() < 5_000, "{offset}");
    }
    assert_eq!((hub.events("clock_far").len(), hub.metric("weir_hub_nodes_clock_far")), (2, 2));
    hub.settled("observations", 36);
}

/// A file system of three megabytes, where this may be mounted.
struct Small(std::path::PathBuf);

impl Small {
    fn mount(at: std::path::PathBuf) -> Option<Small> {
        std::fs::create_dir_all(&at).unwrap();
        let mount = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=3m", "weir-hub-test"])
            .arg(&at)
            .stderr(std::process::Stdio::null())
            .status();
        mount.is_ok_and(|s| s.success()).then_some(Small(at))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room() {
    let (dir, config) = (Dir::new("full"), config(""));
    let file = dir.file("c.json", config_text(""));
    let Some(small) = Small::mount(dir.state()) else {
        println!("skipped: a tmpfs cannot be mounted here");
        return;
    };
    let filler = small.0.join("filler");
    std::fs::write(&filler, vec![1; 1 << 20]).unwrap();
    let hub = Hub::start(&file, &dir.state(), &[]);
    let (mut rng, mut f, mut sent) = (Rng(6), Fake::new(1, &config), 0u64);
    let full = loop {
        f.write(0, &observations(&mut rng, 500));
        let answer = hub.exchange(&mut f, now());
        match answer {
            Ok(_) => sent += 500,
            Err(e) => break e,
        }
        assert!(sent < 100_000);
    };
    assert_eq!(full, (503, "store_full".into()));
    assert_eq!((hub.get("/readyz"), f.unacked.len()), ((503, "store_full\n".into()), 1));
    assert_eq!(hub.status()["observations"], sent, "as it was before");
    assert_eq!((hub.metric("weir_hub_store_ok"), hub.get("/healthz").0), (0, 200));
    hub.kill();
    // It starts on a full disk, and knows what it has acknowledged.
    let hub = Hub::start(&file, &dir.state(), &[]);
    assert_eq!(hub.status()["observations"], sent);
    let polls = Fake::new(2, &config);
    assert_eq!(hub.post(&polls.request(now())).0, 200, "verdicts are still served");
    assert_eq!(hub.exchange(&mut f, now()), Err((503, "store_full".into())));
    std::fs::remove_file(filler).unwrap();
    for _ in 0..3 {
        hub.exchange(&mut f, now()).unwrap();
        f.write(0, &observations(&mut rng, 500));
        sent += 500;
    }
    assert_eq!((hub.get("/readyz").0, hub.events("store_ok").len()), (200, 1));
    hub.kill();
    let hub = Hub::start(&file, &dir.state(), &[]);
    assert_eq!((&hub.status()["observations"], &hub.status()["lost"]), (&sent.into(), &0.into()));
    hub.kill();
}

#[test]
fn a_campaign_over_ten_nodes_is_denied_on_all_of_them() {
    const SCALE: u32 = 3_600;
    let more = r#","demo":{"time_scale":3600}"#;
    let (dir, config) = (Dir::new("campaign"), config(more));
    let hub = Hub::start(&dir.file("c.json", config_text(more)), &dir.state(), &[]);
    let mut nodes: Vec<Fake> = (0..10).map(|i| Fake::new(i, &config)).collect();
    let engine = || scaled(now(), SCALE);
    // Six accounts a node, six hours in six seconds.
    let all = in_time::in_time(traffic_at(0.3, 60, 10, 6.5, 7), engine, |due| {
        for (i, f) in nodes.iter_mut().enumerate() {
            let own: Vec<Observation> = due.iter().filter(|o| o.key % 10 == i as u64).copied().collect();
            if !own.is_empty() {
                f.write(0, &own);
                hub.exchange(f, engine()).unwrap();
            }
        }
    });
    let caught = hub.status()["convicted"].as_u64().unwrap();
    assert!((45..=60).contains(&caught), "{}", hub.status());
    for f in &mut nodes {
        hub.exchange(f, engine()).unwrap();
        let denied = (0..60).filter(|i| f.snapshot.key(fake::account(*i), engine().secs() as u32).is_some());
        assert_eq!(denied.count() as u64, caught);
    }
    assert_eq!(hub.status()["observations"], all.len());
}

/// `make bench-hub`.
#[test]
#[ignore = "a measurement"]
fn fifty_nodes() {
    let (dir, config) = (Dir::new("fifty"), config(""));
    let hub = Hub::start(&dir.file("c.json", config_text("")), &dir.state(), load::ARGS);
    load::steady("directory", &hub, &config);
    load::saturated("directory", &hub, &config);
}
