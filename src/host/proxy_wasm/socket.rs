//! A WebSocket after its handshake. Each of the client's messages is a request of its key; a rejected one
//! ends the connection.
//!
//! Nothing is held: a client may send any amount at once, and a host that holds half a message and then
//! receives more than its buffer takes ends the connection (`Inspect::holds`). The last bytes of a rejected
//! message do not go upstream.

use super::calls;
use super::plugin::Plugin;
use super::stream::PIECE;
use crate::engine::Decision;
use crate::engine::dialect::Facts;
use crate::engine::edge::frames::Frames;
use crate::engine::edge::session::{Other, Session};
use proxy_wasm::types::{BufferType, MapType};

/// Least time between two checks of the key by messages without a prompt (audio, settings), nanoseconds.
const ASK_NS: u64 = 1_000_000_000;

/// What a client sends over one WebSocket.
#[derive(Debug)]
pub struct Socket {
    frames: Box<Frames>,
    /// The session of the handshake: who, and which profile.
    session: Session,
    asked_at: u64,
}

impl Socket {
    /// The socket of an accepted handshake, if its frames are to be read.
    pub fn of(mut session: Session) -> Option<Box<Socket>> {
        let frames = session.frames.take()?;
        // Compression is not offered to the server: compressed frames could not be read here.
        calls::remove_header(MapType::HttpRequestHeaders, "sec-websocket-extensions");
        Some(Box::new(Socket { frames, session, asked_at: 0 }))
    }

    /// Takes `size` bytes from the client.
    ///
    /// # Errors
    /// A message was rejected: the stream must end.
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
    /// Its decision.
    pub decision: Decision,
    /// The message as a request.
    pub session: Session,
}
