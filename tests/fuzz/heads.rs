//! Heads: paths that servers treat alike are one path, one secret is one key wherever it stands, and any request gets a verdict.

use super::bodies::DEFAULTS;
use crate::engine::Engine;
use crate::engine::config::{Config, parse};
use crate::engine::dialect::dialect_for;
use crate::engine::dialect::path::{MAX, Normal, ends_with, split_last};
use crate::engine::edge::address::{masked, parse_address};
use crate::engine::edge::credentials::{access_key, authorization, bare, basic, claim, cookie};
use crate::engine::edge::head::{Head, Properties};
use crate::engine::edge::identity::{Keys, identify};
use crate::engine::edge::session::Next;
use crate::engine::units::Nanos;
use std::sync::{Arc, LazyLock};

pub fn path(raw: &[u8]) {
    let normal = Normal::of(raw);
    let (start, end) = (normal.start(), normal.end());
    assert!(start.len() <= 2 * MAX && end.len() <= 2 * MAX);
    assert!(raw.len() < MAX || normal.start().len() <= raw.len() + 1, "it grows");
    let dialect = dialect_for(&normal).map(|d| d.name());
    let _ = (split_last(end), ends_with(end, "/completions"));
    let same = |other: &[u8], how: &str| {
        let again = Normal::of(other);
        let both = (String::from_utf8_lossy(raw), String::from_utf8_lossy(other));
        assert_eq!((start, end), (again.start(), again.end()), "{how}: {both:?}");
        assert_eq!(dialect, dialect_for(&again).map(|d| d.name()), "{how}");
    };
    let cut = raw.iter().position(|b| matches!(b, b'?' | b'#')).unwrap_or(raw.len());
    let bare = &raw[..cut];
    same(bare, "without its query");
    same(&[bare, b"?a=/b"].concat(), "with another query");
    if bare.contains(&b'%') {
        return;
    }
    same(&bare.to_ascii_uppercase(), "in capitals");
    let encoded: Vec<u8> = bare
        .iter()
        .flat_map(|b| {
            if b.is_ascii_alphanumeric() || *b == b'.' { format!("%{b:02x}").into_bytes() } else { vec![*b] }
        })
        .collect();
    same(&encoded, "with its letters encoded");
    for (what, with) in [("//", "doubled slashes"), ("/./", "dots between"), ("/x/../", "detours")] {
        let more: Vec<u8> =
            bare.iter().flat_map(|b| if *b == b'/' { what.as_bytes().to_vec() } else { vec![*b] }).collect();
        same(&more, with);
    }
}

/// Properties of the host: one value for all.
struct All<'a>(&'a [u8]);

impl Properties for All<'_> {
    fn get(&self, path: &str) -> Option<Vec<u8>> {
        (path.len() % 2 == self.0.len() % 2).then(|| self.0.to_vec())
    }
}

/// A request as text: `METHOD path`, headers, an empty line, the body.
struct Parsed<'a> {
    method: &'a [u8],
    path: &'a [u8],
    headers: Vec<(&'a [u8], &'a [u8])>,
    body: &'a [u8],
}

fn parsed(text: &[u8]) -> Parsed<'_> {
    let line = |text: &mut &[u8]| {
        let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
        let (line, rest) = text.split_at(end);
        *text = rest.get(1..).unwrap_or_default();
        // The slice is longer-lived than the borrow of the cursor.
        line.len()
    };
    let (mut rest, mut lines) = (text, Vec::new());
    while !rest.is_empty() {
        let before = rest;
        let n = line(&mut rest);
        if n == 0 {
            break;
        }
        lines.push(&before[..n]);
    }
    let split = |text: &'_ [u8], at: u8| text.iter().position(|b| *b == at);
    let first: &[u8] = lines.first().copied().unwrap_or_default();
    let (method, path) = match split(first, b' ') {
        Some(at) => (&first[..at], &first[at + 1..]),
        None => (&b"POST"[..], first),
    };
    let headers = lines.iter().skip(1).filter_map(|l| {
        let at = split(l, b':')?;
        Some((&l[..at], l[at + 1..].trim_ascii()))
    });
    Parsed { method, path, headers: headers.collect(), body: rest }
}

fn config(text: &str) -> Arc<Config> {
    let tables = r#""keys":1024,"campaign":{"groups":64,"doorkeeper_bits":10,"novelty_bits":10}"#;
    Arc::new(
        parse(&format!(r#"{{"policy":"fuzz","seed":"{}",{tables},{text}}}"#, "5a".repeat(32))).expect(text),
    )
}

/// Ways to tell who it is.
static CONFIGS: LazyLock<Vec<(Arc<Config>, Keys)>> = LazyLock::new(|| {
    let all = [
        r#""mode":"enforce""#,
        r#""mode":"enforce","identity":{"sha256":true,"sources":[{"header":"x-client-id"},{"bearer":true},{"query":"key"},
           {"cookie":"sid"},{"jwt":"org.sub"},{"basic":true},{"sigv4":true},{"property":"a.b"},{"address":{"ipv4":24,"ipv6":48}}],
           "tenant":{"header":"x-org"},"age":{"header":"x-account-created"},"ja4":{"property":"a.j"},"trusted_hops":1,
           "hops_header":"forwarded"},"inspect":{"max_hold_bytes":"1KiB","max_inspect_bytes":"2KiB","on_unreadable":"reject"}"#,
        r#""identity":{"sources":[{"jwt":"sub"},{"header":"x-api-key"},{"address":{"ipv4":32,"ipv6":64}}],
           "tenant":{"jwt":"org.id"},"trusted_hops":3},"inspect":{"other_paths":"reject"},
           "limits":[{"name":"few","requests":2,"per":"1h"},{"name":"all","requests":9,"per":"1h","by":"tenant"}]"#,
    ];
    all.into_iter()
        .map(|text| {
            let config = config(text);
            let keys = Keys::new(&config.seed);
            (config, keys)
        })
        .collect()
});

pub fn identity(data: &[u8]) {
    let Some((&which, text)) = data.split_first() else { return };
    let request = parsed(text);
    let (config, keys) = &CONFIGS[usize::from(which) % CONFIGS.len()];
    let properties = All(request.body);
    let profile = config.profile(0).expect("the base profile");
    let of = |headers: &[(&[u8], &[u8])]| {
        let head = Head {
            method: request.method,
            path: request.path,
            authority: b"api.example.com",
            headers,
            source: if which & 0x80 == 0 { b"203.0.113.7:1" } else { request.body },
            properties: &properties,
            ..Head::default()
        };
        identify(&profile.identity, keys, &head)
    };
    let id = of(&request.headers);
    assert!(id.anonymous == (id.key.0 == 0), "a key, or anonymous");
    let capitals: Vec<Vec<u8>> = request.headers.iter().map(|h| h.0.to_ascii_uppercase()).collect();
    let shouted: Vec<(&[u8], &[u8])> =
        capitals.iter().zip(&request.headers).map(|(name, h)| (&name[..], h.1)).collect();
    assert_eq!(id.key, of(&shouted).key, "names of headers have no case");
    // The readers of one value alone.
    for (_, value) in &request.headers {
        authorization(value, &mut |_| ());
        let _ = (bare(value), access_key(value), basic(value), claim(value, "org.sub"), claim(value, "sub"));
        cookie(value, "sid", &mut |_| ());
        if let Some(address) = parse_address(value) {
            let _ = (masked(address, 24, 48), masked(address, 0, 128));
        }
    }
    // A secret is one key wherever it stands.
    let secret: Vec<u8> = request.body.iter().copied().filter(u8::is_ascii_alphanumeric).take(64).collect();
    let (config, keys) = &*DEFAULTS;
    let profile = config.profile(0).expect("the base profile");
    let of = |name: &[u8], value: &[u8]| {
        let head = Head { path: b"/v1/messages", headers: &[(name, value)], ..Head::default() };
        identify(&profile.identity, keys, &head).key
    };
    if secret.len() >= 8 {
        let key = of(b"x-api-key", &secret);
        assert_ne!(key.0, 0);
        assert_eq!(key, of(b"authorization", &[b"Bearer ", &secret[..]].concat()), "as a bearer token");
        assert_eq!(key, of(b"Authorization", &[b"bearer  ", &secret[..], b" "].concat()), "with spaces");
        assert_eq!(key, of(b"x-goog-api-key", &secret), "in Google's header");
    }
}

/// Whole requests through an engine with small tables: three in a row, by the clock that the first bytes say.
pub fn requests(data: &[u8]) {
    let [which, a, b, text @ ..] = data else { return };
    let request = parsed(text);
    let (config, _) = &CONFIGS[usize::from(*which) % CONFIGS.len()];
    let mut engine = Engine::new(Arc::clone(config));
    let properties = All(request.method);
    let mut now = Nanos::from_secs(1_790_000_000 + u64::from(*a) * 60);
    for round in 0..3 {
        let head = Head {
            method: request.method,
            path: request.path,
            authority: b"api.example.com",
            headers: &request.headers,
            source: b"203.0.113.7:1",
            properties: &properties,
            end_of_stream: request.body.is_empty() && b & 1 == 0,
            ..Head::default()
        };
        let mut session = engine.open(now, &head);
        let ready = session.is_ready()
            || request.body.chunks(1 + usize::from(*b)).any(|c| session.push(c, false) == Next::Ready);
        if !ready {
            assert_eq!(session.push(b"", true), Next::Ready);
        }
        session.finish();
        let decision = engine.decide(now, &mut session);
        let record = engine.record(now, &decision);
        let told: serde_json::Value = serde_json::from_str(&record).expect("a record is JSON");
        assert!(told["action"].is_string(), "{round}: {record}");
        now = Nanos(now.0 + (u64::from(*b) << 34));
        engine.tick(now);
    }
}
