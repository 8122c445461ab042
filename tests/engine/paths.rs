//! Every endpoint of the table in `envoy/README.md`: what is read, what is charged, and where the key alone decides.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

#[path = "reading.rs"]
mod reading;

use reading::{begin, engine, facts};
use serde_json::Value;
use std::sync::Arc;
use weir::engine::config;
use weir::engine::dialect::dialect_for;
use weir::engine::dialect::path::Normal;
use weir::engine::edge::session::{Other, Session};
use weir::engine::units::Nanos;
use weir::engine::verdict::{Action, Reason};
use weir::engine::{Decision, Engine};

/// Vendor, method, path, what is done, name of the test.
fn table() -> Vec<[String; 5]> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/README.md")).unwrap();
    let rows = text.split("\n## Endpoints\n").nth(1).unwrap().lines();
    let rows = rows.filter(|l| l.starts_with("| ") && l.contains(" | `") && l.contains('/'));
    rows.map(|l| {
        let cells: Vec<&str> = l.trim_matches('|').split(" | ").map(str::trim).collect();
        let (method, path) = cells[1].trim_matches('`').split_once(' ').unwrap();
        let path = path.split(" (").next().unwrap();
        [cells[0], method, path, cells[2], cells[3].trim_matches('`')].map(String::from)
    })
    .collect()
}

fn open(engine: &Engine, method: &str, path: &str, key: &str, upgrade: bool) -> Session {
    let mut headers = vec![("x-api-key", key)];
    if upgrade {
        headers.push(("upgrade", "websocket"));
    }
    if method == "POST" {
        headers.push(("content-length", "2"));
    }
    begin(engine, method, path, &headers, method != "POST")
}

#[test]
fn every_endpoint_of_the_table_is_what_the_table_says() {
    let engine = engine();
    let (mut read, mut wrong) = (0, Vec::new());
    let all = table();
    for [vendor, method, path, what, test] in &all {
        let session = open(&engine, method, path, "k", what.starts_with("handshake"));
        let dialect = dialect_for(&Normal::of(path.as_bytes())).map(|d| d.name());
        let good = match what.as_str() {
            "read" => {
                read += 1;
                let file = format!("{}/tests/fixtures/{test}.json", env!("CARGO_MANIFEST_DIR"));
                let fixture: Value = serde_json::from_str(
                    &std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}")),
                )
                .unwrap();
                let body = match fixture.get("raw") {
                    Some(raw) => raw.as_str().unwrap().as_bytes().to_vec(),
                    None => serde_json::to_vec(&fixture["body"]).unwrap(),
                };
                // The same body on this path says the same: the fixture's own path may be another spelling.
                let (here, there) = (
                    facts(&engine, path, &body, body.len()),
                    facts(&engine, fixture["path"].as_str().unwrap(), &body, body.len()),
                );
                dialect.is_some()
                    && session.other == Other::No
                    && here["user"] == there["user"]
                    && here["dialect"] == there["dialect"]
            }
            "charged" => session.other == Other::Charged,
            "keys" => session.other == Other::Free,
            _ => session.other == Other::Charged && session.dialect.is_none(),
        };
        if !good {
            wrong.push(format!("{vendor} {method} {path}: not {what} ({dialect:?}, {:?})", session.other));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} endpoints and shapes, {read} of them read", all.len());
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/README.md")).unwrap();
    let told = format!(
        "{} endpoints and shapes of these APIs with what is done about each, and its test: {read} are",
        all.len()
    );
    assert!(page.contains(&told), "envoy/README.md does not say: {told}");
    assert!(read >= 150, "{read}");
}

fn decide(engine: &mut Engine, now: u64, method: &str, path: &str, key: &str) -> Decision {
    let mut session = open(engine, method, path, key, false);
    assert!(session.is_ready(), "nothing is waited for");
    engine.decide(Nanos::from_secs(1_000_000 + now), &mut session)
}

#[test]
fn requests_without_a_prompt_teach_nothing_and_are_charged_where_they_ask_for_work() {
    let config = |other: &str| {
        let text = format!(
            r#"{{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","inspect":{{"other_paths":"{other}"}},"limits":[{{"name":"l","requests":3,"per":"1h"}}]}}"#
        );
        Engine::new(Arc::new(config::parse(&text).unwrap()))
    };
    let mut engine = config("keys");
    for now in 0..10 {
        let got = decide(&mut engine, now, "POST", "/v9/x", "k");
        let want =
            if now < 3 { (Action::Allow, Reason::NotInference) } else { (Action::Throttle, Reason::Rate) };
        assert_eq!((got.verdict.action, got.verdict.reason), want, "{now}");
        for method in ["GET", "HEAD", "OPTIONS", "DELETE"] {
            assert_eq!(decide(&mut engine, now, method, "/v9/x", "k").verdict.action, Action::Allow);
        }
    }
    assert_eq!(engine.status().keys, 0, "no key is learnt by it");
    let mut none = config("none");
    assert!((0..10).all(|t| decide(&mut none, t, "POST", "/v9/x", "k").action == Action::Allow));
    let mut reject = config("reject");
    let got = decide(&mut reject, 0, "GET", "/v9/x", "k");
    assert_eq!((got.action, got.verdict.reason), (Action::Block, Reason::NotInference));
    assert!(got.verdict.case_id.is_some());
    // A path that is known is served; without a prompt by its key.
    assert_eq!(decide(&mut reject, 0, "GET", "/v1/chat/completions", "k").action, Action::Allow);
}

/// A batch of `n` items in lines, of which one has this text.
fn lines(n: usize, at: usize, text: &str) -> Vec<u8> {
    let line = |i: usize| {
        let text = if i == at {
            text
        } else {
            &format!("an innocent question about river number {i} and its many bends")
        };
        format!(
            r#"{{"custom_id":"{i}","method":"POST","url":"/v1/chat/completions","body":{{"messages":[{{"role":"user","content":"{text}"}}]}}}}"#
        )
    };
    (0..n).map(line).collect::<Vec<_>>().join("\n").into_bytes()
}

fn read(engine: &Engine, path: &str, key: &str, body: &[u8], chunk: usize) -> Session {
    let length = body.len().to_string();
    let mut s = reading::open(engine, path, &[("x-api-key", key), ("content-length", &length)]);
    body.chunks(chunk).for_each(|c| {
        s.push(c, false);
    });
    s.finish();
    s
}

#[test]
fn of_a_batch_all_items_are_counted_and_every_one_is_as_likely_to_be_looked_at() {
    let engine = engine();
    let body = lines(40, 0, "q");
    for chunk in [1, 7, 64, body.len()] {
        let s = read(&engine, "/v1/files", "k", &body, chunk);
        assert_eq!((s.facts.items, s.facts.sample.len(), s.facts.unreadable), (40, 7, None), "{chunk}");
    }
    // Over many keys each of forty items is in the sample of eight one time in five: 200 of 1,000 by expectation.
    let mut seen = vec![0u32; 40];
    for key in 0..1_000 {
        let mut s = read(&engine, "/v1/files", &format!("key-{key}"), &body, body.len());
        let sample = std::mem::take(&mut s.facts.sample);
        for mut facts in sample.into_iter().chain([s.facts]) {
            let text = String::from_utf8_lossy(facts.user.regions().0).into_owned();
            let number = text.split(' ').find_map(|w| w.parse::<usize>().ok()).unwrap_or(0);
            seen[number] += 1;
        }
    }
    assert_eq!(seen.iter().sum::<u32>(), 8_000);
    assert!(seen.iter().all(|n| (140..260).contains(n)), "{seen:?}");
}

#[test]
fn long_batches_are_taken_to_go_on_as_they_began() {
    let engine = engine();
    let body = lines(20_000, 0, "q");
    let s = read(&engine, "/v1/files", "k", &body, 65_536);
    assert!(s.facts.beyond_window && s.facts.unreadable.is_some());
    assert!((19_000..21_000).contains(&s.facts.items), "{}", s.facts.items);
    let s = read(&engine, "/v1/files", "k", &lines(100_000, 0, "q"), 65_536);
    assert!(s.facts.items >= 65_000, "the count saturates: {}", s.facts.items);
}

#[test]
fn lines_that_are_no_documents_are_passed_over() {
    let engine = engine();
    let good = String::from_utf8(lines(2, 0, "q")).unwrap();
    for noise in [
        "",
        "\n",
        "{not json\n",
        "{\"a\":1} x\n",
        "--boundary\r\ncontent-type: x\r\n\r\n",
        "[1,2]\n",
        "{\"a\":\n",
        "\u{feff}",
    ] {
        let body = format!("{noise}{good}\n{noise}");
        for chunk in [1, 5, body.len()] {
            let s = read(&engine, "/v1/files", "k", body.as_bytes(), chunk);
            assert_eq!((s.facts.items, s.facts.unreadable), (2, None), "{noise:?} {chunk}");
        }
    }
    let s = read(&engine, "/v1/files", "k", b"%PDF-1.7 {}\nbinary\0", 3);
    assert_eq!((s.facts.items, s.facts.unreadable, s.facts.media), (0, None, true));
    // One of many that parsers read differently is told, wherever it stands.
    let twice = lines(30, 0, "q");
    let odd = [&twice[..], b"\n{\"body\":{\"messages\":[],\"messages\":[]}}\n", &twice].concat();
    assert!(read(&engine, "/v1/files", "k", &odd, 100).facts.unreadable.is_some());
}

#[test]
fn a_batch_does_not_hold_much_memory() {
    let engine = engine();
    let long = "word ".repeat(4_000);
    let s = read(&engine, "/v1/files", "k", &lines(30, 3, &long), 4_096);
    let bytes = |f: &weir::engine::dialect::Facts| {
        f.instructions.capacity() + f.user.size_bytes() + f.first_user.size_bytes()
    };
    let all = s.facts.sample.iter().map(bytes).sum::<usize>() + bytes(&s.facts);
    assert!(all <= 64 << 10, "{all}");
}

#[test]
fn what_holds_no_prompt_by_its_nature_is_sound_and_other_bodies_are_not() {
    let engine = engine();
    for path in [
        "/v1/threads",
        "/v1/assistants",
        "/v1/conversations",
        "/v1/realtime/sessions",
        "/v1/evals",
        "/v1/batches",
        "/v1/agents/a",
        "/",
        "/v1/projects/p/locations/l/batchPredictionJobs",
        "/v1/files",
    ] {
        let s = read(&engine, path, "k", b"{\"name\":\"a\"}", 3);
        assert_eq!((s.facts.unreadable, s.facts.media), (None, true), "{path}");
        let s = read(&engine, path, "k", b"", 1);
        assert_eq!(s.facts.unreadable, None, "{path} without a body");
    }
    for path in [
        "/v1/chat/completions",
        "/generate",
        "/invocations",
        "/v1/predictions",
        "/v1/messages/batches",
        "/x:rawPredict",
    ] {
        let s = read(&engine, path, "k", b"{\"name\":\"a\"}", 3);
        assert!(s.facts.unreadable.is_some(), "{path}");
    }
}

#[test]
fn paths_that_manage_models_are_no_inference() {
    for path in [
        "/v1/models/m/permissions",
        "/v2/models/m/load",
        "/v2/repository/models/m/unload",
        "/v2/models/m/ready",
        "/v1/models",
        "/api/show",
        "/v1beta/models/g:countTokens",
        "/v1/messages/count_tokens",
        "/model/m/count-tokens",
        "/v1/responses/input_tokens",
        "/models/m",
    ] {
        assert!(dialect_for(&Normal::of(path.as_bytes())).is_none(), "{path}");
    }
}
