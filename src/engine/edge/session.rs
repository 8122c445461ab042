//! One request in flight: takes head and chunks, answers with `Next`. It decides nothing. Memory: at most
//! about 30 KiB (a batch: 100 KiB).
//!
//! The body is complete when the JSON is, when `content-length` bytes have come, or when the host says so.
//! The last of these alone would be too late: by then the host has sent the request on.

use super::frames::Frames;
use super::head::{Head, MAX_PAIRS};
use super::identity::{Identity, Keys, identify};
use crate::engine::config::routes::RouteQuery;
use crate::engine::config::{Config, OtherPaths, ProfileId};
use crate::engine::dialect::gemini_grpc::Walker;
use crate::engine::dialect::path;
use crate::engine::dialect::reader::Reader;
use crate::engine::dialect::{Dialect, Facts, Unreadable};
use crate::engine::hash;
use crate::engine::json::scan::Scanner;
use crate::engine::json::transcode::Transcoder;
use crate::engine::verdict::Mode;

/// Bytes of headers that are read, at most.
pub const MAX_HEADER_BYTES: usize = 64 << 10;

/// What the host does with the body it holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Keep holding and send more.
    More,
    /// Call `decide` now.
    Ready,
    /// It is too much to hold: release the held bytes and keep sending more (later answers are `Release` or
    /// `Ready`).
    Release,
}

/// How a request without a prompt that a dialect reads is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Other {
    /// Does not apply: it carries a prompt, or its profile is off.
    #[default]
    No,
    /// It passes.
    Passed,
    /// By lists and convictions. Its method asks for no work: reading, preflights, deletions.
    Free,
    /// By lists, convictions and limits: its method carries a body, or it is a handshake or a tunnel.
    Charged,
    /// By lists; otherwise it is refused.
    Refused,
}

/// Position of the next byte in a file of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// At the start of a line.
    Start,
    /// In a line that is a JSON document.
    In,
    /// In a line that is none: part of the form around the file, or of another file.
    Skip,
}

impl Line {
    /// Reads a piece of a file of lines, in a form or not. No document contains a line break.
    fn feed(&mut self, mut text: &[u8], scanner: &mut Scanner, reader: &mut Reader) {
        while !text.is_empty() {
            let end = text.iter().position(|b| *b == b'\n');
            let (piece, rest) = text.split_at_checked(end.unwrap_or(text.len())).unwrap_or((text, &[]));
            let mut piece = piece;
            if *self == Line::Start {
                let blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\r' | 0xef | 0xbb | 0xbf);
                let first = piece.iter().position(|b| !blank(b)).unwrap_or(piece.len());
                piece = piece.get(first..).unwrap_or_default();
                *self = match piece.first() {
                    None => Line::Start,
                    Some(b'{') => Line::In,
                    Some(_) => Line::Skip,
                };
                *scanner = Scanner::default();
            }
            if *self == Line::In {
                let blank = |rest: &[u8]| rest.iter().all(u8::is_ascii_whitespace);
                if !scanner.feed(piece, reader).is_ok_and(blank) {
                    reader.drop_item();
                    *self = Line::Skip;
                }
            }
            if end.is_some() {
                self.end(scanner, reader);
            }
            text = rest.get(1..).unwrap_or_default();
        }
    }

    /// Ends a line. A line that is no document is no request to a server either.
    fn end(&mut self, scanner: &mut Scanner, reader: &mut Reader) {
        if std::mem::replace(self, Line::Start) == Line::In {
            match scanner.finish(reader) {
                Ok(()) => reader.end_item(),
                Err(_) => reader.drop_item(),
            }
        }
    }
}

#[derive(Debug)]
struct Body {
    transcoder: Transcoder,
    scanner: Scanner,
    /// Reader of a protobuf body.
    walker: Option<Box<Walker>>,
    /// Position in the line, if the body may be lines of JSON.
    lines: Option<Line>,
    reader: Reader,
    received: u64,
    length: Option<u64>,
    /// Bytes of a body of unknown length that may be held: a complete document in it could be followed by
    /// more.
    most: u64,
    inspect: u64,
    failed: bool,
    first: FirstBytes,
    /// True if the path asks for a stream.
    streams: bool,
    /// True if a body without a prompt is valid.
    may_be_empty: bool,
    /// True if the connection has no end of a body: it continues after a handshake.
    upgrade: bool,
}

/// Factor on the bytes that are read, up to which strings that no dialect reads are not counted. They are
/// skipped at the speed of a byte search, and the prompt may be behind them.
const PASSED: u64 = 16;

impl Body {
    /// Bytes of the body that may be read, by what is known so far.
    fn limit(&self) -> u64 {
        let passed = self.scanner.skipped().saturating_add(self.reader.passed());
        let passed = passed.min(self.inspect.saturating_mul(PASSED));
        self.inspect.saturating_add(passed)
    }

    fn read(&mut self, seen: &[u8]) {
        let Body { transcoder, scanner, walker, reader, failed, lines, first, .. } = self;
        first.take(seen);
        if let Some(walker) = walker {
            if !*failed && let Err(what) = walker.feed(seen, reader) {
                *failed = true;
                reader.fail(what);
            }
            return;
        }
        transcoder.feed(seen, &mut |text| {
            if *failed {
                return;
            }
            if let Some(line) = lines {
                return line.feed(text, scanner, reader);
            }
            match scanner.feed(text, reader) {
                Ok(rest) if rest.iter().any(|b| !b.is_ascii_whitespace()) => {
                    reader.fail(Unreadable::Trailing)
                }
                Ok(_) => {}
                Err(what) => {
                    *failed = true;
                    reader.fail(if first.is_packed() { Unreadable::Compressed } else { what });
                }
            }
        });
    }
}

/// State of a request between callbacks.
#[derive(Debug)]
pub struct Session {
    /// The profile that applies.
    pub profile: ProfileId,
    /// Who the request is counted for.
    pub identity: Identity,
    /// Dialect that claims the path (`None`: not inference, see `other`).
    pub dialect: Option<&'static dyn Dialect>,
    /// True if each prompt of a list is charged like a request of its own.
    pub by_item: bool,
    /// How the request is decided if no dialect claims its path.
    pub other: Other,
    /// Facts of the body; complete after `finish`.
    pub facts: Facts,
    /// True if it is gRPC: replies carry a status in trailers.
    pub grpc: bool,
    /// True if `accept` asks for problem details (RFC 9457).
    pub problem_json: bool,
    /// True once `decide` has run.
    pub decided: bool,
    /// True while all `content-length` bytes have come and the host has not reported the end of the body.
    pub end_due: bool,
    /// Bytes of its body that may be held while more are to come (`Inspect::holds`).
    pub holds: u64,
    /// Reader of the client's frames, after a WebSocket handshake on a known path.
    pub frames: Option<Box<Frames>>,
    body: Option<Box<Body>>,
}

impl Session {
    /// Starts a request.
    #[inline(never)]
    pub fn open(config: &Config, keys: &Keys, head: &Head<'_>) -> Session {
        let path = path::Normal::of(head.path);
        let profile = config.routes.select(&RouteQuery {
            route: head.route,
            virtual_host: head.virtual_host,
            authority: head.authority,
            path: &path,
            service: head.service,
            metadata_profile: head.metadata_profile,
        });
        let mut session = Session::from_facts(profile, Identity::default(), Facts::default());
        let Some(p) = config.profile(profile).filter(|p| p.mode != Mode::Off) else { return session };
        let facts = HeaderFacts::of(head);
        session.grpc = facts.grpc;
        session.problem_json = facts.problem_json;
        session.holds = p.inspect.holds(facts.length);
        session.identity = identify(&p.identity, keys, head);
        // Handshakes are GET or CONNECT. A server that does not upgrade reads any other request as usual, and so do we; some
        // take the method from a header.
        let carries =
            facts.overrides || !matches!(head.method, b"GET" | b"HEAD" | b"OPTIONS" | b"CONNECT" | b"TRACE");
        // A deletion without a body asks for nothing.
        let nothing = facts.length.unwrap_or(0) == 0 && (head.end_of_stream || facts.length.is_some());
        let carries = carries && !(head.method == b"DELETE" && nothing && !facts.overrides);
        let claimed = p.inspect.dialect(&path);
        session.dialect = claimed.filter(|_| carries);
        let Some(dialect) = session.dialect else {
            let works = carries || head.method == b"CONNECT";
            session.other = match p.inspect.other_paths {
                OtherPaths::None => Other::Passed,
                OtherPaths::Reject if claimed.is_none() => Other::Refused,
                _ if works || facts.upgrade || facts.length.is_some_and(|n| n > 0) => Other::Charged,
                _ => Other::Free,
            };
            if let Some(dialect) = claimed.filter(|_| facts.websocket && session.other == Other::Charged)
                && p.inspect.max_inspect_bytes > 0
            {
                // On any path: all servers that take WebSocket messages share one table.
                let inspect = u64::from(p.inspect.max_inspect_bytes);
                session.frames = Some(Box::new(Frames::new(dialect.frames(), inspect, keys.text)));
                // How much the client will send is not known, whatever the handshake's headers say.
                session.holds = p.inspect.holds(None);
            }
            return session;
        };
        session.by_item = dialect.charges_items(path.end());
        // An upgrade without a length has no body that ends: waiting for it would hang.
        let empty =
            head.end_of_stream || facts.length == Some(0) || (facts.upgrade && facts.length.is_none());
        let failure = match facts.failure {
            None if empty && dialect.may_be_empty(path.end()) => {
                session.facts.media = true;
                return session;
            }
            None if empty => Some(Unreadable::Empty),
            None if p.inspect.max_inspect_bytes == 0 => Some(Unreadable::BeyondWindow),
            failure => failure,
        };
        if failure.is_some() {
            session.facts.unreadable = failure;
            return session;
        }
        let mut reader = Reader::new(dialect);
        reader.seed(session.identity.key.0, keys.text);
        if facts.crowded {
            // It is reported; the body is read all the same.
            reader.fail(Unreadable::Headers);
        }
        session.body = Some(Box::new(Body {
            transcoder: Transcoder::default(),
            scanner: Scanner::default(),
            walker: dialect.protobuf(path.end()).map(|table| Box::new(Walker::new(table))),
            lines: dialect.lines().then_some(Line::Start),
            reader,
            received: 0,
            length: facts.length,
            most: u64::from(p.inspect.max_hold_bytes),
            inspect: u64::from(p.inspect.max_inspect_bytes),
            failed: false,
            first: FirstBytes { bytes: [0; 64], len: 0, no_magic: facts.no_magic },
            upgrade: facts.upgrade,
            streams: dialect.streams(path.end()),
            may_be_empty: dialect.may_be_empty(path.end()),
        }));
        session
    }

    /// Stops sampling the text beside the messages: nothing would match its snippets.
    pub fn leave_beside(&mut self) {
        if let Some(body) = &mut self.body {
            body.reader.leave_beside();
        }
    }

    /// A session for given facts: the simulator makes facts without a wire format.
    pub fn from_facts(profile: ProfileId, identity: Identity, facts: Facts) -> Session {
        Session {
            profile,
            identity,
            dialect: None,
            by_item: false,
            other: Other::No,
            facts,
            grpc: false,
            problem_json: false,
            decided: false,
            end_due: false,
            holds: 0,
            frames: None,
            body: None,
        }
    }

    /// A session for a WebSocket message, which is a request of its own with the key of the handshake.
    /// Without a prompt it is decided by its key alone.
    pub fn of_message(&self, dialect: &'static dyn Dialect, facts: Facts) -> Session {
        let prompt = facts.unreadable != Some(Unreadable::Empty)
            && !(facts.user.is_empty() && facts.instructions.is_empty() && facts.unreadable.is_none());
        let mut session = Session::from_facts(self.profile, self.identity.clone(), facts);
        if prompt {
            (session.dialect, session.by_item) = (Some(dialect), true);
        } else {
            session.facts = Facts::default();
            session.other = if self.other == Other::Passed { Other::Passed } else { Other::Free };
        }
        session
    }

    /// True if the request can be decided without a body.
    pub fn is_ready(&self) -> bool {
        self.body.is_none()
    }

    /// Takes a chunk of the body. `end`: the last one, which may be empty (trailers count as the end).
    pub fn push(&mut self, chunk: &[u8], end: bool) -> Next {
        let Some(body) = &mut self.body else { return Next::Ready };
        let mut rest = chunk;
        while !rest.is_empty() {
            let room = usize::try_from(body.limit().saturating_sub(body.received)).unwrap_or(usize::MAX);
            let (seen, after) = rest.split_at_checked(room).unwrap_or((rest, &[]));
            // Beyond what is looked at, all is only counted.
            rest = if seen.is_empty() { &[] } else { after };
            let n = if seen.is_empty() { after.len() } else { seen.len() };
            body.received = body.received.saturating_add(n as u64);
            body.read(seen);
        }
        let complete = body.length.is_some_and(|n| body.received >= n);
        let told = body.length.is_none()
            && body.lines.is_none()
            && body.scanner.is_done()
            && body.received > body.most;
        if end || complete || body.failed || told || body.received >= body.limit() {
            if end && body.length.is_some_and(|n| body.received < n) {
                body.reader.fail(Unreadable::Truncated);
            }
            self.end_due = complete && !end && !body.upgrade;
            self.finish();
            return Next::Ready;
        }
        if self.holds == 0 || body.received > self.holds { Next::Release } else { Next::More }
    }

    /// Notes that the host reported bytes which it did not hand over: the body was not read whole.
    pub fn miss(&mut self) {
        if let Some(body) = &mut self.body {
            body.reader.fail(Unreadable::Truncated);
        }
    }

    /// Ends the body: the facts are final. A second call does nothing.
    #[inline(never)]
    pub fn finish(&mut self) {
        let Some(mut body) = self.body.take() else { return };
        let limit = body.limit();
        if let Some(line) = &mut body.lines {
            if body.received >= limit {
                body.reader.beyond();
            } else {
                line.end(&mut body.scanner, &mut body.reader);
            }
        } else if !body.failed
            && let Err(what) = match &body.walker {
                Some(walker) => walker.finish(),
                None => body.scanner.finish(&mut body.reader),
            }
        {
            if body.received >= limit {
                body.reader.beyond();
            } else {
                body.reader.fail(if body.first.is_packed() { Unreadable::Compressed } else { what });
            }
        }
        self.facts = body.reader.into_facts(body.lines.is_some());
        self.facts.stream |= body.streams;
        self.facts.body = hash::combine(hash::text(body.received, &body.first.bytes), body.received);
        if body.may_be_empty && self.facts.unreadable == Some(Unreadable::Empty) {
            (self.facts.unreadable, self.facts.media) = (None, true);
        }
        // The rest of a batch that is longer than what is looked at is taken to be like the part that was read.
        if body.received >= limit && self.facts.items > 0 {
            let all = body.length.unwrap_or(body.received).max(limit);
            let items = u64::from(self.facts.items).saturating_mul(all).checked_div(limit.max(1));
            self.facts.items = u16::try_from(items.unwrap_or(0)).unwrap_or(u16::MAX);
        }
    }
}

/// The first two bytes of a body. They tell whether it is compressed, whatever `content-encoding` says,
/// because no document begins like that. Brotli (and deflate without its header) may begin with any byte: a
/// body that is said to be brotli, and is not JSON, counts as compressed.
#[derive(Clone, Copy, Debug)]
struct FirstBytes {
    bytes: [u8; 64],
    len: usize,
    /// True if the headers name a coding that first bytes do not tell.
    no_magic: bool,
}

impl FirstBytes {
    fn take(&mut self, chunk: &[u8]) {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(chunk) {
            *to = *from;
            self.len = self.len.saturating_add(1);
        }
    }

    /// True if the body is compressed. Asked only of bodies that are not JSON, so a false header changes
    /// nothing.
    fn is_packed(self) -> bool {
        let [a, b, ..] = self.bytes;
        match [a, b] {
            // gzip, compress, zstd, deflate in the header of zlib.
            [0x1f, 0x8b | 0x9d] | [0x28, 0xb5] | [0x78, 0x01 | 0x5e | 0x9c | 0xda] => true,
            [b' ' | b'\t' | b'\r' | b'\n', b' ' | b'\t' | b'\r' | b'\n' | b'{'] | [b'{', _] => false,
            _ => self.no_magic,
        }
    }
}

/// What the headers say about the body.
#[derive(Default)]
struct HeaderFacts {
    length: Option<u64>,
    failure: Option<Unreadable>,
    /// True if there are more pairs or bytes than are read.
    crowded: bool,
    /// True if `content-encoding` names brotli or deflate.
    no_magic: bool,
    upgrade: bool,
    /// True if the request asks for an upgrade to WebSocket.
    websocket: bool,
    /// True if a header overrides the method (`x-http-method-override`).
    overrides: bool,
    grpc: bool,
    problem_json: bool,
}

impl HeaderFacts {
    fn of(head: &Head<'_>) -> HeaderFacts {
        let mut out = HeaderFacts::default();
        let bytes =
            head.headers.iter().fold(0usize, |n, (k, v)| n.saturating_add(k.len()).saturating_add(v.len()));
        if head.headers.len() > MAX_PAIRS || bytes > MAX_HEADER_BYTES {
            out.crowded = true;
        }
        for (name, value) in head.headers {
            let is = |n: &str| name.eq_ignore_ascii_case(n.as_bytes());
            if is("content-length") {
                out.length = std::str::from_utf8(value).ok().and_then(|v| v.trim().parse().ok());
            } else if is("content-encoding") {
                // The first 128 bytes: a list of more codings than that names nothing that a server undoes.
                let codings = value.get(..128).unwrap_or(value).split(|b| *b == b',');
                let names = |coding: &[u8]| {
                    let name = coding.trim_ascii();
                    [&b"br"[..], b"deflate", b"dcb"].iter().any(|n| name.eq_ignore_ascii_case(n))
                };
                out.no_magic |= codings.into_iter().any(names);
            } else if is("x-http-method-override") || is("x-method-override") || is("x-http-method") {
                out.overrides = true;
            } else if is("upgrade") {
                out.upgrade = !value.is_empty();
                out.websocket = value.trim_ascii().eq_ignore_ascii_case(b"websocket");
            } else if is("content-type") {
                let lower = value.to_ascii_lowercase();
                out.grpc = lower.starts_with(b"application/grpc");
            } else if is("accept") {
                out.problem_json =
                    value.windows(24).any(|w| w.eq_ignore_ascii_case(b"application/problem+json"));
            }
        }
        out
    }
}
