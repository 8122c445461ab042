//! Bodies: what Weir learns of one depends on its bytes alone, not on chunks, spaces, escapes, Unicode encodings, forms or frames.

use super::json::{Hand, by_serde, chunks, rewrite};
use crate::engine::config::{Config, parse};
use crate::engine::dialect::path::Normal;
use crate::engine::dialect::{DIALECTS, Facts, Unreadable, dialect_for};
use crate::engine::edge::extract::{Extracted, Extractor};
use crate::engine::edge::frames::Frames;
use crate::engine::edge::head::Head;
use crate::engine::edge::identity::Keys;
use crate::engine::edge::session::{Next, Session};
use crate::engine::observation::Observation;
use crate::engine::units::Nanos;
use std::sync::LazyLock;

/// Paths of the formats. The first byte of an input names one by its place: append here, or seeds lose their meaning.
pub const PATHS: &[&str] = &[
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/messages",
    "/v1beta/models/g:generateContent",
    "/google.ai.generativelanguage.v1beta.GenerativeService/GenerateContent",
    "/google.cloud.aiplatform.v1.PredictionService/GenerateContent",
    "/model/m/converse",
    "/model/m/invoke",
    "/v1/chat",
    "/v2/chat",
    "/api/generate",
    "/api/chat",
    "/ml/v1/text/chat",
    "/ml/v1/text/generation",
    "/api/v1/services/aigc/text-generation/generation",
    "/client/v4/accounts/a/ai/run/@cf/meta/llama-3",
    "/v1/messages/batches",
    "/v1beta/models/g:batchGenerateContent",
    "/v1beta/models/g:batchEmbedContents",
    "/v1beta/cachedContents",
    "/v1beta/interactions",
    "/v1/projects/p/locations/l/publishers/anthropic/models/c:rawPredict",
    "/v1/projects/p/locations/l/batchPredictionJobs",
    "/v1/projects/p/locations/l/endpoints/1:predict",
    "/agents/a/agentAliases/t/sessions/s/text",
    "/flows/f/aliases/a",
    "/retrieveAndGenerate",
    "/v1/conversations",
    "/v1/threads",
    "/v1/threads/t/messages",
    "/v1/evals",
    "/v1/realtime/sessions",
    "/v1/batch/jobs",
    "/v1/files",
    "/v1/uploads/up_1/parts",
    "/v1/images/generations",
    "/v2/models/m/infer",
    "/generate",
    "/",
    "/invocations",
    "/completion",
    "/infill",
    "/v1/complete",
    "/v2/embed",
    "/api/embeddings",
    "/rerank",
    "/score",
    "/20231130/actions/chat",
    "/v1/predictions",
    "/models/org/name",
];

/// Configuration and keys with the defaults.
pub static DEFAULTS: LazyLock<(Config, Keys)> = LazyLock::new(|| {
    let config = parse(&format!(r#"{{"seed":"{}"}}"#, "5a".repeat(32))).expect("the defaults");
    let keys = Keys::new(&config.seed);
    (config, keys)
});

/// The same, and little of a body is looked at.
static NARROW: LazyLock<Config> = LazyLock::new(|| {
    let inspect = r#""inspect":{"max_hold_bytes":"256B","max_inspect_bytes":"1KiB"}"#;
    parse(&format!(r#"{{"seed":"{}",{inspect}}}"#, "5a".repeat(32))).expect("little is looked at")
});

/// All that comes of a body. The hash that tells unreadable bodies apart is left out where the bytes differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Told {
    pub unreadable: Option<Unreadable>,
    instructions: String,
    texts: [(String, u64); 2],
    flags: [bool; 4],
    counts: [u64; 4],
    pub items: u16,
    model: u64,
    shape: u64,
    obs: Observation,
    values: Vec<u64>,
    others: Vec<(Observation, Vec<u64>)>,
}

impl Told {
    /// Of a session that is finished.
    fn of(session: &mut Session) -> Told {
        let f = &mut session.facts;
        let text = |w: &mut crate::engine::dialect::Window| {
            let len = w.text_len();
            let (head, tail) = w.regions();
            (String::from_utf8_lossy(&[head, b"|", tail].concat()).into_owned(), len)
        };
        let told = Told {
            unreadable: f.unreadable,
            instructions: String::from_utf8_lossy(&f.instructions).into_owned(),
            texts: [text(&mut f.user), text(&mut f.first_user)],
            flags: [f.conversation, f.stream, f.media, f.beyond_window],
            counts: [f.messages.into(), f.prompts.into(), f.answers.into(), f.picks.len() as u64],
            items: f.items,
            model: f.model,
            shape: f.shape,
            obs: Observation::default(),
            values: Vec::new(),
            others: Vec::new(),
        };
        let mut x = Extracted::default();
        Extractor::new(&DEFAULTS.0.seed).take(Nanos::from_secs(1_790_000_000), session, &mut x);
        let others = x.others.into_iter().map(|o| (o.obs, o.values)).collect();
        Told { obs: x.obs, values: x.values, others, ..told }
    }

    /// The same of a body that says the same in other bytes.
    pub fn in_other_bytes(mut self) -> Told {
        if self.unreadable.is_some() {
            self.obs.exact = 0;
        }
        self.others.retain(|o| o.0.flags & crate::engine::observation::UNREADABLE == 0);
        self
    }
}

/// What comes of a body in chunks.
pub fn read<'a>(path: &str, body: impl Iterator<Item = &'a [u8]>) -> Told {
    read_by(&DEFAULTS.0, None, path, body)
}

fn read_by<'a>(
    config: &Config,
    length: Option<usize>,
    path: &str,
    body: impl Iterator<Item = &'a [u8]>,
) -> Told {
    let length = length.map(|n| n.to_string());
    let mut headers: Vec<(&[u8], &[u8])> = vec![(b"authorization", b"Bearer one")];
    headers.extend(length.as_ref().map(|n| (&b"content-length"[..], n.as_bytes())));
    let head = Head { path: path.as_bytes(), headers: &headers, ..Head::default() };
    let mut session = Session::open(config, &DEFAULTS.1, &head);
    let ready = body.into_iter().any(|chunk| session.push(chunk, false) == Next::Ready);
    if !ready {
        assert_eq!(session.push(b"", true), Next::Ready, "a body that has ended");
    }
    session.finish();
    Told::of(&mut session)
}

/// The same in any chunks. (What cannot be read ends the reading: how much had come by then is the chunks' affair, and is in the hash that
/// tells such bodies apart.)
fn read_all(path: &str, body: &[u8], seed: u8) -> Told {
    let whole = read(path, std::iter::once(body)).in_other_bytes();
    assert_eq!(whole, read(path, body.chunks(1)).in_other_bytes(), "{path}: a byte at a time");
    assert_eq!(whole, read(path, chunks(body, seed)).in_other_bytes(), "{path}: in chunks");
    whole
}

fn path_of(byte: u8) -> &'static str {
    PATHS[usize::from(byte) % PATHS.len()]
}

pub fn dialects(data: &[u8]) {
    let [which, seed, body @ ..] = data else { return };
    let path = path_of(*which);
    let normal = Normal::of(path.as_bytes());
    let dialect = dialect_for(&normal).expect("a path of a dialect");
    if *seed & 0x80 != 0 {
        // Beyond what is looked at.
        let by = |body: &mut dyn Iterator<Item = &[u8]>, n: usize| {
            read_by(&NARROW, Some(n), path, body).in_other_bytes()
        };
        let whole = by(&mut std::iter::once(body), body.len());
        assert_eq!(whole, by(&mut body.chunks(1), body.len()), "{path}: narrow, a byte at a time");
        assert_eq!(whole, by(&mut chunks(body, *seed), body.len()), "{path}: narrow, in chunks");
        return;
    }
    let told = read_all(path, body, *seed);
    if dialect.lines() || dialect.protobuf(normal.end()).is_some() || body.len() < 2 {
        // (A body of one byte is dropped.)
        return;
    }
    let Some(events) = std::str::from_utf8(body).ok().and_then(by_serde) else { return };
    for hand in [Hand::Compact, Hand::Spaced, Hand::Escaped] {
        let other = rewrite(&events, hand);
        // A digit behind a blank becomes a body of one byte.
        if other.len() < 2 {
            continue;
        }
        let again = read(path, std::iter::once(&other[..])).in_other_bytes();
        assert_eq!(told, again, "{path}: {hand:?}: {}", String::from_utf8_lossy(&other));
    }
}

/// Bodies in UTF-16 and UTF-32.
pub fn unicode(data: &[u8]) {
    let [which, seed, body @ ..] = data else { return };
    let (path, Ok(body)) = (path_of(*which), std::str::from_utf8(body)) else { return };
    let normal = Normal::of(path.as_bytes());
    let protobuf = dialect_for(&normal).is_some_and(|d| d.protobuf(normal.end()).is_some());
    // Wide letters of a longer body are more than what is held.
    if protobuf || body.len() < 2 || body.len() > 3_500 || body.starts_with('\u{feff}') {
        // Anything is a message: wide letters, too.
        read_all(path, data, *seed);
        return;
    }
    let units = |big: bool| -> Vec<u8> {
        body.encode_utf16().flat_map(|u| if big { u.to_be_bytes() } else { u.to_le_bytes() }).collect()
    };
    let letters = |big: bool| -> Vec<u8> {
        let bytes = |c: char| if big { u32::from(c).to_be_bytes() } else { u32::from(c).to_le_bytes() };
        body.chars().flat_map(bytes).collect()
    };
    let plain = read(path, std::iter::once(body.as_bytes())).in_other_bytes();
    // JSON begins with two letters of ASCII: else only a byte order mark tells the encoding.
    let first: Vec<char> = body.chars().take(2).collect();
    let tells = first.len() == 2 && first.iter().all(|c| c.is_ascii() && *c != '\0');
    let marks: [(&[u8], Vec<u8>); 4] = [
        (&[0xfe, 0xff], units(true)),
        (&[0xff, 0xfe], units(false)),
        (&[0, 0, 0xfe, 0xff], letters(true)),
        (&[0xff, 0xfe, 0, 0], letters(false)),
    ];
    for (i, (mark, wide)) in marks.into_iter().enumerate() {
        // Of a body that begins with the first bytes of gzip or of wide letters its own bytes speak.
        if plain.unreadable == Some(Unreadable::Compressed)
            || !matches!(body.as_bytes(), [1..=255, 1..=255, ..])
        {
            return;
        }
        if tells {
            assert_eq!(plain, read_all(path, &wide, *seed), "{path}: encoding {i}");
        }
        let marked = [mark, &wide].concat();
        assert_eq!(plain, read_all(path, &marked, *seed), "{path}: encoding {i}, marked");
    }
}

/// Files of lines, alone and in a form.
pub fn multipart(data: &[u8]) {
    let [mode, seed, file @ ..] = data else { return };
    let path = if mode & 1 == 0 { "/v1/files" } else { "/v1/uploads/up_1/parts" };
    if mode & 2 != 0 {
        // Whatever the form looks like.
        read_all(path, file, *seed);
        return;
    }
    // The first bytes of a body tell its encoding.
    let [1..=0x7f, 1..=0x7f, ..] = file else { return };
    let alone = read_all(path, file, *seed);
    let mut form =
        b"--b0undary\r\ncontent-disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b0undary\r\n"
            .to_vec();
    form.extend(b"content-disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\n\r\n");
    form.extend(file);
    form.extend(b"\r\n--b0undary--\r\n");
    assert_eq!(alone, read_all(path, &form, *seed), "in a form");
}

type Message = (Option<Unreadable>, [String; 2], bool, u64, u64);

fn message(mut facts: Facts) -> Message {
    let text = |w: &mut crate::engine::dialect::Window| {
        let (head, tail) = w.regions();
        String::from_utf8_lossy(&[head, b"|", tail].concat()).into_owned()
    };
    let texts = [text(&mut facts.user), String::from_utf8_lossy(&facts.instructions).into_owned()];
    (facts.unreadable, texts, facts.media, facts.model, facts.shape)
}

fn messages<'a>(which: u8, wire: impl Iterator<Item = &'a [u8]>) -> Vec<Message> {
    let dialect = DIALECTS[usize::from(which) % DIALECTS.len()].frames();
    let (mut frames, mut out) = (Frames::new(dialect, 512, 7), Vec::new());
    for chunk in wire {
        let mut rest = chunk;
        loop {
            let (after, facts) = frames.next(rest);
            assert!(after.len() <= rest.len());
            rest = after;
            match facts {
                Some(facts) => out.push(message(facts)),
                None => break,
            }
        }
        assert!(rest.is_empty(), "all was read");
    }
    out
}

/// A frame of RFC 6455.
pub fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let masked = if mask.is_some() { 0x80 } else { 0 };
    let mut out = vec![first];
    match payload.len() {
        n @ ..126 => out.push(masked | n as u8),
        n @ 126..=0xffff => {
            out.push(masked | 126);
            out.extend((n as u16).to_be_bytes());
        }
        n => {
            out.push(masked | 127);
            out.extend((n as u64).to_be_bytes());
        }
    }
    let mask = mask.inspect(|m| out.extend(m)).unwrap_or_default();
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
    out
}

/// WebSocket: any bytes in any chunks; and messages in fragments, masked, with pings between them.
pub fn frames(data: &[u8]) {
    let [which, seed, wire @ ..] = data else { return };
    let whole = messages(*which, std::iter::once(wire));
    assert_eq!(whole, messages(*which, wire.chunks(1)), "a byte at a time");
    assert_eq!(whole, messages(*which, chunks(wire, *seed)), "in chunks");
    let (mut plain, mut torn) = (Vec::new(), Vec::new());
    let mask = [*seed, 0x5a, which ^ 0xa5, 1];
    for text in wire.split(|b| *b == 0xff) {
        plain.extend(frame(0x81, None, text));
        let parts: Vec<&[u8]> = chunks(text, *seed).collect();
        for (i, part) in parts.iter().enumerate() {
            let code = if i == 0 { 1 } else { 0 };
            let end = if i + 1 == parts.len() { 0x80 } else { 0 };
            torn.extend(frame(code | end, Some(mask), part));
            torn.extend(frame(0x89, Some(mask), b"ping"));
        }
        if parts.is_empty() {
            torn.extend(frame(0x81, Some(mask), b""));
        }
    }
    let whole = messages(*which, std::iter::once(&plain[..]));
    assert_eq!(whole, messages(*which, chunks(&torn, *seed)), "in fragments");
}
