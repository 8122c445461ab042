//! What happens to the store, and what comes of it.

use super::*;

/// A hub on a store, with something in it.
fn started(s: &Setting, url: &str) -> (Hub, Sender) {
    let hub = s.active(url);
    let mut node = s.sender(1);
    node.more(&hub);
    (hub, node)
}

fn refused(node: &mut Sender, hub: &Hub) -> (u16, String) {
    node.send(hub).unwrap_err()
}

#[test]
fn a_store_that_is_killed_and_keeps_its_file_loses_nothing() {
    for kind in [Kind::Valkey, Kind::Redis] {
        let mut server = Server::start(kind, &[]);
        let s = Setting::new("restart");
        let (hub, mut node) = started(&s, &server.url());
        let second = s.standby(&server.url());
        node.write(3);
        server.kill();
        assert_eq!(refused(&mut node, &hub), (503, "store_down".into()));
        hub.says("store_down");
        assert_eq!(hub.get("/healthz").0, 200);
        second.says("store_down");
        server.again();
        node.insist_on([&hub, &second]);
        node.write(2);
        node.insist_on([&hub, &second]);
        // Whoever is active by now: so it is also with what the store holds.
        hub.kill();
        second.kill();
        node.is_known_to(&s.active(&server.url()));
    }
}

#[test]
fn a_hub_waits_for_a_store_that_is_not_there_yet() {
    let mut server = Server::start(Kind::Redis, &[]);
    server.kill();
    let s = Setting::new("not-yet");
    let hub = s.hub(&server.url(), &[]);
    hub.says("store_down");
    assert_eq!(hub.refused(&s.sender(1).fake.request(now())), (503, "standby".into()));
    server.again();
    hub.says("ready");
    s.sender(1).more(&hub);
}

#[test]
fn a_primary_of_a_cluster_that_dies_is_replaced_and_what_its_replica_lacks_is_made_up_for() {
    let mut cluster = Cluster::start();
    let owner = cluster.owner("weir:{fake}:meta");
    cluster.replicate(owner);
    let s = Setting::new("fail-over");
    let url = cluster.url();
    let (hub, mut node) = started(&s, &url);
    let second = s.standby(&url);
    for _ in 0..20 {
        node.more(&hub);
    }
    cluster.0[owner].kill();
    node.write(3);
    node.insist_on([&hub, &second]);
    node.write(3);
    node.insist_on([&hub, &second]);
    let (first, other) = if hub.get("/readyz").0 == 200 { (hub, second) } else { (second, hub) };
    first.says("ready");
    node.is_known_to(&first);
    first.kill();
    other.says("ready");
    node.is_known_to(&other);
}

#[test]
fn a_store_without_a_file_that_is_killed_gets_everything_back_from_the_active_hub() {
    let mut server = Server::start(Kind::Valkey, &["--appendonly", "no"]);
    let s = Setting::new("no-file");
    let (hub, mut node) = started(&s, &server.url());
    server.kill();
    server.again();
    // Without a word from any node.
    made_up_for(&hub, &server);
    hub.says("ready");
    node.more(&hub);
    hub.kill();
    let hub = s.active(&server.url());
    node.is_known_to(&hub);
}

/// Waits until the store has a checkpoint again.
fn made_up_for(hub: &Hub, server: &Server) {
    let found = || server.say::<Option<String>>(&["HGET", "weir:{fake}:meta", "checkpoint"]).is_some();
    until(20, found, || hub.logged());
}

#[test]
fn an_emptied_store_gets_everything_back_from_the_active_hub() {
    let server = Server::start(Kind::Redis, &[]);
    let s = Setting::new("flushed");
    let (hub, mut node) = started(&s, &server.url());
    let second = s.standby(&server.url());
    let _: () = server.say(&["FLUSHALL"]);
    // It comes while nobody sends, and while somebody does.
    made_up_for(&hub, &server);
    node.more(&hub);
    let _: () = server.say(&["FLUSHALL"]);
    node.write(2);
    node.insist(&hub);
    assert_eq!((role(&hub), role(&second).0), ((1, 1, 1), 0), "the standby has left it alone");
    made_up_for(&hub, &server);
    node.more(&hub);
    hub.kill();
    second.says("ready");
    node.more(&second);
    node.is_known_to(&second);
    assert_eq!(role(&second).1, 2, "numbers only grow");
}

#[test]
fn a_standby_brings_back_what_it_knows_if_store_and_active_hub_are_lost_together() {
    let server = Server::start(Kind::Valkey, &[]);
    let s = Setting::new("both");
    let (hub, mut node) = started(&s, &server.url());
    let second = s.standby(&server.url());
    let position = hub.status()["store"]["position"].clone();
    until(10, || second.status()["store"]["position"] == position, || second.logged());
    hub.kill();
    let _: () = server.say(&["FLUSHALL"]);
    second.says("ready");
    made_up_for(&second, &server);
    node.more(&second);
    second.kill();
    node.is_known_to(&s.active(&server.url()));
}

#[test]
fn a_full_store_acknowledges_nothing_and_goes_on_when_there_is_room() {
    let server = Server::start(Kind::Valkey, &["--maxmemory", "12mb", "--maxmemory-policy", "noeviction"]);
    let s = Setting::new("full");
    let (hub, mut node) = (s.hub(&server.url(), &["--node-quota", "10000000"]), s.sender(1));
    hub.says("ready");
    let full = loop {
        node.write(400);
        if let Err(e) = node.send(&hub) {
            break e;
        }
        assert!(node.sent < 1_000_000);
    };
    assert_eq!(full, (503, "store_full".into()));
    hub.says("store_full");
    let acknowledged = hub.status()["observations"].as_u64().unwrap();
    assert!(acknowledged < node.sent);
    let polls = Fake::new(2, &s.config);
    assert_eq!(hub.post(&polls.request(now())).0, 200, "verdicts are still served");
    // Another takes over on the full store, and knows what was acknowledged.
    hub.kill();
    let hub = s.hub(&server.url(), &["--node-quota", "10000000"]);
    hub.says("ready");
    assert_eq!(hub.status()["observations"], acknowledged);
    assert_eq!(refused(&mut node, &hub), (503, "store_full".into()));
    let _: () = server.say(&["CONFIG", "SET", "maxmemory", "0"]);
    node.insist(&hub);
    hub.says("ready");
    assert_eq!(hub.events("store_ok").len(), 1);
    hub.settled("observations", node.sent);
    hub.kill();
    let hub = s.active(&server.url());
    assert_eq!((&hub.status()["observations"], &hub.status()["lost"]), (&node.sent.into(), &0.into()));
}

#[test]
fn a_replica_takes_nothing_and_is_told() {
    let primary = Server::start(Kind::Redis, &["--repl-diskless-sync-delay", "0"]);
    let server = Server::start(Kind::Redis, &[]);
    let s = Setting::new("replica");
    let (hub, mut node) = started(&s, &server.url());
    let _: () = server.say(&["REPLICAOF", "127.0.0.1", &primary.port.to_string()]);
    node.write(2);
    assert_eq!(refused(&mut node, &hub), (503, "store_readonly".into()));
    hub.says("store_readonly");
    // What it has is a copy of another one by now, and that is empty.
    let copies = || server.say::<String>(&["INFO", "replication"]).contains("master_link_status:up");
    until(20, copies, || "it does not become a replica".into());
    let _: () = server.say(&["REPLICAOF", "NO", "ONE"]);
    node.insist(&hub);
    made_up_for(&hub, &server);
    node.more(&hub);
    hub.kill();
    node.is_known_to(&s.active(&server.url()));
}

#[test]
fn a_store_that_is_slow_is_told_and_nothing_is_acknowledged_twice() {
    let server = Server::start(Kind::Valkey, &[]);
    let s = Setting::new("slow");
    let (hub, mut node) = started(&s, &server.url());
    for pause in [true, false] {
        node.write(3);
        if pause {
            let _: () = server.say(&["CLIENT", "PAUSE", "10000", "ALL"]);
        } else {
            server.sleep();
        }
        assert_eq!(refused(&mut node, &hub), (503, "store_slow".into()));
        let began = Instant::now();
        hub.says("store_slow");
        // What a node learns from it would be old.
        while began.elapsed() < Duration::from_secs(4) {
            std::thread::sleep(Duration::from_millis(100));
        }
        let polls = Fake::new(2, &s.config);
        assert_eq!(hub.refused(&polls.request(now())), (503, "store_slow".into()));
        std::thread::sleep(Duration::from_secs(10).saturating_sub(began.elapsed()));
        server.wake();
        // More comes with it, so that the group is another one.
        node.write(2);
        node.insist(&hub);
        hub.says("ready");
        node.more(&hub);
    }
    node.is_known_to(&hub);
    hub.kill();
    node.is_known_to(&s.active(&server.url()));
}

#[test]
fn what_replicas_must_have_survives_the_primary() {
    let mut primary = Server::start(Kind::Valkey, &["--repl-diskless-sync-delay", "0"]);
    let port = primary.port.to_string();
    let replica = Server::start(Kind::Valkey, &["--replicaof", &format!("127.0.0.1 {port}")]);
    let s = Setting::new("replicas");
    let hub = s.hub(&primary.url(), &["--store-replicas", "1"]);
    hub.says("ready");
    let mut node = s.sender(1);
    node.write(2);
    node.insist(&hub);
    node.more(&hub);
    replica.sleep();
    node.write(2);
    assert_eq!(refused(&mut node, &hub), (503, "store_slow".into()));
    replica.wake();
    node.write(2);
    node.insist(&hub);
    node.more(&hub);
    // Nothing is left of the primary and of the hub.
    primary.kill();
    hub.kill();
    let _: () = replica.say(&["REPLICAOF", "NO", "ONE"]);
    node.is_known_to(&s.active(&replica.url()));
}

#[test]
fn connections_that_break_are_made_anew() {
    let server = Server::start(Kind::Redis, &[]);
    let s = Setting::new("broken");
    let (hub, mut node) = started(&s, &server.url());
    for _ in 0..10 {
        let _: u64 = server.say(&["CLIENT", "KILL", "TYPE", "normal"]);
        node.write(2);
        node.send(&hub).unwrap();
    }
    node.is_known_to(&hub);
}

#[test]
fn a_password_that_is_changed_is_told_and_the_old_one_back_is_enough() {
    let server = Server::start(Kind::Valkey, &[]);
    let s = Setting::new("changed");
    let url = server.url().replace("://", "://weir:geheim@");
    let acl = |password: &str| -> String {
        server.say(&["ACL", "SETUSER", "weir", "on", "resetpass", password, "~*", "+@all"])
    };
    acl(">geheim");
    let (hub, mut node) = started(&s, &url);
    acl(">another");
    let _: redis::RedisResult<u64> = server.try_say(&["CLIENT", "KILL", "USER", "weir"]);
    node.write(2);
    assert_eq!(refused(&mut node, &hub), (503, "store_auth".into()));
    hub.says("store_auth");
    acl(">geheim");
    node.insist(&hub);
    node.is_known_to(&hub);
    assert!(!hub.log.lock().unwrap().join("\n").contains("geheim"));
}

#[test]
fn a_user_with_these_commands_alone_is_enough() {
    let readme = include_str!("../../src/bin/weir/README.md");
    let line = readme.lines().find(|l| l.starts_with("ACL SETUSER weir")).unwrap();
    let line = line.replace("PASSWORD", "geheim").replace("POLICY", "fake");
    for kind in [Kind::Valkey, Kind::Redis] {
        let server = Server::start(kind, &[]);
        let _: () = server.say(&line.split(' ').collect::<Vec<_>>());
        let s = Setting::new("acl");
        let url = server.url().replace("://", "://weir:geheim@");
        let hub = s.hub(&url, &["--checkpoint-s", "1"]);
        hub.says("ready");
        let mut node = s.sender(1);
        let until = Instant::now() + Duration::from_secs(10);
        while hub.metric("weir_hub_checkpoints_total") < 2 {
            assert!(Instant::now() < until, "{:?}", hub.log.lock().unwrap());
            node.more(&hub);
            std::thread::sleep(Duration::from_millis(300));
        }
        let second = s.standby(&url);
        assert_eq!(hub.stop(), 0);
        second.says("ready");
        node.more(&second);
        node.is_known_to(&second);
        let denied: Vec<redis::Value> = server.say(&["ACL", "LOG"]);
        assert!(denied.is_empty(), "{denied:?}");
    }
}

#[test]
fn a_key_that_holds_something_else_is_told() {
    let server = Server::start(Kind::Valkey, &[]);
    let s = Setting::new("type");
    let (hub, mut node) = started(&s, &server.url());
    let _: u64 = server.say(&["DEL", "weir:{fake}:journal"]);
    let _: String = server.say(&["SET", "weir:{fake}:journal", "x"]);
    node.write(2);
    assert_eq!(refused(&mut node, &hub), (503, "store_type".into()));
    hub.says("store_type");
    // The way out: what is there goes, and the next checkpoint makes up for the journal.
    let _: u64 = server.say(&["DEL", "weir:{fake}:journal"]);
    node.insist(&hub);
    assert_eq!(hub.stop(), 0);
    node.is_known_to(&s.active(&server.url()));
}

#[test]
fn damage_in_the_store_ends_the_start_and_names_the_way_out() {
    let server = Server::start(Kind::Redis, &[]);
    let s = Setting::new("damage");
    let (hub, mut node) = started(&s, &server.url());
    assert_eq!(hub.stop(), 0);
    let hub = s.active(&server.url());
    node.more(&hub);
    hub.kill();
    // Its lease.
    std::thread::sleep(Duration::from_millis(3_200));
    let ids: Vec<String> = server.say(&["KEYS", "weir:{fake}:page:*"]);
    let page = ids.iter().min().unwrap();
    let (first, key) = ("7-0", "weir:{fake}:journal");
    let entries: Vec<(String, Vec<Vec<u8>>)> = server.say(&["XRANGE", key, first, "+"]);
    assert!(entries.len() >= 4, "{}", entries.len());
    for (words, say) in [
        (vec!["SETRANGE", page.as_str(), "100", "xx"], "page 0 of the checkpoint is damaged"),
        (vec!["DEL", page.as_str()], "pages of the checkpoint are missing"),
        (vec!["XDEL", key, &entries[1].0], "missing"),
        (vec!["XDEL", key, &entries.last().unwrap().0], "missing"),
    ] {
        let copy = Server::start(Kind::Redis, &[]);
        for k in server.say::<Vec<String>>(&["KEYS", "weir:*"]) {
            let mut from = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
            let bytes: Vec<u8> = redis::cmd("DUMP").arg(&k).query(&mut from).unwrap();
            let mut to = redis::Client::open(copy.url()).unwrap().get_connection().unwrap();
            let _: () = redis::cmd("RESTORE").arg(&k).arg(0).arg(bytes).query(&mut to).unwrap();
        }
        let _: redis::Value = copy.say(&words);
        let (status, said) = ends(command_on(&s.file, &["--store", &copy.url()]));
        assert!(
            status == 2 && said.contains(say) && said.contains("The way out"),
            "{words:?}: {status} {said}"
        );
        // Whoever comes next finds the same, at once: the lease was given back.
        assert!(!copy.say::<bool>(&["EXISTS", "weir:{fake}:lease"]));
    }
    node.is_known_to(&s.active(&server.url()));
}

#[test]
fn slots_that_move_are_followed() {
    let cluster = Cluster::start();
    let s = Setting::new("slots");
    let (hub, mut node) = started(&s, &cluster.url());
    let keys = ["weir:{fake}:lease", "weir:{fake}:meta", "weir:{fake}:journal"];
    let slot: u32 = cluster.0[0].say(&["CLUSTER", "KEYSLOT", keys[0]]);
    let slot = slot.to_string();
    let from = &cluster.0[cluster.owner(keys[0])];
    let to = &cluster.0[(cluster.owner(keys[0]) + 1) % 3];
    let id = |s: &Server| -> String { s.say(&["CLUSTER", "MYID"]) };
    let (from_id, to_id) = (id(from), id(to));
    let _: () = to.say(&["CLUSTER", "SETSLOT", &slot, "IMPORTING", &from_id]);
    let _: () = from.say(&["CLUSTER", "SETSLOT", &slot, "MIGRATING", &to_id]);
    // All of its keys are there and none is: what is asked for has gone (ASK), or is being moved (TRYAGAIN).
    node.more(&hub);
    let port = to.port.to_string();
    for key in keys {
        let moved: String = from.say(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000", "REPLACE"]);
        assert!(["OK", "NOKEY"].contains(&moved.as_str()), "{moved}");
        node.write(2);
        let _ = node.send(&hub);
    }
    node.insist(&hub);
    node.more(&hub);
    // MOVED.
    for server in [to, from] {
        let _: () = server.say(&["CLUSTER", "SETSLOT", &slot, "NODE", &to_id]);
    }
    node.more(&hub);
    node.is_known_to(&hub);
    hub.kill();
    node.is_known_to(&s.active(&cluster.url()));
}

/// Files of an authority, of a server of it until `end`, and of a client.
fn certificates(dir: &Dir, end: (i32, u8, u8)) -> [String; 5] {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut p = rcgen::CertificateParams::new(Vec::new()).unwrap();
    p.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
    p.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = p.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(p, key);
    let signed = |names: &[&str], end: (i32, u8, u8)| {
        let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
        let mut p = rcgen::CertificateParams::new(names.clone()).unwrap();
        p.distinguished_name.push(rcgen::DnType::CommonName, names[0].clone());
        p.not_before = rcgen::date_time_ymd(2020, 1, 1);
        p.not_after = rcgen::date_time_ymd(end.0, end.1, end.2);
        let key = rcgen::KeyPair::generate().unwrap();
        (p.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem())
    };
    let (server, client) = (signed(&["127.0.0.1"], end), signed(&["weir"], (2099, 1, 1)));
    let file = |name: &str, text: &str| dir.file(name, text).to_str().unwrap().to_string();
    [
        file("ca.pem", &ca.pem()),
        file("server.pem", &server.0),
        file("server.key", &server.1),
        file("client.pem", &client.0),
        file("client.key", &client.1),
    ]
}

fn with_tls(files: &[String; 5]) -> Server {
    let [ca, cert, key, ..] = files;
    Server::start(Kind::Redis, &["--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", ca])
}

#[test]
fn certificates_are_checked_on_both_sides_and_one_that_has_expired_is_told() {
    let s = Setting::new("tls");
    let good = certificates(&s._dir, (2099, 1, 1));
    let server = with_tls(&good);
    let url = format!("rediss://127.0.0.1:{}", server.port);
    let [ca, _, _, cert, key] = &good;
    let all = ["--store-ca-file", ca, "--store-cert-file", cert, "--store-key-file", key];
    let hub = s.hub(&url, &all);
    hub.says("ready");
    let mut node = s.sender(1);
    node.more(&hub);
    node.is_known_to(&hub);
    hub.kill();
    // The system trusts nobody who has signed it; the store wants to see a certificate.
    for (args, word) in [(&all[2..], "UnknownIssuer"), (&all[..2], "store_tls")] {
        let all: Vec<&str> = ["--store", &url].into_iter().chain(args.iter().copied()).collect();
        let (status, said) = ends(command_on(&s.file, &all));
        assert!(status == 2 && said.contains("store_tls") && said.contains(word), "{status} {said}");
    }
    let other = Setting::new("tls-expired");
    let old = certificates(&other._dir, (2021, 1, 1));
    let server = with_tls(&old);
    let url = format!("rediss://127.0.0.1:{}", server.port);
    let [ca, _, _, cert, key] = &old;
    let args = ["--store", &url, "--store-ca-file", ca, "--store-cert-file", cert, "--store-key-file", key];
    let (status, said) = ends(command_on(&other.file, &args));
    assert!(
        status == 2 && said.contains("store_tls") && said.to_lowercase().contains("expired"),
        "{status} {said}"
    );
}
