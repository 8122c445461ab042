//! `weir explain` as operators run it: a campaign is replayed, its records are read back out of logs, and each verdict is
//! told with all of its evidence and none of anybody's text.
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
#[path = "../support/made_up.rs"]
mod made_up;

use cli::{err, out, path, weir};
use dir::Dir;
use made_up::{unit, words};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, LazyLock};
use weir::engine::config::{Config, parse};
use weir::engine::detect::HONEST;
use weir::engine::edge::identity::{Head, Keys};
use weir::engine::edge::session::Session;
use weir::engine::hash;
use weir::engine::rules::FACTORS;
use weir::engine::value::KeyId;

const START: u64 = 1_780_000_000;
const ACCOUNTS: u64 = 120;
const PEOPLE: u64 = 30;
const CONFIG: &str = r#"{"mode":"enforce","seed":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    "identity":{"learn":"0s","age":{"header":"x-created"}},"limits":[{"name":"burst","requests":20,"per":"1m"}]}"#;

/// Without line breaks, so that a sentence is found wherever it is broken.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn line(t: f64, key: u64, text: &str) -> String {
    let age = if key < ACCOUNTS { 3 } else { 200 };
    json!({"t": t, "path": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": text}]},
           "headers": [["authorization", format!("Bearer sk-planted-{key}")], ["x-created", (START - age * 86_400).to_string()]]})
    .to_string()
}

/// A campaign of 120 accounts at one an hour among 30 people; one of the people then hammers.
fn trace() -> String {
    let mut all: Vec<(f64, String)> = Vec::new();
    for key in 0..ACCOUNTS + PEOPLE {
        let mean = if key < ACCOUNTS { 3600.0 } else { 3600.0 * (0.3 + 12.0 * unit(key)) };
        let (mut t, mut i) = (START as f64, 0u64);
        loop {
            t += -unit(key << 20 | i).ln() * mean;
            i += 1;
            if t > START as f64 + 18.0 * 3600.0 {
                break;
            }
            let slot = words(key << 20 | i, 14);
            let text = if key < ACCOUNTS {
                format!(
                    "Write a worked solution for the task below and check it with a second method before you finish the last line. Then name the rule that you used and say why no other rule applies here. {slot}"
                )
            } else {
                slot
            };
            all.push((t, line(t, key, &text)));
        }
    }
    for i in 0..40u64 {
        let t = START as f64 + 18.0 * 3600.0 + i as f64 * 0.1;
        all.push((t, line(t, ACCOUNTS, &words(i + 99_000_000, 9))));
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().map(|l| l.1).collect::<Vec<_>>().join("\n")
}

struct Replayed {
    dir: Dir,
    records: PathBuf,
    config: PathBuf,
    state: PathBuf,
    text: String,
}

static REPLAYED: LazyLock<Replayed> = LazyLock::new(|| {
    let dir = Dir::new("trace");
    let (trace, config) = (dir.file("t.jsonl", trace()), dir.file("c.json", CONFIG));
    let (records, state) = (dir.0.join("r.jsonl"), dir.0.join("state"));
    // In one process each record has its evidence; with edges apart those of the ledger have it.
    let args = ["replay", "--edges", "0", "--config", path(&config), "--records", path(&records)];
    let o = weir(&[&args[..], &["--write-state", path(&state), path(&trace)]].concat());
    assert_eq!(o.status.code(), Some(0), "{}", err(&o));
    let text = std::fs::read_to_string(&records).unwrap();
    Replayed { dir, records, config, state, text }
});

fn all_records() -> Vec<Value> {
    REPLAYED.text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn blocked() -> Value {
    let template = |r: &&Value| r["action"] == "block" && r["reason"] == "template";
    all_records().iter().find(template).cloned().unwrap()
}

fn kid(key: u64) -> KeyId {
    let config: Arc<Config> = Arc::new(parse(CONFIG).unwrap());
    let auth = format!("Bearer sk-planted-{key}");
    let headers: [(&[u8], &[u8]); 1] = [(b"authorization", auth.as_bytes())];
    let head = Head { path: b"/v1/chat/completions", headers: &headers, ..Head::default() };
    Session::open(&config, &Keys::new(&config.seed), &head).identity.key
}

fn sample(key: KeyId) -> String {
    format!("{:08x}", hash::mix(key.0) >> 32)
}

fn explain(args: &[&str]) -> Output {
    weir(&[&["explain"], args].concat())
}

#[test]
fn records_hold_the_whole_evidence() {
    let attackers: HashSet<String> = (0..ACCOUNTS).map(|k| sample(kid(k))).collect();
    let r = blocked();
    let g = &r["group"];
    assert_eq!((g["axis"].as_str(), g["state"].as_str()), (Some("text"), Some("confirmed")), "{r}");
    assert!(g["id"].as_str().unwrap().starts_with("tid:"));
    assert_eq!((g["threshold"].as_i64(), g["min_keys"].as_u64()), (Some(20), Some(24)));
    let nats = g["nats"].as_i64().unwrap();
    let explanations = g["explanations"].as_object().unwrap();
    assert!(nats >= 20 && explanations["campaign"] == 0, "{g}");
    // One that cannot be at all (no owner behind so many prefixes) is left out; the best honest one is as far behind as said.
    let honest: Vec<i64> =
        HONEST.iter().filter_map(|h| explanations.get(h.name)).map(|v| v.as_i64().unwrap()).collect();
    assert_eq!(honest.len() + 1, explanations.len());
    assert!(honest.len() >= 5 && honest.iter().max().unwrap().abs_diff(-nats) <= 1, "{g}");
    assert!(g["campaign_percent"].as_u64().unwrap() >= 90, "{g}");
    let sampled: Vec<&str> =
        g["sampled_keys"].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect();
    assert!((24..=32).contains(&sampled.len()), "{sampled:?}");
    assert!(sampled.iter().all(|h| attackers.contains(*h)), "only the campaign sends the template");
    let own = &r["own"];
    assert_eq!(
        (own["young"].as_bool(), own["age"].as_str(), own["automatic"].as_bool()),
        (Some(true), Some("created"), Some(false))
    );
    assert!((72..96).contains(&own["age_hours"].as_u64().unwrap()), "{own}");
    assert_eq!(own["requests"], r["evidence"]["requests"]);
    let key = (0..ACCOUNTS).map(kid).find(|k| r["key"] == k.to_string()).unwrap();
    assert_eq!(r["sample"], sample(key));
    let factors = own["factors"].as_object().unwrap();
    assert!(FACTORS.iter().all(|f| factors.contains_key(*f)) && factors.len() == FACTORS.len());
    let (sum, odds) =
        (factors.values().map(|v| v.as_f64().unwrap()).sum::<f64>(), own["odds_nats"].as_f64().unwrap());
    assert!((sum - odds).abs() <= 0.05 * FACTORS.len() as f64 + 0.05, "each factor was rounded: {own}");
    assert!(own["block_odds"] == 5_000 && odds >= 5_000f64.ln(), "a block needs the odds: {own}");
}

#[test]
fn every_campaign_verdict_names_its_group_and_the_others_have_none() {
    let all = all_records();
    assert!(all.len() as u64 > ACCOUNTS);
    for r in &all {
        let campaign = ["template", "convicted", "network"].contains(&r["reason"].as_str().unwrap());
        assert_eq!(r["group"].is_object(), campaign, "{r}");
        assert!(r["own"].is_object(), "{r}");
    }
    assert!(all.iter().any(|r| r["reason"] == "rate"));
}

#[test]
fn records_hold_no_text_and_no_credential() {
    for secret in ["worked solution", "second method", "Bearer", "sk-planted", "planted", "user", "messages"]
    {
        assert!(!REPLAYED.text.contains(secret), "{secret:?} is in a record");
    }
    let shown = out(&explain(&[blocked()["key"].as_str().unwrap(), path(&REPLAYED.records)]));
    assert!(!shown.contains("planted") && !shown.contains("worked solution"));
}

#[test]
fn a_case_is_told_explanation_by_explanation_and_factor_by_factor() {
    let r = blocked();
    let (case, key) = (r["case"].as_str().unwrap(), r["key"].as_str().unwrap());
    let o = explain(&[case, path(&REPLAYED.records)]);
    assert_eq!(o.status.code(), Some(0), "{}", err(&o));
    let text = out(&o);
    for name in r["group"]["explanations"].as_object().unwrap().keys() {
        assert!(text.contains(&format!("    {name} ")), "{name} is not in\n{text}");
    }
    let tid = r["group"]["id"].as_str().unwrap();
    let entries = [
        format!(r#"{{"name": "case-{case}", "key": "{key}"}}"#),
        format!(r#"{{"name": "case-{case}", "template": "{tid}"}}"#),
    ];
    for entry in &entries {
        assert!(text.contains(entry), "{entry} is not in\n{text}");
    }
    let pasted = format!(r#"{{"allow": [{}]}}"#, entries.join(", "));
    assert!(parse(&pasted).is_ok(), "what is to be pasted loads");
    let text = flat(&text);
    for part in [
        "20 and 24 keys confirm it",
        "sample of 32 keys",
        "block template",
        "2026-05-2",
        "Young, made 7",
        "campaign likeliest",
        "for the template and all",
        "5,000 to 1 block, 500 to 1 are watched",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let members: usize =
        text.split_once(" keys are of campaign").unwrap().0.rsplit(' ').next().unwrap().parse().unwrap();
    assert!((100..=ACCOUNTS as usize).contains(&members), "{members}");
}

#[test]
fn a_key_is_found_in_logs_of_all_kinds() {
    let r = blocked();
    let key = r["key"].as_str().unwrap();
    let plain = flat(&out(&explain(&[key, path(&REPLAYED.records)])));
    let lines: Vec<&str> = REPLAYED.text.lines().collect();
    let envoy: String = lines
        .iter()
        .map(|l| format!("[2026-05-28 22:00:00.123][17][info][wasm] [source/x.cc:1] wasm log weir weir: {l}\nGET /other 200\n"))
        .collect();
    let shipped: String =
        lines.iter().map(|l| format!("{}\n", json!({"log": l, "stream": "stderr"}))).collect();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(envoy.as_bytes()).unwrap();
    let dir = &REPLAYED.dir;
    for file in [
        dir.file("envoy.log", &envoy),
        dir.file("envoy.log.gz", gz.finish().unwrap()),
        dir.file("shipped.log.zst", zstd::encode_all(shipped.as_bytes(), 1).unwrap()),
    ] {
        let o = explain(&[key, path(&file)]);
        assert_eq!((o.status.code(), flat(&out(&o))), (Some(0), plain.clone()), "{}", file.display());
        assert!(o.stderr.is_empty(), "{}", err(&o));
    }
    let (a, b) = (dir.file("a.log", lines[..50].join("\n")), dir.file("b.log", lines[50..].join("\n")));
    assert_eq!(flat(&out(&explain(&[key, path(&b), path(&a)]))), plain, "files come in any order");
    let mut child = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["explain", key, "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(envoy.as_bytes()).unwrap();
    assert_eq!(flat(&out(&child.wait_with_output().unwrap())), plain);
}

#[test]
fn a_convicted_key_is_explained_though_its_request_matched_nothing() {
    let first = blocked();
    let key = (0..ACCOUNTS).find(|k| first["key"] == kid(*k).to_string()).unwrap();
    let dir = &REPLAYED.dir;
    let t = START as f64 + 19.0 * 3600.0;
    let trace = dir.file("late.jsonl", line(t, key, &words(77_000_000, 12)));
    let records = dir.0.join("late.records");
    let args = ["replay", "--edges", "0", "--config", path(&REPLAYED.config), "--read-state"];
    let o = weir(&[&args[..], &[path(&REPLAYED.state), "--records", path(&records), path(&trace)]].concat());
    assert_eq!(o.status.code(), Some(0), "{}", err(&o));
    let r: Value = serde_json::from_str(&std::fs::read_to_string(&records).unwrap()).unwrap();
    assert_eq!(
        (r["reason"].as_str(), r["evidence"]["matched"].as_u64()),
        (Some("convicted"), Some(0)),
        "{r}"
    );
    assert_eq!(r["group"]["state"], "confirmed");
    assert!(r["group"]["nats"].as_i64().unwrap() >= 10, "{r}");
    assert_eq!(r["campaign"], r["group"]["campaign"]);
    let text = flat(&out(&explain(&[r["case"].as_str().unwrap(), path(&records)])));
    assert!(text.contains("The key is convicted") && text.contains("visitors"), "{text}");
}

#[test]
fn with_edges_apart_the_ledgers_records_explain_what_edges_did() {
    let dir = Dir::new("edges");
    let (trace, config, records) =
        (dir.file("t.jsonl", trace()), dir.file("c.json", CONFIG), dir.0.join("r.jsonl"));
    let o = weir(&["replay", "--config", path(&config), "--records", path(&records), path(&trace)]);
    assert_eq!(o.status.code(), Some(0), "{}", err(&o));
    let text = std::fs::read_to_string(&records).unwrap();
    let all: Vec<Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let (of_ledger, of_edges): (Vec<&Value>, Vec<&Value>) = all.iter().partition(|r| r["at"] == "ledger");
    assert!(of_ledger.len() as u64 >= ACCOUNTS && of_ledger.iter().all(|r| r["group"].is_object()));
    assert!(of_edges.len() as u64 >= ACCOUNTS && of_edges.iter().all(|r| r["group"].is_null()));
    let key = |r: &Value| r["key"].as_str().unwrap().to_string();
    let told: Vec<String> = of_ledger.iter().map(|r| key(r)).collect();
    let known: Vec<&&Value> =
        of_edges.iter().filter(|r| r["action"] == "block" && told.contains(&key(r))).collect();
    assert!(known.len() as u64 >= ACCOUNTS * 9 / 10, "{}", known.len());
    let text = flat(&out(&explain(&[&key(known[0]), path(&records)])));
    assert!(text.contains("20 and 24 keys confirm it") && text.contains("sample of 32 keys"), "{text}");
}

#[test]
fn json_is_the_records_as_written() {
    let r = blocked();
    let o = explain(&["--json", r["case"].as_str().unwrap(), path(&REPLAYED.records)]);
    let v: Vec<Value> = serde_json::from_slice(&o.stdout).unwrap();
    assert!(v.contains(&r) && v.iter().all(|x| x["case"] == r["case"]));
    let again = REPLAYED.dir.file("again.json", &o.stdout);
    let o = explain(&["--json", r["case"].as_str().unwrap(), path(&again)]);
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&o.stdout).unwrap(), v, "its output is a log, too");
}

#[test]
fn a_limit_is_told_as_a_limit() {
    let key = kid(ACCOUNTS).to_string();
    let text = flat(&out(&explain(&[&key, path(&REPLAYED.records)])));
    assert!(text.contains("throttle rate") && text.contains("Raise `limits`"), "{text}");
    assert!(!text.contains("Evidence:"), "{text}");
}

#[test]
fn statuses() {
    let records = path(&REPLAYED.records);
    assert_eq!(explain(&["ffffffff", records]).status.code(), Some(3));
    let o = explain(&["--json", "kid:ffffffffffffffff", records]);
    assert_eq!((o.status.code(), out(&o).trim()), (Some(3), "[]"));
    assert!(err(&o).contains("nothing about kid:ffffffffffffffff among"), "{}", err(&o));
    for bad in ["", "case", "kid:12", "kid:gggggggggggggggg", "0123456"] {
        assert_eq!(explain(&[bad, records]).status.code(), Some(1), "{bad:?}");
    }
    assert_eq!(explain(&[]).status.code(), Some(1));
    assert_eq!(explain(&["ffffffff", "/nonexistent"]).status.code(), Some(2));
    let cut = REPLAYED.dir.file("cut.zst", &zstd::encode_all(REPLAYED.text.as_bytes(), 1).unwrap()[..900]);
    assert_eq!(explain(&["ffffffff", path(&cut)]).status.code(), Some(2));
    let o = weir(&["replay", "--records", "/nonexistent/x", path(&REPLAYED.config)]);
    assert_eq!(o.status.code(), Some(2));
}

#[test]
fn malformed_records_are_named_and_passed_over() {
    let r = blocked().to_string();
    let good =
        REPLAYED.text.lines().find(|l| serde_json::from_str::<Value>(l).unwrap() == blocked()).unwrap();
    let (case, key) = (blocked()["case"].as_str().unwrap().to_string(), blocked()["key"].clone());
    let lines = [
        "\u{1b}[2J nothing of ours".to_string(),
        good[..good.len() / 2].to_string(),
        good.replace("\"enforce\"", "\"\\u001b[2J\""),
        good.replace(key.as_str().unwrap(), "sk-planted-0"),
        r#"{"weir":"decision"}"#.to_string(),
        r#"{"weir":"decision","t_ms":[[[[["#.to_string(),
        r.replace("\"weir\"", "\"other\""),
        format!("{good} and a tail"),
    ];
    let log = REPLAYED.dir.file("bad.log", lines.join("\n"));
    let o = explain(&[&case, path(&log)]);
    assert_eq!(o.status.code(), Some(0), "{}", err(&o));
    let err = err(&o);
    for n in 2..=6 {
        assert!(err.contains(&format!("bad.log:{n}: malformed record: ")), "{n}: {err}");
    }
    assert!(err.contains("5 malformed records"), "{err}");
    assert!(!out(&o).contains('\u{1b}') && !err.contains('\u{1b}') && !err.contains("sk-planted"), "{err}");
    assert!(flat(&out(&o)).contains("(1 record,"));
}

/// Logs outlive versions: a record of the days of points and terms is told, without its figures.
#[test]
fn records_of_older_versions_are_still_told() {
    let line = r#"{"weir":"decision","t_ms":1780000000000,"case":"000000ab","campaign":"0000000c","key":"kid:00000000000000ff","policy":"default","profile":"default","mode":"enforce","action":"block","would":"block","reason":"template","evidence":{"matched":18,"values":27,"score":144,"group_keys":327,"strikes":1,"requests":2},"sample":"0000000d","own":{"young":true,"age":"created","age_hours":72,"automatic":false,"convicted":false,"requests":2,"openings_percent":100,"repeats_percent":0,"matches_percent":100,"hits":2,"strikes":1,"shared":0},"group":{"id":"tid:00000000000000aa","axis":"text","state":"confirmed","campaign":"0000000c","since_s":1779990000,"keys":327,"min_keys":24,"requests":699,"score":144,"threshold":115,"watch":80,"release":75,"terms":{"spread":22,"youth":50},"young_percent":100,"novel_percent":99,"single_percent":100,"automatic_percent":null,"established":0,"aged":false,"sampled_keys":["0000000d"]}}"#;
    let log = REPLAYED.dir.file("old.log", line);
    let o = explain(&["000000ab", path(&log)]);
    assert_eq!((o.status.code(), err(&o)), (Some(0), String::new()));
    let text = flat(&out(&o));
    for part in [
        "An older version of Weir wrote this record: 144 points",
        "115 confirmed it",
        "this key is one of the sample",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains("Odds that") && !text.contains("nats"), "{text}");
}

/// What becomes of one more request of each key, after the campaign, under this configuration.
fn later(exceptions: &[String], keys: &[u64], edges: &str) -> Vec<String> {
    let list: Vec<Value> = exceptions.iter().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut config: Value = serde_json::from_str(CONFIG).unwrap();
    config["exceptions"] = list.into();
    let dir = Dir::new("later");
    let template = "Write a short essay about the topic below and give three reasons for each claim that you make in it. ";
    let ask = |at: f64, key: u64| line(at, key, &format!("{template}{}", words(key + 5_000_000, 9)));
    let begin = START as f64 + 20.0 * 3600.0;
    // Somebody else first: what was decided is in force a tick after the start.
    let mut lines = vec![ask(begin, 900)];
    lines.extend(keys.iter().enumerate().map(|(i, k)| ask(begin + 60.0 + i as f64, *k)));
    let (config, trace) = (dir.file("c.json", config.to_string()), dir.file("t.jsonl", lines.join("\n")));
    let decisions = dir.0.join("d.jsonl");
    let args = ["replay", "--edges", edges, "--config", path(&config), "--read-state", path(&REPLAYED.state)];
    let o = weir(&[&args[..], &["--decisions", path(&decisions), path(&trace)]].concat());
    assert_eq!(o.status.code(), Some(0), "{}", err(&o));
    let text = std::fs::read_to_string(&decisions).unwrap();
    let action = |l: &str| serde_json::from_str::<Value>(l).unwrap()["action"].as_str().unwrap().to_string();
    text.lines().skip(1).map(action).collect()
}

#[test]
fn an_error_is_undone_by_the_lines_that_explain_prints() {
    let key = (0..ACCOUNTS).find(|k| blocked()["key"] == kid(*k).to_string()).unwrap();
    let other = (0..ACCOUNTS).find(|k| *k != key && later(&[], &[*k], "0") == ["block"]).unwrap();
    let asked = [key, other];
    let id = kid(key).to_string();
    let plain = out(&weir(&["explain", &id, path(&REPLAYED.records)]));
    assert!(plain.contains(&format!("weir except release {id} --reason")), "{plain}");
    let told = out(&weir(&["explain", "--config", path(&REPLAYED.config), &id, path(&REPLAYED.records)]));
    let lines: Vec<String> =
        told.lines().filter(|l| l.contains("signature")).map(|l| l.trim().to_string()).collect();
    let [of_key, of_case] = &lines[..] else { panic!("{told}") };
    let deny = weir(&[
        "except",
        "deny",
        &kid(901).to_string(),
        "--reason",
        "a test",
        "--by",
        "me",
        "--config",
        path(&REPLAYED.config),
    ]);
    let deny = out(&deny).trim().to_string();
    for edges in ["0", "2"] {
        assert_eq!(later(&[], &asked, edges), ["block", "block"]);
        assert_eq!(later(std::slice::from_ref(of_key), &asked, edges), ["allow", "block"]);
        assert_eq!(later(std::slice::from_ref(of_case), &asked, edges), ["allow", "allow"]);
        assert_eq!(later(std::slice::from_ref(&deny), &[901, 902], edges)[0], "block");
        let allow = weir(&[
            "except",
            "allow",
            &id,
            "--reason",
            "ours",
            "--by",
            "me",
            "--config",
            path(&REPLAYED.config),
        ]);
        assert_eq!(later(&[out(&allow).trim().to_string()], &asked, edges), ["allow", "block"]);
        // It ends by itself.
        let past = ["--until", "2020-01-01T00:00:00Z"];
        let args =
            ["except", "release", &id, "--reason", "ours", "--by", "me", "--config", path(&REPLAYED.config)];
        let ended = weir(&[&args[..], &past[..]].concat());
        assert_eq!(later(&[out(&ended).trim().to_string()], &asked, edges), ["block", "block"]);
    }
}

#[test]
fn a_line_that_was_changed_or_signed_by_another_seed_is_refused() {
    let config = path(&REPLAYED.config);
    let made = |args: &[&str]| weir(&[&["except"], args, &["--by", "me", "--config", config]].concat());
    let good = made(&["release", "0123abcd", "--reason", "said \"so\"\u{e9}"]);
    assert_eq!(good.status.code(), Some(0), "{}", err(&good));
    let line: Value = serde_json::from_str(&out(&good)).unwrap();
    let refused = |line: Value, seed: &str| {
        let mut c: Value = serde_json::from_str(CONFIG).unwrap();
        c["exceptions"] = json!([line]);
        c["seed"] = seed.into();
        let e = parse(&c.to_string()).err()?;
        Some(e.0.iter().map(|p| p.to_string()).collect::<Vec<_>>().join("; "))
    };
    let seed = serde_json::from_str::<Value>(CONFIG).unwrap()["seed"].as_str().unwrap().to_string();
    assert_eq!(refused(line.clone(), &seed), None);
    assert!(
        refused(line.clone(), &"11".repeat(32)).unwrap().contains("exceptions[0]: is not signed"),
        "another seed"
    );
    for (key, value) in [
        ("release", json!("0123abce")),
        ("until", json!("2099-01-01T00:00:00Z")),
        ("by", json!("you")),
        ("reason", json!("else")),
        ("signature", json!("0000000000000000")),
        ("signature", json!("")),
        ("reason", json!("")),
        ("reason", json!("x".repeat(257))),
        ("by", json!("two\nlines")),
        ("until", json!("tomorrow")),
        ("release", json!("tid:12")),
        ("release", json!("ten:0123456789abcdef")),
        ("deny", json!("kid:0123456789abcdef")),
        ("else", json!(1)),
    ] {
        let mut changed = line.clone();
        changed[key] = value;
        let said = refused(changed, &seed).unwrap_or_else(|| panic!("{key} was changed"));
        assert!(said.starts_with("exceptions[0]"), "{said}");
    }
    let many = json!({"seed": seed, "exceptions": vec![line; 1_025]});
    assert!(parse(&many.to_string()).unwrap_err().0[0].to_string().contains("at most 1024"));
    for bad in [["deny", "tid:0123456789abcdef"], ["allow", "0123abcd"], ["release", "kid:xyz"]] {
        let o = made(&[&bad[..], &["--reason", "x"]].concat());
        assert_eq!((o.status.code(), out(&o).as_str()), (Some(1), ""), "{}", err(&o));
    }
    let o = made(&["release", "0123abcd", "--reason", "x", "--until", "never"]);
    assert_eq!(o.status.code(), Some(1), "{}", err(&o));
}
