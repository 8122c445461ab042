//! The head of a request as the host hands it over.

/// Header pairs that are read, at most.
pub const MAX_PAIRS: usize = 128;

/// Properties of the host (JWT claims, dynamic metadata, filter state), by dotted path.
pub trait Properties {
    /// The raw bytes of a property; `None` if the host does not know it.
    fn get(&self, path: &str) -> Option<Vec<u8>>;
}

/// A host without properties.
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
    /// True if no body follows.
    pub end_of_stream: bool,
}

/// A POST of which nothing else is known; a body follows.
impl Default for Head<'_> {
    fn default() -> Self {
        Head {
            method: b"POST",
            path: b"",
            authority: b"",
            headers: &[],
            source: b"",
            route: b"",
            virtual_host: b"",
            service: b"",
            metadata_profile: b"",
            properties: &NoProperties,
            end_of_stream: false,
        }
    }
}

impl<'a> Head<'a> {
    /// The values of a header, in order; names are compared without case.
    pub fn all(&self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + use<'a, '_> {
        self.headers.iter().filter(move |(k, _)| k.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| *v)
    }
}
