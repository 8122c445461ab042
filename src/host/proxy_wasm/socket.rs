//! A WebSocket after its handshake. Each of the client's messages is a request of its key; a rejected one ends the
//! connection.
//!
//! Nothing is held: how much a client sends at once has no bound, and a host that holds half a message and is then given more than its
//! buffer takes ends the connection (`Inspect::holds`). The last bytes of a rejected message do not go upstream.

use super::calls;
use super::plugin::Plugin;
use super::stream::PIECE;
use crate::engine::Decision;
use crate::engine::dialect::Facts;
use crate::engine::edge::frames::Frames;
use crate::engine::edge::session::{Other, Session};
use proxy_wasm::types::{BufferType, MapType};

/// Messages without a prompt (audio, settings) ask about their key so often, nanoseconds.
const ASK_NS: u64 = 1_000_000_000;

/// The client's side of a WebSocket.
#[derive(Debug)]
pub struct Socket {
    frames: Box<Frames>,
    /// The handshake's: who, and which profile.
    session: Session,
    asked_at: u64,
}

impl Socket {
    /// A socket for a handshake that was let through, if its frames are to be read.
    pub fn of(mut session: Session) -> Option<Box<Socket>> {
        let frames = session.frames.take()?;
        // Compression is not offered to the server: compressed frames could not be read here.
        calls::remove_header(MapType::HttpRequestHeaders, "sec-websocket-extensions");
        Some(Box::new(Socket { frames, session, asked_at: 0 }))
    }

    /// Data from the client, a chunk of `size` bytes. A rejection ends the stream.
    pub fn data(&mut self, plugin: &mut Plugin, root: u32, size: usize) -> Result<(), Box<Rejected>> {
        let mut from = 0usize;
        while from < size {
            let piece = size.saturating_sub(from).min(PIECE);
            let chunk = calls::buffer(BufferType::HttpRequestBody, from, piece).unwrap_or_default();
            from = from.saturating_add(piece);
            let mut rest = &chunk[..];
            while let (after, Some(facts)) = self.frames.next(rest) {
                rest = after;
                self.judge(plugin, root, facts)?;
            }
        }
        Ok(())
    }

    fn judge(&mut self, plugin: &mut Plugin, root: u32, facts: Facts) -> Result<(), Box<Rejected>> {
        let mut session = self.session.of_message(self.frames.dialect(), facts);
        if session.other != Other::No {
            let now = calls::now();
            if now.saturating_sub(self.asked_at) < ASK_NS {
                return Ok(());
            }
            self.asked_at = now;
        }
        match plugin.decide(root, &mut session) {
            Some(decision) if decision.action.rejects() => Err(Box::new(Rejected { decision, session })),
            _ => Ok(()),
        }
    }
}

/// A message that was rejected.
#[derive(Debug)]
pub struct Rejected {
    /// As decided.
    pub decision: Decision,
    /// The message as a request.
    pub session: Session,
}
