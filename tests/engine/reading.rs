//! A body to the facts that Weir sees, for the tests of the wire formats.

use serde_json::{Value, json};
use std::sync::Arc;
use weir::engine::Engine;
use weir::engine::config;
use weir::engine::dialect::Unreadable;
use weir::engine::edge::identity::Head;
use weir::engine::edge::session::{Next, Session};
use weir::engine::units::Nanos;

/// An engine with the defaults.
pub fn engine() -> Engine {
    Engine::new(Arc::new(config::parse("{}").unwrap()))
}

/// A request without its body.
pub fn open(engine: &Engine, path: &str, headers: &[(&str, &str)]) -> Session {
    begin(engine, "POST", path, headers, false)
}

/// The same by any method; `end`: no body follows.
pub fn begin(engine: &Engine, method: &str, path: &str, headers: &[(&str, &str)], end: bool) -> Session {
    let pairs: Vec<(&[u8], &[u8])> = headers.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
    let head = Head {
        method: method.as_bytes(),
        path: path.as_bytes(),
        authority: b"api.example.com",
        headers: &pairs,
        source: b"203.0.113.7:1",
        end_of_stream: end,
        ..Head::default()
    };
    engine.open(Nanos(0), &head)
}

/// What Weir sees of a body that comes in chunks.
pub fn facts(engine: &Engine, path: &str, body: &[u8], chunk: usize) -> Value {
    facts_with(engine, path, &[], body, chunk)
}

/// The same, with headers.
pub fn facts_with(engine: &Engine, path: &str, headers: &[(&str, &str)], body: &[u8], chunk: usize) -> Value {
    let mut s = open(engine, path, headers);
    let name = s.dialect.map(|d| d.name());
    let mut last = Next::More;
    for c in body.chunks(chunk.max(1)) {
        last = s.push(c, false);
        if last == Next::Ready {
            break;
        }
    }
    if last != Next::Ready {
        assert_eq!(s.push(b"", true), Next::Ready);
    }
    s.finish();
    let text = |(a, b): (&[u8], &[u8])| String::from_utf8_lossy(&[a, b].concat()).into_owned();
    json!({
        "dialect": name,
        "instructions": String::from_utf8_lossy(&s.facts.instructions),
        "user": text(s.facts.user.regions()),
        "first_user": text(s.facts.first_user.regions()),
        "conversation": s.facts.conversation,
        "stream": s.facts.stream,
        "media": s.facts.media,
        "lengths": [s.facts.user.text_len(), s.facts.first_user.text_len()],
        "items": s.facts.items,
        "unreadable": s.facts.unreadable.map(Unreadable::name),
        "shape": s.facts.shape,
        "model": s.facts.model,
    })
}
