//! A group as it is journalled: what is new of several exchanges, decisions of people, and the identities of
//! node ids. Integers are little-endian.

use super::acts::Act;
use super::exchange::Moment;
use super::identity::Identity;
use super::nodes::{NAMED, NodeId, PEOPLE};
use std::sync::Arc;
use weir::engine::units::Nanos;
use weir::engine::wire::{Reader, Writer};

/// An entry of a group that is no exchange.
#[derive(Debug)]
pub enum Other {
    /// A decision of people.
    Act(Act),
    /// The identity that a node id belongs to.
    Named(NodeId, Arc<Identity>),
}

/// Appends an entry that is no exchange.
pub fn put_other(group: &mut Vec<u8>, what: NodeId, at: Moment, bytes: &[u8]) {
    let mut w = Writer(group);
    w.0.extend_from_slice(&what);
    w.u64(at.now.0);
    w.u64(at.mono.0);
    w.u32(bytes.len() as u32);
    w.0.extend_from_slice(bytes);
}

/// An entry of a group.
#[derive(Debug)]
pub struct Entry<'a> {
    pub other: Option<Other>,
    pub node: NodeId,
    pub at: Nanos,
    pub mono: Nanos,
    pub offset: i64,
    pub sent: Vec<Kept<'a>>,
}

/// A batch of an entry.
#[derive(Debug)]
pub struct Kept<'a> {
    pub ring: u8,
    pub seq: u64,
    pub first: u64,
    /// Number of observations; `u16::MAX`: the batch was refused.
    pub count: u16,
    pub bytes: &'a [u8],
}

/// Reads a group and hands its entries to `each`. `None` if it is cut off or no group.
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
