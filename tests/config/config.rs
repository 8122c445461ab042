//! One bad file per rejection, with the exact messages; good files; the reference file is exactly the defaults.
#![allow(clippy::unwrap_used, clippy::panic, clippy::arithmetic_side_effects, reason = "tests")]

use proptest::prelude::*;
use std::path::{Path, PathBuf};
use weir::engine::config::routes::RouteQuery;
use weir::engine::config::{parse, parse_with_env};
use weir::engine::dialect::path::Normal;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn files(dir: &str) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> =
        std::fs::read_dir(root().join(dir)).unwrap().map(|f| f.unwrap().path()).collect();
    out.retain(|f| f.extension().is_some_and(|e| e == "json"));
    out.sort();
    out
}

#[test]
fn every_bad_file_is_refused_with_its_messages() {
    let all = files("bad");
    assert!(all.len() >= 45, "{}", all.len());
    for file in all {
        let text = std::fs::read_to_string(&file).unwrap();
        let error = parse(&text).err().unwrap_or_else(|| panic!("{} was accepted", file.display()));
        let expected = file.with_extension("err");
        // WEIR_BLESS=1 writes the messages; the diff is then for people to read.
        if std::env::var_os("WEIR_BLESS").is_some() {
            std::fs::write(&expected, format!("{error}\n")).unwrap();
        }
        let want = std::fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(format!("{error}\n"), want, "{}", file.display());
    }
}

#[test]
fn every_good_file_is_accepted() {
    for file in files("good") {
        let text = std::fs::read_to_string(&file).unwrap();
        parse(&text).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }
}

#[test]
fn the_reference_file_is_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/filter.json");
    let reference = parse(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert_eq!(format!("{reference:?}"), format!("{:?}", parse("").unwrap()));
}

#[test]
fn all_problems_are_told_at_once_and_secrets_are_not() {
    let text = std::fs::read_to_string(root().join("bad/several_at_once.json")).unwrap();
    assert!(parse(&text).unwrap_err().0.len() >= 4);
    let held = parse(
        r#"{"inspect":{"max_hold_bytes":"33KiB"},"seed":"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"}"#,
    );
    let warnings = held.unwrap().warnings;
    assert!(
        warnings.len() == 1
            && warnings
                .iter()
                .all(|w| w.to_string().starts_with("inspect.max_hold_bytes: is above host_buffer_bytes")),
        "{warnings:?}"
    );
    let secret = "5e".repeat(30);
    let error = parse(&format!(r#"{{"seed":"{secret}"}}"#)).unwrap_err().to_string();
    assert!(!error.contains(&secret), "{error}");
    assert!(
        parse_with_env("{}", Some("short")).unwrap_err().to_string().starts_with("WEIR_SEED: must be 64")
    );
    assert!(!parse_with_env("{}", Some(&"ab".repeat(32))).unwrap().seed_is_derived);
}

#[test]
fn profiles_and_routes_resolve() {
    let c = parse(&std::fs::read_to_string(root().join("good/everything.json")).unwrap()).unwrap();
    let of = |q: RouteQuery<'_>| c.profile(c.routes.select(&q)).unwrap().name.clone();
    assert_eq!(of(RouteQuery { route: b"chat-1", ..RouteQuery::default() }), "strict");
    assert_eq!(
        of(RouteQuery { path: &Normal::of(b"/v1/embeddings"), ..RouteQuery::default() }),
        "default@off"
    );
    assert_eq!(of(RouteQuery { metadata_profile: b"strict", ..RouteQuery::default() }), "strict");
    assert_eq!(of(RouteQuery { metadata_profile: b"nonsense", ..RouteQuery::default() }), "default");
    let strict = c.profiles.iter().find(|p| p.name == "strict").unwrap();
    assert!(
        strict.limits.is_empty() && strict.inspect.hold_headers,
        "a patch changes what it names and keeps the rest"
    );
}

proptest! {
    #[test]
    fn any_text_gives_a_value_or_named_problems(text in "[{}\\[\\]\":,a-z0-9 ]{0,80}") {
        if let Err(e) = parse(&text) {
            prop_assert!(!e.0.is_empty());
        }
    }

    #[test]
    fn any_value_under_any_key_is_no_panic(key in 0usize..14, v in prop_oneof![Just("null"), Just("5"), Just("\"x\""), Just("[]"), Just("{}"), Just("[1]"), Just("true")]) {
        let keys = ["version", "policy", "mode", "identity", "inspect", "limits", "campaign", "actions", "allow", "deny", "profiles", "routes", "_rules_", "seed"];
        let _ = parse(&format!("{{\"{}\":{v}}}", keys.get(key).unwrap()));
    }
}

#[test]
fn a_limit_by_tenant_without_a_tenant_is_warned_of_and_stands_behind_those_of_keys() {
    let text = std::fs::read_to_string(root().join("good/limit_by_tenant.json")).unwrap();
    let told = |text: &str| {
        let c = parse(text).unwrap();
        let names: Vec<String> = c.profiles.first().unwrap().limits.iter().map(|l| l.name.clone()).collect();
        (names, c.warnings.iter().any(|w| w.path == "limits" && w.message.contains("identity.tenant")))
    };
    assert_eq!(told(&text), (vec!["calls".into(), "org".into()], false));
    assert!(told(&text.replace("tenant\": {\"header", "ja4\": {\"header")).1);
}

#[test]
fn lists_that_are_too_long_are_refused_with_their_limit() {
    let of = |n: usize, entry: &dyn Fn(usize) -> String| (0..n).map(entry).collect::<Vec<_>>().join(",");
    let key = |i| format!(r#"{{"name":"n{i}","key":"kid:{i:016x}"}}"#);
    let route = |i| format!(r#"{{"match":{{"route":"r{i}"}},"mode":"off"}}"#);
    let profile = |i| format!(r#""p{i}":{{"limits":[]}}"#);
    for (name, most, [open, close], entry) in [
        ("allow", 65_536, ["[", "]"], &key as &dyn Fn(usize) -> String),
        ("deny", 65_536, ["[", "]"], &key),
        ("routes", 1_024, ["[", "]"], &route),
        ("profiles", 64, ["{", "}"], &profile),
    ] {
        let with = |n| parse(&format!(r#"{{"{name}":{open}{}{close}}}"#, of(n, entry)));
        assert!(with(most).is_ok_and(|c| c.profiles.len() < 100), "{name}: {:?}", with(most).err());
        let error = with(most + 1).unwrap_err().to_string();
        let said = format!("{name}: has {} entries, at most {most} are allowed", most + 1);
        assert!(error.contains(&said), "{error}");
    }
}
