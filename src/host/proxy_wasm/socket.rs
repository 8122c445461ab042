//! A WebSocket after its handshake. Each of the client's messages is a request of its key; a rejected one ends the
//! connection.
//!
//! Nothing of a rejected message goes upstream if it is held until it is complete: within `inspect.max_hold_bytes`, where the host
//! buffers enough (`Inspect::holds`). Elsewhere its last bytes do not.

use super::calls;
use super::plugin::Plugin;
use super::stream::PIECE;
use crate::engine::Decision;
use crate::engine::dialect::Facts;
use crate::engine::edge::frames::Frames;
use crate::engine::edge::session::{Other, Session};
use proxy_wasm::types::Action::{self, Continue, Pause};
use proxy_wasm::types::{BufferType, MapType};

/// Messages without a prompt (audio, settings) ask about their key so often, nanoseconds.
const ASK_NS: u64 = 1_000_000_000;

/// The client's side of a WebSocket.
#[derive(Debug)]
pub struct Socket {
    frames: Box<Frames>,
    /// The handshake's: who, and which profile.
    session: Session,
    /// Bytes of the host's buffer that were read. It grows while callbacks answer `Pause`.
    held: Option<usize>,
    asked_at: u64,
}

impl Socket {
    /// A socket for a handshake that was let through, if its frames are to be read.
    pub fn of(mut session: Session) -> Option<Box<Socket>> {
        let frames = session.frames.take()?;
        // Compression is not offered to the server: compressed frames could not be read here.
        calls::remove_header(MapType::HttpRequestHeaders, "sec-websocket-extensions");
        Some(Box::new(Socket { frames, session, held: None, asked_at: 0 }))
    }

    /// Data from the client. `size`: the whole buffer while it is held, otherwise the new chunk. A rejection ends the
    /// stream.
    pub fn data(&mut self, plugin: &mut Plugin, root: u32, size: usize) -> Result<Action, Box<Rejected>> {
        let mut from = self.held.map_or(0, |read| read.min(size));
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
        let most = self.session.holds;
        self.held = self.frames.under_way().filter(|n| most != 0 && *n <= most).map(|_| size);
        Ok(if self.held.is_some() { Pause } else { Continue })
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
