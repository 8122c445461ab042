//! Reads and checks an exchange, as far as that needs no state; and the reasons to refuse one.

use super::identity::Identity;
use super::nodes::{NAMED, NodeId, PEOPLE};
use std::ops::Range;
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::observation;
use weir::engine::units::Nanos;
use weir::engine::wire;
use weir::node::cells::HUB_SHARDS;
use weir::node::exchange::{REQUEST_BYTES, Request};

/// A moment by two clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Time that observations are given in: the wall clock, scaled as that of the proxies
    /// (`demo.time_scale`).
    pub now: Nanos,
    /// Time by a clock that never steps back, for quotas and silence.
    pub mono: Nanos,
}

/// Tells the moment.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

/// Why an exchange was refused. Nothing of it was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    #[error("not an exchange, cut short, or with something behind it")]
    Malformed,
    #[error("layout version {0} is not ours: upgrade the hub first, then the proxies")]
    Version(u16),
    #[error("damaged: the checksum does not match")]
    Checksum,
    #[error("written under another seed: proxies and hub need the same `seed`")]
    Seed,
    #[error("another policy: a hub serves one, named by `policy` of its configuration")]
    Policy,
    #[error("longer than {REQUEST_BYTES} bytes")]
    TooLong,
    #[error("more observations than --node-quota allows; room in {} ms", .0.millis() + 1)]
    Quota(Nanos),
    #[error("no room for another node: all were heard of within the hour")]
    Nodes,
    /// The node's id belongs to another identity.
    #[error(
        "this node id came with another certificate or token before: a copy of a proxy's memory, or somebody who lies"
    )]
    Identity,
    /// It was meant for a hub of another epoch.
    #[error("another hub was active in the meantime")]
    Moved,
}

impl Refused {
    /// Name in metrics and replies.
    pub fn name(&self) -> &'static str {
        match self {
            Refused::Malformed => "malformed",
            Refused::Version(_) => "version",
            Refused::Checksum => "checksum",
            Refused::Seed => "seed",
            Refused::Policy => "policy",
            Refused::TooLong => "too_long",
            Refused::Quota(_) => "quota",
            Refused::Nodes => "nodes",
            Refused::Identity => "identity",
            Refused::Moved => "moved",
        }
    }
}

/// A batch of an exchange.
#[derive(Clone, Debug)]
pub struct Piece {
    pub ring: u8,
    pub seq: u64,
    pub first: u64,
    pub at: Range<usize>,
    /// Number of observations; `None` if the batch cannot be decoded.
    pub count: Option<u16>,
}

/// An exchange that was checked.
#[derive(Clone, Debug)]
pub struct Exchange<B> {
    pub body: B,
    pub node: NodeId,
    pub clock: Nanos,
    pub hub_epoch: u64,
    pub held: [u32; HUB_SHARDS],
    pub pieces: Vec<Piece>,
    /// Time of arrival.
    pub at: Moment,
    /// Identity of its token or certificate.
    pub identity: Arc<Identity>,
    /// Epoch of the only hub that may take it.
    pub only: Option<u64>,
}

impl<B: AsRef<[u8]>> Exchange<B> {
    /// Checks all that needs no state; any thread may call it.
    ///
    /// # Errors
    /// See `Refused`.
    pub fn read(body: B, config: &Config, at: Moment) -> Result<Exchange<B>, Refused> {
        let bytes = body.as_ref();
        if bytes.len() > REQUEST_BYTES {
            return Err(Refused::TooLong);
        }
        let r = Request::decode(bytes).map_err(|e| match e {
            wire::Refused::Version(v) => Refused::Version(v),
            wire::Refused::Checksum => Refused::Checksum,
            wire::Refused::Malformed | wire::Refused::Seed => Refused::Malformed,
        })?;
        let check = config.seed.check();
        if r.seed_check != check {
            return Err(Refused::Seed);
        }
        if r.policy != config.policy {
            return Err(Refused::Policy);
        }
        if [PEOPLE, NAMED].contains(&r.node) {
            return Err(Refused::Malformed);
        }
        let piece = |b: &weir::node::exchange::Sent<'_>| {
            let from = (b.bytes.as_ptr() as usize).wrapping_sub(bytes.as_ptr() as usize);
            Piece {
                ring: b.ring,
                seq: b.seq,
                first: b.first,
                at: from..from + b.bytes.len(),
                count: observation::decode(b.bytes, check, |_| ()).ok(),
            }
        };
        let pieces = r.batches.iter().map(piece).collect();
        let Request { node, clock, hub_epoch, held, .. } = r;
        Ok(Exchange {
            body,
            node,
            clock,
            hub_epoch,
            held,
            pieces,
            at,
            identity: Identity::shared(),
            only: None,
        })
    }

    /// Sets the sender's identity.
    pub fn by(self, identity: Arc<Identity>) -> Exchange<B> {
        Exchange { identity, ..self }
    }

    /// Sets the epoch of the only hub that may take it; any other refuses it (`Moved`).
    pub fn only(self, epoch: Option<u64>) -> Exchange<B> {
        Exchange { only: epoch, ..self }
    }
}
