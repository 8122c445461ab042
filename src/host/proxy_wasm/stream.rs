//! One request on the host's side: which callbacks may hold it, what is read, when it is decided. No policy.

use super::END_LIMIT_NS;
use super::calls;
use super::metrics::Counter;
use super::plugin::Plugin;
use super::socket::Socket;
use crate::engine::Decision;
use crate::engine::config::ProfileId;
use crate::engine::edge::session::{Next, Session};
use crate::engine::verdict::Action;
use proxy_wasm::types::Action::{Continue, Pause};
use proxy_wasm::types::{self, BufferType, MapType};

/// Header with the tag for the upstream. A client's own is removed.
pub const VERDICT_HEADER: &str = "x-weir-verdict";

/// True if this is that header's name, or one that a server with CGI-like variables cannot tell from it.
pub fn is_verdict_header(name: &[u8]) -> bool {
    let plain = |b: &u8| if *b == b'_' { b'-' } else { b.to_ascii_lowercase() };
    name.len() == VERDICT_HEADER.len() && name.iter().map(plain).eq(VERDICT_HEADER.bytes())
}

/// Largest part of a body that is read at once, bytes: it fits in the processor's cache and bounds the
/// memory.
pub const PIECE: usize = 64 << 10;

/// A request between callbacks.
#[derive(Debug)]
pub struct Stream {
    /// Id of its root context.
    pub root: u32,
    /// The engine's state of the request, until it is decided.
    pub session: Option<Session>,
    /// True if the last body callback answered `Pause`: the host's buffer grows, and so does the size it
    /// reports.
    holding: bool,
    /// Bytes of that buffer read so far.
    read: usize,
    /// Time since which headers are held, nanoseconds; 0 = they are not held.
    pub held_since: u64,
    /// True if a local reply was sent.
    rejected: bool,
    /// Reader of a WebSocket, after its handshake.
    socket: Option<Box<Socket>>,
    /// The reply that waits.
    refusal: Option<Box<Refusal>>,
    request_id: String,
}

/// A rejection whose reply waits.
#[derive(Debug)]
struct Refusal {
    decision: Decision,
    session: Session,
    /// Time of the decision, nanoseconds.
    since: u64,
    /// True if the host may still report the end of the body: a proxy that answers earlier closes the
    /// connection.
    end_due: bool,
    /// Time after which the ledger has published the key's wait, nanoseconds; 0: it has.
    word_in: u64,
}

impl Stream {
    /// A stream of a root context.
    pub fn new(root: u32) -> Stream {
        Stream {
            root,
            session: None,
            holding: false,
            read: 0,
            held_since: 0,
            rejected: false,
            socket: None,
            refusal: None,
            request_id: String::new(),
        }
    }

    /// True if it waits for something that may never come, so a tick must be able to reach it.
    pub fn waits(&self) -> bool {
        self.refusal.is_some() || self.held_since > 1 && !self.holding
    }

    /// True if its headers have been held since before `limit`, and no body has come.
    pub fn hangs_since(&self, limit: u64) -> bool {
        self.held_since > 1 && self.held_since < limit && !self.holding
    }

    /// Handles request headers. Holds them if the configuration says that the host allows it.
    pub fn headers(&mut self, plugin: &mut Plugin, end: bool) -> types::Action {
        let Some((session, request_id)) = plugin.open(self.root, end) else {
            return self.undecided(plugin, 0);
        };
        self.request_id = request_id;
        let ready = session.is_ready();
        let hold = plugin.may_hold(self.root, &session);
        self.session = Some(session);
        if ready || end {
            self.held_since = 1;
            return self.decide(plugin);
        }
        if hold {
            self.held_since = calls::now().max(1);
            return Pause;
        }
        Continue
    }

    /// Handles a piece of the body. `size`: bytes of the host's whole buffer while the body is held,
    /// otherwise of the new chunk.
    pub fn body(&mut self, plugin: &mut Plugin, size: usize, end: bool) -> types::Action {
        if self.rejected {
            return Pause;
        }
        if let Some(socket) = &mut self.socket {
            return match socket.data(plugin, self.root, size) {
                Ok(()) => Continue,
                // The answer to the handshake has gone: the host resets the stream instead of sending this one.
                Err(r) => {
                    plugin.reply(self.root, &r.decision, &r.session, &self.request_id);
                    self.rejected = true;
                    Pause
                }
            };
        }
        if self.refusal.is_some() {
            if end {
                plugin.tells_end(true);
            }
            return self.wait_on(plugin, size, end);
        }
        let Some(session) = &mut self.session else {
            // Decided when all bytes were there, and still told the end.
            if end && size == 0 {
                plugin.tells_end(true);
            }
            return Continue;
        };
        if self.held_since > 1 {
            plugin.hold_works();
        }
        let mut from = if self.holding { self.read.min(size) } else { 0 };
        let next = loop {
            let piece = size.saturating_sub(from).min(PIECE);
            let chunk = match piece {
                0 => Vec::new(),
                _ => calls::buffer(BufferType::HttpRequestBody, from, piece).unwrap_or_default(),
            };
            if chunk.len() < piece {
                session.miss();
            }
            from = from.saturating_add(piece);
            let next = session.push(&chunk, end && from >= size);
            if next == Next::Ready || from >= size {
                break next;
            }
        };
        match next {
            Next::Ready => {
                let answer = self.decide(plugin);
                if self.refusal.is_some() { self.wait_on(plugin, size, end) } else { answer }
            }
            Next::More => {
                self.holding = true;
                self.read = size;
                Pause
            }
            Next::Release => {
                self.holding = false;
                self.read = 0;
                self.held_since = 0;
                Continue
            }
        }
    }

    /// Handles trailers. They end the body, which the body callback does not report.
    pub fn trailers(&mut self, plugin: &mut Plugin) -> types::Action {
        if self.rejected {
            return Pause;
        }
        calls::remove_header(MapType::HttpRequestTrailers, VERDICT_HEADER);
        if self.refusal.is_some() {
            return self.wait_on(plugin, 0, true);
        }
        match &mut self.session {
            Some(session) => {
                session.push(&[], true);
                self.decide(plugin)
            }
            None => Continue,
        }
    }

    fn decide(&mut self, plugin: &mut Plugin) -> types::Action {
        let Some(mut session) = self.session.take() else { return Continue };
        let headers_held = std::mem::take(&mut self.held_since) != 0;
        let Some(decision) = plugin.decide(self.root, &mut session) else {
            return self.undecided(plugin, session.profile);
        };
        let verdict = &decision.verdict;
        if verdict.action == Action::Allow {
            self.socket = Socket::of(session);
            return Continue;
        }
        // For the access log, in shadow mode, too: what would have been done.
        let case = verdict.case_id.unwrap_or_default().to_string();
        let what = if verdict.action == Action::Tag { "watch" } else { verdict.action.name() };
        let why = [what, "; reason=", verdict.reason.name(), "; case=", &case].concat();
        let shadow = if decision.action == verdict.action { "" } else { "shadow " };
        calls::set_property("weir.verdict", &[shadow, &why].concat());
        if decision.action.rejects() {
            let end_due = session.end_due && plugin.may_wait();
            let word_in = plugin.word_in(self.root, session.identity.tenant, &decision);
            let since = calls::now();
            self.refusal = Some(Box::new(Refusal { decision, session, since, end_due, word_in }));
            return if end_due || word_in != 0 { Pause } else { self.refuse(plugin) };
        }
        if decision.action == Action::Tag
            && !(headers_held && calls::add_header(MapType::HttpRequestHeaders, VERDICT_HEADER, &why))
        {
            plugin.count(self.root, Counter::TagLate);
        }
        self.socket = Socket::of(session);
        Continue
    }

    /// Decides whether a reply may wait while `size` bytes of the body are held. If more are to come, only as
    /// many may be held as of any body; if they are all, as many as the host buffers, because it answers 413
    /// by itself when it receives more.
    fn wait_on(&mut self, plugin: &mut Plugin, size: usize, end: bool) -> types::Action {
        let Some(r) = &mut self.refusal else { return Continue };
        r.end_due &= !end;
        let all = end || r.end_due;
        let room = if all { plugin.host_buffers(self.root, r.decision.profile) } else { r.session.holds };
        let waits = r.end_due || r.word_in != 0;
        if waits && size as u64 <= room { Pause } else { self.refuse(plugin) }
    }

    /// True if a reply waits to be sent.
    pub fn refuses(&self) -> bool {
        self.refusal.is_some()
    }

    /// Sends a waiting reply once nothing is due any more, or it has waited for too long.
    pub fn look_after(&mut self, plugin: &mut Plugin, now: u64) {
        let root = self.root;
        let Some(r) = &mut self.refusal else { return };
        let waited = now.saturating_sub(r.since);
        // What the ledger says earlier may be of some workers only.
        if r.word_in != 0 && waited >= r.word_in {
            plugin.hear_wait(root, r.session.identity.tenant, &mut r.decision);
            r.word_in = 0;
        }
        if r.end_due && waited > END_LIMIT_NS {
            plugin.tells_end(false);
            r.end_due = false;
        }
        if !r.end_due && r.word_in == 0 {
            self.refuse(plugin);
        }
    }

    /// Sends the reply of a rejection, or lets it wait.
    pub fn refuse(&mut self, plugin: &mut Plugin) -> types::Action {
        let Some(r) = self.refusal.take() else { return Continue };
        self.rejected = plugin.reply(self.root, &r.decision, &r.session, &self.request_id);
        if self.rejected { Pause } else { Continue }
    }

    /// Applies the configured failure mode, and counts that, because the engine could not be reached.
    fn undecided(&mut self, plugin: &mut Plugin, profile: ProfileId) -> types::Action {
        plugin.count(self.root, Counter::Undecided);
        if !plugin.fails_closed(self.root, profile) {
            return Continue;
        }
        self.rejected =
            calls::reply(503, "weir:undecided", &[("content-type", "application/json")], b"{}", None);
        if self.rejected { Pause } else { Continue }
    }

    /// Handles the end of the stream. True if the request was never decided: its client or another filter cut
    /// it off.
    pub fn done(&mut self, plugin: &mut Plugin) -> bool {
        let undecided = self.session.take().is_some();
        if undecided {
            plugin.count(self.root, Counter::Aborted);
        }
        undecided
    }
}
