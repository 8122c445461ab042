//! Text that no window keeps is sampled: a template is met wherever it stands, and found there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

#[path = "../node/traffic.rs"]
#[allow(dead_code, reason = "shared by several tests")]
mod traffic;

use base64::Engine as _;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use traffic::{ACCOUNTS, Request, config, session_at, traffic};
use weir::engine::Engine;
use weir::engine::config::{Config, parse};
use weir::engine::edge::extract::{Extracted, Extractor};
use weir::engine::edge::identity::{Head, Keys};
use weir::engine::edge::session::Next;
use weir::engine::edge::session::Session;
use weir::engine::fingerprint::{Fingerprint, Fingerprinter};
use weir::engine::hash::{self, Purpose};
use weir::engine::units::Nanos;
use weir::engine::verdict::Action;

const TEMPLATE: &str = "You are given one exercise from a collection for advanced students. Write a complete worked solution in which \
    every step follows from the one before, name the rule that you used at each of them, and say why no other rule applies. Check the \
    result by a second method that does not share any step with your first way, and only then give the final answer on a line of its own, \
    with nothing behind it. Do not mention these instructions, and do not ask any question back before you begin to work.";

/// Words that nobody has said before.
fn noise(seed: u64, bytes: usize) -> String {
    let mut out = String::new();
    let mut at = hash::mix(seed);
    while out.len() < bytes {
        at = hash::mix(at.wrapping_add(1));
        let letters = 2 + (at >> 40) % 8;
        out.extend((0..letters).map(|i| char::from(b'a' + (hash::mix(at ^ i << 3) % 26) as u8)));
        out.push(' ');
    }
    out
}

fn user(text: impl Into<Value>) -> Value {
    json!({"role": "user", "content": text.into()})
}
fn model(text: String) -> Value {
    json!({"role": "assistant", "content": text})
}

/// What stands for a tokenizer: an id for each word.
fn ids(text: &str) -> Vec<u32> {
    let id = |word: &str| word.bytes().fold(7u64, |h, b| hash::mix(h ^ u64::from(b))) % 150_000;
    text.split_whitespace().map(|word| id(word) as u32).collect()
}
const TOKENS: &str = "in the middle of token ids";

/// The same text in the places of each format.
const PLACES: &[(&str, &str)] = &[
    ("/v1/completions", r#"{"prompt":#}"#),
    ("/v1/completions", r#"{"prompt":[[1,2,3],#]}"#),
    ("/v1/embeddings", r#"{"input":#}"#),
    ("/v1/embeddings", r#"{"input":[#,[1,2,3]]}"#),
    ("/completion", r#"{"prompt":["four words are here",#]}"#),
    ("/generate", r#"{"input_ids":#}"#),
    ("/generate", r#"{"input_ids":[#]}"#),
    ("/invocations", r#"{"input_ids":#}"#),
    ("/v2/models/m/infer", r#"{"inputs":[{"name":"input_ids","datatype":"INT32","shape":[1,9],"data":#}]}"#),
    ("/api/generate", r#"{"prompt":"go on","context":#}"#),
    (
        "/v1/chat/completions",
        r#"{"messages":[{"role":"user","content":"x"}],"functions":[{"name":"f","description":"$"}]}"#,
    ),
    ("/v1/chat/completions", r#"{"messages":[{"role":"user","content":"x"}],"guided_json":{"title":"$"}}"#),
    ("/v1/responses", r#"{"input":"x","tools":[{"type":"function","name":"f","description":"$"}]}"#),
    (
        "/v1/responses",
        r#"{"input":"x","text":{"format":{"type":"json_schema","schema":{"description":"$"}}}}"#,
    ),
    (
        "/v1/responses",
        r#"{"input":[{"type":"function_call","call_id":"1","name":"f","arguments":"{\"a\":\"$\"}"},{"role":"user","content":"x"}]}"#,
    ),
    (
        "/v1/responses",
        r#"{"input":[{"type":"custom_tool_call","call_id":"1","name":"f","input":"$"},{"role":"user","content":"x"}]}"#,
    ),
    (
        "/v1/messages",
        r#"{"tools":[{"name":"f","description":"$"}],"messages":[{"role":"user","content":"x"}]}"#,
    ),
    (
        "/v1/messages",
        r#"{"tools":[{"name":"f","input_schema":{"properties":{"a":{"description":"$"}}}}],"messages":[{"role":"user","content":"x"}]}"#,
    ),
    (
        "/v1/messages",
        r#"{"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"a":["$"]}}]},{"role":"user","content":"x"}]}"#,
    ),
    (
        "/v1beta/models/g:generateContent",
        r#"{"tools":[{"functionDeclarations":[{"name":"f","description":"$"}]}],"contents":[{"parts":[{"text":"x"}]}]}"#,
    ),
    (
        "/v1beta/models/g:generateContent",
        r#"{"contents":[{"role":"model","parts":[{"functionCall":{"name":"f","args":{"a":"$"}}}]},{"role":"user","parts":[{"text":"x"}]}]}"#,
    ),
    (
        "/v1beta/models/g:generateContent",
        r#"{"generationConfig":{"responseSchema":{"description":"$"}},"contents":[{"parts":[{"text":"x"}]}]}"#,
    ),
    (
        "/model/m/converse",
        r#"{"toolConfig":{"tools":[{"toolSpec":{"name":"f","description":"$"}}]},"messages":[{"role":"user","content":[{"text":"x"}]}]}"#,
    ),
    (
        "/model/m/converse",
        r#"{"messages":[{"role":"user","content":[{"text":"x"}]},{"role":"assistant","content":[{"toolUse":{"toolUseId":"1","name":"f","input":{"a":"$"}}}]},{"role":"user","content":[{"text":"x"}]}]}"#,
    ),
    (
        "/api/chat",
        r#"{"messages":[{"role":"user","content":"x"}],"format":{"type":"object","description":"$"}}"#,
    ),
    (
        "/v1/chat",
        r#"{"message":"x","chat_history":[{"role":"CHATBOT","tool_calls":[{"name":"f","parameters":{"a":"$"}}]}]}"#,
    ),
    ("/generate", r#"{"inputs":"x","parameters":{"grammar":{"type":"json","value":{"description":"$"}}}}"#),
];

/// Name, and how a prompt is sent so that the windows do not keep it.
type Shape = (&'static str, fn(&str, u64) -> Value);
const SHAPES: &[Shape] = &[
    (
        "in the middle of noise",
        |text, n| json!({"messages": [user(noise(n, 2_300) + text + &noise(!n, 1_300))]}),
    ),
    (
        "in the middle of an invented conversation",
        |text, n| json!({"messages": [user(noise(n, 80)), model(noise(n + 1, 200)), user(text), model(noise(n + 2, 200)), user(noise(n + 3, 80))]}),
    ),
    (
        "as an answer of the model",
        |text, n| json!({"messages": [user(noise(n, 80)), model(text.into()), user(noise(n + 3, 80))]}),
    ),
    (
        "behind long instructions",
        |text, n| json!({"messages": [{"role": "system", "content": noise(n, 2_100) + text}, user(noise(n + 3, 80))]}),
    ),
    ("in the middle of a list of parts", |text, n| {
        let part = |t: String| json!({"type": "text", "text": t});
        json!({"messages": [user(json!([part(noise(n, 2_300)), part(text.into()), part(noise(!n, 1_300))]))]})
    }),
    (
        "behind two megabytes of metadata",
        |text, n| json!({"a": "m".repeat(2 << 20), "messages": [user(text), model(noise(n, 90)), user(noise(!n, 90)), model(noise(n, 90)), user(noise(n + 3, 80))]}),
    ),
    (
        "in the middle of a list of prompts",
        |text, n| json!({"prompt": [noise(n, 1_100), noise(n + 1, 1_100), text, noise(n + 2, 700), noise(n + 3, 700)]}),
    ),
    (TOKENS, |text, n| json!({"prompt": ids(&(noise(n, 2_900) + text + " " + &noise(!n, 1_700)))})),
    (
        "as the description of a tool",
        |text, n| json!({"tools": [{"type": "function", "function": {"name": "f", "description": text}}], "messages": [user(noise(n, 80))]}),
    ),
    ("as arguments of calls", |text, n| {
        let call = json!({"id": noise(n, 20), "type": "function", "function": {"name": "f", "arguments": json!({"a": text}).to_string()}});
        json!({"messages": [user(noise(n, 80)), {"role": "assistant", "content": null, "tool_calls": [call]}, user(noise(n + 1, 80))]})
    }),
    (
        "as descriptions of a schema",
        |text, n| json!({"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": {"properties": {"a": {"type": "string", "description": text}}}}}, "messages": [user(noise(n, 80))]}),
    ),
    ("split inside words over parts", |text, _| {
        let mut at = 0;
        let mut parts = Vec::new();
        while at < text.len() {
            let end = (at + 7 + at % 5).min(text.len());
            parts.push(json!({"type": "text", "text": &text[at..end]}));
            at = end;
        }
        json!({"messages": [user(parts)]})
    }),
];

fn take(config: &Config, body: &str, chunk: usize) -> Extracted {
    let path = if body.contains("\"prompt\"") { "/v1/completions" } else { "/v1/chat/completions" };
    take_at(path, config, body, chunk)
}

fn take_at(path: &str, config: &Config, body: &str, chunk: usize) -> Extracted {
    let keys = Keys::new(&config.seed);
    let headers: [(&[u8], &[u8]); 1] = [(b"authorization", b"Bearer x")];
    let mut s = traffic::open_at(path, config, &keys, &headers, false);
    let mut chunks = body.as_bytes().chunks(chunk.max(1)).peekable();
    while let Some(c) = chunks.next() {
        if s.push(c, chunks.peek().is_none()) == Next::Ready {
            break;
        }
    }
    assert_eq!(s.facts.unreadable, None);
    let mut x = Extracted::default();
    Extractor::new(&config.seed).take(Nanos(5), &mut s, &mut x);
    x
}

/// All values of a text, not only the least: those of each four words.
fn all_values(config: &Config, text: &str) -> BTreeSet<u64> {
    let mut f = Fingerprinter::new(config.seed.key(Purpose::Text).0);
    let (words, mut out, mut all) =
        (text.split_whitespace().collect::<Vec<_>>(), Fingerprint::default(), BTreeSet::new());
    for four in words.windows(4) {
        f.take(&[four.join(" ").as_bytes()], &mut out);
        all.extend(out.values.iter().copied());
    }
    all
}

/// The same of a text's token ids.
fn token_values(config: &Config, text: &str) -> BTreeSet<u64> {
    let four = |four: &[u32]| take(config, &json!({"prompt": four}).to_string(), 1 << 16).values;
    ids(text).windows(4).flat_map(four).collect()
}

fn seeded(n: u64) -> Config {
    parse(&format!(r#"{{"seed":"{:016x}{:048x}"}}"#, hash::mix(n), n)).unwrap()
}

#[test]
fn a_template_is_met_wherever_it_stands_under_nearly_every_seed() {
    for (name, shape) in SHAPES {
        let mut met = 0;
        for n in 1..=100 {
            let config = seeded(n);
            let values = if *name == TOKENS { token_values } else { all_values };
            let template = values(&config, TEMPLATE);
            let x = take(&config, &shape(TEMPLATE, n << 8).to_string(), 1 << 16);
            met += u32::from(x.values.iter().any(|v| template.contains(v)));
        }
        assert!(met >= 90, "{name}: {met} of 100 seeds meet it");
    }
}

#[test]
fn a_campaign_that_hides_its_template_in_every_other_request_is_blocked() {
    // Token ids are other words than the text.
    for (name, shape) in SHAPES.iter().filter(|(name, _)| *name != TOKENS) {
        let config: Arc<Config> = config();
        let keys = Keys::new(&config.seed);
        let mut engine = Engine::new(Arc::clone(&config));
        let (mut sent, mut blocked, mut honest) = (0, 0, 0);
        for (i, r) in traffic().into_iter().enumerate() {
            let slot = noise(i as u64 * 8, 60);
            let n = (i as u64) << 8;
            let campaign = r.key < ACCOUNTS;
            // Honest people have long texts, too.
            let text = if campaign { format!("{TEMPLATE} {slot}") } else { noise(n + 9, 500) };
            // Every other request shows it where a window keeps it.
            let plain = i % 2 == 0 && campaign;
            let body = if plain { json!({"messages": [user(text)]}) } else { shape(&text, n) }.to_string();
            let r = Request { body, ..r };
            let path = if r.body.contains("\"prompt\"") { "/v1/completions" } else { "/v1/chat/completions" };
            let verdict = engine.decide(r.t, &mut session_at(path, &r, &config, &keys));
            let rejected = verdict.action == Action::Block;
            sent += u32::from(campaign && !plain);
            blocked += u32::from(campaign && !plain && rejected);
            honest += u32::from(!campaign && rejected);
        }
        assert!(blocked * 3 > sent && honest == 0, "{name}: {blocked} of {sent} blocked, {honest} honest");
    }
}

/// A request by the engine's own door, its body whole.
fn ask(engine: &Engine, r: &Request) -> Session {
    let auth = format!("Bearer key-{}", r.key);
    let created = (traffic::START - 3 * 86_400).to_string();
    let headers: [(&[u8], &[u8]); 2] =
        [(b"authorization", auth.as_bytes()), (b"x-created", created.as_bytes())];
    let head = Head { path: b"/v1/chat/completions", authority: b"a", headers: &headers, ..Head::default() };
    let mut s = engine.open(r.t, &head);
    s.push(r.body.as_bytes(), true);
    s
}

/// Name, path, and prompts put together.
type Together = (&'static str, &'static str, fn(&[String]) -> String);
/// Its documents stand beside the query, which is the prompt: of them the first and the last are looked at closely.
const RANKED: &str = "documents to rank";
const TOGETHER: &[Together] = &[
    ("one by one", "/v1/completions", |texts| json!({"prompt": texts[0]}).to_string()),
    ("list of prompts", "/v1/completions", |texts| json!({"prompt": texts}).to_string()),
    ("list of texts to embed", "/v1/embeddings", |texts| json!({"input": texts}).to_string()),
    ("lines of a file", "/v1/files", |texts| {
        let line = |t: &String| {
            json!({"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": [user(t.as_str())]}}).to_string()
        };
        texts.iter().map(line).collect::<Vec<_>>().join("\n")
    }),
    ("batch of messages", "/v1/messages/batches", |texts| {
        let one = |t: &String| json!({"custom_id": "1", "params": {"max_tokens": 9, "messages": [user(t.as_str())]}});
        json!({"requests": texts.iter().map(one).collect::<Vec<_>>()}).to_string()
    }),
    ("batch of contents", "/v1beta/models/g:batchGenerateContent", |texts| {
        let one = |t: &String| json!({"request": {"contents": [{"parts": [{"text": t}]}]}});
        json!({"batch": {"input_config": {"requests": {"requests": texts.iter().map(one).collect::<Vec<_>>()}}}}).to_string()
    }),
    ("texts of a tokenizer", "/generate", |texts| json!({"text": texts}).to_string()),
    (RANKED, "/v1/rerank", |texts| json!({"query": texts[0], "documents": texts}).to_string()),
];

fn base64(text: &str) -> String {
    base64::prelude::BASE64_STANDARD.encode(text)
}
fn data_url(text: &str) -> String {
    format!("data:text/plain;base64,{}", base64(text))
}
/// The whole prompt as a text file, and nothing beside it.
const AS_FILE: &[Together] = &[
    ("file_data", "/v1/chat/completions", |texts| {
        let file = json!({"type": "file", "file": {"filename": "a.txt", "file_data": data_url(&texts[0])}});
        json!({"messages": [user(json!([file]))]}).to_string()
    }),
    ("input_file", "/v1/responses", |texts| {
        json!({"input": [user(json!([{"type": "input_file", "file_data": data_url(&texts[0])}]))]})
            .to_string()
    }),
    ("document", "/v1/messages", |texts| {
        let source = json!({"type": "base64", "media_type": "text/plain", "data": base64(&texts[0])});
        json!({"messages": [user(json!([{"type": "document", "source": source}]))]}).to_string()
    }),
    ("inlineData", "/v1beta/models/g:generateContent", |texts| {
        let data = json!({"inlineData": {"mimeType": "text/markdown", "data": base64(&texts[0])}});
        json!({"contents": [{"role": "user", "parts": [data]}]}).to_string()
    }),
];

#[test]
fn a_campaign_is_found_however_its_prompts_are_put_together() {
    let run = |(name, path, together): &Together, size: u64, noisy: bool| {
        let config: Arc<Config> = config();
        let keys = Keys::new(&config.seed);
        let mut engine = Engine::new(Arc::clone(&config));
        let (mut sent, mut served, mut honest) = (0u32, 0u32, 0u32);
        for (i, r) in traffic().into_iter().enumerate() {
            let campaign = r.key < ACCOUNTS;
            let n = (i as u64) << 8;
            let text =
                |j| if campaign { format!("{TEMPLATE} {}", noise(n + j, 60)) } else { noise(n + j, 500) };
            let mut texts: Vec<String> = (0..size).map(text).collect();
            if noisy {
                // Around it, where windows end.
                texts.insert(0, noise(n + 90, 2_100));
                texts.push(noise(n + 91, 1_100));
            }
            let r = Request { body: together(&texts), ..r };
            let verdict = engine.decide(r.t, &mut session_at(path, &r, &config, &keys));
            let rejected = u32::from(verdict.action == Action::Block);
            (sent, served) = (sent + u32::from(campaign), served + u32::from(campaign) * (1 - rejected));
            honest += u32::from(!campaign) * rejected;
        }
        println!(
            "{name:<24} {size:>3} {} sent {sent} served {served}",
            if noisy { "among noise" } else { "alone      " }
        );
        assert_eq!(honest, 0, "{name}");
        (sent, served)
    };
    let (sent, alone) = run(&TOGETHER[0], 1, false);
    assert!(alone * 3 < sent);
    for kind in AS_FILE {
        assert_eq!(run(kind, 1, false), (sent, alone), "{}", kind.0);
    }
    for kind in &TOGETHER[1..] {
        for size in [1, 5, 20] {
            assert_eq!(run(kind, size, false), (sent, alone), "{} {size}", kind.0);
        }
        // Of so many prompts that many are noise.
        for size in [5, 20] {
            let (_, served) = run(kind, size, true);
            assert!(served * 2 < sent || kind.0 == RANKED, "{} {size}: {served} of {sent}", kind.0);
        }
    }
}

#[test]
fn beside_the_messages_nothing_is_sampled_until_something_could_be_looked_up() {
    let hidden = |n: u64| {
        let tool = json!({"type": "function", "function": {"name": "f", "description": TEMPLATE}});
        json!({"tools": [tool], "messages": [user(noise(n, 80))]}).to_string()
    };
    let mut engine = Engine::new(config());
    let (mut before, mut after, mut live) = (0, 0, false);
    for (i, r) in traffic().into_iter().enumerate().filter(|(_, r)| r.key < ACCOUNTS) {
        let r = Request {
            body: json!({"messages": [user(format!("{TEMPLATE} {}", noise(i as u64, 60)))]}).to_string(),
            ..r
        };
        let mut s = ask(&engine, &r);
        engine.decide(r.t, &mut s);
        // Somebody new shows it in a tool.
        let mut new = ask(&engine, &Request { t: r.t, key: 10_000 + i as u64, body: hidden(i as u64) });
        let sampled = !new.facts.beside.is_empty();
        let blocked = engine.decide(r.t, &mut new).action == Action::Block;
        assert!(sampled || !blocked);
        // Once a case is live, it stays so, and from the very next request on it is met.
        assert!(!live || sampled);
        live |= sampled;
        (before, after) = (before + u32::from(!live), after + u32::from(blocked));
    }
    assert!(before > 100 && after > 100, "{before} before, {after} blocked after");
    // A list that names templates is enough; one that names keys is none.
    for (list, wanted) in [("tid:0000000000000001", true), ("kid:0000000000000001", false)] {
        let list =
            format!(r#"{{"deny":[{{"name":"a","{}":"{list}"}}]}}"#, if wanted { "template" } else { "key" });
        let engine = Engine::new(Arc::new(parse(&list).unwrap()));
        let s = ask(&engine, &Request { t: Nanos(5), key: 1, body: hidden(1) });
        assert_eq!(!s.facts.beside.is_empty(), wanted, "{list}");
    }
}

#[test]
fn people_with_the_same_tools_are_served_beside_a_campaign() {
    let config: Arc<Config> = config();
    let keys = Keys::new(&config.seed);
    let mut engine = Engine::new(Arc::clone(&config));
    // Tools of everybody, or of the honest alone.
    for everybody in [false, true] {
        let (mut sent, mut blocked, mut honest) = (0, 0, 0);
        for (i, r) in traffic().into_iter().enumerate() {
            let campaign = r.key < ACCOUNTS;
            let mut body: Value = serde_json::from_str(&r.body).unwrap();
            if everybody || !campaign {
                body["tools"] =
                    json!([{"type": "function", "function": {"name": "solve", "description": TEMPLATE}}]);
            }
            if !campaign {
                body["messages"][0] = user(noise(i as u64 * 8, 90));
            }
            let r = Request { body: body.to_string(), ..r };
            let path = "/v1/chat/completions";
            let rejected =
                engine.decide(r.t, &mut session_at(path, &r, &config, &keys)).action == Action::Block;
            sent += u32::from(campaign);
            blocked += u32::from(campaign && rejected);
            honest += u32::from(!campaign && rejected);
        }
        // Tools teach nothing: those of a third as many people hide no campaign that sends them beside its template.
        assert!(
            blocked * 2 > sent && honest == 0,
            "{everybody}: {blocked} of {sent} blocked, {honest} honest"
        );
        engine = Engine::new(Arc::clone(&config));
    }
}

#[test]
fn what_stands_beside_the_messages_is_met_in_every_format() {
    for (path, body) in PLACES {
        let tokens = json!(ids(TEMPLATE)).to_string();
        let body = body.replace('#', &tokens).replace('$', TEMPLATE);
        let mut met = 0;
        for n in 1..=50 {
            let config = seeded(n);
            let values = if body.contains(&tokens) { token_values } else { all_values };
            let x = take_at(path, &config, &body, 1 << 16);
            if n < 3 {
                let small = take_at(path, &config, &body, n as usize);
                assert_eq!((&x.values, x.obs), (&small.values, small.obs), "{path} {body}");
            }
            let template = values(&config, TEMPLATE);
            met += u32::from(x.values.iter().any(|v| template.contains(v)));
        }
        assert!(met >= 46, "{path} {body}: {met} of 50");
    }
}

#[test]
fn token_ids_are_told_apart_however_they_are_written() {
    let config = config();
    let of = |list: &str| take(&config, &format!(r#"{{"prompt":[{list}]}}"#), 5).values;
    let ids = |sep: &str, each: &dyn Fn(u32) -> String| {
        ids(TEMPLATE).into_iter().map(each).collect::<Vec<_>>().join(sep)
    };
    let plain = of(&ids(",", &|id| id.to_string()));
    assert!(plain.len() > 8);
    assert_eq!(plain, of(&ids(" ,\n", &|id| format!("{id}.000"))));
    assert_eq!(plain, of(&ids(",", &|id| format!("{id}E0"))));
    assert_eq!(plain, of(&ids(",", &|id| format!("{id}0e-1"))));
    assert_eq!(plain, of(&ids(",", &|id| format!("{}.{}e1", id / 10, id % 10))));
    assert!(of(&ids(",", &|id| (id ^ 1).to_string())).iter().all(|v| !plain.contains(v)));
}

#[test]
fn how_a_body_cannot_be_read_is_its_template() {
    let (config, keys) = (config(), Keys::new(&config().seed));
    let take = |body: &[u8]| {
        let mut s = traffic::open(&config, &keys, &[(b"authorization", b"Bearer x")], false);
        s.push(body, true);
        let mut x = Extracted::default();
        Extractor::new(&config.seed).take(Nanos(5), &mut s, &mut x);
        x.obs
    };
    let packed = |n: u64| [&[0x1f, 0x8b][..], noise(n, 900).as_bytes()].concat();
    let (a, b, other, empty) = (take(&packed(1)), take(&packed(2)), take(b"<xml>"), take(b"{}"));
    assert_eq!((a.anchors, a.anchors.as_slice().len()), (b.anchors, 4));
    assert!(a.exact != b.exact && a.exact == take(&packed(1)).exact && a.exact != 0);
    assert!(other.anchors.as_slice().iter().all(|v| !a.anchors.as_slice().contains(v)));
    assert!(empty.anchors.as_slice().is_empty() && empty.exact == 0);
    // Sorted, as all values are.
    assert!(a.anchors.as_slice().is_sorted() && a.anchors.as_slice().iter().all(|v| *v >> 62 == 0));
}

/// Bodies with texts of all lengths and places, escapes and other scripts.
fn body() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        "[a-z]{1,9} ",
        "[A-Z]{2}\"\\\\\n",
        "[а-я]{3,7} ",
        "[一-三]{4}",
        Just("\u{200b}".to_string())
    ];
    let text = (prop::collection::vec(word, 1..40), 1usize..40).prop_map(|(w, n)| w.concat().repeat(n));
    let part = prop_oneof![
        text.clone().prop_map(Value::from),
        prop::collection::vec(text.clone(), 1..4).prop_map(|t| {
            t.into_iter().map(|t| json!({"type": "text", "text": t})).collect::<Vec<_>>().into()
        })
    ];
    let message = (part, prop::sample::select(vec!["user", "assistant", "system"]))
        .prop_map(|(content, role)| json!({"role": role, "content": content}));
    (prop::collection::vec(message, 1..6), any::<bool>(), text).prop_map(|(mut messages, ascii, last)| {
        messages.push(user(last));
        let text = json!({"messages": messages}).to_string();
        if !ascii {
            return text;
        }
        // As Python's clients write it.
        text.chars()
            .map(|c| if c.is_ascii() { c.to_string() } else { format!("\\u{:04x}", c as u32) })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn what_is_sampled_does_not_depend_on_chunks(body in body(), chunk in 1usize..5_000) {
        let config = config();
        let whole = take(&config, &body, body.len());
        for chunk in [chunk, chunk % 90 + 1] {
            let x = take(&config, &body, chunk);
            prop_assert_eq!((&x.values, x.obs), (&whole.values, whole.obs));
        }
    }

    #[test]
    fn what_is_sampled_are_values_of_the_text(seed: u64, n in 1usize..40, han: bool) {
        let config = config();
        let mut text = noise(seed, n * 200);
        if han {
            text = text.replace("q", "é").replace("x", "w\u{200b}").replace("zz", " 模型可以 ");
        }
        let words: String = text.chars().map(|c| if ('一'..='龥').contains(&c) { format!("{c} ") } else { c.to_string() }).collect();
        let x = take(&config, &json!({"messages": [user("a"), model(text.clone()), user("b")]}).to_string(), 1 << 16);
        let all = all_values(&config, &words);
        // Where a head ends a word may be cut, as in the windows themselves.
        let strange = x.values.iter().filter(|v| !all.contains(v)).count();
        prop_assert!(strange <= 1, "{strange}: {text}");
        prop_assert!(n < 5 || !x.values.is_empty());
    }
}

/// The configuration of `traffic`, under another seed.
fn enforced(n: u64) -> Arc<Config> {
    let seed = format!("{:016x}{n:048x}", hash::mix(n));
    let rest = r#""identity":{"learn":"0s","age":{"header":"x-created"}},"limits":[]"#;
    Arc::new(parse(&format!(r#"{{"mode":"enforce","seed":"{seed}",{rest}}}"#)).unwrap())
}

/// What one run of `traffic` came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Came {
    sent: u32,
    served: u32,
    convicted: u32,
    honest: u32,
}

/// Runs `traffic` under `config`; `body` makes each request's, given its number and whether it is the campaign's.
fn run(config: &Arc<Config>, body: impl Fn(u64, &Request, bool) -> Value) -> Came {
    let keys = Keys::new(&config.seed);
    let mut engine = Engine::new(Arc::clone(config));
    let (mut came, mut blocked, mut honest) = (Came::default(), BTreeSet::new(), BTreeSet::new());
    for (i, r) in traffic().into_iter().enumerate() {
        let campaign = r.key < ACCOUNTS;
        let r = Request { body: body(i as u64, &r, campaign).to_string(), ..r };
        let head = session_at("/v1/chat/completions", &r, config, &keys);
        let rejected = engine.decide(r.t, &mut { head }).action == Action::Block;
        came.sent += u32::from(campaign);
        came.served += u32::from(campaign && !rejected);
        if rejected {
            if campaign {
                blocked.insert(r.key)
            } else {
                honest.insert(r.key)
            };
        }
    }
    (came.convicted, came.honest) = (blocked.len() as u32, honest.len() as u32);
    came
}

#[test]
fn a_template_in_the_middle_of_long_texts_is_found() {
    // Between fillers that are made up each time, in the windows and beyond them. A sample of 16 snippets holds about 1.5 KiB of such text: with
    // 2 KiB more it meets the template under most seeds, with 14 KiB more under one in three.
    for (before, after, seeds, most) in [(2_100, 1_100, 3, 40), (4_000, 4_000, 3, 85)] {
        let mut served = 0;
        for n in 1..=seeds {
            let came = run(&enforced(n), |i, _, campaign| {
                let at = (i << 8) + 7;
                let text = if campaign { format!("{TEMPLATE} {}", noise(at, 60)) } else { noise(at, 300) };
                json!({"messages": [user(noise(at + 1, before) + &text + " " + &noise(at + 2, after))]})
            });
            assert_eq!(came.honest, 0);
            println!("{before} before, {after} behind, seed {n}: {came:?}");
            served += came.served * 100 / came.sent;
        }
        assert!(
            served / (seeds as u32) < most,
            "{before} before, {after} behind: {served} of {seeds} hundred"
        );
    }
    // In an invented history, and behind instructions.
    for shape in [&SHAPES[1], &SHAPES[2], &SHAPES[3]] {
        let came = run(&enforced(1), |i, _, campaign| {
            let at = (i << 8) + 7;
            let text = if campaign { format!("{TEMPLATE} {}", noise(at, 60)) } else { noise(at, 500) };
            shape.1(&text, at + 9)
        });
        println!("{}: {came:?}", shape.0);
        assert!(came.served * 2 < came.sent && came.honest == 0, "{}: {came:?}", shape.0);
    }
}

#[test]
fn people_who_share_the_middle_of_their_texts_are_served() {
    // Young keys: of documents that are looked up, and of a licence. Long answers come between question and follow-up: they must not
    // take the question's place in the sample, or nobody would seem to follow up.
    let document = |d: u64| noise(0xd0c0_0000 + d, 1_500);
    let kinds: [(&str, &dyn Fn(u64) -> String); 3] = [
        ("documents", &|n| (0..4).map(|j| document(hash::mix(n ^ j << 50) % 20) + "\n").collect()),
        ("a licence", &|_| TEMPLATE.to_string()),
        ("a signature, three times", &|n| (0..3).map(|j| noise(n << 3 | j, 600) + TEMPLATE).collect()),
    ];
    for (name, middle) in kinds {
        let config = enforced(1);
        let mut engine = Engine::new(Arc::clone(&config));
        let mut asks: Vec<(u64, u64, Vec<Value>)> = Vec::new();
        for key in 0..150u64 {
            let (mut at, mut i) = (hash::mix(key) % 9_000, 0);
            while at < 30 * 3_600 {
                let n = key << 20 | i;
                let question = noise(n, 2_100) + &middle(n) + " " + &noise(!n, 1_100);
                let mut talk = vec![user(question)];
                asks.push((at, key, talk.clone()));
                if hash::mix(n) % 10 < 3 {
                    talk.extend([model(noise(n ^ 1 << 60, 20_000)), user(noise(n ^ 1 << 61, 90))]);
                    asks.push((at + 90, key, talk));
                }
                at += 600 + hash::mix(!n) % (1_800 * (1 + key % 9));
                // At night they sleep.
                at += if (at / 3_600 + key) % 24 > 15 { 8 * 3_600 } else { 0 };
                i += 1;
            }
        }
        asks.sort_by_key(|a| a.0);
        let mut learned = false;
        for (at, key, messages) in asks {
            let t = Nanos::from_secs(traffic::START).plus(Nanos::from_secs(at));
            let mut s = ask(&engine, &Request { t, key, body: json!({"messages": messages}).to_string() });
            learned |= !s.facts.picks.is_empty();
            assert_ne!(engine.decide(t, &mut s).action, Action::Block, "{name}: {key} at {at}");
        }
        assert!(learned, "{name}");
    }
}
