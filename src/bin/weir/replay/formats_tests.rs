//! Each format of the page's table, on one sample record: how many requests, whose, in what order, with what
//! text.

use super::window::{USUAL, Waiting, Window};
use crate::dir::Dir;
use crate::import::join::Join;
use crate::import::request::{Beside, Paths};
use crate::import::{self, FORMATS};
use crate::requests::batch::{Batch, End, Request};
use crate::requests::reader::{Import, Reader};
use crate::requests::source::Source;
use crate::trace::Line;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir::engine::config::{Config, parse};
use weir::engine::edge::identity::Keys;
use weir::engine::hash::sip13;
use weir::engine::observation::{ANONYMOUS, CONVERSATION, UNREADABLE};

fn config(text: &str) -> Arc<Config> {
    Arc::new(parse(text).unwrap())
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay/formats").join(name)
}

/// By name: requests, and those without text.
type Formats = Vec<(&'static str, u64, u64)>;

/// The requests of a file in the order in which they are judged, by format what was read, and what was skipped.
fn read(path: &Path, config: &Arc<Config>, import: &Import) -> (Vec<Request>, Formats, Vec<String>) {
    let mut reader = Reader::new(config, import);
    let traces = [path.to_path_buf()];
    let (mut source, mut batch) = (Source::new(&traces), Batch::new());
    let (mut window, mut join, mut index) = (Window::new(USUAL), Join::default(), 0);
    let (mut formats, mut skipped, mut out) = (Vec::new(), Vec::new(), Vec::new());
    let mut wait = |request: Request| {
        index += 1;
        window.take(Waiting { index, early: None, request, label: None, times: Vec::new() });
    };
    while source.next(&mut batch) {
        reader.read(&mut batch);
        let mut done = Vec::new();
        for line in batch.lines.iter_mut() {
            match (line.piece.take(), &line.outcome) {
                (Some((of, piece)), _) => assert!(join.take(&of, piece, &mut done)),
                (None, Ok(early)) => {
                    assert!(early.is_none(), "an API is known");
                    wait(std::mem::take(&mut line.request));
                }
                (None, Err(why)) => skipped.push(why.why.clone()),
            }
        }
        if !matches!(batch.end, End::Open) {
            join.finish(&mut done);
        }
        for line in &done {
            let mut request = Request::default();
            let parsed = reader.line(&mut Line::parse(line).unwrap(), &Beside::default(), &mut request);
            assert!(parsed.unwrap().is_none());
            wait(request);
        }
        formats.extend(batch.formats.iter().map(|(name, c)| (*name, c.requests, c.without_text)));
    }
    out.extend(std::iter::from_fn(|| window.pop()).map(|w| w.request));
    (out, formats, skipped)
}

/// Who a request is from.
#[derive(Clone, Copy, Debug)]
enum Who {
    /// This name, as a credential.
    Named(&'static str),
    /// The SHA-256 of a credential.
    Hash(&'static str),
    /// What headers or address show.
    Asked,
    Nobody,
}

fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect()
}

/// What of a prompt is read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Text {
    /// The samples' instructions and question.
    Both,
    Question,
    /// Other text.
    Other,
    None,
}

struct Want {
    file: &'static str,
    format: &'static str,
    requests: usize,
    who: Who,
    /// What of its prompt is read.
    text: Text,
    /// Seconds since the epoch of the first request; 0: that of the file, or of no year.
    first_s: u64,
}

const T: u64 = 1_777_629_600;

/// File, format, requests, who, text, time of the first.
#[rustfmt::skip]
const ALL: [Want; 24] = {
    use Text::{Both, Other, Question};
    use Who::{Asked, Hash, Named, Nobody};
    const fn want(file: &'static str, format: &'static str, requests: usize, who: Who, text: Text, first_s: u64) -> Want {
        Want { file, format, requests, who, text, first_s }
    }
    const HASH: &str = "5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e";
    [
        want("envoy-tap-buffered.json", "envoy-tap", 1, Named("example-1"), Both, T),
        want("envoy-tap-streamed.json", "envoy-tap-streamed", 1, Named("example-1"), Both, 0),
        want("envoy-access.jsonl", "envoy-access", 1, Asked, Text::None, T),
        want("litellm-spend-logs.jsonl", "litellm-spend-logs", 1, Hash(HASH), Both, T),
        want("litellm-standard-logging.jsonl", "litellm-standard", 1, Hash(HASH), Both, T),
        want("openai-batch.jsonl", "openai-batch", 2, Nobody, Both, 0),
        want("anthropic-batch.json", "anthropic-batch", 2, Nobody, Both, 0),
        want("gemini-batch.jsonl", "gemini-batch", 1, Nobody, Question, 0),
        want("bedrock-batch.jsonl", "bedrock-batch", 1, Nobody, Question, 0),
        want("bedrock-invocation.jsonl", "bedrock-invocation", 2, Named("arn:aws:sts::123456789012:assumed-role/app"), Question, T),
        want("otlp-genai.jsonl", "otlp-genai", 1, Named("u-1"), Both, T),
        want("langfuse-observations_v2.jsonl", "langfuse", 1, Named("u-1"), Both, T),
        want("helicone.jsonl", "helicone", 1, Named("u-1"), Both, T),
        want("cloudflare-logpush.jsonl", "cloudflare-logpush", 1, Named("u-1"), Text::None, T),
        want("kong.jsonl", "kong", 1, Named("u-1"), Both, T),
        want("portkey.jsonl", "portkey", 1, Named("vk-1"), Both, T),
        want("vertex-bigquery.jsonl", "vertex-bigquery", 1, Nobody, Question, T),
        want("azure-llm-inference.csv", "azure-llm-inference", 1, Nobody, Text::None, T),
        want("burstgpt.csv", "burstgpt", 1, Nobody, Text::None, 0),
        want("mooncake.jsonl", "mooncake", 1, Nobody, Other, 0),
        want("wildchat.jsonl", "wildchat", 1, Named("a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"), Question, T),
        want("lmsys.jsonl", "lmsys", 1, Named("00000000000000000000000000000000"), Question, 0),
        want("sharegpt.json", "sharegpt", 1, Named("x_0"), Question, 0),
        want("vllm.log", "vllm-log", 1, Nobody, Other, 0),
    ]
};

const SYSTEM: &str = "You answer in two lines.";
const QUESTION: &str = "Explain how a low dam changes the speed of a river";

/// The hash of the words of a prompt, as a trace has them.
fn exact_of(config: &Arc<Config>, texts: &[&str]) -> u64 {
    let roles = if texts.len() == 2 { &["system", "user"][..] } else { &["user"] };
    let message = |(role, text): (&&str, &&str)| serde_json::json!({"role": role, "content": text});
    let messages: Vec<_> = roles.iter().zip(texts).map(message).collect();
    let line = serde_json::json!({"t": T, "path": "/v1/chat/completions", "body": {"messages": messages}})
        .to_string();
    let (mut reader, mut request) = (Reader::new(config, &Import::default()), Request::default());
    let read = reader.line(&mut Line::parse(line.as_bytes()).unwrap(), &Beside::default(), &mut request);
    assert!(read.unwrap().is_none());
    request.x.obs.exact
}

/// What is wrong with how a file was read.
fn fault(want: &Want) -> Option<String> {
    let config = config("{}");
    let (requests, formats, skipped) = read(&fixture(want.file), &config, &Import::default());
    let key = Keys::new(&config.seed);
    let first = requests.first()?;
    let named = |value: &str| {
        let mut id = weir::engine::edge::identity::Identity::default();
        id.name(&config.profiles[0].identity, &key, value.as_bytes(), matches!(want.who, Who::Hash(_)));
        id.key
    };
    let obs = &first.x.obs;
    let who = match want.who {
        Who::Named(value) | Who::Hash(value) => first.x.key == named(value),
        Who::Asked => obs.flags & ANONYMOUS == 0,
        Who::Nobody => obs.flags & ANONYMOUS != 0,
    };
    let read_of = |r: &Request| match r.x.obs.exact {
        0 => Text::None,
        exact if exact == exact_of(&config, &[SYSTEM, QUESTION]) => Text::Both,
        exact if exact == exact_of(&config, &[QUESTION]) => Text::Question,
        _ => Text::Other,
    };
    // The second of OpenAI's is an embedding of the question.
    let text =
        read_of(first) == want.text && requests.iter().all(|r| r.x.obs.exact != 0 || want.text == Text::None);
    let without: u64 = formats.iter().map(|f| f.2).sum();
    let checks = [
        ("records skipped", skipped.is_empty()),
        ("format", formats.len() == 1 && formats[0].0 == want.format),
        ("number of requests", requests.len() == want.requests),
        ("who", who),
        ("text", text && (without > 0) == (want.text == Text::None)),
        ("unreadable", requests.iter().all(|r| r.x.obs.flags & UNREADABLE == 0)),
        ("time", want.first_s == 0 && first.time.secs() >= T || first.time.secs() == want.first_s),
        ("order", requests.is_sorted_by_key(|r| r.time)),
    ];
    let wrong: Vec<&str> = checks.iter().filter(|(_, ok)| !ok).map(|(what, _)| *what).collect();
    (!wrong.is_empty()).then(|| format!("{}: {wrong:?} {skipped:?} {formats:?} {obs:?}", want.file))
}

/// `cargo test --bin weir formats -- --nocapture` prints how many there are.
#[test]
fn every_format_is_read_with_who_when_and_what() {
    let wrong: Vec<String> = ALL.iter().filter_map(fault).collect();
    println!("formats read: {} of {}", ALL.len() - wrong.len(), ALL.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let files = std::fs::read_dir(fixture("")).unwrap().count();
    assert_eq!(files, ALL.len(), "every sample has a row");
}

#[test]
fn the_page_has_a_row_for_every_format() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin/weir/README.md")).unwrap();
    for format in FORMATS {
        assert!(page.contains(&format!("`{}`", format.name())), "no row for {}", format.name());
    }
    assert_eq!(import::names().len(), FORMATS.len() + 1);
}

/// Each sample by itself, and all of them behind each other in one file: records, not files, have a format.
#[test]
fn a_record_is_recognised_whatever_stands_beside_it() {
    let dir = Dir::new("mixed");
    let text: Vec<String> = ALL.iter().map(|w| std::fs::read_to_string(fixture(w.file)).unwrap()).collect();
    let native = r#"{"t":1777629600,"path":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"four words of text"}]}}"#;
    let all = dir.file("all", format!("\u{feff}{native}\n{}\n{native}", text.join("\n")).as_bytes());
    let (requests, formats, skipped) = read(&all, &config("{}"), &Import::default());
    assert!(skipped.is_empty(), "{skipped:?}");
    assert_eq!(requests.len(), 2 + ALL.iter().map(|w| w.requests).sum::<usize>());
    assert_eq!(formats.len(), ALL.len());
    assert!(requests.is_sorted_by_key(|r| r.time));
}

#[test]
fn wrapped_pretty_and_newest_first_is_the_same() {
    let dir = Dir::new("wrapped");
    let text = std::fs::read_to_string(fixture("bedrock-invocation.jsonl")).unwrap();
    let records: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let newest_first: Vec<&serde_json::Value> = records.iter().rev().collect();
    let in_message = |as_text: bool| {
        let wrap = |r: &&serde_json::Value| {
            let inner = if as_text { serde_json::json!(r.to_string()) } else { (*r).clone() };
            serde_json::json!({"timestamp": 1, "message": inner}).to_string()
        };
        newest_first.iter().map(wrap).collect::<Vec<_>>().join("\n")
    };
    let config = config("{}");
    let (want, ..) = read(&fixture("bedrock-invocation.jsonl"), &config, &Import::default());
    let texts = [
        in_message(true),
        in_message(false),
        serde_json::to_string_pretty(&newest_first).unwrap(),
        newest_first.iter().map(|r| r.to_string()).collect::<String>(),
        newest_first.iter().map(|r| serde_json::to_string_pretty(r).unwrap()).collect::<String>(),
    ];
    for (i, text) in texts.iter().enumerate() {
        let (got, _, skipped) = read(&dir.file("t", text.as_bytes()), &config, &Import::default());
        assert!(skipped.is_empty(), "{skipped:?}");
        let of = |all: &[Request]| all.iter().map(|r| (r.time, r.x.obs)).collect::<Vec<_>>();
        assert_eq!(of(&got), of(&want), "{i}");
    }
}

#[test]
fn a_key_that_is_logged_as_a_hash_is_the_live_one_if_the_live_one_is_hashed() {
    let dir = Dir::new("hash");
    let plain = r#"{"t":1777629600,"path":"/v1/chat/completions","headers":{"authorization":"Bearer sk-example"},"body":{"messages":[{"role":"user","content":"four words of text"}]}}"#;
    // Of `sk-example`.
    let hash = sha256("sk-example");
    let logged = format!(
        r#"{{"call_type":"acompletion","api_key":"{hash}","startTime":"2026-05-01 10:00:00","model":"m"}}"#
    );
    let other = format!(
        r#"{{"request_created_at":"2026-05-01T10:00:00Z","request_path":"/v1/chat/completions","request_user_id":"u","request_properties":{{"Key.Hash":"{hash}"}}}}"#
    );
    let by = |config: &str, text: &str, import: &Import| {
        let config = self::config(config);
        read(&dir.file("t", text.as_bytes()), &config, import).0[0].x.key
    };
    let (on, off) = (r#"{"identity":{"sha256":true}}"#, "{}");
    let usual = Import::default();
    assert_eq!(by(on, plain, &usual), by(on, &logged, &usual));
    assert_ne!(by(off, plain, &usual), by(off, &logged, &usual), "nothing can undo a hash");
    let paths = |hashed: Option<&str>| Import {
        paths: Paths {
            key: Some("request_properties.Key.Hash".into()),
            key_hashed: hashed.map(str::to_string),
            ..Paths::default()
        },
        ..Import::default()
    };
    assert_eq!(by(on, plain, &usual), by(on, &other, &paths(Some("sha256"))));
    assert_ne!(by(on, plain, &usual), by(on, &other, &paths(None)));
    let config = config(off);
    assert_eq!(
        by(off, &logged, &usual).0,
        sip13(config.seed.key(weir::engine::hash::Purpose::Key), hash.as_bytes())
    );
}

#[test]
fn named_fields_say_key_tenant_age_and_label() {
    let dir = Dir::new("fields");
    let text = r#"{"request_created_at":"2026-05-11T10:00:00Z","request_path":"/v1/chat/completions","request_user_id":"u","request_body":{"messages":[{"role":"user","content":"four words of text"}]},"request_properties":{"org":"o-1","made":"2026-05-01T10:00:00Z","who":["x",{"id":7}]}}"#;
    let of = |age: &str, text: &str| {
        let paths = Paths {
            key: Some("request_properties.who.1.id".into()),
            key_hashed: None,
            tenant: Some("request_properties.org".into()),
            age: Some(age.into()),
            label: Some("request_properties.org".into()),
        };
        let import = Import { paths, ..Import::default() };
        let config = config("{}");
        let (mut requests, _, skipped) = read(&dir.file("t", text.as_bytes()), &config, &import);
        (requests.pop(), skipped, Keys::new(&config.seed))
    };
    let (request, _, keys) = of("request_properties.made", text);
    let request = request.unwrap();
    assert_eq!(request.age.map(|a| a.secs()), Some(10 * 86_400));
    assert_eq!(request.x.obs.tenant, keys.tenant(b"o-1"));
    let mut id = weir::engine::edge::identity::Identity::default();
    id.name(&config("{}").profiles[0].identity, &keys, b"7", false);
    assert_eq!(request.x.key, id.key);
    let in_seconds = text.replace("\"2026-05-01T10:00:00Z\"", "864000");
    assert_eq!(of("request_properties.made", &in_seconds).0.unwrap().age, request.age);
    let (none, skipped, _) =
        of("request_properties.made", &text.replace("\"2026-05-01T10:00:00Z\"", "\"last week\""));
    assert!(none.is_none() && skipped[0].contains("neither a time nor seconds"), "{skipped:?}");
    assert!(of("request_properties.nothing", text).0.unwrap().age.is_none());
}

#[test]
fn what_is_said_before_a_turn_stands_in_front_of_it_and_other_records_are_no_requests() {
    let dir = Dir::new("turns");
    let text = std::fs::read_to_string(fixture("wildchat.jsonl")).unwrap();
    let more = r#"{"role":"assistant","content":"It slows.","timestamp":null},{"role":"user","content":"And behind the dam, what happens there to the sand?"}]"#;
    let end = text.find("],").unwrap();
    let text = format!("{}{}{}", &text[..end], format_args!(",{more}"), &text[end + 1..]);
    let (requests, _, skipped) = read(&dir.file("t", text.as_bytes()), &config("{}"), &Import::default());
    assert_eq!((requests.len(), skipped.len()), (2, 0), "{skipped:?}");
    assert_eq!(requests[1].time.secs() - requests[0].time.secs(), 60);
    let follows: Vec<bool> = requests.iter().map(|r| r.x.obs.flags & CONVERSATION != 0).collect();
    assert_eq!(follows, [false, true]);
    let span = std::fs::read_to_string(fixture("langfuse-observations_v2.jsonl"))
        .unwrap()
        .replace("GENERATION", "SPAN");
    let (requests, formats, skipped) =
        read(&dir.file("t", span.as_bytes()), &config("{}"), &Import::default());
    assert_eq!((requests.len(), formats, skipped.len()), (0, vec![("langfuse", 0, 0)], 0));
}

#[test]
fn what_no_format_knows_is_told_once_with_its_fields() {
    let dir = Dir::new("unknown");
    let text = "{\"level\":\"info\",\"msg\":\"started\"}\n".repeat(3)
        + "[2026-05-01T10:00:00.5Z] \"POST /v1/chat/completions HTTP/1.1\" 200 - 84 11 3 - \"203.0.113.7\" \"client/1\" \"id\" \"api.example\" \"192.0.2.1:80\"\n";
    let (requests, formats, skipped) =
        read(&dir.file("t", text.as_bytes()), &config("{}"), &Import::default());
    assert_eq!(formats, [("envoy-access-text", 1, 1)]);
    assert_eq!(requests[0].time.0 / 1_000_000, T * 1_000 + 500);
    assert_eq!(skipped, vec!["is in no format that is known; its fields are level, msg"; 3]);
    // Forced, it is read as what it is not.
    let import = Import { format: import::named("helicone"), ..Import::default() };
    let (requests, _, skipped) = read(
        &dir.file("t", b"{\"request_body\":{\"prompt\":\"four words of text\"}}"),
        &config("{}"),
        &import,
    );
    assert_eq!((requests.len(), skipped.len()), (1, 0));
    let traces = Import { traces_only: true, ..Import::default() };
    let (_, _, skipped) = read(&fixture("helicone.jsonl"), &config("{}"), &traces);
    assert!(skipped[0].contains("missing field"), "{skipped:?}");
}
