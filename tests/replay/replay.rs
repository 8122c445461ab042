//! `weir replay` as users run it: the trace format, skipped lines, exit statuses, decisions, state, compression.
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
use std::io::Write;
use std::path::Path;
use std::process::Command;

fn line(t: f64, key: &str, text: &str) -> String {
    json!({"t": t, "path": "/v1/chat/completions", "headers": [["authorization", format!("Bearer {key}")]],
           "body": {"messages": [{"role": "user", "content": text}]}, "label": "benign:chat"})
    .to_string()
}

#[test]
fn malformed_lines_are_named_skipped_and_told_by_the_status() {
    let dir = Dir::new("lines");
    let lines = [
        line(1.78e9, "a", "four words of text"),
        "not json".into(),
        String::new(),
        r#"{"t":"2026-05-01T10:00:00.250Z","path":"/v1/models","method":"GET"}"#.into(),
        r#"{"t":"tomorrow","path":"/"}"#.into(),
        r#"{"t":1780000001,"path":"/v1/chat/completions","body_base64":"!"}"#.into(),
        r#"{"t":1780000001,"path":"/v1/chat/completions","body_text":"{\"messages\":[],\"messages\":[]}"}"#.into(),
        r#"{"t":1780000002,"path":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"a"}],"messages":[]}}"#.into(),
        r#"{"t":1780000002,"path":"/x","headers":[["a"]]}"#.into(),
        line(1.7e9, "a", "a step back in time"),
    ];
    let trace = dir.file("t.jsonl", lines.join("\n").as_bytes());
    let decisions = dir.0.join("d.jsonl");
    let o = weir(&["replay", "--json", "--decisions", path(&decisions), path(&trace)]);
    assert_eq!(o.status.code(), Some(3));
    let v = json_of(&o);
    assert_eq!((v["requests"].as_u64(), v["skipped"].as_u64()), (Some(5), Some(4)));
    assert_eq!(v["clock_steps_back"], 2);
    assert_eq!(v["unreadable"]["duplicate_key"], 2, "the scanner sees the bytes of the line");
    let err = String::from_utf8_lossy(&o.stderr);
    for n in [2, 5, 6, 9] {
        assert!(err.contains(&format!("t.jsonl:{n}: skipped:")), "{err}");
    }
    let d: Vec<Value> = std::fs::read_to_string(&decisions)
        .unwrap()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(d.iter().map(|v| v["i"].as_u64().unwrap()).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    assert!(d[1]["error"].is_string());
    let key = d[0]["key"].as_str().unwrap();
    assert!(key.starts_with("kid:") && key.len() == 20, "{key}");
    let first = json!({"i": 0, "t_ms": 1_780_000_000_000u64, "key": key, "action": "allow", "reason": null, "case": null,
        "would": "allow", "label": "benign:chat"});
    assert_eq!(d[0], first);
    assert_eq!(d[2]["reason"], "not_inference");
}

#[test]
fn statuses_of_failures() {
    let dir = Dir::new("status");
    let good = dir.file("t.jsonl", line(1.78e9, "a", "x").as_bytes());
    let bad = dir.file("c.json", br#"{"mode":"on"}"#);
    assert_eq!(weir(&["replay", path(&good)]).status.code(), Some(0));
    assert_eq!(weir(&["replay"]).status.code(), Some(1));
    assert_eq!(weir(&["replay", "--config", path(&bad), path(&good)]).status.code(), Some(1));
    assert_eq!(weir(&["replay", "--config", "/nonexistent", path(&good)]).status.code(), Some(2));
    assert_eq!(weir(&["replay", "/nonexistent"]).status.code(), Some(2));
    let state = dir.file("s", b"nonsense");
    assert_eq!(weir(&["replay", "--read-state", path(&state), path(&good)]).status.code(), Some(1));
    let o = weir(&["check", path(&bad)]);
    assert_eq!(o.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&o.stdout).contains("mode: is \"on\", must be one of"));
}

#[test]
fn compressed_traces_and_split_replays_give_the_same() {
    let dir = Dir::new("zip");
    let lines: Vec<String> = (0..400)
        .map(|i| {
            line(1.78e9 + f64::from(i), &format!("k{}", i % 7), &format!("text number {i} of many words"))
        })
        .collect();
    let text = lines.join("\n") + "\n";
    let plain = dir.file("t.jsonl", text.as_bytes());
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    let gz = dir.file("t.gz", gz.finish().unwrap());
    let zst = dir.file("t.zst", zstd::encode_all(text.as_bytes(), 1).unwrap());
    let config = dir.file("c.json", br#"{"limits":[{"name":"l","requests":20,"per":"1h"}]}"#);
    let strip = |mut v: Value| {
        v.as_object_mut().unwrap().remove("ns_per_request");
        v
    };
    let all: Vec<Value> = [&plain, &gz, &zst]
        .map(|p| strip(json_of(&weir(&["replay", "--config", path(&config), "--json", path(p)]))))
        .into();
    assert_eq!(all[0], all[1]);
    assert_eq!(all[0], all[2]);
    assert!(all[0]["would"]["throttle"].as_u64().unwrap() > 200);
    assert_eq!(all[0]["actions"]["allow"], 400, "shadow mode does nothing");
    let (a, b) = (
        dir.file("a.jsonl", lines[..200].join("\n").as_bytes()),
        dir.file("b.jsonl", lines[200..].join("\n").as_bytes()),
    );
    let state = dir.0.join("state");
    weir(&["replay", "--write-state", path(&state), path(&a)]);
    let v = json_of(&weir(&["replay", "--read-state", path(&state), "--json", path(&b)]));
    assert_eq!(v["keys"], 7);
}

/// What a replay leaves, without what it measures.
fn traces_of(dir: &Dir, threads: &str, traces: &[&Path]) -> (Option<i32>, Value, String, [Vec<u8>; 3]) {
    let config = dir.file(
        "c.json",
        br#"{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","identity":{"age":{"header":"x-account-created"},"learn":"0s","trusted_hops":1}}"#,
    );
    let files = ["decisions", "records", "state"].map(|name| dir.0.join(name));
    let mut args = vec!["replay", "--json", "--threads", threads, "--config", path(&config)];
    for (flag, file) in ["--decisions", "--records", "--write-state"].iter().zip(&files) {
        args.extend([flag, path(file)]);
    }
    args.extend(traces.iter().map(|t| path(t)));
    let o = weir(&args);
    let mut v = json_of(&o);
    v.as_object_mut().unwrap().remove("ns_per_request");
    let err = String::from_utf8_lossy(&o.stderr).into_owned();
    (o.status.code(), v, err, files.map(|f| std::fs::read(f).unwrap()))
}

#[test]
fn any_number_of_threads_gives_the_same() {
    let dir = Dir::new("threads");
    let demo = dir.0.join("demo.jsonl");
    assert_eq!(weir(&["demo", "--write-trace", path(&demo)]).status.code(), Some(0));
    let mut lines: Vec<String> =
        std::fs::read_to_string(&demo).unwrap().lines().take(9_000).map(str::to_string).collect();
    for i in (0..lines.len()).step_by(37) {
        lines[i] = match i % 5 {
            0 => "not json".into(),
            1 => String::new(),
            2 => lines[i].replace("\"label\":", "\"key_age_s\":86400.5,\"label\":"),
            3 => lines[i].replace("\"path\":", "\"path\":7,\"path\":"),
            _ => line(1.7e9, &format!("k{i}"), "a step back in time"),
        };
    }
    lines[4_000] = "x".repeat(17 << 20);
    let text = lines.join("\r\n");
    let plain = dir.file("a.jsonl", text.as_bytes());
    let zst = dir.file("b.zst", zstd::encode_all(text.as_bytes(), 1).unwrap());
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    let gz = gz.finish().unwrap();
    let cut = dir.file("c.gz", &gz[..gz.len() / 2]);
    let empty = dir.file("empty", b"");
    let traces: [&Path; 5] = [&plain, &empty, &zst, &cut, &demo];
    let one = traces_of(&dir, "1", &traces);
    assert_eq!(one.0, Some(2), "the third file breaks off");
    assert!(one.1["skipped"].as_u64().unwrap() > 200 && one.1["clock_steps_back"].as_u64().unwrap() > 50);
    assert!(one.2.contains("a.jsonl:1: skipped:") && one.2.contains("b.zst:4001: skipped: line is longer"));
    assert!(one.1["actions"]["block"].as_u64().unwrap() > 1_000 && one.3.iter().all(|f| f.len() > 10_000));
    for threads in ["2", "3", "8"] {
        assert!(traces_of(&dir, threads, &traces) == one, "{threads} threads");
    }
    assert_eq!(weir(&["replay", "--threads", "0", path(&demo)]).status.code(), Some(1));
}

#[test]
fn the_demos_traffic_replays_to_the_same_verdicts() {
    let dir = Dir::new("demo");
    let trace = dir.0.join("demo.jsonl");
    assert_eq!(weir(&["demo", "--write-trace", path(&trace)]).status.code(), Some(0));
    let config = dir.file(
        "c.json",
        br#"{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","identity":{"age":{"header":"x-account-created"},"learn":"0s","trusted_hops":1},"limits":[]}"#,
    );
    let o = weir(&["replay", "--config", path(&config), "--json", path(&trace)]);
    assert_eq!(o.status.code(), Some(0));
    let v = json_of(&o);
    let c = &v["confusion"];
    assert_eq!((c["benign_keys"].as_u64(), c["benign_keys_blocked"].as_u64()), (Some(422), Some(0)));
    assert!(c["attack_keys_blocked"].as_u64().unwrap() >= 399, "{c}");
    assert!(v["by_label"]["attack:campaign"]["first_block_s"].as_f64().unwrap() < 5.0 * 3600.0);
    assert!(v["groups"].as_array().unwrap().iter().any(|g| g["state"] == "confirmed"));
    let text = std::fs::read_to_string(&trace).unwrap();
    assert!(!o.stdout.is_empty() && !String::from_utf8_lossy(&o.stdout).contains("Bearer"));
    assert!(text.len() > 1_000_000);
}

#[test]
fn edges_follow_the_scope_and_verdicts_arrive_a_step_late() {
    let dir = Dir::new("edges");
    let trace = dir.0.join("demo.jsonl");
    assert_eq!(weir(&["demo", "--write-trace", path(&trace)]).status.code(), Some(0));
    let config = |scope: &str| {
        let text = format!(
            r#"{{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","scope":"{scope}","identity":{{"age":{{"header":"x-account-created"}},"learn":"0s","trusted_hops":1}},"limits":[]}}"#
        );
        dir.file(&format!("{scope}.json"), text.as_bytes())
    };
    let (node, vm) = (config("node"), config("vm"));
    let run = |config: &Path, edges: &[&str]| {
        let records = dir.0.join("records");
        let args = ["replay", "--json", "--config", path(config), "--records", path(&records), path(&trace)];
        let o = weir(&[&args, edges].concat());
        assert_eq!(o.status.code(), Some(0), "{}", String::from_utf8_lossy(&o.stderr));
        let mut v = json_of(&o);
        v.as_object_mut().unwrap().remove("ns_per_request");
        (v, std::fs::read_to_string(&records).unwrap())
    };
    let (two, one_process) = (run(&node, &[]), run(&vm, &[]));
    assert_eq!((&two.0["edges"], &one_process.0["edges"]), (&json!(2), &json!(0)));
    assert_eq!(two, run(&vm, &["--edges", "2"]));
    assert_eq!(one_process, run(&node, &["--edges", "0"]));
    let at_ledger = |r: &str| r.lines().filter(|l| l.ends_with("\"at\":\"ledger\"}")).count();
    assert_eq!(at_ledger(&one_process.1), 0);
    let n = at_ledger(&two.1);
    assert!(n > 400 && two.1.lines().count() > n + 400, "records of edges and ledger: {n} of the ledger");
    for edges in ["1", "2", "8", "64"] {
        let (v, _) = run(&node, &["--edges", edges]);
        assert_eq!(v["edges"].to_string(), edges);
        assert_eq!((&v["keys"], &v["requests"]), (&one_process.0["keys"], &one_process.0["requests"]));
        assert_eq!(v["confusion"]["benign_keys_blocked"], 0);
        assert!(
            v["confusion"]["attack_keys_blocked"].as_u64().unwrap() >= 399,
            "{edges}: {}",
            v["confusion"]
        );
    }
    for bad in ["65", "-1", "two"] {
        let o = weir(&["replay", "--edges", bad, path(&trace)]);
        let err = String::from_utf8_lossy(&o.stderr).into_owned();
        assert!(o.status.code() == Some(1) && err.contains("--edges"), "{err}");
    }
}

#[test]
fn idle_time_costs_nothing_and_a_restart_with_state_is_none() {
    let dir = Dir::new("idle");
    let lines: Vec<String> = [1.0e9, 1.78e9, 1.78e9 + 0.05, 1.79e9]
        .iter()
        .map(|t| line(*t, "a", &format!("four words of text at {t}")))
        .collect();
    let trace = dir.file("t.jsonl", lines.join("\n").as_bytes());
    // 25 years: in steps of 100 ms this would not end.
    let v = json_of(&weir(&["replay", "--json", path(&trace)]));
    assert_eq!((&v["requests"], &v["keys"], &v["edges"]), (&json!(4), &json!(1), &json!(2)));
    // A campaign, cut in two: who was convicted before is denied at once after.
    let demo = dir.0.join("demo.jsonl");
    assert_eq!(weir(&["demo", "--write-trace", path(&demo)]).status.code(), Some(0));
    let text = std::fs::read_to_string(&demo).unwrap();
    let all: Vec<&str> = text.lines().collect();
    let (a, b) = all.split_at(all.len() / 2);
    let (a, b) = (dir.file("a.jsonl", a.join("\n").as_bytes()), dir.file("b.jsonl", b.join("\n").as_bytes()));
    let config = dir.file(
        "c.json",
        br#"{"mode":"enforce","seed":"2d698960af4bc1950f6356fe0184ed515cbebbe084aebbeaad36f0bce10810f4","identity":{"age":{"header":"x-account-created"},"learn":"0s","trusted_hops":1},"limits":[]}"#,
    );
    let (state, run) = (dir.0.join("state"), ["replay", "--json", "--config", path(&config)]);
    weir(&[&run[..], &["--write-state", path(&state), path(&a)]].concat());
    let blocks = |v: &Value| v["would"]["block"].as_u64().unwrap();
    let whole = json_of(&weir(&[&run[..], &[path(&demo)]].concat()));
    let first = json_of(&weir(&[&run[..], &[path(&a)]].concat()));
    let second = json_of(&weir(&[&run[..], &["--read-state", path(&state), path(&b)]].concat()));
    assert!(blocks(&first) > 1_000 && blocks(&second) > 1_000);
    assert!((blocks(&first) + blocks(&second)).abs_diff(blocks(&whole)) <= 2, "{first} {second} {whole}");
}

#[test]
fn the_demo_without_a_proxy_convicts_and_spares() {
    for seed in ["1", "2", "3", "4"] {
        let o = weir(&["demo", "--dry-run", "--seed", seed]);
        let out = String::from_utf8_lossy(&o.stdout).into_owned();
        let last = out.lines().last().unwrap();
        assert_eq!(o.status.code(), Some(0), "seed {seed}: {last}");
        assert!(
            last.starts_with("weir-demo: campaign_accounts=420 ") && last.contains("honest_blocked=0"),
            "{last}"
        );
    }
}

#[test]
fn odd_lines_and_broken_files_cost_nothing_else() {
    let dir = Dir::new("odd");
    let good = line(1.78e9, "a", "four words of text");
    let long = format!("{{\"t\":1,\"path\":\"{}\"}}", "x".repeat(17 << 20));
    let lines =
        [&format!("\u{feff}{good}"), "[]", &long, r#"{"t":"9999-12-31T23:59:59Z","path":"/"}"#, &good];
    let trace = dir.file("t.jsonl", lines.join("\n").as_bytes());
    let o = weir(&["replay", "--json", path(&trace)]);
    let (v, err) = (json_of(&o), String::from_utf8_lossy(&o.stderr).into_owned());
    assert_eq!(o.status.code(), Some(3));
    assert_eq!((v["requests"].as_u64(), v["skipped"].as_u64()), (Some(2), Some(3)), "{err}");
    assert_eq!(v["clock_steps_back"], 0, "one wild time does not hold the clock");
    for what in [
        "t.jsonl:2: skipped: is not a JSON object",
        "t.jsonl:3: skipped: line is longer",
        "t.jsonl:4: skipped: t is",
    ] {
        assert!(err.contains(what), "{err}");
    }
    // A file that breaks off: what came before is reported, and the status says so.
    let many: Vec<String> = (0..3000)
        .map(|i| line(1.78e9 + f64::from(i), &format!("k{}", i % 9), &format!("{i} other words")))
        .collect();
    let zst = zstd::encode_all(many.join("\n").as_bytes(), 1).unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gz.write_all(many.join("\n").as_bytes()).unwrap();
    let gz = gz.finish().unwrap();
    for (name, bytes) in [("cut.zst", &zst[..zst.len() - 9]), ("cut.gz", &gz[..gz.len() - 9])] {
        let cut = dir.file(name, bytes);
        let o = weir(&["replay", "--json", path(&cut)]);
        assert_eq!(o.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&o.stderr).contains(name));
        assert!(json_of(&o)["requests"].as_u64().is_some(), "{name}");
    }
    let empty = dir.file("empty", b"");
    assert_eq!(weir(&["replay", path(&empty)]).status.code(), Some(0));
    if Path::new("/dev/full").exists() {
        let full = std::fs::File::create("/dev/full").unwrap();
        let mut c = Command::new(env!("CARGO_BIN_EXE_weir"));
        let o = c.args(["replay", path(&empty)]).stdout(full).output().unwrap();
        assert_eq!(o.status.code(), Some(2), "{}", String::from_utf8_lossy(&o.stderr));
    }
}

#[test]
fn the_sample_line_of_the_page_is_a_line() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/weir/README.md")).unwrap();
    let sample = page.lines().find(|l| l.starts_with("{\"t\":")).unwrap();
    let dir = Dir::new("readme");
    let trace = dir.file("t.jsonl", sample.as_bytes());
    let o = weir(&["replay", "--json", path(&trace)]);
    assert_eq!(o.status.code(), Some(0), "{}", String::from_utf8_lossy(&o.stderr));
    assert_eq!((&json_of(&o)["requests"], &json_of(&o)["unreadable"]), (&json!(1), &json!({})));
}

/// What one line of a trace decided, under a deny list that names the key of `Bearer k`; the same request in every shape.
fn decided(dir: &Dir, line: &str) -> Value {
    let config = json!({"mode": "enforce", "seed": "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
        "limits": [{"name": "l", "requests": 1, "per": "24h"}]});
    let config = dir.file("c.json", config.to_string().as_bytes());
    // The same key, an hour before: a line that names it is above its limit.
    let first = r#"{"t":1777630000,"path":"/v1/chat/completions","headers":[["authorization","Bearer k"]],"body":{"messages":[{"role":"user","content":"a"}]}}"#;
    let (trace, out) = (dir.file("t.jsonl", format!("{first}\n{line}\n").as_bytes()), dir.0.join("d.jsonl"));
    let o = weir(&[
        "replay",
        "--json",
        "--edges",
        "0",
        "--threads",
        "1",
        "--config",
        path(&config),
        "--decisions",
        path(&out),
        path(&trace),
    ]);
    let err = String::from_utf8_lossy(&o.stderr).to_string();
    let lines = std::fs::read_to_string(&out).unwrap();
    let mut v: Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    v["span_s"] = json_of(&o)["span_s"].clone();
    v["err"] = json!(err);
    v
}

#[test]
fn headers_and_paths_in_every_shape_of_logs() {
    let dir = Dir::new("shapes");
    let body = r#""body":{"messages":[{"role":"user","content":"a"}]}"#;
    let key = r#""headers":[["authorization","Bearer k"]]"#;
    let chat = r#""path":"/v1/chat/completions""#;
    let found = [
        format!("{chat},{key}"),
        format!(r#"{chat},"headers":{{"Authorization":"Bearer k","x":null,"n":5,"f":1.5,"b":true}}"#),
        format!(r#"{chat},"headers":{{"authorization":["Bearer k"],"accept":["a","b"],"none":[]}}"#),
        format!(r#"{chat},"headers":[{{"name":"authorization","value":"Bearer k"}},{{"name":"x","value":null}},{{"name":"y"}}]"#),
        format!(r#"{chat},"headers":[{{"key":"authorization","value":"Bearer k","raw":[1]}}]"#),
        format!(r#"{chat},"headers":["accept","*/*","authorization","Bearer k"]"#),
        format!(r#"{chat},"headers":[["x",null],["authorization",["Bearer k"]],["n",7]]"#),
        format!(r#"{chat},"headers":{{"authoriz\u0061tion":"Bearer \u006b"}}"#),
        r#""headers":{":path":"/v1/chat/completions",":method":"POST",":authority":"h","authorization":"Bearer k"}"#.to_string(),
        format!(r#""path":"https://api.example.com/v1/chat/completions?x=1",{key}"#),
        format!(r#""path":"POST /v1/chat/completions HTTP/1.1",{key}"#),
        format!(r#""path":"POST https://api.example.com/v1/chat/completions HTTP/2",{key},"method":null,"authority":null,"route":null,
            "source":null,"label":null,"tenant":null,"ja4":null,"properties":{{"a":null}},"response":null,"key_age_s":null,"body_text":null,"body_base64":null"#).replace('\n', ""),
    ];
    for shape in found {
        let v = decided(&dir, &format!(r#"{{"t":1777633600,{shape},{body}}}"#));
        assert_eq!(v["would"], "throttle", "{shape}: {v}");
    }
    let nobody = [
        format!(r#"{chat},"headers":null"#),
        format!(r#"{chat},"headers":[]"#),
        format!(r#"{chat},"headers":{{}}"#),
        format!(r#"{chat},"headers":{{"authorization":null}}"#),
        chat.to_string(),
    ];
    for shape in nobody {
        let v = decided(&dir, &format!(r#"{{"t":1777633600,{shape},{body}}}"#));
        assert_eq!(v["would"], "allow", "{shape}: {v}");
    }
    let v = decided(&dir, &format!(r#"{{"t":1777633600,"path":"GET /v1/chat/completions HTTP/1.1",{key}}}"#));
    assert_eq!(v["reason"], "not_inference");
    let bad = [
        format!(r#"{chat},"headers":[["a"]]"#),
        format!(r#"{chat},"headers":[["a","b","c"]]"#),
        format!(r#"{chat},"headers":["a","b","c"]"#),
        format!(r#"{chat},"headers":["a",["b","c"]]"#),
        format!(r#"{chat},"headers":[{{"value":"b"}}]"#),
        format!(r#"{chat},"headers":"authorization: Bearer k""#),
        format!(r#"{chat},"headers":{{"a":{{}}}}"#),
        format!(r#"{key},"path":null"#),
        key.to_string(),
    ];
    for shape in bad {
        let v = decided(&dir, &format!(r#"{{"t":1777633600,{shape},{body}}}"#));
        assert!(v["error"].is_string(), "{shape}: {v}");
        assert!(v["err"].as_str().unwrap().contains("t.jsonl:2: skipped:"), "{shape}: {v}");
    }
}

#[test]
fn times_in_every_form_of_logs() {
    let dir = Dir::new("times");
    // An hour after the first request of `decided`: 2026-05-01T11:06:40Z is 1777633600.
    let at = |t: &str| {
        let rest = r#""path":"/v1/chat/completions","headers":[],"body":{"messages":[{"role":"user","content":"a"}]}"#;
        let trace = dir.file(
            "t.jsonl",
            format!("{{\"t\":1777630000,{rest}}}\n{{\"t\":{t},{rest},\"label\":\"l\"}}\n{{\"t\":1777633600.5,{rest}}}\n").as_bytes(),
        );
        let o = weir(&["replay", "--json", path(&trace)]);
        (o.status.code().unwrap(), json_of(&o)["clock_steps_back"].as_u64().unwrap())
    };
    for same in [
        r#""2026-05-01T11:06:40.4Z""#,
        r#""2026-05-01T11:06:40.4z""#,
        r#""2026-05-01T11:06:40,400Z""#,
        r#""2026-05-01T11:06:40.4+0000""#,
        r#""2026-05-01T13:06:40.4+0200""#,
        r#""2026-05-01T13:06:40.4+02:00""#,
        r#""2026-05-01T05:36:40.4-0530""#,
        r#""2026-05-01T09:06:40.4-02""#,
        r#""2026-05-01 11:06:40.4 +0000""#,
        r#""2026-05-01 11:06:40.4 UTC""#,
        r#""2026-05-01T11:06:40.4""#,
        "1777633600.4",
        "1.7776336004e9",
        "1777633600400",
        "1777633600400.25",
        "1777633600400000",
        "1777633600400000000",
        r#""1777633600.400""#,
        r#""1777633600400""#,
        r#"" 1777633600400000 ""#,
    ] {
        assert_eq!(at(same), (0, 0), "{same}");
        // Half a second later it would be behind the third.
        assert_eq!(at("1777633601"), (0, 1));
    }
    for bad in [
        "5000000000",
        "50000000000",
        "-1",
        "\"yesterday\"",
        "\"2026-05-01\"",
        "\"2026-05-01T11:06:40+00000\"",
        "\"\"",
        "null",
        "{}",
        "1e300",
        "\"nan\"",
        "\"inf\"",
    ] {
        assert_eq!(at(bad).0, 3, "{bad}");
    }
}

#[test]
fn many_bad_lines_are_a_handful_of_messages() {
    let dir = Dir::new("many");
    let mut text = line(1.78e9, "a", "four words of text") + "\n";
    for i in 0..200_000 {
        let bad = match i % 5 {
            0 => format!("not json {i}"),
            1 => format!(r#"{{"t":"tomorrow {i}","path":"/"}}"#),
            2 => format!(r#"{{"t":{i},"path":"/x","headers":"{i}"}}"#),
            3 => format!(r#"{{"t":{i},"path":"/x","headers":[["{i}"]]"#),
            _ => format!(r#"{{"t":1780000001,"path":"/v1/chat/completions","body_base64":"!{i}"}}"#),
        };
        text += &bad;
        text += "\n";
    }
    let trace = dir.file("t.jsonl", text.as_bytes());
    let said = |threads: &str| {
        let o = weir(&["replay", "--json", "--threads", threads, path(&trace)]);
        assert_eq!(o.status.code(), Some(3));
        let v = json_of(&o);
        assert_eq!((v["requests"].as_u64(), v["skipped"].as_u64()), (Some(1), Some(200_000)));
        String::from_utf8_lossy(&o.stderr).to_string()
    };
    let err = said("1");
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(lines.len(), 5, "{err}");
    for (i, line) in lines.iter().enumerate() {
        assert!(line.contains(&format!("t.jsonl:{}: skipped: ", i + 2)), "{line}");
        assert!(line.ends_with(" (and 39999 more lines of this kind)"), "{line}");
    }
    assert_eq!(said("2"), err);
    // Faults without number, each of its own kind: the first fifteen, and the rest in one.
    let text: String = (0..1_000)
        .map(|i| format!("{{\"t\":1780000001,\"path\":\"/\",\"{0}\":1,\"{0}\":1,\"t\":{1}}}\n", "x", i))
        .collect();
    let trace = dir.file("u.jsonl", text.as_bytes());
    let o = weir(&["replay", path(&trace)]);
    assert_eq!(o.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&o.stderr).lines().count() <= 16);
}
