//! Credential to `KeyId`: the raw credential ends here.
//!
//! Sources are tried in order; the first that yields a value names the key. All headers are read, so a second, different
//! credential is seen: the request is `ambiguous`, and its key is that of the set of values, in whatever order and however
//! often they came. The keys of the values alone are kept beside it: which of them the server will believe, we do not know.

use crate::engine::config::{IdentityConfig, Source};
use crate::engine::hash::{self, Purpose, Seed, combine, sip13};
use crate::engine::units::Nanos;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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

impl<'a> Head<'a> {
    fn all(&self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + use<'a, '_> {
        self.headers.iter().filter(move |(k, _)| k.eq_ignore_ascii_case(name.as_bytes())).map(|(_, v)| *v)
    }
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
    /// Then: the key of each of them alone; 0 = none.
    pub parts: [u64; CREDENTIALS],
    /// More than `CREDENTIALS` different ones: the rest is not looked at.
    pub crowded: bool,
}

/// Different credentials in one request that are looked at.
pub const CREDENTIALS: usize = 8;

/// Different values of one request.
#[derive(Default)]
struct Found {
    n: usize,
    keys: [u64; CREDENTIALS],
    /// Hashes of the values without their kind: one credential in two places is one.
    plain: [u64; CREDENTIALS],
    crowded: bool,
}

impl Found {
    fn add(&mut self, key: u64, plain: u64) {
        if self.plain.iter().take(self.n).any(|p| *p == plain) {
            return;
        }
        match (self.keys.get_mut(self.n), self.plain.get_mut(self.n)) {
            (Some(k), Some(p)) => {
                (*k, *p) = (key, plain);
                self.n = self.n.saturating_add(1);
            }
            _ => self.crowded = true,
        }
    }
}

/// Keys derived from the seed once.
#[derive(Clone, Copy)]
pub struct Keys {
    key: (u64, u64),
    tenant: (u64, u64),
    network: (u64, u64),
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(redacted)")
    }
}

impl Keys {
    /// Derives.
    pub fn new(seed: &Seed) -> Keys {
        Keys {
            key: seed.key(Purpose::Key),
            tenant: seed.key(Purpose::Tenant),
            network: seed.key(Purpose::Network),
        }
    }
    /// The hash of a tenant's name.
    pub fn tenant(&self, name: &[u8]) -> u64 {
        sip13(self.tenant, name).max(1)
    }
}

/// Headers that carry a secret: two different ones in one request are two identities.
fn is_credential(source: &Source) -> bool {
    match source {
        Source::Bearer | Source::Query(_) => true,
        Source::Header(name) => matches!(name.as_str(), "x-api-key" | "api-key" | "x-goog-api-key"),
        _ => false,
    }
}

/// Reads who sends a request.
pub fn identify(config: &IdentityConfig, keys: &Keys, head: &Head<'_>) -> Identity {
    let mut id = Identity { anonymous: true, ..Identity::default() };
    let (mut found, mut secret) = (Found::default(), false);
    for source in &config.sources {
        // The first source that yields a value names the key; behind a credential only another credential counts.
        if found.n > 0 && !(secret && is_credential(source)) {
            continue;
        }
        values(source, config.trusted_hops, head, &mut |v| {
            found.add(sip13(keys.key, &tagged(source, v)).max(1), sip13(keys.network, v));
        });
        secret |= found.n > 0 && is_credential(source);
    }
    id.anonymous = found.n == 0;
    id.ambiguous = found.n > 1;
    id.crowded = found.crowded;
    id.key = match found.keys {
        [first, ..] if !id.ambiguous => KeyId(first),
        // A sum of hashes does not depend on the order of the values.
        all => {
            id.parts = all;
            KeyId(all.iter().filter(|k| **k != 0).fold(0u64, |sum, k| sum.wrapping_add(hash::mix(*k))).max(1))
        }
    };
    if let Some(source) = &config.tenant {
        values(source, config.trusted_hops, head, &mut |v| id.tenant = keys.tenant(v));
    }
    if let Some(source) = &config.age {
        values(source, config.trusted_hops, head, &mut |v| id.created = parse_time(v).or(id.created));
    }
    let address = client_address(config.trusted_hops, head);
    id.prefix = address.map_or(0, |a| sip13(keys.network, &masked(a, 24, 48)).max(1));
    id.client = client_shape(config, keys, head);
    id
}

/// Kind, name and value, so that the same bytes from two places are two keys.
fn tagged(source: &Source, value: &[u8]) -> Vec<u8> {
    let (kind, name): (u8, &str) = match source {
        Source::Header(n) => (1, n),
        Source::Bearer => (2, ""),
        Source::Query(n) => (3, n),
        Source::Property(n) => (4, n),
        Source::Address { .. } => (5, ""),
    };
    [&[kind][..], name.as_bytes(), &[0], value].concat()
}

/// Hands every value of a source to `each`.
fn values(source: &Source, hops: u8, head: &Head<'_>, each: &mut dyn FnMut(&[u8])) {
    match source {
        Source::Header(name) => head
            .headers
            .iter()
            .filter(|(k, v)| k.eq_ignore_ascii_case(name.as_bytes()) && !v.trim_ascii().is_empty())
            .for_each(|(_, v)| each(v.trim_ascii())),
        Source::Bearer => head.all("authorization").filter_map(bearer).for_each(each),
        Source::Query(name) => query(head.path, name, each),
        Source::Property(path) => {
            if let Some(v) = head.properties.get(path).filter(|v| !v.is_empty()) {
                each(&v);
            }
        }
        Source::Address { ipv4, ipv6 } => {
            if let Some(a) = client_address(hops, head) {
                each(&masked(a, *ipv4, *ipv6));
            }
        }
    }
}

/// The token behind a `Bearer` scheme of any case.
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let value = value.trim_ascii();
    let (scheme, rest) = value.split_at_checked(7)?;
    let token = rest.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !token.is_empty()).then_some(token)
}

fn query(path: &[u8], name: &str, each: &mut dyn FnMut(&[u8])) {
    let Some(at) = path.iter().position(|b| *b == b'?') else { return };
    for pair in path.get(at.saturating_add(1)..).unwrap_or_default().split(|b| *b == b'&') {
        let (k, v) = match pair.iter().position(|b| *b == b'=') {
            Some(i) => {
                (pair.get(..i).unwrap_or_default(), pair.get(i.saturating_add(1)..).unwrap_or_default())
            }
            None => (pair, &[][..]),
        };
        if percent(k) == name.as_bytes() && !v.is_empty() {
            each(&percent(v));
        }
    }
}

/// `%xx` and `+`, decoded once.
fn percent(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&b, after)) = rest.split_first() {
        let hex = |i: usize| after.get(i).and_then(|c| char::from(*c).to_digit(16));
        match (b, hex(0), hex(1)) {
            (b'%', Some(h), Some(l)) => {
                out.push((h << 4 | l) as u8);
                rest = after.get(2..).unwrap_or_default();
            }
            _ => {
                out.push(if b == b'+' { b' ' } else { b });
                rest = after;
            }
        }
    }
    out
}

/// The client's address: the peer, or the entry of x-forwarded-for that the last trusted proxy wrote.
fn client_address(hops: u8, head: &Head<'_>) -> Option<IpAddr> {
    if hops == 0 {
        return parse_address(head.source);
    }
    let joined: Vec<&[u8]> = head.all("x-forwarded-for").flat_map(|v| v.split(|b| *b == b',')).collect();
    let at = joined.len().checked_sub(usize::from(hops))?;
    joined.get(at).and_then(|v| parse_address(v.trim_ascii()))
}

/// `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]:5`; IPv4 mapped into IPv6 reads as IPv4.
pub fn parse_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let host = match text.strip_prefix('[') {
        Some(rest) => rest.split(']').next()?,
        None if text.matches(':').count() == 1 => text.split(':').next()?,
        None => text,
    };
    match host.parse().ok()? {
        IpAddr::V6(v6) => Some(v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)),
        v4 => Some(v4),
    }
}

/// The address cut to a prefix, with its family, as bytes.
fn masked(address: IpAddr, ipv4: u8, ipv6: u8) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => {
            let mask = u32::MAX.checked_shl(32u32.saturating_sub(u32::from(ipv4))).unwrap_or(0);
            [&[4, ipv4][..], &Ipv4Addr::from(u32::from(a) & mask).octets()].concat()
        }
        IpAddr::V6(a) => {
            let mask = u128::MAX.checked_shl(128u32.saturating_sub(u32::from(ipv6))).unwrap_or(0);
            [&[6, ipv6][..], &Ipv6Addr::from(u128::from(a) & mask).octets()].concat()
        }
    }
}

/// JA4, the order of header names, and the user agent: what a client program looks like.
fn client_shape(config: &IdentityConfig, keys: &Keys, head: &Head<'_>) -> u64 {
    let mut shape = 0x73_6861_7065_u64;
    for (name, value) in head.headers.iter().take(super::session::MAX_PAIRS) {
        let mut lower = [0u8; 24];
        for (to, from) in lower.as_chunks_mut::<8>().0.iter_mut().zip(name.chunks(8)) {
            *to = hash::read_u64(from, 0).to_le_bytes();
        }
        if name.iter().any(u8::is_ascii_uppercase) || !name.is_ascii() {
            lower.make_ascii_lowercase();
        }
        let lower = lower.get(..name.len().min(24)).unwrap_or_default();
        // Set by proxies or different on every request.
        let varies = lower.starts_with(b"x-forwarded")
            || lower.starts_with(b"x-envoy")
            || matches!(
                lower,
                b"content-length" | b"x-request-id" | b"traceparent" | b"tracestate" | b"cookie"
            );
        if varies {
            continue;
        }
        shape = combine(shape, sip13(keys.network, lower));
        if lower == b"user-agent" {
            shape = combine(shape, sip13(keys.network, value));
        }
    }
    if let Some(source) = &config.ja4 {
        values(source, config.trusted_hops, head, &mut |v| shape = combine(shape, sip13(keys.network, v)));
    }
    shape.max(1)
}

/// RFC 3339 (`2026-05-01T10:00:00Z`, with an offset, with a fraction) or whole seconds since the epoch.
pub fn parse_time(text: &[u8]) -> Option<Nanos> {
    let text = std::str::from_utf8(text).ok()?.trim();
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok().map(Nanos::from_secs);
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let t = text.get(from..to)?;
        if t.bytes().all(|b| b.is_ascii_digit()) { t.parse().ok() } else { None }
    };
    let sep = |at: usize, c: &str| text.get(at..at.saturating_add(1)).is_some_and(|s| c.contains(s));
    if !(sep(4, "-") && sep(7, "-") && sep(10, "Tt ") && sep(13, ":") && sep(16, ":")) {
        return None;
    }
    let (y, m, d) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (h, min, s) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if !(1..=12).contains(&m) || !(1..=31).contains(&d) || h > 23 || min > 59 || s > 60 {
        return None;
    }
    let rest = text.get(19..)?.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let offset_s = match rest.as_bytes() {
        [] | [b'Z' | b'z'] => 0,
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let two = |a: usize, b: usize| rest.get(a..b)?.parse::<i64>().ok();
            let total = two(1, 3)?.checked_mul(3600)?.checked_add(two(4, 6)?.checked_mul(60)?)?;
            if *sign == b'+' { total } else { total.checked_neg()? }
        }
        _ => return None,
    };
    let clock = h.checked_mul(3600)?.checked_add(min.checked_mul(60)?)?.checked_add(s)?;
    let secs = days_from_civil(y, m, d)?.checked_mul(86_400)?.checked_add(clock)?;
    u64::try_from(secs.checked_sub(offset_s)?).ok().map(Nanos::from_secs)
}

/// Days since 1970-01-01 (Hinnant's algorithm).
fn days_from_civil(y: i64, m: i64, d: i64) -> Option<i64> {
    let y = if m <= 2 { y.checked_sub(1)? } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let mp = (m.checked_add(9)?).rem_euclid(12);
    let doy = (mp.checked_mul(153)?.checked_add(2)?).div_euclid(5).checked_add(d)?.checked_sub(1)?;
    let doe = yoe.checked_mul(365)?.checked_add(yoe / 4)?.checked_sub(yoe / 100)?.checked_add(doy)?;
    era.checked_mul(146_097)?.checked_add(doe)?.checked_sub(719_468)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
#[path = "identity_tests.rs"]
mod tests;
