//! A group as it is journalled: what was new of exchanges, decisions of people, and whose the ids of nodes are. Integers are
//! little-endian.

use super::acts::Act;
use super::exchange::Moment;
use super::identity::Identity;
use super::nodes::NodeId;
use std::sync::Arc;
use weir::engine::units::Nanos;
use weir::engine::wire::{Reader, Writer};

/// Stands in a group in place of a node's id: a decision of people follows.
pub const PEOPLE: NodeId = [0xff; 16];
/// … whose id this is from now on.
pub const NAMED: NodeId = [0xfe; 16];

/// What stands in a group beside exchanges.
#[derive(Debug)]
pub enum Other {
    /// A decision of people.
    Act(Act),
    /// Whose id a node's is.
    Named(NodeId, Arc<Identity>),
}

/// Appends what is no exchange.
pub fn put_other(group: &mut Vec<u8>, what: NodeId, at: Moment, bytes: &[u8]) {
    let mut w = Writer(group);
    w.0.extend_from_slice(&what);
    w.u64(at.now.0);
    w.u64(at.mono.0);
    w.u32(bytes.len() as u32);
    w.0.extend_from_slice(bytes);
}

/// What is new of an exchange, as it stands in a group; or something else.
#[derive(Debug)]
pub struct Entry<'a> {
    pub other: Option<Other>,
    pub node: NodeId,
    pub at: Nanos,
    pub mono: Nanos,
    pub offset: i64,
    pub sent: Vec<Kept<'a>>,
}

/// A batch of it.
#[derive(Debug)]
pub struct Kept<'a> {
    pub ring: u8,
    pub seq: u64,
    pub first: u64,
    /// `u16::MAX`: it was refused.
    pub count: u16,
    pub bytes: &'a [u8],
}

/// Reads a group. `None`: it is cut or is none.
pub fn entries<'a>(group: &'a [u8], mut each: impl FnMut(Entry<'a>)) -> Option<()> {
    let mut r = Reader(group);
    while !r.0.is_empty() {
        let node = r.bytes(16)?.try_into().ok()?;
        let (at, mono) = (Nanos(r.u64()?), Nanos(r.u64()?));
        if [PEOPLE, NAMED].contains(&node) {
            let len = r.u32()?;
            let mut of = Reader(r.bytes(len as usize)?);
            let other = Some(match node {
                PEOPLE => Other::Act(Act::read(&mut of)?),
                _ => Other::Named(of.bytes(16)?.try_into().ok()?, Identity::read(&mut of)?),
            });
            each(Entry { other, node, at, mono, offset: 0, sent: Vec::new() });
            continue;
        }
        let offset = r.u64()? as i64;
        let n = usize::from(r.u16()?);
        let mut sent = Vec::with_capacity(n);
        for _ in 0..n {
            let (ring, seq, first, count) = (r.u8()?, r.u64()?, r.u64()?, r.u16()?);
            let len = r.u32()?;
            sent.push(Kept { ring, seq, first, count, bytes: r.bytes(len as usize)? });
        }
        each(Entry { other: None, node, at, mono, offset, sent });
    }
    Some(())
}
