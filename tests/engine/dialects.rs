//! Every wire format: `tests/fixtures/<dialect>/*.json` name a path, a body, and the facts it must give, in any chunks.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

#[path = "reading.rs"]
mod reading;

use proptest::prelude::*;
use reading::{engine, facts, open};
use serde_json::{Value, json};
use std::sync::Arc;
use weir::engine::Engine;
use weir::engine::config;
use weir::engine::dialect::path::Normal;
use weir::engine::dialect::{DIALECTS, Reply, Unreadable, dialect_for};
use weir::engine::edge::extract::{Extracted, Extractor};
use weir::engine::edge::session::Next;
use weir::engine::units::Nanos;

fn fixtures() -> Vec<(String, Value)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
    let mut out = Vec::new();
    for dir in std::fs::read_dir(root).unwrap() {
        let dir = dir.unwrap().path();
        // What parsers read differently has a table and a test of its own.
        if dir.ends_with("parsers") {
            continue;
        }
        for file in std::fs::read_dir(&dir).unwrap() {
            let file = file.unwrap().path();
            let name =
                format!("{}/{}", dir.file_name().unwrap().display(), file.file_name().unwrap().display());
            out.push((name, serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()));
        }
    }
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

fn body_of(fixture: &Value) -> Vec<u8> {
    match fixture.get("raw") {
        Some(raw) => raw.as_str().unwrap().as_bytes().to_vec(),
        None => serde_json::to_vec(&fixture["body"]).unwrap(),
    }
}

#[test]
fn fixtures_give_their_facts_in_any_chunks() {
    let engine = engine();
    let all = fixtures();
    assert!(all.len() >= 50, "{}", all.len());
    let mut wrong = Vec::new();
    for (name, fixture) in &all {
        let body = body_of(fixture);
        let path = fixture["path"].as_str().unwrap();
        let got = facts(&engine, path, &body, body.len());
        let dialect = name.split('/').next().unwrap();
        if got["dialect"] != dialect {
            wrong.push(format!("{name}: {} claims {path}", got["dialect"]));
            continue;
        }
        let defaults = json!({"instructions":"","user":"","first_user":"","conversation":false,"items":0,"stream":false,"media":false,"unreadable":null});
        for (key, default) in defaults.as_object().unwrap() {
            let want = fixture["expect"].get(key).unwrap_or(default);
            // A body that cannot be read promises nothing else.
            let promised =
                fixture["expect"].get("unreadable").is_none() || fixture["expect"].get(key).is_some();
            if promised && &got[key] != want {
                wrong.push(format!("{name}: {key} is {}, not {want}", got[key]));
            }
        }
        for chunk in 1..=body.len().min(17) {
            assert_eq!(facts(&engine, path, &body, chunk), got, "{name} in chunks of {chunk}");
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for d in DIALECTS {
        assert!(
            all.iter().any(|(n, _)| n.starts_with(&format!("{}/", d.name()))),
            "no fixture for {}",
            d.name()
        );
    }
}

/// Bodies as their APIs document them, of people who use all of a format: tools, files, citations, thoughts, templates, batches. None is
/// ambiguous or empty.
const DOCUMENTED: &str = include_str!("documented.jsonl");

#[test]
fn documented_bodies_are_never_ambiguous() {
    let engine = engine();
    let (mut wrong, mut n) = (Vec::new(), 0);
    for line in DOCUMENTED.lines() {
        n += 1;
        let case: Value = serde_json::from_str(line).unwrap();
        let (path, body) = (case["path"].as_str().unwrap(), body_of(&case));
        let got = facts(&engine, path, &body, body.len());
        if !got["unreadable"].is_null() {
            wrong.push(format!("{path}: {} in {}", got["unreadable"], case["body"]));
        }
    }
    assert!(n > 130 && wrong.is_empty(), "{} of {n}:\n{}", wrong.len(), wrong.join("\n"));
}

/// A path, a body with a file in place of `$`, and what kind of file that is.
const FILES: &[(&str, &str)] = &[
    (
        "/v1/messages",
        r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"text/plain","data":"$"}}]}]}"#,
    ),
    (
        "/v1/messages",
        r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"data":"$","media_type":"text/csv; charset=utf-8","type":"base64"}}]}]}"#,
    ),
    (
        "/v1/messages",
        r#"{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":[{"type":"document","source":{"type":"base64","media_type":"text/markdown","data":"$"}}]}]}]}"#,
    ),
    (
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"filename":"a.txt","file_data":"data:text/plain;base64,$"}}]}]}"#,
    ),
    (
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"file","file":{"file_data":"$","filename":"a.md"}}]}]}"#,
    ),
    (
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:application\/json;base64,$"}}]}]}"#,
    ),
    (
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":"data:text/html;charset=utf-8;base64,$"}]}]}"#,
    ),
    (
        "/v1/responses",
        r#"{"input":[{"role":"user","content":[{"type":"input_file","filename":"a.txt","file_data":"data:text/plain;base64,$"}]}]}"#,
    ),
    ("/v1/responses", r#"{"input":[{"role":"user","content":[{"type":"input_file","file_data":"$"}]}]}"#),
    (
        "/v1/responses",
        r#"{"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:;base64,$"}]}]}"#,
    ),
    (
        "/v1/responses",
        r#"{"input":[{"type":"function_call","call_id":"1","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"1","output":[{"type":"input_file","file_data":"data:text/plain;base64,$"}]}]}"#,
    ),
    (
        "/v1beta/models/g:generateContent",
        r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"text/plain","data":"$"}}]}]}"#,
    ),
    (
        "/v1beta/models/g:generateContent",
        r#"{"contents":[{"parts":[{"inline_data":{"data":"$","mime_type":"application/json"}}]}]}"#,
    ),
    (
        "/v1beta/models/g:generateContent",
        r#"{"contents":[{"parts":[{"functionResponse":{"name":"f","parts":[{"inlineData":{"mimeType":"text/plain","data":"$"}}]}}]}]}"#,
    ),
    ("/v1beta/interactions", r#"{"input":[{"type":"document","data":"$","mime_type":"text/plain"}]}"#),
    (
        "/model/m/converse",
        r#"{"messages":[{"role":"user","content":[{"document":{"format":"txt","name":"a","source":{"bytes":"$"}}},{"text":"go on"}]}]}"#,
    ),
    (
        "/model/m/converse",
        r#"{"messages":[{"role":"user","content":[{"document":{"name":"a","source":{"bytes":"$"},"format":"csv"}},{"text":"go on"}]}]}"#,
    ),
    (
        "/model/m/converse",
        r#"{"messages":[{"role":"user","content":[{"toolResult":{"toolUseId":"1","content":[{"document":{"format":"html","name":"a","source":{"bytes":"$"}}}]}}]}]}"#,
    ),
    (
        "/model/m/invoke",
        r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"text/plain","data":"$"}}]}]}"#,
    ),
    (
        "/v2/chat",
        r#"{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:text/plain;base64,$"}}]}]}"#,
    ),
    ("/api/chat", r#"{"messages":[{"role":"user","content":"go on","images":["$"]}]}"#),
    (
        "/v2/models/m/infer",
        r#"{"inputs":[{"name":"text_input","datatype":"BYTES","shape":[1],"contents":{"bytes_contents":["$"]}}]}"#,
    ),
];

const BASE64: &str = "WW91IGFyZSBnaXZlbiBvbmUgZXhlcmNpc2UgZnJvbSBhIGNvbGxlY3Rpb24gZm9yIGFkdmFuY2VkIHN0dWRlbnRzOiBzb2x2ZSBpdC4=";
const BASE64_SAYS: &str = "You are given one exercise from a collection for advanced students: solve it.";
/// The same behind a byte that is no text.
const ODD: &str = "/1lvdSBhcmUgZ2l2ZW4gb25lIGV4ZXJjaXNlIGZyb20gYSBjb2xsZWN0aW9uIGZvciBhZHZhbmNlZCBzdHVkZW50czogc29sdmUgaXQu";
/// The start of a picture.
const PICTURE: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

#[test]
fn text_files_are_read_in_every_place_and_pictures_in_none() {
    let engine = engine();
    for (path, body) in FILES {
        for chunk in [1, 7, 10_000] {
            let see = |file: &str| facts(&engine, path, body.replace('$', file).as_bytes(), chunk);
            let got = see(BASE64);
            let seen = format!("{}{}", got["user"], got["instructions"]);
            assert!(seen.contains(BASE64_SAYS), "{body}: {got}");
            assert!(got["unreadable"].is_null() && got["media"] == true, "{body}: {got}");
            for spelt in ["\\n", "\\u000a", " "] {
                let broken = format!("{}{spelt}{}", &BASE64[..76], &BASE64[76..]);
                let got = see(&broken);
                assert!(
                    format!("{}{}", got["user"], got["instructions"]).contains(BASE64_SAYS),
                    "{body}: {got}"
                );
            }
            let got = see(PICTURE);
            let text = body.contains("text/")
                || body.contains("json")
                || body.contains("form")
                || body.contains(".md");
            if !text {
                let user = got["user"].as_str().unwrap();
                assert!(user.is_empty() || user == "go on", "{body}: {got}");
            }
            // What is called a text is read, or it is told that it could not be.
            if text {
                let got = see(ODD);
                let read = got["user"].as_str().unwrap().contains(BASE64_SAYS);
                assert!(read || got["unreadable"] == "shape", "{body}: {got}");
            }
        }
    }
}

#[test]
fn protobuf_is_read_as_far_as_it_is_sound() {
    let engine = engine();
    let path = "/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent";
    let see = |body: &[u8]| facts(&engine, path, body, 3);
    let field = |n: u8, v: &[u8]| [&[n << 3 | 2, v.len() as u8], v].concat();
    let frame = |m: &[u8]| [&[0, 0, 0, 0, m.len() as u8], m].concat();
    let ask = field(2, &field(1, &field(2, b"what is a weir")));
    assert_eq!(see(&frame(&ask))["user"], "what is a weir");
    let cases: &[(&str, Vec<u8>)] = &[
        ("compressed", [&[1], &frame(&ask)[1..]].concat()),
        ("truncated", frame(&ask)[..20].to_vec()),
        ("trailing", [frame(&ask), frame(&ask)].concat()),
        // A message that is longer than the one around it; a kind of field that nobody writes; a number without an end.
        ("shape", frame(&[0x12, 0x7f, 0x0a])),
        ("shape", frame(&[0x13, 0x00])),
        ("shape", frame(&[0xff; 12])),
        ("empty", frame(b"")),
        ("truncated", Vec::from(*b"\0\0")),
        // Contents before and after another field: which of them counts, parsers agree on, and so it is read, but told.
        ("duplicate_key", frame(&[&ask[..], &field(1, b"m"), &ask].concat())),
    ];
    for (what, body) in cases {
        assert_eq!(see(body)["unreadable"], *what, "{body:?}");
    }
    // As deep as it likes.
    let mut deep = field(3, b"far down");
    for _ in 0..24 {
        deep = field(6, &field(1, &deep));
    }
    let deep = field(2, &field(1, &field(5, &field(2, &field(1, &field(2, &deep))))));
    assert!(deep.len() < 128);
    assert_eq!(see(&frame(&deep))["unreadable"], "depth");
}

#[test]
fn a_file_says_nothing_of_the_next() {
    let engine = engine();
    let body = format!(
        r#"{{"contents":[{{"parts":[{{"inlineData":{{"mimeType":"text/plain","data":"{BASE64}"}}}},{{"inlineData":{{"mimeType":"image/png","data":"{PICTURE}"}}}},{{"fileData":{{"mimeType":"text/plain","fileUri":"gs://bucket/a/long/way/to/some/file.txt","displayName":"quarterly-report-2024"}}}}]}}]}}"#
    );
    let got = facts(&engine, "/v1beta/models/g:generateContent", body.as_bytes(), 9);
    assert_eq!(got["user"], BASE64_SAYS, "{got}");
    assert!(got["unreadable"].is_null());
}

#[test]
fn spelling_of_a_path_does_not_matter() {
    for p in [
        "/v1/chat/completions",
        "//v1///chat/completions",
        "/v1/chat/completions/",
        "/v1/chat/completions?x=/y",
        "/V1/Chat/Completions",
        "/v1/chat%2fcompletions",
        "/v1/c%68at/completions",
        "/v1/x/../chat/./completions",
        "/v1/chat;a=b/completions;c",
        "\\v1\\chat\\completions",
    ] {
        assert_eq!(dialect_for(&Normal::of(p.as_bytes())).map(|d| d.name()), Some("openai_chat"), "{p}");
    }
    let long = format!("/{}/v1/chat/completions", "x".repeat(5000));
    assert_eq!(dialect_for(&Normal::of(long.as_bytes())).map(|d| d.name()), Some("openai_chat"));
    for p in ["/v1/models", "/chat/completions.html", "/v1/chat/completionsx", "/model/x/y"] {
        assert!(dialect_for(&Normal::of(p.as_bytes())).is_none(), "{p}");
    }
}

#[test]
fn bodies_end_where_they_end() {
    let engine = engine();
    let body = br#"{"messages":[{"role":"user","content":"four words are here"}]}"#;
    let n = body.len().to_string();
    let mut s = open(&engine, "/v1/chat/completions", &[("content-length", &n)]);
    assert_eq!(s.push(&body[..20], false), Next::More);
    assert_eq!(s.push(&body[20..], false), Next::Ready, "at content-length, without waiting for the end");
    assert_eq!(s.facts.unreadable, None);
    let mut s = open(&engine, "/v1/chat/completions", &[("content-length", "500")]);
    assert_eq!(s.push(body, true), Next::Ready);
    assert_eq!(s.facts.unreadable, Some(Unreadable::Truncated));
    let mut s = open(&engine, "/v1/chat/completions", &[]);
    let big = format!(r#"{{"messages":[{{"role":"user","content":"{}"}}]}}"#, "word ".repeat(400_000));
    let mut states = Vec::new();
    for c in big.as_bytes().chunks(4096) {
        states.push(s.push(c, false));
        if states.last() == Some(&Next::Ready) {
            break;
        }
    }
    assert_eq!(states[0], Next::Release, "no host is known to buffer what may come");
    assert_eq!(states.len(), 256, "inspected at most 1 MiB");
    assert_eq!(s.facts.unreadable, Some(Unreadable::BeyondWindow));
    let many: Vec<(&str, &str)> = (0..200).map(|_| ("x", "y")).collect();
    let mut s = open(&engine, "/v1/messages", &many);
    assert_eq!(s.push(body, true), Next::Ready, "read all the same");
    assert_eq!(s.facts.unreadable, Some(Unreadable::Headers));
    assert!(!s.facts.user.is_empty());
    let upgrade = open(&engine, "/v1/chat/completions", &[("upgrade", "websocket")]);
    assert!(upgrade.is_ready(), "nothing to wait for");
    assert_eq!(upgrade.facts.unreadable, Some(Unreadable::Empty));
    let mut s = open(&engine, "/v1/chat/completions", &[("upgrade", "x"), ("content-length", &n)]);
    assert_eq!(s.push(body, false), Next::Ready, "an upgrade that no server does hides no prompt");
    assert_eq!(s.facts.unreadable, None);
    let keys: Vec<String> = (0..9).map(|i| format!("k{i}")).collect();
    let crowd: Vec<(&str, &str)> = keys.iter().map(|k| ("x-api-key", k.as_str())).collect();
    let mut s = open(&engine, "/v1/messages", &crowd);
    assert_eq!(s.push(body, true), Next::Ready);
    assert_eq!(s.facts.unreadable, None, "no number of credentials hides a body");
    assert!(open(&engine, "/index.html", &[]).is_ready());
}

#[test]
fn a_body_is_held_where_all_of_it_fits_into_the_hosts_buffer() {
    let with = |inspect: &str| {
        let config = format!(r#"{{"inspect":{{{inspect}}}}}"#);
        Engine::new(Arc::new(config::parse(&config).unwrap()))
    };
    let [small, large] = [with(""), with(r#""host_buffer_bytes":"1024MiB""#)];
    let tight = with(r#""host_buffer_bytes":"8KiB""#);
    let pieces = |engine: &Engine, headers: &[(&str, &str)]| {
        let mut s = open(engine, "/v1/chat/completions", headers);
        let first = [&br#"{"messages":[{"role":"user","content":""#[..], &[b'a'; 4_000]].concat();
        [s.push(&first, false), s.push(&[b'a'; 8_000], false), s.push(&[b'a'; 8_000], false)]
    };
    let length = |n: &'static str| [("content-length", n)];
    let (more, go, end) = (Next::More, Next::Release, Next::Ready);
    assert_eq!(pieces(&small, &length("16384")), [more, more, end]);
    assert_eq!(pieces(&small, &length("16385")), [go, go, end], "not all of it fits into the hold");
    assert_eq!(pieces(&tight, &length("8192")), [more, end, end]);
    assert_eq!(pieces(&tight, &length("8193")), [go, end, end], "nor into the buffer");
    assert_eq!(pieces(&small, &[]), [go; 3]);
    assert_eq!(pieces(&large, &[]), [go; 3], "no buffer takes any burst");
}

#[test]
fn replies_are_json_in_the_dialect_and_never_name_the_signal() {
    for d in DIALECTS {
        for status in [429, 400, 403, 503] {
            let mut out = Vec::new();
            let reply = Reply { status, case: "7f3a9c21", retry_after_s: Some(30) };
            d.body(&reply, &mut out);
            let v: Value = serde_json::from_slice(&out).unwrap();
            let text = v.to_string();
            assert!(text.contains("Case 7f3a9c21."), "{text}");
            for word in ["template", "network", "campaign", "convict", "rollout"] {
                assert!(!text.contains(word), "{text}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn text_is_what_serde_json_reads(system in ".{0,200}", users in prop::collection::vec(".{1,80}", 1..4), ascii: bool, chunk in 1usize..50) {
        let engine = engine_once();
        let mut messages = vec![json!({"role": "system", "content": system})];
        for (i, u) in users.iter().enumerate() {
            if i > 0 {
                messages.push(json!({"role": "assistant", "content": "ok"}));
            }
            messages.push(json!({"role": "user", "content": u}));
        }
        let mut body = serde_json::to_string(&json!({"model": "m", "messages": messages})).unwrap();
        if ascii {
            body = body.chars().map(|c| if c.is_ascii() { c.to_string() } else {
                c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect()
            }).collect();
        }
        let got = facts(engine, "/v1/chat/completions", body.as_bytes(), chunk);
        prop_assert_eq!(got["user"].as_str().unwrap(), users.last().unwrap());
        prop_assert_eq!(got["conversation"].as_bool().unwrap(), users.len() > 1);
        prop_assert_eq!(got["first_user"].as_str().unwrap(), if users.len() > 1 { &users[0] } else { "" });
        prop_assert_eq!(got["instructions"].as_str().unwrap(), &system);
    }

    #[test]
    fn any_protobuf_in_any_chunks_gives_one_answer(
        which in 0usize..4, change in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4), chunk in 1usize..40
    ) {
        let all = fixtures();
        let all: Vec<_> = all.iter().filter(|(name, _)| name.starts_with("gemini_grpc/")).collect();
        let (_, fixture) = all[which % all.len()];
        let mut body = body_of(fixture);
        for (at, byte) in change {
            let at = at.index(body.len());
            body[at] = byte;
        }
        let path = fixture["path"].as_str().unwrap();
        let engine = engine_once();
        prop_assert_eq!(facts(engine, path, &body, body.len()), facts(engine, path, &body, chunk));
    }

    // Long texts: what is passed over in one chunk is read in many. Pieces of a byte never pass anything over.
    #[test]
    fn long_texts_read_the_same_in_any_chunks(
        texts in prop::collection::vec(("[a-z ]{1,9}|[\\\\\"]{1,7}|[\n\t\u{1}/é模😀]{1,5}", 1usize..1500), 1..5), raw: bool, chunk in 900usize..9000
    ) {
        let texts: Vec<String> = texts.iter().map(|(unit, n)| unit.repeat(*n) + "end").collect();
        let messages: Vec<Value> = texts.iter().enumerate()
            .map(|(i, t)| json!({"role": if i % 4 == 0 { "system" } else if i % 4 == 2 { "assistant" } else { "user" }, "content": t, "name": t})).collect();
        let body = json!({"instructions": texts[0], "messages": messages}).to_string();
        // Control characters as they are, and a lone surrogate.
        let body = if raw { body.replace("\\u0001", "\u{1}").replace("\\t", "\\ud83d") } else { body };
        for path in ["/v1/chat/completions", "/v1/responses"] {
            let bytewise = facts(engine_once(), path, body.as_bytes(), 1);
            prop_assert_eq!(&facts(engine_once(), path, body.as_bytes(), chunk), &bytewise);
            prop_assert_eq!(&facts(engine_once(), path, body.as_bytes(), body.len()), &bytewise);
        }
    }

    #[test]
    fn any_bytes_on_any_path_give_a_value(body in prop::collection::vec(any::<u8>(), 0..300), d in 0usize..28, chunk in 1usize..40) {
        let paths = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages", "/v1beta/models/x:generateContent",
            "/model/x/converse", "/model/x/invoke", "/v1/chat", "/api/generate", "/api/chat",
            "/v1/files", "/v1/messages/batches", "/v1beta/models/x:batchGenerateContent", "/v1/batch/jobs", "/x:predict", "/generate", "/invocations",
            "/v1/predictions", "/v2/models/m/infer", "/retrieveAndGenerate", "/v1/conversations", "/v1/threads", "/v1/evals", "/v1/realtime/sessions",
            "/rerank", "/ai/run/m", "/x:rawPredict"];
        let whole = facts(engine_once(), paths[d], &body, body.len());
        prop_assert_eq!(facts(engine_once(), paths[d], &body, chunk), whole);
    }
}

fn engine_once() -> &'static Engine {
    static ENGINE: std::sync::OnceLock<Engine> = std::sync::OnceLock::new();
    ENGINE.get_or_init(engine)
}

/// The answers that a request asks for, as servers read the number; nonsense is one, and much is 65,535.
#[test]
fn answers_asked_for_are_counted() {
    let engine = engine();
    let told = |path: &str, body: &str, chunk: usize| {
        let mut s = open(&engine, path, &[]);
        for c in body.as_bytes().chunks(chunk) {
            s.push(c, false);
        }
        s.push(b"", true);
        s.finish();
        s.facts.answers.max(1)
    };
    let chat = "/v1/chat/completions";
    for (n, want) in [
        ("5", 5),
        ("5.0", 5),
        ("5.000000000000000000000000000", 5),
        ("5e0", 5),
        ("12E+1", 120),
        ("\"7\"", 7),
        ("65535", 65_535),
        ("65536", 65_535),
        ("123456789012345678901234567890123456789012345678901234567890", 65_535),
        ("1e99", 65_535),
        ("1e99999999999999999999", 65_535),
        ("0", 1),
        ("0e999", 1),
        ("-5", 1),
        ("5e-1", 1),
        ("50e-1", 5),
        ("0.5e1", 5),
        ("1.5e1", 15),
        ("2.5", 1),
        ("\"many\"", 1),
        ("\"\"", 1),
        ("null", 1),
        ("true", 1),
        ("{}", 1),
        ("[]", 1),
    ] {
        let body = format!(r#"{{"messages":[{{"role":"user","content":"four words are here"}}],"n":{n}}}"#);
        for chunk in [1, 7, body.len()] {
            assert_eq!(told(chat, &body, chunk), want, "n: {n} in chunks of {chunk}");
        }
    }
    for (path, body, want) in [
        ("/v1/completions", r#"{"prompt":"a","n":2,"best_of":9}"#, 9),
        ("/v1/completions", r#"{"prompt":"a","n":9,"best_of":2}"#, 9),
        ("/v1/models/m:generateContent", r#"{"contents":[],"generationConfig":{"candidateCount":4}}"#, 4),
        ("/v1/models/m:generateContent", r#"{"contents":[],"generation_config":{"candidate_count":4}}"#, 4),
        ("/v1/models/m:generateContent", r#"{"contents":[{"n":9}],"n":9}"#, 1),
        ("/model/m/invoke", r#"{"prompt":"a","num_generations":3}"#, 3),
        ("/v2/chat", r#"{"message":"a","num_generations":3}"#, 3),
        (chat, r#"{"messages":[{"role":"user","content":"a","n":9}],"metadata":{"n":9}}"#, 1),
    ] {
        assert_eq!(told(path, body, body.len()), want, "{path} {body}");
    }
}

/// What a request costs a limit: its answers for each of its prompts; a list of texts to embed is one call.
#[test]
fn a_request_costs_its_answers_times_its_prompts() {
    let engine = engine();
    let mut extractor = Extractor::new(&engine.config().seed);
    let mut cost = |path: &str, body: &str, items: u16| {
        let mut s = open(&engine, path, &[]);
        s.push(body.as_bytes(), true);
        s.finish();
        s.facts.items = items;
        let mut x = Extracted::default();
        extractor.take(Nanos::from_secs(1_780_000_000), &mut s, &mut x);
        x.obs.cost
    };
    let of = |n: u32| format!(r#"{{"prompt":"four words are here","n":{n}}}"#);
    for (n, items, want) in
        [(1, 0, 1), (1, 1, 1), (5, 0, 5), (5, 7, 35), (1, 2_048, 2_048), (999, 999, 65_535)]
    {
        assert_eq!(cost("/v1/completions", &of(n), items), want, "{n} answers, {items} prompts");
    }
    // Texts to embed or to rank are one call, whoever's the path is.
    let texts = r#"{"input":"four words are here"}"#;
    for path in [
        "/v1/embeddings",
        "/embed",
        "/v2/embed",
        "/api/embeddings",
        "/v1beta/models/x:batchEmbedContents",
        "/api/v1/services/embeddings/text-embedding/text-embedding",
        "/20231130/actions/embedText",
        "/v2/rerank",
    ] {
        assert_eq!(cost(path, texts, 2_048), 1, "{path}");
    }
    for path in
        ["/v1beta/models/x:batchGenerateContent", "/v1/messages/batches", "/20231130/actions/generateText"]
    {
        assert_eq!(cost(path, texts, 2_048), 2_048, "{path}");
    }
}
