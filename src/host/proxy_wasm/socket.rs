//! A WebSocket whose handshake went through: the client's messages are requests of its key, and one that is rejected ends it.
//!
//! A message is held until it is whole, within `inspect.max_hold_bytes`, so that nothing of a rejected one goes upstream.

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
    /// Bytes of a message that are held.
    hold: u64,
    /// The last callback answered `Pause`: the host's buffer grows. Bytes of it that were read.
    held: Option<usize>,
    asked_at: u64,
}

impl Socket {
    /// Of a handshake that was let through, if its frames are to be read.
    pub fn of(mut session: Session, hold: u64) -> Option<Box<Socket>> {
        let frames = session.frames.take()?;
        // A server that compresses would be asked for what nobody between can read.
        calls::remove_header(MapType::HttpRequestHeaders, "sec-websocket-extensions");
        Some(Box::new(Socket { frames, session, hold, held: None, asked_at: 0 }))
    }

    /// Data of the client. `size`: all of the buffer while we hold, afterwards the new chunk. A rejection ends the stream.
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
        self.held = self.frames.under_way().filter(|n| *n <= self.hold).map(|_| size);
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
