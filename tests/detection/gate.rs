//! The gate: a fixed set of scenarios on built-in texts, whose limits fail the build when detection or the honest side gets
//! worse. Two edges and a ledger, as everybody gets it. Limits are the worst of three seeds with a third of room.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use serde_json::Value;
use std::process::Command;

/// Scenario, at most percent served, at most hours to the first block, at least percent convicted. Honest rows have no campaign.
const LIMITS: &[(&str, f64, f64, f64)] = &[
    ("N150", 0.0, 0.0, 0.0),
    ("P-passed-150", 0.0, 0.0, 0.0),
    ("P-rollout-150", 0.0, 0.0, 0.0),
    ("P-desks-800", 0.0, 0.0, 0.0),
    ("P-game-800", 0.0, 0.0, 0.0),
    ("P-ingestion-150", 0.0, 0.0, 0.0),
    ("P-desks-150u", 0.0, 0.0, 0.0),
    ("P-contest-150", 0.0, 0.0, 0.0),
    ("P-packed-300u", 0.0, 0.0, 0.0),
    ("S3", 1.3, 8.0, 100.0),
    ("S5b", 4.9, 12.0, 100.0),
    ("S16", 1.3, 8.0, 99.0),
    ("S21", 40.0, 48.0, 99.0),
    ("Cmid", 10.0, 6.0, 99.0),
    ("A-packed", 55.0, 55.0, 99.0),
    ("A-cover", 3.0, 9.0, 99.0),
    ("A-launder", 2.0, 10.0, 99.0),
];

fn simulate(args: &[&str]) -> (Option<i32>, String, String) {
    let binary = std::env::var("WEIR_BIN").unwrap_or_else(|_| env!("CARGO_BIN_EXE_weir").into());
    let out = Command::new(binary).arg("simulate").args(args).output().unwrap();
    let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

/// The runs of `--json`, and the total of all of them that follows.
fn runs(out: &str) -> (Vec<Value>, Value) {
    let mut all: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let total = all.pop().unwrap();
    assert!(all.iter().all(|r| r["scenario"].is_string()) && total["total"].is_object(), "{out}");
    (all, total)
}

#[test]
fn detection_and_the_honest_side_do_not_get_worse() {
    let names = LIMITS.iter().map(|l| l.0).collect::<Vec<_>>().join(",");
    let (_, out, err) = simulate(&["-s", &names, "--honest", "0.1", "--campaign", "0.4", "--json"]);
    let (runs, _) = runs(&out);
    assert_eq!(runs.len(), LIMITS.len(), "{err}");
    let mut wrong = Vec::new();
    for (r, (name, served_max, first_max, convicted_min)) in runs.iter().zip(LIMITS) {
        assert_eq!(r["scenario"], *name);
        let honest = r["honest"].as_object().unwrap();
        for (class, c) in honest.iter().filter(|(_, c)| c["blocked"] != 0) {
            wrong.push(format!("{name}: {} honest keys of {class} blocked", c["blocked"]));
        }
        let a = &r["attack"];
        let number = |k: &str| a[k].as_f64().unwrap();
        if number("accounts") == 0.0 {
            continue;
        }
        let served = 100.0 * number("served") / number("requests");
        let convicted = 100.0 * number("convicted") / number("active");
        let first = a["first_block_h"].as_f64().unwrap_or(f64::INFINITY);
        if served > *served_max || first > *first_max || convicted < *convicted_min {
            wrong.push(format!(
                "{name}: served {served:.2} %, convicted {convicted:.1} %, first block after {first:.2} h"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Texts and seed are of the day, so that nobody learns the gate by heart: a row of each side, judged as the others are.
#[test]
fn nobody_honest_is_blocked_on_the_texts_of_the_day() {
    let (_, out, err) = simulate(&[
        "-s",
        "P-rollout-few-150,S3",
        "--honest",
        "0.1",
        "--campaign",
        "0.4",
        "--seed",
        "today",
        "--json",
    ]);
    let (runs, total) = runs(&out);
    println!("seed {}, texts {}", runs[0]["seed"], total["texts"]);
    let blocked: Vec<String> = runs.iter().map(|r| r["honest"].to_string()).collect();
    for r in &runs {
        let honest = r["honest"].as_object().unwrap();
        assert!(honest.values().all(|c| c["blocked"] == 0), "{err}\n{blocked:?}");
    }
    let number = |k: &str| runs[1]["attack"][k].as_f64().unwrap();
    assert!(number("served") <= 0.03 * number("requests"), "{err}");
}

/// Scenario, at most so many honest keys blocked, at most percent served, at least percent convicted. The price of honest users: a
/// campaign on their template is convicted key by key.
const COPIED: &[(&str, u64, f64, f64)] =
    &[("E-launch", 2, 65.0, 95.0), ("B40", 2, 50.0, 90.0), ("P-poisoned-150", 1, 80.0, 70.0)];

#[test]
fn users_of_an_app_whose_prompt_is_copied_are_not_outvoted() {
    let names = COPIED.iter().map(|l| l.0).collect::<Vec<_>>().join(",");
    let (_, out, err) = simulate(&["-s", &names, "--honest", "0.1", "--campaign", "0.4", "--json"]);
    let (runs, _) = runs(&out);
    assert_eq!(runs.len(), COPIED.len(), "{err}");
    for (r, (name, most, served_max, convicted_min)) in runs.iter().zip(COPIED) {
        assert_eq!(r["scenario"], *name);
        let blocked: u64 =
            r["honest"].as_object().unwrap().values().map(|c| c["blocked"].as_u64().unwrap()).sum();
        let number = |k: &str| r["attack"][k].as_f64().unwrap();
        let served = 100.0 * number("served") / number("requests");
        let convicted = 100.0 * number("convicted") / number("active");
        assert!(
            blocked <= *most && served <= *served_max && convicted >= *convicted_min,
            "{name}: {blocked} honest keys blocked, served {served:.2} %, convicted {convicted:.1} %"
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_result_and_another_one_differs() {
    let run = |seed: &str| {
        let (_, out, _) =
            simulate(&["-s", "S3", "--honest", "0.01", "--campaign", "0.04", "--seed", seed, "--json"]);
        let mut v = runs(&out).0.remove(0);
        let o = v.as_object_mut().unwrap();
        o.remove("ns_per_request");
        o.remove("elapsed_s");
        v
    };
    assert_eq!(run("5"), run("5"));
    assert_ne!(run("5")["attack"]["requests"], run("6")["attack"]["requests"]);
}

#[test]
fn impossible_settings_are_errors() {
    for (args, word) in [
        (&["-s", "S99"][..], "S99"),
        (&["-s", "S3", "--honest", "0"], "--honest"),
        (&["-s", "S3", "--honest", "NaN"], "--honest"),
        (&["-s", "S3", "--campaign", "11"], "--campaign"),
        (&["-s", "S3", "--seeds", "0"], "--seeds"),
        (&["-s", "S3", "--seed", "tomorrow"], "--seed"),
        (&["-s", "S3", "--seed", "-1"], "--seed"),
        (&["-s", "S3", "--seed", "18446744073709551615"], "--seed"),
        (&["-s", "S3", "--texts", "yesterday"], "--texts"),
        (&["-s", "S3", "--texts", "2", "--corpus", "/tmp"], "--texts"),
        (&["-s", "P-passed"], "P-passed"),
        (&["-s", "lookalike"], "lookalike"),
        (&["-s", "S3", "--jobs", "0"], "--jobs"),
        (&["-s", "S3", "--split", "half"], "--split"),
        (&["-s", "S3", "--split", "held"], "--corpus"),
        (&["-s", "S3", "--without", "magic"], "magic"),
        (&[], "--scenario"),
        (&["--fit", "--leave-one-out"], "--leave-one-out"),
        (&["--fit", "--without", "arm"], "--without"),
        (&["--fit", "-s", "P-nobody-40"], "P-nobody-40"),
        (&["--leave-one-out", "--sizes", "huge"], "--sizes"),
        (&["--leave-one-out", "-s", "S3"], "S3"),
        (&["--leave-one-out", "-s", "P-migration-3000"], "--scenario"),
        (&["--leave-one-out", "--split", "held"], "--split"),
        (&["-s", "S3", "--sizes", "small"], "--leave-one-out"),
        (&["-s", "S3", "--fitted", "/no/such/fit.json"], "--fitted"),
    ] {
        let (status, _, err) = simulate(args);
        assert_eq!(status, Some(1), "{args:?}: {err}");
        assert!(err.contains(word), "{args:?}: {err}");
    }
    let (status, _, err) = simulate(&["-s", "S3", "--corpus", "/no/such/folder"]);
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("/no/such/folder"), "{err}");
}

#[test]
fn today_is_the_seed_of_runs_and_texts_and_other_texts_give_another_run() {
    let run = |more: &[&str]| {
        let mut args = vec!["-s", "S3,P-passed-40m", "--honest", "0.01", "--campaign", "0.02", "--json"];
        args.extend(more);
        let (_, out, err) = simulate(&args);
        let (runs, total) = runs(&out);
        assert_eq!(runs.len(), 2, "{err}");
        (runs, total)
    };
    let (today, total) = run(&["--seed", "today"]);
    let seed = today[0]["seed"].as_u64().unwrap();
    assert!((20_240_000..30_000_000).contains(&seed), "{seed}");
    assert!(total["texts"].as_str().unwrap().ends_with(&format!("seed {seed}")), "{total}");

    let (same, other_total) = run(&["--seed", &seed.to_string()]);
    assert_eq!(other_total["texts"], "built-in generator");
    // The same keys send at the same times; what they say is not the same.
    assert_eq!(today[0]["requests"], same[0]["requests"]);
    let (again, _) = run(&["--seed", &seed.to_string(), "--texts", &seed.to_string()]);
    assert_eq!(today[0]["attack"], again[0]["attack"]);
}

#[test]
fn the_total_says_what_may_still_be_blocked() {
    let (_, out, err) =
        simulate(&["-s", "S0", "--seeds", "2", "--honest", "0.02", "--campaign", "0.02", "--json"]);
    let (runs, total) = runs(&out);
    assert_eq!((runs.len(), &total["runs"]), (2, &2.into()), "{err}");
    let sum = |class: &str, of: &str| -> u64 {
        runs.iter().map(|r| r["honest"][class][of].as_u64().unwrap_or(0)).sum()
    };
    let chat = &total["classes"]["chat"];
    assert_eq!((chat["keys"].as_u64(), chat["blocked"].as_u64()), (Some(sum("chat", "keys")), Some(0)));
    let (n, upper) = (sum("chat", "keys") as f64, chat["upper_percent"].as_f64().unwrap());
    assert!((upper / (300.0 / n) - 1.0).abs() < 0.02, "{upper} {n}");
    assert_eq!(runs[0]["family"], "population");
}

#[test]
fn the_list_names_every_scenario_and_its_target() {
    let (status, out, _) = simulate(&["--list"]);
    assert_eq!(status, Some(0));
    for name in ["S0", "S23", "Cmid", "E-base64", "N3000", "H", "P-passed-300u", "A-relays"] {
        assert!(out.lines().any(|l| l.starts_with(name)), "{name}");
    }
}

/// What `--fit` measures.
const NUMBERS: [&str; 13] = [
    "young",
    "young_weight",
    "talk",
    "repeats",
    "devoted",
    "sleep",
    "sleep_weight",
    "stop",
    "shape",
    "shape_most",
    "sign",
    "silent",
    "novel",
];

#[test]
fn a_fit_prints_every_number_and_names_what_it_could_not_fit() {
    let args = ["--fit", "-s", "P-hall-40,P-carrier-40,S3", "--campaign", "0.04"];
    let (status, out, err) = simulate(&args);
    // 80 honest keys and 100 accounts are too few for anything.
    assert_eq!(status, Some(4), "{err}");
    for name in NUMBERS {
        let line = out.lines().find(|l| l.trim_start().starts_with(&format!("{name}: ")));
        assert!(line.is_some_and(|l| l.contains("not fitted") && l.contains("200 needed")), "{name}: {out}");
    }
    assert!(err.contains("talk is not fitted, the committed value stays"), "{err}");

    let (_, out, _) = simulate(&[&args[..], &["--json"]].concat());
    let v: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(v["fitted"], v["committed"]);
    for name in NUMBERS {
        assert!(!v["fitted"][name].is_null(), "{name}: {v}");
    }
    assert!((60..=100).contains(&v["behind"]["talk"]["keys"].as_u64().unwrap()), "{v}");

    // Of a few hundred keys there is a fit.
    let (_, out, _) = simulate(&["--fit", "-s", "P-hall-150,P-carrier-150", "--json"]);
    let v: Value = serde_json::from_str(&out).unwrap();
    assert!(v["behind"]["repeats"]["kept"].is_null() && v["fitted"] != v["committed"], "{v}");
    let repeats = v["fitted"]["repeats"]["mean"].as_f64().unwrap();
    assert!((0.1..0.5).contains(&repeats), "half of the pupils' exercises, none of the callers': {repeats}");
}

#[test]
fn leaving_one_family_out_judges_that_family() {
    let (status, out, err) =
        simulate(&["--leave-one-out", "-s", "P-hall-40", "--sizes", "small", "--seeds", "1", "--json"]);
    let v: Value = serde_json::from_str(&out).unwrap();
    let row = &v["families"][0];
    assert_eq!((row["family"].as_str(), row["runs"].as_u64()), (Some("hall"), Some(1)), "{err}");
    assert!(
        row["own"]["keys"].as_u64().unwrap() >= 30 && row["others"]["keys"].as_u64().unwrap() > 100,
        "{v}"
    );
    let blocked = row["own"]["blocked"].as_u64().unwrap();
    assert_eq!(status, Some(if blocked == 0 { 0 } else { 4 }), "{v}");
    assert_ne!(row["fitted"]["repeats"], Value::Null);
}
