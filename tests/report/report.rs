//! `weir report` as operators run it: the traffic of the demo is replayed, and what the report says is what the records and the replay say.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

#[path = "../support/cli.rs"]
mod cli;
#[path = "../support/dir.rs"]
mod dir;

use cli::{err, weir};
use dir::Dir;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

fn out(o: &Output) -> String {
    assert!(o.status.success(), "{}", err(o));
    String::from_utf8(o.stdout.clone()).unwrap()
}

fn json_of(o: &Output) -> Value {
    serde_json::from_str(&out(o)).unwrap()
}

fn path(p: &Path) -> &str {
    p.to_str().unwrap()
}

fn lines(p: &Path) -> Vec<Value> {
    std::fs::read_to_string(p).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

struct Replayed {
    dir: Dir,
    records: PathBuf,
    decisions: PathBuf,
    state: PathBuf,
    summary: Value,
}

static DEMO: LazyLock<Replayed> = LazyLock::new(|| {
    let dir = Dir::new("report");
    let at = |name: &str| dir.0.join(name);
    let (trace, records, decisions, state) = (at("t.jsonl"), at("r.jsonl"), at("d.jsonl"), at("state"));
    out(&weir(&["demo", "--write-trace", path(&trace)]));
    let args = ["replay", "--json", "--config", "envoy/replay.json", "--records", path(&records)];
    let more = ["--decisions", path(&decisions), "--write-state", path(&state), path(&trace)];
    let summary = json_of(&weir(&[&args[..], &more].concat()));
    Replayed { records, decisions, state, summary, dir }
});

#[test]
fn the_figures_are_those_of_the_replay() {
    let d = &*DEMO;
    let f = json_of(&weir(&["report", "--json", path(&d.records), path(&d.decisions)]));
    assert_eq!((&f["basis"], &f["input"]["malformed"]), (&json!("requests"), &json!(0)));
    assert_eq!(f["totals"]["would"], d.summary["would"]);
    assert_eq!(f["totals"]["done"], d.summary["actions"]);
    let confusion = &d.summary["confusion"];
    for (ours, theirs) in [
        ("honest_keys", "benign_keys"),
        ("honest_blocked", "benign_keys_blocked"),
        ("campaign_keys", "attack_keys"),
        ("campaign_blocked", "attack_keys_blocked"),
    ] {
        assert_eq!(f["labels"][ours], confusion[theirs], "{ours}");
    }
    for row in f["labels"]["rows"].as_array().unwrap() {
        let label = &d.summary["by_label"][row["label"].as_str().unwrap()];
        assert_eq!((&row["keys"], &row["blocked"]), (&label["keys"], &label["keys_blocked"]), "{row}");
    }
    let sum = |list: &Value, name: &str| {
        list.as_array().unwrap().iter().map(|r| r[name].as_u64().unwrap()).sum::<u64>()
    };
    for action in ["allow", "tag", "throttle", "block"] {
        assert_eq!(sum(&f["timeline"]["rows"], action), d.summary["would"][action].as_u64().unwrap());
    }
    for bins in ["load", "age"] {
        assert_eq!(
            sum(&f[bins], "blocked") + sum(&f[bins], "others"),
            f["totals"]["keys"].as_u64().unwrap(),
            "{bins}"
        );
    }
    assert_eq!(f["shadow"]["would_block"], 0, "the demo enforces");
}

#[test]
fn the_figures_are_those_of_the_records() {
    let d = &*DEMO;
    let f = json_of(&weir(&["report", "--json", path(&d.records)]));
    assert_eq!(f["basis"], "records");
    let records = lines(&d.records);
    let (ledger, workers): (Vec<&Value>, Vec<&Value>) = records.iter().partition(|r| r["at"] == "ledger");
    assert_eq!(
        (&f["input"]["records"], &f["input"]["records_at_ledger"]),
        (&json!(records.len()), &json!(ledger.len()))
    );
    let mut hours: BTreeMap<u64, u64> = BTreeMap::new();
    for r in workers.iter().filter(|r| r["would"] == "block") {
        *hours.entry(r["t_ms"].as_u64().unwrap() / 3_600_000 * 3_600).or_default() += 1;
    }
    let rows = f["timeline"]["rows"].as_array().unwrap();
    let told: BTreeMap<u64, u64> = rows
        .iter()
        .map(|r| (r["t_s"].as_u64().unwrap(), r["block"].as_u64().unwrap()))
        .filter(|r| r.1 > 0)
        .collect();
    assert_eq!(told, hours);
    let blocked: BTreeSet<&str> =
        records.iter().filter(|r| r["would"] == "block").map(|r| r["key"].as_str().unwrap()).collect();
    let campaign = &f["campaigns"][0];
    assert_eq!(f["campaigns"].as_array().unwrap().len(), 1);
    assert_eq!(campaign["accounts_blocked"], blocked.len());
    assert_eq!(campaign["growth"].as_array().unwrap().last().unwrap()["blocked"], blocked.len());
    // The strongest evidence is one that a record holds, as it holds it.
    let e = &campaign["evidence"];
    let strongest = records.iter().filter_map(|r| r["group"]["nats"].as_i64()).max().unwrap();
    assert_eq!(e["nats"], strongest);
    let of = records
        .iter()
        .find(|r| {
            r["group"]["id"] == e["id"]
                && r["group"]["nats"] == e["nats"]
                && r["group"]["keys"] == e["keys"]
                && r["group"]["requests"] == e["requests"]
        })
        .unwrap();
    for pair in e["explanations"].as_array().unwrap() {
        assert_eq!(of["group"]["explanations"][pair[0].as_str().unwrap()], pair[1]);
    }
}

/// Envoy's own log, a shipper's JSON around it, compressed: the same records.
#[test]
fn records_are_read_wherever_they_stand() {
    let d = &*DEMO;
    let text = std::fs::read_to_string(&d.records).unwrap();
    let wrap = |(i, l): (usize, &str)| match i % 2 {
        0 => format!("[2026-05-29 12:00:23.109][9][info][wasm] [source/x.cc:1] wasm log weir: {l}\n"),
        _ => json!({"log": format!("[info] {l}\n"), "stream": "stderr"}).to_string() + "\n",
    };
    let log: String = text.lines().enumerate().map(wrap).collect();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(log.as_bytes()).unwrap();
    let file = d.dir.file("envoy.log.gz", gz.finish().unwrap());
    let figures = |p: &Path| json_of(&weir(&["report", "--json", path(p)]));
    assert_eq!(figures(&file), figures(&d.records));
}

/// In shadow mode everything is let through, and the report says what would not have been.
#[test]
fn what_enforcement_would_have_done_is_what_was_not_done() {
    let d = &*DEMO;
    let config = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/replay.json")).unwrap();
    let config = d.dir.file("shadow.json", config.replace("\"enforce\"", "\"shadow\""));
    let (decisions, records, trace) =
        (d.dir.0.join("sd.jsonl"), d.dir.0.join("sr.jsonl"), d.dir.0.join("t.jsonl"));
    let args = [
        "replay",
        "--json",
        "--config",
        path(&config),
        "--records",
        path(&records),
        "--decisions",
        path(&decisions),
    ];
    let summary = json_of(&weir(&[&args[..], &[path(&trace)]].concat()));
    assert_eq!(summary["actions"]["block"], 0);
    for logs in [vec![path(&decisions), path(&records)], vec![path(&records)]] {
        let f = json_of(&weir(&[&["report", "--json"], &logs[..]].concat()));
        if logs.len() == 2 {
            assert_eq!(f["shadow"]["would_block"], summary["would"]["block"]);
            assert_eq!(f["shadow"]["keys"], summary["by_label"]["attack:campaign"]["keys_blocked"]);
        }
        assert_eq!(f["shadow"]["would_block"], f["totals"]["would"]["block"]);
        assert_eq!(f["shadow"]["modes"].as_object().unwrap().keys().collect::<Vec<_>>(), ["shadow"]);
    }
    let page = out(&weir(&[
        "report",
        "--incident",
        lines(&records)[0]["campaign"].as_str().unwrap(),
        "--out",
        "-",
        path(&decisions),
        path(&records),
    ]));
    assert!(page.contains("The policy did not enforce all of this"));
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let d = &*DEMO;
    let file = d.dir.0.join("page.html");
    let args = ["report", "--state", path(&d.state), "--config", "envoy/replay.json", "--out", path(&file)];
    out(&weir(&[&args[..], &[path(&d.records), path(&d.decisions)]].concat()));
    let page = std::fs::read_to_string(file).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("lang=\"en\""));
    for absent in ["<script", "http://", "https://", "@import", "url(", "onload"] {
        assert!(!page.contains(absent), "{absent}");
    }
    let count = |what: &str| page.matches(what).count();
    assert_eq!(count("<svg"), count("<title id"));
    assert_eq!(count("<svg"), count("<desc id"));
    assert_eq!(count("<table"), count("<caption"));
    assert!(count("<svg") >= 4 && page.contains("prefers-color-scheme") && page.contains("@media print"));
    assert!(
        page.contains("It cannot tell what was done to whom and when"),
        "of a state it is said what it cannot tell"
    );
}

/// What a state alone gives, and what is none.
#[test]
fn a_state_tells_its_moment_and_another_one_is_refused() {
    let d = &*DEMO;
    let f = json_of(&weir(&["report", "--json", "--state", path(&d.state), "--config", "envoy/replay.json"]));
    assert_eq!(
        (&f["state"]["convicted"], &f["state"]["keys"]),
        (&d.summary["convicted"], &d.summary["keys"])
    );
    assert_eq!(f["state"]["cases"].as_array().unwrap().len(), 1);
    let config = d
        .dir
        .file("other.json", r#"{"seed":"00000000000000000000000000000000000000000000000000000000000000ff"}"#);
    let (garbage, empty) = (d.dir.file("garbage", [7u8; 999]), d.dir.0.join("empty"));
    std::fs::create_dir_all(&empty).unwrap();
    for (state, config, say) in [
        (&d.state, path(&config), "state refused"),
        (&garbage, "envoy/replay.json", "state refused"),
        (&empty, "envoy/replay.json", "no checkpoint is there"),
        (&d.dir.0.join("nowhere"), "envoy/replay.json", "No such file"),
    ] {
        let o = weir(&["report", "--json", "--state", path(state), "--config", config]);
        assert_eq!(o.status.code(), Some(2), "{}", err(&o));
        assert!(err(&o).contains(say) && err(&o).contains(path(state)), "{}", err(&o));
    }
    assert_eq!(
        weir(&["report", "--state", path(&d.state)]).status.code(),
        Some(1),
        "a state needs its configuration"
    );
}

#[test]
fn input_that_is_none_is_told() {
    let d = &*DEMO;
    let nowhere = d.dir.0.join("nowhere.html");
    let run = |logs: &[&Path]| {
        let logs: Vec<&str> = logs.iter().map(|p| path(p)).collect();
        weir(&[&["report", "--out", path(&nowhere)], &logs[..]].concat())
    };
    let (empty, noise) =
        (d.dir.file("e.jsonl", ""), d.dir.file("n.jsonl", [0xffu8, 0, b'\n', b'{', b'\n', 7].repeat(999)));
    for log in [&empty, &noise] {
        let o = run(&[log]);
        assert_eq!(o.status.code(), Some(3));
        assert!(err(&o).contains("no decision record is in these"), "{}", err(&o));
    }
    assert_eq!(run(&[]).status.code(), Some(1));
    assert!(err(&run(&[])).contains("no log is given"));
    assert_eq!(run(&[Path::new("/nowhere.jsonl")]).status.code(), Some(2));
    assert!(!nowhere.exists(), "nothing is written of nothing");
    // A damaged line is named and the others are told; lines of before have no key.
    let bad = d.dir.file(
        "b.jsonl",
        "{\"weir\":\"decision\",\"t_ms\":-1}\n{\"i\":1,\"action\":\"allow\",\"would\":\"allow\"}\n",
    );
    let o = run(&[&bad, &d.records]);
    assert_eq!(o.status.code(), Some(3));
    assert!(
        err(&o).contains("b.jsonl:1: malformed")
            && err(&o).contains("b.jsonl:2:")
            && err(&o).contains("write it anew"),
        "{}",
        err(&o)
    );
    assert!(nowhere.exists());
    let o = weir(&["report", "--incident", "00c0ffee", path(&d.records)]);
    assert_eq!(
        (o.status.code(), err(&o).contains("nothing about campaign or case 00c0ffee")),
        (Some(3), true)
    );
}

/// Lines of an audit log, chained as a hub chains them.
fn chain(events: &[(u64, &str, Value)]) -> String {
    let (mut prev, mut out) = ("0".repeat(64), String::new());
    for (i, (t_ms, event, fields)) in events.iter().enumerate() {
        let fields = fields.to_string();
        let body = format!(
            r#"{{"n":{},"prev":"{prev}","t_ms":{t_ms},"event":"{event}",{}"#,
            i + 1,
            &fields[1..fields.len() - 1]
        );
        prev = Sha256::digest(&body).iter().map(|b| format!("{b:02x}")).collect();
        out.push_str(&format!("{body},\"hash\":\"{prev}\"}}\n"));
    }
    out
}

#[test]
fn the_dossier_is_one_model_in_three_forms() {
    let d = &*DEMO;
    let records = lines(&d.records);
    let block = records.iter().find(|r| r["would"] == "block" && r["at"] != "ledger").unwrap();
    let (campaign, case, key) =
        (&block["campaign"], block["case"].as_str().unwrap(), block["key"].as_str().unwrap());
    let t = block["t_ms"].as_u64().unwrap();
    let log = chain(&[
        (t - 9, "case_opened", json!({"case": campaign})),
        (t, "convicted", json!({"case": campaign, "keys": [key]})),
        (t + 5, "convicted", json!({"case": "12345678", "keys": [key]})),
        (
            t + 9_000,
            "act",
            json!({"verb": "release", "key": key, "reason": "<b>a partner</b>", "since_s": 1, "until_s": 1_790_000_000}),
        ),
    ]);
    let audit = d.dir.file("audit.jsonl", &log);
    let run = |more: &[&str]| {
        let args = [
            "report",
            "--incident",
            case,
            "--audit",
            path(&audit),
            "--out",
            "-",
            path(&d.records),
            path(&d.decisions),
        ];
        weir(&[&args[..], more].concat())
    };
    let v = json_of(&run(&["--format", "json"]));
    assert_eq!((&v["campaign"], &v["asked_for"]), (campaign, &json!(case)));
    let attack = &d.summary["by_label"]["attack:campaign"];
    assert_eq!(v["scope"]["accounts_blocked"], attack["keys_blocked"]);
    let served = |name: &str| v["served"][name].as_u64().unwrap();
    assert_eq!(served("rejected"), attack["blocked"].as_u64().unwrap());
    assert_eq!(served("before") + served("after") + served("rejected"), attack["requests"].as_u64().unwrap());
    assert_eq!((&v["audit"]["whole"], &v["audit"]["lines_of_this_case"]), (&json!(true), &json!(3)));
    let ids: Vec<&str> =
        v["mappings"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert!(ids.contains(&"AML.T0024.002") && ids.contains(&"C11.5"), "{ids:?}");
    // The same in the other two, and no markup of anybody's.
    let html = out(&run(&["--format", "html"]));
    let text = out(&run(&["--format", "markdown"]));
    for page in [&html, &text] {
        for figure in ["accounts_blocked", "accounts_counted"] {
            assert!(page.contains(&v["scope"][figure].to_string()), "{figure}");
        }
        for what in [
            "AML.T0024.002",
            "as it was written",
            "people decided: release",
            "&lt;b&gt;a partner&lt;/b&gt;",
            v["evidence"]["id"].as_str().unwrap(),
        ] {
            assert!(page.contains(what), "{what}");
        }
        assert!(!page.contains("<b>"));
    }
    // A line that was changed is told in the dossier and by the exit status.
    std::fs::write(&audit, log.replace("release", "re1ease")).unwrap();
    let o = run(&["--format", "json"]);
    assert_eq!(o.status.code(), Some(4));
    let v: Value = serde_json::from_slice(&o.stdout).unwrap();
    assert_eq!(v["audit"]["whole"], false);
    assert!(v["audit"]["findings"][0].as_str().unwrap().contains("changed"));
    // And a head that no line has.
    std::fs::write(&audit, &log).unwrap();
    assert_eq!(run(&["--format", "json", "--head", &"ab".repeat(32)]).status.code(), Some(4));
}

/// No token and no prompt of the trace is in what is written.
#[test]
fn only_hashes_and_figures_are_written() {
    let d = &*DEMO;
    let trace = std::fs::read_to_string(d.dir.0.join("t.jsonl")).unwrap();
    let page = out(&weir(&["report", "--out", "-", path(&d.records), path(&d.decisions)]));
    let dossier = out(&weir(&[
        "report",
        "--incident",
        lines(&d.records)[0]["campaign"].as_str().unwrap(),
        "--out",
        "-",
        path(&d.records),
    ]));
    let mut n = 0;
    for line in trace.lines().step_by(37) {
        let v: Value = serde_json::from_str(line).unwrap();
        let headers = v["headers"].as_array().unwrap();
        let token = headers.iter().find(|h| h[0] == "authorization").unwrap()[1].as_str().unwrap();
        let token = token.strip_prefix("Bearer ").unwrap();
        let words = v["body"].to_string();
        let long = words.split('"').max_by_key(|w| w.len()).unwrap();
        for text in [&page, &dossier] {
            assert!(!text.contains(token) && !text.contains(long), "{line}");
        }
        n += 1;
    }
    assert!(n > 500, "{n}");
}
