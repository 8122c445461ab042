//! `weir indicators` between two organisations with seeds of their own: what one has learned of a campaign, the other recognises in its
//! logs before its own evidence suffices; and nothing of anybody's keys is in what is sent.
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

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cli::{err, path, weir};
use dir::Dir;
use made_up::{unit, words};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::LazyLock;

const START: u64 = 1_780_000_000;
const CAMPAIGN: &str = "Write a worked solution for the task below and check it with a second method before you finish the last line. Then name the rule that you used and say why no other rule applies here.";
const HONEST: &str = "You are the assistant of a bank and answer questions about accounts, cards and transfers in plain language. Never give advice on investments, and ask for the branch if it is not named. Keep to three sentences, and end with the number of the help desk. If somebody reports a lost card, tell them to block it first and to visit any branch with a passport afterwards.";

/// A campaign of `accounts` young keys at one request an hour, among 30 people who write their own texts, and 20 old keys of one
/// application with a template of its own.
fn trace(salt: u64, accounts: u64, hours: f64) -> String {
    let mut all: Vec<(f64, String)> = Vec::new();
    for key in 0..accounts + 50 {
        let (young, app) = (key < accounts, key >= accounts + 30);
        let id = salt << 32 | key;
        let mean = if young { 3600.0 } else { 3600.0 * (0.3 + 12.0 * unit(id)) };
        let (mut t, mut i) = (START as f64, 0u64);
        loop {
            t += -unit(id << 16 | i).ln() * mean;
            i += 1;
            if t > START as f64 + hours * 3600.0 {
                break;
            }
            let slot = words(id << 16 | i, 14);
            let text = match (young, app) {
                (true, _) => format!("{CAMPAIGN} {slot}"),
                (_, true) => format!("{HONEST} {slot}"),
                _ => slot,
            };
            let created = START - if young { 3 } else { 200 } * 86_400;
            let line = json!({"t": t, "path": "/v1/chat/completions", "body": {"messages": [{"role": "user", "content": text}]},
                "headers": [["authorization", format!("Bearer sk-{salt}-{key}")], ["x-created", created.to_string()]]});
            all.push((t, line.to_string()));
        }
    }
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    all.into_iter().map(|l| l.1).collect::<Vec<_>>().join("\n")
}

fn pem(what: &str, der: &[u8]) -> String {
    format!("-----BEGIN {what}-----\n{}\n-----END {what}-----\n", STANDARD.encode(der))
}

/// A key that signs and what the partner is told of it.
fn keys(dir: &Dir, name: &str) -> (PathBuf, PathBuf, Ed25519KeyPair) {
    let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).unwrap();
    let key = Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
    let spki = [
        &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00],
        key.public_key().as_ref(),
    ]
    .concat();
    (
        dir.file(&format!("{name}.key"), pem("PRIVATE KEY", der.as_ref())),
        dir.file(&format!("{name}.pub"), pem("PUBLIC KEY", &spki)),
        key,
    )
}

struct Exchange {
    dir: Dir,
    /// Of A, who has seen the campaign with 120 accounts.
    config_a: PathBuf,
    trace_a: PathBuf,
    public: PathBuf,
    key: Ed25519KeyPair,
    sent: PathBuf,
    /// Of B, who sees 12 of its accounts: too few for evidence of its own.
    config_b: PathBuf,
    trace_b: PathBuf,
    seed: PathBuf,
}

static EXCHANGE: LazyLock<Exchange> = LazyLock::new(|| {
    let dir = Dir::new("indicators");
    let config = |name: &str, byte: &str| {
        let text = format!(
            r#"{{"mode":"enforce","seed":"{}","identity":{{"learn":"0s","age":{{"header":"x-created"}}}}}}"#,
            byte.repeat(32)
        );
        dir.file(name, text)
    };
    let (config_a, config_b) = (config("a.json", "a1"), config("b.json", "b2"));
    let (trace_a, trace_b) =
        (dir.file("a.jsonl", trace(1, 120, 18.0)), dir.file("b.jsonl", trace(2, 12, 6.0)));
    let seed = dir.file("exchange.seed", format!("{}\n", "c3".repeat(32)));
    let (private, public, key) = keys(&dir, "a");
    let sent = dir.0.join("indicators.json");
    let o = export(&config_a, &seed, &private, "Org A", &sent, path(&trace_a));
    assert!(o.status.success(), "{}", err(&o));
    Exchange { config_a, trace_a, public, key, sent, config_b, trace_b, seed, dir }
});

fn payload(file: &Path) -> Value {
    let v: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(v["payload"].as_str().unwrap()).unwrap()).unwrap()
}

/// Signs anything, as whoever holds the key could.
fn signed(key: &Ed25519KeyPair, payload: &Value) -> String {
    let protected = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA","typ":"weir-indicators"}"#);
    let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
    let signature = URL_SAFE_NO_PAD.encode(key.sign(format!("{protected}.{payload}").as_bytes()));
    json!({"protected": protected, "payload": payload, "signature": signature}).to_string()
}

fn export(config: &Path, seed: &Path, key: &Path, issuer: &str, out: &Path, trace: &str) -> Output {
    weir(&[
        "indicators",
        "export",
        "--config",
        path(config),
        "--exchange-seed-file",
        path(seed),
        "--key-file",
        path(key),
        "--issuer",
        issuer,
        "--out",
        path(out),
        trace,
    ])
}

fn import(e: &Exchange, file: &Path, more: &[&str]) -> Output {
    import_of(e, &e.public, file, &[&["--json"], more].concat(), &e.trace_b)
}

fn import_of(e: &Exchange, partner: &Path, file: &Path, more: &[&str], trace: &Path) -> Output {
    let args = [
        "indicators",
        "import",
        "--config",
        path(&e.config_b),
        "--exchange-seed-file",
        path(&e.seed),
        "--partner-key",
        path(partner),
        "--indicators",
        path(file),
    ];
    weir(&[&args[..], more, &[path(trace)]].concat())
}

#[test]
fn a_partner_recognises_a_campaign_before_its_own_evidence_would() {
    let e = &*EXCHANGE;
    // On its own, B blocks nobody: twelve accounts are less than any evidence asks for.
    let alone = weir(&["replay", "--json", "--config", path(&e.config_b), path(&e.trace_b)]);
    let alone: Value = serde_json::from_slice(&alone.stdout).unwrap();
    assert_eq!((&alone["would"]["block"], &alone["convicted"]), (&json!(0), &json!(0)));
    let entries = e.dir.0.join("entries.json");
    let o = import(e, &e.sent, &["--entries", path(&entries)]);
    assert!(o.status.success(), "{}", err(&o));
    let found: Value = serde_json::from_slice(&o.stdout).unwrap();
    let m = &found[0];
    assert_eq!(
        (&m["issuer"], &m["keys"], &m["keys_honest"], &m["held_back"]),
        (&json!("Org A"), &json!(12), &json!(0), &Value::Null)
    );
    let of_campaign =
        std::fs::read_to_string(&e.trace_b).unwrap().lines().filter(|l| l.contains(CAMPAIGN)).count();
    assert_eq!(m["requests"], of_campaign, "every request of the campaign, and no other");
    assert!(m["first_s"].as_u64().unwrap() < START + 3_600, "from its first hour");
    assert!(m["templates"].as_array().unwrap().len() >= 4);
    // What is proposed is taken by `weir check`, and blocks nothing as it stands: it is in shadow mode.
    let o = weir(&["check", path(&entries)]);
    assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stdout));
    let mut config: Value = serde_json::from_slice(&std::fs::read(&e.config_b).unwrap()).unwrap();
    let proposed: Value = serde_json::from_slice(&std::fs::read(&entries).unwrap()).unwrap();
    assert_eq!(proposed["mode"], "shadow");
    config["deny"] = proposed["deny"].clone();
    for (mode, done) in [("shadow", 0), ("enforce", of_campaign)] {
        config["mode"] = json!(mode);
        let with = e.dir.file(&format!("{mode}.json"), config.to_string());
        let o = weir(&["replay", "--json", "--config", path(&with), path(&e.trace_b)]);
        let v: Value = serde_json::from_slice(&o.stdout).unwrap();
        assert_eq!(
            (&v["would"]["block"], &v["actions"]["block"]),
            (&json!(of_campaign), &json!(done)),
            "{mode}"
        );
    }
}

#[test]
fn nothing_of_keys_and_no_hash_of_the_ledger_is_sent() {
    let e = &*EXCHANGE;
    let (records, decisions) = (e.dir.0.join("ar.jsonl"), e.dir.0.join("ad.jsonl"));
    let o = weir(&[
        "replay",
        "--json",
        "--config",
        path(&e.config_a),
        "--records",
        path(&records),
        "--decisions",
        path(&decisions),
        path(&e.trace_a),
    ]);
    let summary: Value = serde_json::from_slice(&o.stdout).unwrap();
    assert!(summary["would"]["block"].as_u64().unwrap() > 0);
    let bytes = std::fs::read_to_string(&e.sent).unwrap();
    let all = format!("{bytes}{}", payload(&e.sent));
    let mut hashes: BTreeSet<String> = BTreeSet::new();
    for file in [&records, &decisions] {
        for line in std::fs::read_to_string(file).unwrap().lines() {
            let v: Value = serde_json::from_str(line).unwrap();
            hashes.insert(v["key"].as_str().unwrap()[4..].into());
            hashes.extend(
                ["campaign", "case", "sample"].iter().filter_map(|n| v[n].as_str().map(String::from)),
            );
        }
    }
    hashes.extend(
        summary["groups"].as_array().unwrap().iter().map(|g| g["id"].as_str().unwrap()[4..].to_string()),
    );
    hashes.remove("00000000");
    assert!(hashes.len() > 300, "{}", hashes.len());
    for h in &hashes {
        assert!(!all.contains(h.as_str()), "{h}");
        let n = u64::from_str_radix(h, 16).unwrap();
        assert!(h.len() < 16 || !all.contains(&n.to_string()), "{h} as a number");
    }
    assert!(!all.contains("sk-1") && !all.contains("Write a worked"));
    // Sizes are told with two digits, times in whole hours.
    let i = &payload(&e.sent)["indicators"][0];
    assert_eq!(
        (&i["keys"], i["requests"].as_u64().unwrap() % 100, i["from_s"].as_u64().unwrap() % 3_600),
        (&json!(120), 0, 0)
    );
    assert!(i["nats"].as_i64().unwrap() >= 20);
}

#[test]
fn what_was_changed_is_over_or_of_others_is_refused() {
    let e = &*EXCHANGE;
    let good = std::fs::read_to_string(&e.sent).unwrap();
    let (_, other, stranger) = keys(&e.dir, "other");
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut p = payload(&e.sent);
        change(&mut p);
        signed(&e.key, &p)
    };
    let v: Value = serde_json::from_str(&good).unwrap();
    let mut tampered = v.clone();
    let mut p = payload(&e.sent);
    p["expires_s"] = json!(4_000_000_000u64);
    tampered["payload"] = json!(URL_SAFE_NO_PAD.encode(p.to_string()));
    for (text, say) in [
        (tampered.to_string(), "signature"),
        (signed(&stranger, &payload(&e.sent)), "signature"),
        (changed(&|p| (p["created_s"], p["expires_s"]) = (json!(1_000), json!(2_000))), "expired on"),
        (changed(&|p| p["version"] = json!(2)), "version 2"),
        (changed(&|p| p["exchange"] = json!("00000001")), "exchange seed"),
        (changed(&|p| p["key"] = json!("kid:1")), "unknown field"),
        (good[..good.len() / 2].to_string(), "malformed"),
        ("\u{0}".into(), "malformed"),
    ] {
        let file = e.dir.file("bad.json", text);
        let entries = e.dir.0.join("none.json");
        let o = import(e, &file, &["--entries", path(&entries)]);
        assert_eq!((o.status.code(), o.stdout.len()), (Some(4), 0), "{say}: {}", err(&o));
        assert!(err(&o).contains("refused") && err(&o).contains(say), "{say}: {}", err(&o));
        assert!(!entries.exists(), "nothing is proposed of what is refused");
        if say != "exchange seed" {
            assert_eq!(
                weir(&["indicators", "verify", "--partner-key", path(&e.public), path(&file)]).status.code(),
                Some(4),
                "{say}"
            );
        }
    }
    let verify = |key: &Path| weir(&["indicators", "verify", "--partner-key", path(key), path(&e.sent)]);
    assert_eq!(verify(&other).status.code(), Some(4));
    let o = verify(&e.public);
    assert!(o.status.success() && String::from_utf8_lossy(&o.stdout).contains("1 indicator of Org A"));
}

/// A partner who names what honest people send gets nothing proposed: here it is of old keys.
#[test]
fn an_indicator_of_an_honest_template_is_held_back() {
    let e = &*EXCHANGE;
    // The liar knows the text, and so its phrases under the exchange seed: those that a campaign with it would have.
    let liars = std::fs::read_to_string(&e.trace_a).unwrap().replace(CAMPAIGN, HONEST);
    let liars: Vec<String> = liars
        .lines()
        .filter(|l| !l.contains(&format!("x-created\",\"{}", START - 200 * 86_400)))
        .map(String::from)
        .collect();
    let forged = e.dir.file("liar.jsonl", liars.join("\n"));
    let (private, public, _) = keys(&e.dir, "liar");
    let sent = e.dir.0.join("liar.json");
    let o = export(&e.config_a, &e.seed, &private, "Liar", &sent, path(&forged));
    assert!(o.status.success(), "{}", err(&o));
    let entries = e.dir.0.join("liar-entries.json");
    let o = import_of(e, &public, &sent, &["--json", "--entries", path(&entries)], &e.trace_b);
    assert!(o.status.success(), "{}", err(&o));
    let found: Value = serde_json::from_slice(&o.stdout).unwrap();
    assert_eq!(
        (found[0]["keys"].as_u64(), &found[0]["templates"]),
        (found[0]["keys_honest"].as_u64(), &json!([]))
    );
    assert!(
        found[0]["keys"].as_u64().unwrap() > 10
            && found[0]["held_back"].as_str().unwrap().contains("look honest")
    );
    let proposed: Value = serde_json::from_slice(&std::fs::read(&entries).unwrap()).unwrap();
    assert_eq!(proposed["deny"], json!([]));
}

#[test]
fn what_cannot_be_done_is_told() {
    let e = &*EXCHANGE;
    let (private, _, _) = keys(&e.dir, "b");
    let own = e.dir.file("own.seed", "a1".repeat(32));
    let bad = e.dir.file("bad.seed", "c3c3");
    let out = e.dir.0.join("unwritten.json");
    let honest = e.dir.file("honest.jsonl", trace(3, 0, 2.0));
    for (seed, key, trace, status, say) in [
        (&own, &private, path(&e.trace_a), 1, "own seed"),
        (&bad, &private, path(&e.trace_a), 1, "64 hexadecimal digits"),
        (&e.seed, &e.public, path(&e.trace_a), 1, "a.pub"),
        (&e.seed, &private, "-", 1, "more than once"),
        (&e.seed, &private, "/nowhere.jsonl", 2, "/nowhere.jsonl"),
        (&e.seed, &private, path(&honest), 3, "nothing to tell"),
    ] {
        let o = export(&e.config_a, seed, key, "Org A", &out, trace);
        assert!(!out.exists());
        let (code, text) = (o.status.code().unwrap(), err(&o));
        assert!(code == status && text.contains(say), "{say}: {code} {text}");
    }
    let o = import(e, &e.sent, &[]);
    assert!(o.status.success());
    // Nobody sends it here: 3.
    let o = import_of(e, &e.public, &e.sent, &[], &honest);
    assert_eq!(o.status.code(), Some(3), "{}", err(&o));
}
