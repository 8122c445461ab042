//! Files of other people: configurations, traces, logs, audit logs.

use super::bodies::DEFAULTS;
use crate::chain::{Head as ChainHead, Verifier, read};
use crate::engine::Engine;
use crate::engine::config::{parse, parse_with_env};
use crate::engine::edge::Edge;
use crate::engine::edge::head::Head;
use crate::engine::edge::identity::Keys;
use crate::engine::edge::session::Session;
use crate::engine::units::Nanos;
use crate::import::request::{Made, Paths, Sink};
use crate::import::unfold::Unfold;
use crate::import::{FORMATS, Format, join::Join};
use crate::skip::Skip;
use crate::trace::Line;
use serde_json::json;
use std::io::Read;
use std::sync::Arc;

pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse_with_env(text, Some("x"));
    let config = match parse(text) {
        Ok(config) => config,
        Err(problems) => {
            assert!(
                !problems.0.is_empty() && !problems.to_string().is_empty(),
                "refused, and nobody says why"
            );
            return;
        }
    };
    let plain = text.trim_start_matches('\u{feff}');
    assert!(
        plain.trim().is_empty() || serde_json::from_str::<serde_json::Value>(plain).is_ok(),
        "it is no JSON"
    );
    // What is accepted can be used.
    let (config, keys) = (Arc::new(config.clone()), Keys::new(&config.seed));
    let headers: [(&[u8], &[u8]); 3] =
        [(b"authorization", b"Bearer one"), (b"x-org", b"a"), (b"x-account-created", b"2026-01-01")];
    let body = br#"{"messages":[{"role":"user","content":"four words are here"}]}"#;
    let mut edge = Edge::new(Arc::clone(&config));
    let small = config.keys <= 4_096 && config.campaign.groups <= 1_024;
    let small = small && config.campaign.doorkeeper_bits <= 14 && config.campaign.novelty_bits <= 14;
    let mut engine = small.then(|| Engine::new(Arc::clone(&config)));
    for path in ["/v1/chat/completions", "/v1/embeddings", "/admin"] {
        let head = Head {
            path: path.as_bytes(),
            authority: b"api.example.com",
            route: b"chat-a",
            headers: &headers,
            source: b"203.0.113.7:1",
            ..Head::default()
        };
        let now = Nanos(1_790_000_000_000_000_000);
        let open = || {
            let mut session = Session::open(&config, &keys, &head);
            session.push(body, true);
            session.finish();
            session
        };
        let decision = edge.answer(now, &mut open());
        let record = decision.record(now, &config, None);
        serde_json::from_str::<serde_json::Value>(&record).expect("a record is JSON");
        if let Some(engine) = &mut engine {
            let decision = engine.decide(now, &mut open());
            let _ = engine.record(now, &decision);
            engine.tick(Nanos(now.0 + 60_000_000_000));
        }
    }
}

/// A line as `weir replay` uses it.
fn replay(line: &mut Line<'_>) -> Result<(), Skip> {
    let _ = (line.time()?, line.was_refused());
    let properties = line.properties();
    let body = line.body()?;
    let headers = line.headers();
    let (config, keys) = &*DEFAULTS;
    let path = line.path.as_ref().map_or("", |p| p.as_ref());
    let head = Head {
        method: line.method.as_ref().map_or("POST", |m| m.as_ref()).as_bytes(),
        path: path.as_bytes(),
        headers: &headers,
        source: line.source.as_ref().map_or("", |s| s.as_ref()).as_bytes(),
        properties: &properties,
        end_of_stream: body.is_none(),
        ..Head::default()
    };
    let mut session = Session::open(config, keys, &head);
    if let Some(body) = &body {
        session.push(body, true);
    }
    session.finish();
    Ok(())
}

pub fn trace(data: &[u8]) {
    for text in data.split(|b| *b == b'\n') {
        match Line::parse(text) {
            Ok(mut line) => {
                assert!(line.path.is_some(), "a line without a path");
                if let Ok(text) = std::str::from_utf8(text) {
                    serde_json::from_str::<&serde_json::value::RawValue>(text).expect("a line is JSON");
                }
                let _ = replay(&mut line);
            }
            Err(skip) => assert!(!skip.why.is_empty() && !skip.kind().is_empty()),
        }
    }
}

/// A source that hands out so many bytes at once.
struct Drip<'a>(&'a [u8], usize);

impl Read for Drip<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let n = self.1.min(to.len()).min(self.0.len());
        to[..n].copy_from_slice(&self.0[..n]);
        self.0 = &self.0[n..];
        Ok(n)
    }
}

fn unfolded(data: &[u8], at_once: usize) -> Vec<u8> {
    let mut out = Vec::new();
    Unfold::new(Drip(data, at_once)).read_to_end(&mut out).expect("nothing fails");
    out
}

pub fn import(data: &[u8]) {
    let [which, at_once, file @ ..] = data else { return };
    let lines = unfolded(file, usize::MAX);
    assert_eq!(lines, unfolded(file, 1 + usize::from(*at_once % 16)), "whatever is read at once");
    let forced: Option<&'static dyn Format> = FORMATS.get(usize::from(*which)).copied();
    let name = || Some("metadata.user_id".to_string());
    let paths = Paths { key: name(), tenant: name(), age: name(), label: name(), ..Paths::default() };
    let mut join = Join::default();
    let mut done = Vec::new();
    for text in lines.split(|b| *b == b'\n') {
        let _ = crate::import::requests(text, "1790000000", |line, _| replay(line));
        let Ok(text) = std::str::from_utf8(text) else { continue };
        let mut sink = Sink { paths: &paths, file_time: "1790000000", made: Vec::new() };
        let _ = crate::import::read(text, forced, Skip::new("no line of a trace"), &mut sink);
        for made in sink.made {
            match made {
                Made::Line(line, _) => done.push(line),
                Made::Piece { of, piece } => drop(join.take(&of, piece, &mut done)),
            }
        }
    }
    join.finish(&mut done);
    for line in done {
        serde_json::from_slice::<&serde_json::value::RawValue>(&line).expect("what is made is JSON");
        if let Ok(mut line) = Line::parse(&line) {
            let _ = replay(&mut line);
        }
    }
}

/// Any lines; lines whose hash somebody made good; and a whole chain to which something was done.
pub fn audit(data: &[u8]) {
    let Some((&what, text)) = data.split_first() else { return };
    let mut any = Verifier::default();
    (1..).zip(text.split(|b| *b == b'\n')).for_each(|(row, line)| any.line(0, row, line));
    let _ = any.end(None, None);

    // Each line is the number and the hash before; the hash of the line is good.
    let mut forged = Verifier::default();
    let after = "0".repeat(64);
    for (row, line) in (1..).zip(text.split(|b| *b == b'\n')) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        let body = format!(r#"{{"n":{},"prev":"{after}""#, line.trim());
        let hash = crate::chain::hex(&<sha2::Sha256 as sha2::Digest>::digest(&body));
        let line = format!("{body},\"hash\":\"{hash}\"}}");
        assert!(read(line.as_bytes()).is_none_or(|l| l.prev.len() == 64));
        forged.line(0, row, line.as_bytes());
    }
    let (findings, _) =
        forged.end((what & 1 == 1).then_some(&after[..]), (what & 2 == 2).then_some(&after[..]));
    findings.iter().for_each(|f| assert!(!f.text(&["a".into()]).is_empty()));

    let (mut head, mut lines) = (ChainHead::default(), Vec::new());
    for (i, reason) in text.chunks(16).take(8).enumerate() {
        let (line, next) = head.next(i as u64, "act", &json!({"reason": String::from_utf8_lossy(reason)}));
        serde_json::from_str::<serde_json::Value>(&line).expect("a line is JSON");
        lines.push(line.trim_end().as_bytes().to_vec());
        head = next;
    }
    let whole = lines.clone();
    if let ([at, to, byte, ..], false) = (text, lines.is_empty()) {
        let (at, to) = (usize::from(*at) % lines.len(), usize::from(*to) % lines.len());
        match what % 5 {
            0 => {
                let byte = usize::from(*byte) % lines[at].len();
                lines[at][byte] ^= 1 << (what >> 5);
            }
            1 => drop(lines.remove(at)),
            2 => lines.swap(at, to),
            3 => lines.insert(to, lines[at].clone()),
            _ => lines.truncate(at),
        }
    }
    let mut chain = Verifier::default();
    (1..).zip(&lines).for_each(|(row, line)| chain.line(0, row, line));
    let (findings, _) = chain.end(None, Some(&head.hash));
    assert_eq!(findings.is_empty(), lines == whole, "what was done is found");
}
