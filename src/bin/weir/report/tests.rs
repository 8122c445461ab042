use super::logs::Logs;
use super::{facts, html, incident, labels, markdown, told};
use crate::dir::Dir;
use serde_json::{Value, json};

fn record(t_s: u64, key: u64, would: &str, change: impl FnOnce(&mut Value)) -> String {
    let campaign = if would == "allow" { "00000000" } else { "ded37019" };
    let mut v = json!({
        "weir": "decision", "t_ms": t_s * 1000, "case": format!("{:08x}", key + 0xa0), "campaign": campaign,
        "key": format!("kid:{key:016x}"), "policy": "p", "profile": "d", "mode": "shadow", "action": "allow", "would": would,
        "reason": if would == "allow" { "none" } else { "template" },
        "evidence": {"matched": 1, "values": 9, "strikes": 0, "requests": 7}, "sample": "000000ff",
        "own": {"young": true, "age": "created", "age_hours": 30, "automatic": false, "convicted": true, "requests": 7,
            "openings_percent": 100, "repeats_percent": 0, "matches_percent": 100, "hits": 2, "strikes": 1, "shared": 0, "talk": 0,
            "block_odds": 5000, "odds_nats": 12.0, "factors": {"template": 9.0}},
        "group": {"id": "tid:00000000000000aa", "axis": "text", "state": "confirmed", "campaign": "ded37019", "since_s": 3_000,
            "keys": 40, "min_keys": 24, "requests": 300, "nats": 40, "threshold": 20, "explanations": {"campaign": 0, "people": -40},
            "campaign_percent": 99, "young_percent": 100, "novel_percent": 100, "single_percent": 100, "sampled_keys": []},
    });
    change(&mut v);
    // The mark of a record stands in front.
    let rest = v.to_string().replacen("\"weir\":\"decision\"", "\"x\":0", 1);
    format!("{{\"weir\":\"decision\",{}", &rest[1..])
}

fn read(lines: &[String]) -> Logs {
    let dir = Dir::new("report");
    let mut logs = Logs::default();
    logs.read(&dir.file("r.jsonl", lines.join("\n"))).unwrap();
    logs
}

fn decided(t_s: u64, key: u64, action: &str) -> String {
    format!(
        r#"{{"i":0,"t_ms":{},"key":"kid:{key:016x}","action":"{action}","reason":null,"case":null,"would":"{action}"}}"#,
        t_s * 1000
    )
}

#[test]
fn who_looks_honest_comes_first() {
    let own = |k: u64, f: fn(&mut Value)| record(7_200, k, "block", |v| f(&mut v["own"]));
    let logs = read(&[
        own(1, |_| {}),
        own(2, |o| o["odds_nats"] = json!(9.0)),
        own(3, |o| o["young"] = json!(false)),
        own(4, |o| o["talk"] = json!(3)),
        // A limit is no evidence across keys.
        record(7_200, 5, "block", |v| v["reason"] = json!("deny_list")),
        record(7_300, 6, "tag", |_| {}),
    ]);
    let f = facts::facts(&logs, None);
    let order: Vec<&str> = f.hurt.iter().map(|h| &h.key[19..]).collect();
    assert_eq!(order, ["4", "3", "2", "1"]);
    assert_eq!(f.hurt[0].because, ["follows up"]);
    assert_eq!(f.hurt[1].allow, json!({"name": "case-000000a3", "key": "kid:0000000000000003"}));
    assert_eq!((f.shadow.would_block, f.shadow.keys), (5, 5));
    assert_eq!((f.campaigns[0].accounts_blocked, f.campaigns[0].accounts_tagged_only), (5, 1));
    assert_eq!(f.totals.keys_blocked, 5);
}

#[test]
fn a_long_time_has_no_more_bars_than_fit_and_no_gap() {
    let logs = read(&[record(3_600, 1, "tag", |_| {}), record(3_600 * 1_000, 2, "block", |_| {})]);
    let t = facts::facts(&logs, None).timeline;
    assert_eq!((t.step_h, t.rows.len()), (5, 201));
    assert_eq!((t.rows[0].tag, t.rows[200].block), (1, 1));
    assert!(t.rows.windows(2).all(|w| w[1].t_s - w[0].t_s == 5 * 3_600));
}

#[test]
fn what_was_served_is_told_about_the_first_block() {
    let lines = [1u64, 2].iter().flat_map(|k| {
        [
            decided(100, *k, "allow"),
            decided(200, *k, "tag"),
            decided(200 + 50 * k, *k, "block"),
            decided(900, *k, "block"),
        ]
    });
    let mut all: Vec<String> = lines.collect();
    all.push(decided(100, 3, "allow"));
    all.push(decided(260, 2, "allow"));
    all.push(record(250, 1, "block", |_| {}));
    all.push(record(300, 2, "block", |_| {}));
    let logs = read(&all);
    let d = incident::dossier(&logs, "ded37019", "ded37019", None).unwrap();
    assert_eq!((d.served.before, d.served.after, d.served.rejected), (Some(4), Some(1), Some(4)));
    assert_eq!(d.served.before_own_block, 12);
    // A client's case id leads to the same campaign.
    assert_eq!(incident::campaign_of(&logs, "000000a2").unwrap(), "ded37019");
    assert!(incident::campaign_of(&logs, "12345678").is_err());
    assert!(incident::campaign_of(&logs, "00000000").is_err());
    // Without the requests it is not claimed to be known.
    let d = incident::dossier(&read(&all[10..]), "ded37019", "ded37019", None).unwrap();
    assert_eq!((d.served.before, d.served.after), (None, None));
}

#[test]
fn nothing_from_a_log_becomes_markup() {
    let evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>[a](javascript:x)|`";
    let mut logs = read(&[
        record(7_200, 1, "block", |v| {
            for name in ["policy", "profile", "mode", "reason"] {
                v[name] = json!(evil);
            }
            v["group"]["axis"] = json!(evil);
            v["group"]["state"] = json!(evil);
            v["group"]["explanations"] = json!({evil: -3, "campaign": 0});
            v["own"]["age"] = json!(evil);
        }),
        record(7_300, 2, "block", |_| {}),
    ]);
    labels(&format!("kid:0000000000000001,{evil}"), &mut logs).unwrap();
    let f = facts::facts(&logs, None);
    let d = incident::dossier(&logs, "ded37019", "ded37019", None).unwrap();
    for doc in [told::document(&f), incident::document(&d)] {
        let page = html::write(&doc);
        assert!(page.contains("&lt;script&gt;alert(1)"), "it is told as text");
        assert!(!page.contains("<script") && !page.contains("<img"), "{page}");
        let text = markdown::write(&doc);
        assert!(!text.contains("<script") && !text.contains("<img") && !text.contains("[a]("), "{text}");
    }
}

#[test]
fn labels_that_are_none_are_named_by_line() {
    let mut logs = read(&[record(1, 1, "block", |_| {})]);
    for (text, line) in
        [("kid:1,x", 1), ("# a comment\n\nkid:0000000000000001", 3), ("kid:0000000000000001 \u{1}", 1)]
    {
        assert!(labels(text, &mut logs).unwrap_err().starts_with(&format!("line {line}:")), "{text}");
    }
    labels("kid:0000000000000001\tbenign:partner\nkid:00000000000000ff,attack:x", &mut logs).unwrap();
    let l = facts::facts(&logs, None).labels.unwrap();
    assert_eq!((l.honest_keys, l.honest_blocked, l.campaign_keys, l.unlabelled_keys), (1, 1, 0, 0));
}

#[test]
fn every_figure_of_the_chart_of_time_stands_in_its_table() {
    let logs = read(&[record(3_600, 1, "tag", |_| {}), record(7_200, 2, "block", |_| {})]);
    let text = markdown::write(&told::document(&facts::facts(&logs, None)));
    assert!(text.contains("| 1970-01-01T01:00:00Z | 0 | 1 | 0 | 0 |"), "{text}");
    assert!(text.contains("| 1970-01-01T02:00:00Z | 0 | 0 | 0 | 1 |"), "{text}");
}

#[test]
fn what_is_beyond_a_limit_is_counted() {
    let of = |k: u64| record(7_200 + k, k, "block", |v| v["campaign"] = json!(format!("{:08x}", 1 + k % 25)));
    let logs = read(&(0..60).map(of).collect::<Vec<_>>());
    let f = facts::facts(&logs, None);
    assert_eq!((f.campaigns.len(), f.campaigns_more), (facts::CAMPAIGNS, 5));
    assert_eq!((f.hurt.len(), f.hurt_more), (facts::HURT, 10));
    assert!(super::logs::label(&"x".repeat(128)).is_some() && super::logs::label(&"x".repeat(129)).is_none());
    // One campaign of many keys: its line of growth has at most 201 points and ends where it ends; its keys are listed up to a thousand.
    let logs = read(&(0..1_500).map(|k| record(7_200 + k, k, "block", |_| {})).collect::<Vec<_>>());
    let d = incident::dossier(&logs, "ded37019", "ded37019", None).unwrap();
    assert!(d.scope.growth.len() <= 201 && d.scope.growth.last().unwrap().blocked == 1_500);
    assert_eq!((d.keys_blocked.len(), d.keys_more), (1_000, 500));
}

#[test]
fn mad_figures_stop_nothing() {
    let of = |key: u64, n: u64| {
        record(1, key, "block", |v| {
            v["t_ms"] = json!(n);
            v["evidence"]["requests"] = json!(n);
            for name in ["keys", "requests", "since_s"] {
                v["group"][name] = json!(n);
            }
            v["group"]["nats"] = json!(i64::MIN);
            v["group"]["explanations"] = json!({"campaign": i64::MIN, "people": i64::MAX});
            v["own"]["age_hours"] = json!(n);
            v["own"]["odds_nats"] = json!(-1e300);
        })
    };
    let logs = read(&[of(1, u64::MAX), of(2, u64::MAX - 1), of(3, 0)]);
    let (f, d) = (facts::facts(&logs, None), incident::dossier(&logs, "ded37019", "ded37019", None).unwrap());
    assert_eq!((f.totals.keys_blocked, d.scope.requests_of_blocked), (3, u64::MAX));
    assert!(f.timeline.rows.len() <= 201);
    for doc in [told::document(&f), incident::document(&d)] {
        assert!(html::write(&doc).len() < 100_000 && markdown::write(&doc).len() < 100_000);
    }
}
