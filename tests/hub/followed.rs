//! Hubs on one store that follow the same log: each line is learned once, whoever is active.

use super::lines::{append, lines};
use super::*;

/// All that was written is known, each line once.
fn knows(hub: &Hub, n: u64) {
    until(30, || hub.status()["observations"] == n, || format!("not {n}: {} {}", hub.status(), hub.logged()));
    hub.settled("keys", n);
    let s = hub.status();
    assert_eq!(
        (&s["lost"], &s["refused_batches"], &s["duplicate_batches"]),
        (&0.into(), &0.into(), &0.into()),
        "{s}"
    );
}

#[test]
fn of_hubs_that_follow_one_log_the_active_one_reads_and_the_next_goes_on_where_it_ended() {
    for kind in [Kind::Valkey, Kind::Redis] {
        let server = Server::start(kind, &[]);
        let s = Setting::new("follow");
        let log = s._dir.0.join("edge.log");
        append(&log, &lines(0, 30));
        let follow = |args: &[&str]| {
            let all: Vec<&str> =
                ["--follow", log.to_str().unwrap()].into_iter().chain(args.iter().copied()).collect();
            s.hub(&server.url(), &all)
        };
        let first = follow(&[]);
        first.says("ready");
        // What was there before is not read.
        until(10, || first.status()["nodes"].as_array().is_some_and(|n| !n.is_empty()), || first.logged());
        let second = follow(&[]);
        second.says("standby");
        append(&log, &lines(100, 100));
        knows(&first, 100);
        // While nobody is active the log grows, is rotated, and grows.
        first.kill();
        append(&log, &lines(200, 50));
        std::fs::rename(&log, s._dir.0.join("edge.log.1")).unwrap();
        append(&log, &lines(250, 30));
        second.says("ready");
        knows(&second, 180);
        // The one that reads sleeps in the middle of it; the other goes on, and when the first one wakes it reads nothing.
        let third = follow(&[]);
        third.says("standby");
        append(&log, &lines(300, 200));
        second.sleep();
        third.says("ready");
        append(&log, &lines(500, 40));
        knows(&third, 420);
        second.wake();
        second.says("standby");
        append(&log, &lines(600, 10));
        knows(&third, 430);
        // It is active once more, with another log than it knew.
        std::fs::write(&log, lines(700, 5)).unwrap();
        knows(&third, 435);
        third.kill();
        append(&log, &lines(800, 15));
        second.says("ready");
        knows(&second, 450);
        assert_eq!(role(&second), (1, role(&second).1, 2));
        // One that is stopped gives its place away at once.
        let fourth = follow(&[]);
        fourth.says("standby");
        append(&log, &lines(900, 25));
        assert_eq!(second.stop(), 0);
        append(&log, &lines(950, 25));
        fourth.says("ready");
        knows(&fourth, 500);
    }
}
