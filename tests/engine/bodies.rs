//! Bodies whatever their headers say: what is compressed is told by its first bytes, all else is read.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

#[path = "reading.rs"]
mod reading;

use reading::{engine, facts, facts_with, open};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use weir::engine::Engine;
use weir::engine::config;
use weir::engine::dialect::Unreadable;
use weir::engine::edge::identity::{Head, Keys};
use weir::engine::edge::session::Session;

const PATH: &str = "/v1/chat/completions";
const BODY: &str = r#"{"messages":[{"role":"user","content":"four words are here, and a few more"}]}"#;
/// `content-encoding` headers of a request.
const CODINGS: &[&[&str]] = &[
    &[],
    &[""],
    &["identity"],
    &["IDENTITY"],
    &["identity, identity"],
    &["x"],
    &["none"],
    &["utf-8"],
    &["gzip"],
    &["x-gzip", "gzip"],
    &["gzip", "identity", "x"],
    &["deflate"],
    &["zstd"],
    &["br"],
    &["BR , identity"],
    &["compress"],
    &["\u{fffd}\n;,,"],
];

fn headers<'a>(codings: &[&'a str]) -> Vec<(&'static str, &'a str)> {
    codings.iter().map(|c| ("content-encoding", *c)).collect()
}

#[test]
fn a_header_that_lies_changes_nothing() {
    let engine = engine();
    let bodies = [
        BODY.to_string(),
        format!(" \n{BODY}"),
        BODY.replace("user", "nobody"),
        "{".into(),
        "{}".into(),
        format!("{BODY} x"),
    ];
    for body in &bodies {
        let honest = facts(&engine, PATH, body.as_bytes(), body.len());
        for codings in CODINGS {
            for chunk in [1, 2, 3, 7, body.len()] {
                let got = facts_with(&engine, PATH, &headers(codings), body.as_bytes(), chunk);
                assert_eq!(got, honest, "{codings:?}, chunks of {chunk}: {body}");
            }
        }
    }
}

fn packed() -> Vec<(&'static str, Vec<u8>)> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(BODY.as_bytes()).unwrap();
    let mut out = vec![("gzip", gzip.finish().unwrap())];
    for level in [0, 1, 6, 9] {
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::new(level));
        zlib.write_all(BODY.as_bytes()).unwrap();
        out.push(("zlib", zlib.finish().unwrap()));
    }
    out.push(("zstd", zstd::stream::encode_all(BODY.as_bytes(), 3).unwrap()));
    out
}

#[test]
fn what_is_compressed_is_named_so_whatever_the_headers_say() {
    let engine = engine();
    for (kind, body) in packed() {
        for codings in CODINGS {
            for chunk in [1, 2, 5, body.len()] {
                let got = facts_with(&engine, PATH, &headers(codings), &body, chunk);
                assert_eq!(got["unreadable"], "compressed", "{kind} under {codings:?}, chunks of {chunk}");
            }
        }
    }
    // Brotli and raw deflate have no first bytes of their own.
    let mut raw = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    raw.write_all(BODY.as_bytes()).unwrap();
    let brotli = b"\x1b\x4d\x00\xf8\x8d\x94\x6e\xde\x44\x55\x86\x96\xd2".to_vec();
    for (kind, body) in [("deflate", raw.finish().unwrap()), ("br", brotli)] {
        for chunk in [1, 2, body.len()] {
            let told = facts_with(&engine, PATH, &[("content-encoding", kind)], &body, chunk);
            assert_eq!(told["unreadable"], "compressed", "{kind}, chunks of {chunk}");
            let untold = facts(&engine, PATH, &body, chunk);
            assert_ne!(untold["unreadable"], serde_json::Value::Null, "{kind} is not read in silence");
        }
    }
}

#[test]
fn a_compressed_body_needs_no_more_than_its_first_bytes() {
    let engine = engine();
    let mut s = open(&engine, PATH, &[]);
    assert!(!s.is_ready(), "no header tells");
    s.push(b"\x1f\x8b\x08\x00", false);
    assert!(s.is_ready());
    assert_eq!(s.facts.unreadable, Some(Unreadable::Compressed));
}

#[test]
fn prompts_are_counted() {
    let engine = engine();
    let items = |path: &str, body: &str| {
        let mut s = open(&engine, path, &[]);
        for c in body.as_bytes().chunks(3) {
            s.push(c, false);
        }
        s.push(b"", true);
        s.finish();
        s.facts.prompts
    };
    for (body, want) in [
        (r#"{"prompt":"one"}"#, 1),
        (r#"{"prompt":["one"]}"#, 1),
        (r#"{"prompt":["one","two","three"]}"#, 3),
        (r#"{"prompt":[1,2,3]}"#, 1),
        (r#"{"prompt":[[1,2],[3],[4]]}"#, 3),
        (r#"{"prompt":["one",[3]]}"#, 2),
        (r#"{"prompt":[{"prompt_string":"one"},{"prompt_string":"two"}]}"#, 2),
        (r#"{"prompt":[null,"one"]}"#, 1),
        (r#"{"n":3}"#, 1),
    ] {
        assert_eq!(items("/v1/completions", body), want, "{body}");
    }
    assert_eq!(items("/v1/embeddings", r#"{"input":["one","two"]}"#), 2);
    assert_eq!(items(PATH, BODY), 1);
    let many = format!(r#"{{"prompt":[{}"a"]}}"#, r#""a","#.repeat(70_000));
    assert_eq!(items("/v1/completions", &many), u16::MAX, "at most 65,535");
    assert_eq!(open(&engine, PATH, &[("content-length", "0")]).facts.prompts, 0, "no body");
}

#[test]
fn more_messages_than_are_counted_are_unreadable() {
    let engine = engine();
    for (n, unreadable) in [(4_096, json!(null)), (4_097, json!("messages"))] {
        let messages = vec![r#"{"role":"user","content":"four words are here"}"#; n].join(",");
        let got = facts(&engine, PATH, format!(r#"{{"messages":[{messages}]}}"#).as_bytes(), 4_096);
        assert_eq!(got["unreadable"], unreadable, "{n}");
        assert!(got["user"].as_str().unwrap().ends_with("four words are here"), "read all the same");
    }
}

#[test]
fn headers_beyond_64_kib_are_told_and_hide_no_body() {
    let (engine, long) = (engine(), "v".repeat(700));
    for (n, unreadable) in [(90, json!(null)), (100, json!("headers"))] {
        let headers = vec![("x", long.as_str()); n];
        let got = facts_with(&engine, PATH, &headers, BODY.as_bytes(), 7);
        assert_eq!(got["unreadable"], unreadable, "{n}");
        assert!(got["user"].as_str().unwrap().starts_with("four words"), "read all the same");
    }
}

/// Of a picture in front of the prompt, 16 times as much as is looked at of all else.
#[test]
fn what_no_format_reads_is_passed_over_up_to_sixteen_times_the_window() {
    let config = r#"{"inspect":{"max_hold_bytes":"4KiB","max_inspect_bytes":"32KiB"}}"#;
    let engine = Engine::new(Arc::new(config::parse(config).unwrap()));
    for (kib, unreadable) in [(500, json!(null)), (600, json!("beyond_window"))] {
        let picture = format!("data:image/png;base64,{}", "A".repeat(kib << 10));
        let parts = json!([
            {"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": "four words are here"}
        ]);
        let body = json!({"messages": [{"role": "user", "content": parts}]}).to_string();
        let got = facts(&engine, PATH, body.as_bytes(), 4_096);
        assert_eq!(got["unreadable"], unreadable, "{kib} KiB");
        assert_eq!(got["user"] == "four words are here", unreadable.is_null(), "{kib} KiB");
    }
}

#[test]
fn of_a_long_text_both_ends_are_kept_and_of_instructions_the_start() {
    let engine = engine();
    let text: String = (0..2_000).map(|i| format!("w{i} ")).collect();
    for n in [3_072, 3_073, text.len()] {
        let text = &text[..n];
        let body = json!({"messages": [
            {"role": "system", "content": text}, {"role": "user", "content": text}
        ]});
        let got = facts(&engine, PATH, body.to_string().as_bytes(), 512);
        let ends = [&text[..2_048], &text[n - 1_024..]].concat();
        assert_eq!(got["user"], if n == 3_072 { text } else { ends.as_str() }, "{n}");
        assert_eq!(got["lengths"][0], n);
        assert_eq!(got["instructions"].as_str().unwrap().len(), 2_048);
        assert!(text.starts_with(got["instructions"].as_str().unwrap()));
    }
}

#[test]
fn a_request_leaves_sixteen_snippets_at_most() {
    let config = config::parse("{}").unwrap();
    let head = Head { path: PATH.as_bytes(), ..Head::default() };
    let mut s = Session::open(&config, &Keys::new(&config.seed), &head);
    let word = |i: u64| (0..6).map(|k| char::from(b'a' + (i >> (4 * k) & 15) as u8)).collect::<String>();
    let text: String = (0..20_000u64).map(|i| format!("my{} ", word(i * 0x9e_3779))).collect();
    let body = json!({"messages": [{"role": "user", "content": text}]}).to_string();
    s.push(body.as_bytes(), true);
    assert_eq!(s.facts.picks.len(), 16);
    assert!(s.facts.picks.iter().all(|p| p.text().len() == 64));
}

#[test]
fn a_key_or_a_role_that_is_too_long_is_no_other() {
    let engine = engine();
    for n in [60, 64, 65, 1_000] {
        let long = |word: &str| format!("{word}{}", "x".repeat(n));
        let role = json!({"messages": [{"role": long("user"), "content": "four words are here"}]});
        assert_eq!(facts(&engine, PATH, role.to_string().as_bytes(), 7)["unreadable"], "shape", "{n}");
        let key = json!({"messages": [{"role": "user", long("content"): "four words are here"}]});
        let got = facts(&engine, PATH, key.to_string().as_bytes(), 7);
        assert_eq!((&got["unreadable"], &got["user"]), (&json!("empty"), &json!("")), "{n}");
    }
}
