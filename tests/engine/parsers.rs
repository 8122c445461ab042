//! JSON that parsers read differently: `tests/fixtures/parsers/cases.json`, one row a case. Weir must never see less than a
//! model would: either all of a row's `text` is seen, or the request is unreadable, and the row says which kind.
//!
//! `python`, `pydantic`, `orjson` and `go` tell what those parsers do with the body; `tests/slow/test_json.py` asks them. Python's
//! `json.loads` of bytes is what Starlette and FastAPI call, and so vLLM and SGLang (3.11: any of eight encodings, NaN, lone
//! surrogates, the last of two equal keys); pydantic-core 2.50 and orjson 3.13 are stricter; Go's `encoding/json` with a decoder
//! of streams is Ollama's (1.19: keys in any case, the last of two, anything behind the value, bytes that are not UTF-8).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

#[path = "reading.rs"]
mod reading;

use reading::{engine, facts, open};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use weir::engine::edge::session::Next;

fn cases() -> Vec<Value> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parsers/cases.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn unhex(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|d| u8::from_str_radix(std::str::from_utf8(d).unwrap(), 16).unwrap())
        .collect()
}

/// `hex`, or `body` with each `@@` filled in, in the encoding of the row.
fn body(case: &Value) -> Vec<u8> {
    if let Some(hex) = case["hex"].as_str() {
        return unhex(hex);
    }
    let mut text = case["body"].as_str().unwrap().to_string();
    if let Some(fill) = case["fill"].as_array() {
        let n = usize::try_from(fill[1].as_u64().unwrap()).unwrap();
        text = text.replace("@@", &fill[0].as_str().unwrap().repeat(n));
    }
    match case["encode"].as_str() {
        None => text.into_bytes(),
        Some("utf-16-le") => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        Some("utf-16-be") => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        Some("utf-32-le") => text.chars().flat_map(|c| u32::from(c).to_le_bytes()).collect(),
        Some("utf-32-be") => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
        Some(other) => panic!("{other}"),
    }
}

/// All text that Weir sees.
fn seen(facts: &Value) -> String {
    ["instructions", "first_user", "user"].map(|k| facts[k].as_str().unwrap()).join("\n")
}

#[test]
fn weir_never_sees_less_than_a_model_would() {
    let engine = engine();
    let (mut read, mut told) = (0, BTreeMap::<String, u32>::new());
    let cases = cases();
    for case in &cases {
        let name = format!("{}: {}", case["kind"].as_str().unwrap(), case["name"].as_str().unwrap());
        let path = case["path"].as_str().unwrap_or("/v1/chat/completions");
        let body = body(case);
        let got = facts(&engine, path, &body, body.len());
        match got["unreadable"].as_str() {
            Some(kind) => *told.entry(kind.to_string()).or_default() += 1,
            None => read += 1,
        }
        assert_eq!(got["unreadable"].as_str().unwrap_or("read"), case["weir"], "{name}\n{got}");
        let texts = case["text"].as_array().unwrap();
        for text in texts.iter().map(|t| t.as_str().unwrap()) {
            assert!(seen(&got).contains(text), "{name}: {text}\n{got}");
        }
        // Something is seen, or content that is not looked at is told, or the request is unreadable.
        assert!(
            !seen(&got).trim().is_empty()
                || got["media"] == true
                || case["weir"] != "read"
                || case["kind"] == "place",
            "{name}"
        );
        for chunk in [1, 2, 3, 7, 64].into_iter().filter(|c| body.len() / c < 5_000) {
            assert_eq!(facts(&engine, path, &body, chunk), got, "{name} in chunks of {chunk}");
        }
    }
    assert!(cases.len() >= 250, "{}", cases.len());
    println!("{} cases of JSON that parsers read differently: {read} read, unreadable {told:?}", cases.len());
}

#[test]
fn the_content_type_is_not_believed() {
    let engine = engine();
    let body = br#"{"messages":[{"role":"user","content":"the prompt of the request"}]}"#;
    for kind in [
        "application/json",
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=b",
        "application/json; charset=utf-16",
        "image/png",
        "application/grpc",
    ] {
        let mut s = open(&engine, "/v1/chat/completions", &[("content-type", kind)]);
        assert_eq!(s.push(body, true), Next::Ready, "{kind}");
        assert_eq!(s.facts.unreadable, None, "{kind}");
        assert_eq!(s.facts.user.regions().0, b"the prompt of the request", "{kind}");
    }
}

/// For `tests/slow/test_json.py`: reads lines of `[path, hex]` in the file `WEIR_BODIES`, writes facts to `WEIR_FACTS`.
#[test]
#[ignore = "a tool of the slow suite"]
fn facts_of_a_file() {
    let engine = engine();
    let bodies = std::fs::read_to_string(std::env::var("WEIR_BODIES").unwrap()).unwrap();
    let mut out =
        std::io::BufWriter::new(std::fs::File::create(std::env::var("WEIR_FACTS").unwrap()).unwrap());
    for line in bodies.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let body = unhex(row[1].as_str().unwrap());
        let got = facts(&engine, row[0].as_str().unwrap(), &body, body.len());
        writeln!(out, "{}", json!([seen(&got), got["unreadable"], got["media"]])).unwrap();
    }
}
