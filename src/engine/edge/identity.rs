//! Credential to `KeyId`: the raw credential ends here. Placeholder.

use crate::engine::units::Nanos;

/// Keyed hash that names a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u64);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kid:{:016x}", self.0)
    }
}

/// Host properties (JWT claims, dynamic metadata, filter state), by dotted path.
pub trait Properties {
    /// The raw bytes, or `None` when the host does not know the property.
    fn get(&self, path: &str) -> Option<Vec<u8>>;
}

/// No properties at all.
#[derive(Clone, Copy, Debug)]
pub struct NoProperties;

impl Properties for NoProperties {
    fn get(&self, _path: &str) -> Option<Vec<u8>> {
        None
    }
}

/// The head of a request, as bytes, in the order received.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// `:method`.
    pub method: &'a [u8],
    /// `:path` with query.
    pub path: &'a [u8],
    /// `:authority`.
    pub authority: &'a [u8],
    /// All other pairs, duplicates kept, names as sent (compared without case).
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// Peer address, with or without port.
    pub source: &'a [u8],
    /// Route name, if known.
    pub route: &'a [u8],
    /// Virtual host name, if known.
    pub virtual_host: &'a [u8],
    /// Cluster name, if known.
    pub service: &'a [u8],
    /// Route metadata `weir.profile`, if any.
    pub metadata_profile: &'a [u8],
    /// Other properties.
    pub properties: &'a dyn Properties,
    /// No body follows.
    pub end_of_stream: bool,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The key; `KeyId(0)` when no source yields a value (`anonymous`).
    pub key: KeyId,
    /// No source yielded a value.
    pub anonymous: bool,
    /// Keyed hash of the tenant, 0 if none.
    pub tenant: u64,
    /// When the account was created, if the request says so.
    pub created: Option<Nanos>,
    /// Keyed hash of the address prefix (IPv4 /24, IPv6 /48), 0 if none.
    pub prefix: u64,
    /// Keyed hash of JA4, header-name order and user agent.
    pub client: u64,
    /// Two different credentials in one request.
    pub ambiguous: bool,
}

/// Keys derived from the seed once.
#[derive(Debug)]
pub struct Keys {}

impl Keys {
    /// Derives.
    pub fn new(_seed: &crate::engine::hash::Seed) -> Keys {
        Keys {}
    }
}
