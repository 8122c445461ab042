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
use std::io::Write;
use weir::engine::dialect::Unreadable;

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
