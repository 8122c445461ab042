//! `weir replay` on logs that people have, and what `--tune` says of them: by the command, as users run it.
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

use cli::{json_of, path, weir};
use dir::Dir;
use serde_json::{Value, json};
use std::process::Output;

const CONFIG: &str = r#"{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","identity":{"age":{"header":"x-account-created"},"learn":"0s","trusted_hops":1},"limits":[],"allow":[{"name":"ours","key":"kid:0123456789abcdef"}]}"#;

/// The demo's traffic as a trace.
fn demo(dir: &Dir) -> Vec<Value> {
    let trace = dir.0.join("demo.jsonl");
    assert_eq!(weir(&["demo", "--write-trace", path(&trace)]).status.code(), Some(0));
    std::fs::read_to_string(&trace).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

/// As Helicone exports it: one array, pretty-printed, the newest first; who it is and when the account was made as properties.
fn export(lines: &[Value]) -> String {
    let header = |l: &Value, name: &str| {
        let pairs = l["headers"].as_array().unwrap();
        pairs
            .iter()
            .find(|p| p[0] == name)
            .map(|p| p[1].as_str().unwrap().trim_start_matches("Bearer ").to_string())
    };
    let one = |l: &Value| {
        let body = l
            .get("body")
            .cloned()
            .unwrap_or_else(|| serde_json::from_str(l["body_text"].as_str().unwrap()).unwrap());
        json!({"request_created_at": l["t"], "request_path": format!("https://gw.example{}", l["path"].as_str().unwrap()),
            "request_user_id": header(l, "authorization"), "request_body": body, "response_body": {},
            "request_properties": {"created": header(l, "x-account-created"), "label": l["label"]}})
    };
    serde_json::to_string_pretty(&lines.iter().rev().map(one).collect::<Vec<_>>()).unwrap()
}

#[test]
fn an_export_with_the_newest_first_convicts_as_the_trace_does() {
    let dir = Dir::new("export");
    let lines = demo(&dir);
    let log = dir.file("export.json", export(&lines).as_bytes());
    let config = dir.file("c.json", CONFIG.as_bytes());
    let fields = ["--age", "request_properties.created", "--label", "request_properties.label"];
    let run = [&["replay", "--json", "--config", path(&config)][..], &fields, &[path(&log)]].concat();
    let o = weir(&run);
    let v = json_of(&o);
    assert_eq!(o.status.code(), Some(0), "{}", String::from_utf8_lossy(&o.stderr));
    assert_eq!((&v["requests"], &v["clock_steps_back"]), (&json!(lines.len()), &json!(0)));
    assert_eq!(v["formats"]["helicone"]["without_text"], 0);
    let c = &v["confusion"];
    assert_eq!((c["benign_keys"].as_u64(), c["benign_keys_blocked"].as_u64()), (Some(422), Some(0)), "{c}");
    assert!(c["attack_keys_blocked"].as_u64().unwrap() >= 399, "{c}");
    // Any number of threads gives the same.
    let strip = |o: Output| {
        let mut v = json_of(&o);
        v.as_object_mut().unwrap().remove("ns_per_request");
        v
    };
    assert_eq!(strip(weir(&[&run[..], &["--threads", "1"]].concat())), strip(o));
    // A window that is too small for it is told.
    let text = weir(&[&["replay", "--window", "100"], &[path(&log)][..]].concat());
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("requests came after later ones by more than the window"), "{text}");
    for bad in ["0", "4194305", "x"] {
        assert_eq!(weir(&["replay", "--window", bad, path(&log)]).status.code(), Some(1));
    }
}

#[test]
fn all_samples_are_read_by_one_command() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/replay/formats");
    let mut files: Vec<String> =
        std::fs::read_dir(dir).unwrap().map(|f| f.unwrap().path().to_str().unwrap().to_string()).collect();
    files.sort();
    let args: Vec<&str> = ["replay", "--json"].into_iter().chain(files.iter().map(String::as_str)).collect();
    let o = weir(&args);
    let v = json_of(&o);
    assert_eq!(o.status.code(), Some(0), "{}", String::from_utf8_lossy(&o.stderr));
    assert_eq!(v["formats"].as_object().unwrap().len(), files.len());
    println!("formats read: {} of {}", v["formats"].as_object().unwrap().len(), files.len());
    let without: u64 =
        v["formats"].as_object().unwrap().values().map(|f| f["without_text"].as_u64().unwrap()).sum();
    assert_eq!(without, 4, "access log, Azure, BurstGPT, Cloudflare");
    let text = weir(&args.iter().filter(|a| **a != "--json").copied().collect::<Vec<_>>());
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for line in [
        "read     litellm-standard: 1 records, 1 requests, 0 without text",
        "teach the ages and loads",
        "identity.sha256: true",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn a_hundred_thousand_bad_records_are_one_message() {
    let dir = Dir::new("bad");
    let text = "{\"level\":\"info\",\"n\":1}\n".repeat(100_000);
    let o = weir(&["replay", path(&dir.file("t.jsonl", text.as_bytes()))]);
    let err = String::from_utf8_lossy(&o.stderr).into_owned();
    assert_eq!((o.status.code(), err.lines().count()), (Some(3), 1), "{err}");
    assert!(
        err.contains(
            "t.jsonl:1: skipped: is in no format that is known; its fields are level, n (and 99999 more"
        ),
        "{err}"
    );
    assert_eq!(weir(&["replay", "--format", "none", "t"]).status.code(), Some(1));
    assert_eq!(weir(&["replay", "--key-hashed", "sha256", "t"]).status.code(), Some(1), "of which field?");
}

/// RFC 7396, for patches without null.
fn merge(to: &mut Value, patch: &Value) {
    let (Value::Object(to), Value::Object(patch)) = (&mut *to, patch) else {
        *to = patch.clone();
        return;
    };
    for (name, value) in patch {
        merge(to.entry(name.clone()).or_insert(Value::Null), value);
    }
}

/// The configuration with a patch: `weir check` must accept it.
fn patched(dir: &Dir, patch: &Value) -> std::path::PathBuf {
    let mut config: Value = serde_json::from_str(CONFIG).unwrap();
    merge(&mut config, patch);
    let file = dir.file("patched.json", config.to_string().as_bytes());
    let o = weir(&["check", path(&file)]);
    assert_eq!(o.status.code(), Some(0), "{patch}: {}", String::from_utf8_lossy(&o.stdout));
    file
}

#[test]
fn tune_proposes_what_check_accepts_and_what_helps() {
    let dir = Dir::new("tune");
    demo(&dir);
    let (trace, config) = (dir.0.join("demo.jsonl"), dir.file("c.json", CONFIG.as_bytes()));
    let run = ["replay", "--tune", "--edges", "0", "--config", path(&config)];
    let v = json_of(&weir(&[&run[..], &["--json", path(&trace)]].concat()));
    let tune = &v["tune"];
    assert_eq!((&tune["keys"], &tune["labelled"]), (&json!(842), &json!(true)));
    assert_eq!((&tune["honest_keys"], &tune["campaign_keys"]), (&json!(422), &json!(420)));
    // The curve: at the configured odds it says what the replay did, and lower odds never serve more.
    let curve = tune["block_odds"]["curve"].as_array().unwrap();
    let now = curve.iter().find(|c| c["block_odds"] == tune["block_odds"]["now"]).unwrap();
    let campaign = &v["by_label"]["attack:campaign"];
    let served = campaign["requests"].as_u64().unwrap() - campaign["blocked"].as_u64().unwrap();
    let percent = (served * 1_000 / campaign["requests"].as_u64().unwrap()) as f64 / 10.0;
    assert_eq!(now["campaign_served_percent"], json!(percent));
    assert_eq!(now["campaign_keys_blocked"], campaign["keys_blocked"]);
    let at = |i: usize| curve[i]["campaign_served_percent"].as_f64().unwrap();
    assert!(curve.len() >= 6 && at(0) <= at(curve.len() - 1), "{curve:?}");
    // The agents' common prompt is found, and nothing of the campaign's is proposed.
    let found = tune["templates"]["found"].as_array().unwrap();
    assert!(found.iter().any(|t| t["proposed"] == true && t["keys"].as_u64().unwrap() >= 24), "{found:?}");
    assert!(found.iter().filter(|t| t["confirmed"] == true).all(|t| t["proposed"] == false), "{found:?}");
    // All entries of the configuration stay, all patches are accepted, and with them the campaign is still found.
    let allow = tune["patch"]["allow"].as_array().unwrap();
    assert_eq!(allow[0]["name"], "ours");
    for patch in
        [&tune["patch"], &tune["block_odds"]["patch"], &tune["templates"]["patch"], &tune["ages"]["patch"]]
    {
        patched(&dir, patch);
    }
    let better = patched(&dir, &tune["patch"]);
    let v = json_of(&weir(&["replay", "--json", "--edges", "0", "--config", path(&better), path(&trace)]));
    assert_eq!(v["confusion"]["benign_keys_blocked"], 0);
    assert!(v["confusion"]["attack_keys_blocked"].as_u64().unwrap() >= 399, "{}", v["confusion"]);
    // The header that tells ages is found, as if it were not configured.
    let fields = tune["ages"]["fields"].as_array().unwrap();
    assert_eq!(fields[0]["header"], "x-account-created", "{fields:?}");
    let lines = std::fs::read_to_string(&trace).unwrap();
    let start: String = lines.split_inclusive('\n').take(4_000).collect();
    let text = weir(&[&run[..], &[path(&dir.file("start.jsonl", start.as_bytes()))]].concat());
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for what in [
        "campaign.block_odds",
        "(now)",
        "follow up",
        "identity.age: {\"header\": \"x-account-created\"}",
        "merge patch",
    ] {
        assert!(text.contains(what), "{what}: {text}");
    }
    assert!(!text.contains("Bearer") && !text.contains("sk-"));
}

#[test]
fn tune_tells_looks_without_labels_and_the_field_of_ages_in_an_export() {
    let dir = Dir::new("looks");
    let lines = demo(&dir);
    let log = dir.file("export.json", export(&lines[..6_000]).as_bytes());
    // Nothing names an age: a header that does is proposed, a field of an export is told.
    let config = CONFIG.replace(r#""age":{"header":"x-account-created"},"#, "");
    let config = dir.file("c.json", config.as_bytes());
    let run = ["replay", "--json", "--tune", "--edges", "0", "--config", path(&config), path(&log)];
    let v = json_of(&weir(&run));
    let tune = &v["tune"];
    assert_eq!((&tune["labelled"], &tune["ages"]["keys_of_unknown_age"]), (&json!(false), &tune["keys"]));
    assert_eq!(tune["ages"]["source_configured"], false);
    let fields = tune["ages"]["fields"].as_array().unwrap();
    assert_eq!(fields[0]["field"], "request_properties.created", "{fields:?}");
    assert!(fields[0]["header"].is_null() && tune["ages"]["patch"] == json!({}));
    // Conversing keys are honest ones; nothing else is called so.
    let honest = tune["honest_keys"].as_u64().unwrap();
    assert!((50..=422).contains(&honest), "{honest}");
    patched(&dir, &tune["patch"]);
    let start: String = lines[..1_000].iter().map(|l| format!("{l}\n")).collect();
    let trace = dir.file("start.jsonl", start.as_bytes());
    let v = json_of(&weir(&[
        "replay",
        "--json",
        "--tune",
        "--edges",
        "0",
        "--config",
        path(&config),
        path(&trace),
    ]));
    let patch = &v["tune"]["patch"];
    assert_eq!(patch["identity"], json!({"age": {"header": "x-account-created"}}), "{}", v["tune"]["ages"]);
    patched(&dir, patch);
}
