//! Credential to `KeyId`: the raw credential is not used or kept after this.
//!
//! Sources are tried in order; the first that yields a value names the key. A secret gives one key wherever
//! it stands. All headers are read, so a second, different credential is noticed. Such a request is
//! `ambiguous`: its key is a hash of the set of its values, in any order and number. The keys of the single
//! values are kept beside it, because it is not known which of them the server will believe. Memory: 8 bytes
//! a value, at most `CREDENTIALS` of them; none for a request with one.

use super::address::{self, masked};
use super::credentials::{self, Credential};
use super::head::MAX_PAIRS;
use crate::engine::config::{IdentityConfig, Source};
use crate::engine::hash::{self, Purpose, Seed, combine, sip13};
use crate::engine::units::Nanos;
use sha2::{Digest, Sha256};
use std::net::IpAddr;

pub use super::address::parse_address;
pub use super::head::{Head, NoProperties, Properties};
pub use crate::engine::time::parse_time;
use crate::engine::value::KeyId;

/// Who a request is counted for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The key; `KeyId(0)` when no source yields a value (`anonymous`).
    pub key: KeyId,
    /// True if no source yielded a value.
    pub anonymous: bool,
    /// Keyed hash of the tenant, 0 if none.
    pub tenant: u64,
    /// Creation time of the account, if the request tells it.
    pub created: Option<Nanos>,
    /// True if the request tells one that cannot be read or cannot be true.
    pub age_unread: bool,
    /// Keyed hash of the address prefix (IPv4 /24, IPv6 /48), 0 if none.
    pub prefix: u64,
    /// Keyed hash of JA4, header-name order and user agent.
    pub client: u64,
    /// True if the host's address came from a header and no hop is trusted.
    pub disbelieved: bool,
    /// True if the request has two different credentials.
    pub ambiguous: bool,
    /// Keys of these credentials, one by one. At most `CREDENTIALS`; never 0.
    pub parts: Vec<u64>,
    /// Key of the address of such a request, 0 if unknown.
    pub address: u64,
    /// True if it has more than `CREDENTIALS` different ones, which no client sends.
    pub crowded: bool,
    /// Keys of values that do not name this request but may name another (a credential behind a name, a
    /// password). Their list entries and convictions apply, too. At most `CREDENTIALS`.
    pub also: Vec<u64>,
}

impl Identity {
    /// Sets the key from what a log tells: a value of the first source that is no address, or (`is_hash`) the
    /// SHA-256 of a secret.
    pub fn name(&mut self, config: &IdentityConfig, keys: &Keys, value: &[u8], is_hash: bool) {
        let source = config.sources.iter().find(|s| !matches!(s, Source::Address { .. }));
        let value = value.trim_ascii();
        let key = match source {
            _ if is_hash => keys.of(&Source::Bearer, &value.to_ascii_lowercase(), false),
            source => keys.of(source.unwrap_or(&Source::Bearer), value, config.hash_secrets),
        };
        *self = Identity {
            key: KeyId(key),
            tenant: self.tenant,
            created: self.created,
            age_unread: self.age_unread,
            prefix: self.prefix,
            client: self.client,
            ..Identity::default()
        };
    }
}

/// Largest number of different credentials in one request: as many as there are header pairs.
pub const CREDENTIALS: usize = MAX_PAIRS;

/// Hash keys, derived from the seed once.
#[derive(Clone, Copy)]
pub struct Keys {
    key: (u64, u64),
    tenant: (u64, u64),
    network: (u64, u64),
    /// Key that decides which snippets of a long text are sampled.
    pub(super) text: u64,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys(redacted)")
    }
}

impl Keys {
    /// Derives the keys from a seed.
    pub fn new(seed: &Seed) -> Keys {
        Keys {
            key: seed.key(Purpose::Key),
            tenant: seed.key(Purpose::Tenant),
            network: seed.key(Purpose::Network),
            text: hash::mix(seed.key(Purpose::Text).1),
        }
    }
    /// Keyed hash of a tenant's name.
    pub fn tenant(&self, name: &[u8]) -> u64 {
        sip13(self.tenant, name).max(1)
    }
    /// The key of a value. A secret is hashed alone, so it is one key wherever it stands. Names (from a filter in front,
    /// claims, addresses) are hashed with kind and place under another hash key, so that no client can choose a secret that
    /// equals somebody's name.
    fn of(&self, source: &Source, value: &[u8], hashed: bool) -> u64 {
        let (kind, place): (u8, &str) = match source {
            Source::Header(name) => (1, name),
            Source::Property(name) => (4, name),
            Source::Address { .. } => (5, ""),
            Source::Jwt(claim) => (6, claim),
            _ if hashed => return sip13(self.key, &sha256_hex(value)).max(1),
            _ => return sip13(self.key, value).max(1),
        };
        let names = (self.key.0, self.key.1 ^ NAMES);
        sip13(names, &[&[kind][..], place.as_bytes(), &[0], value].concat()).max(1)
    }
}

/// SHA-256 of a secret in lower-case hexadecimal digits, as key stores and their logs have it.
#[inline(never)]
fn sha256_hex(secret: &[u8]) -> [u8; 64] {
    let mut out = [0; 64];
    let digest = Sha256::digest(secret);
    let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    for (to, nibble) in out.iter_mut().zip(nibbles) {
        *to = if nibble < 10 { b'0' } else { b'a' - 10 }.wrapping_add(nibble);
    }
    out
}

/// Mixed into the hash of names, so that it differs from that of secrets.
const NAMES: u64 = 0x6e61_6d65_6e61_6d65;

/// True if the source yields secrets. Two different secrets in one request are two identities.
fn is_credential(source: &Source) -> bool {
    match source {
        Source::Bearer
        | Source::Basic
        | Source::SigV4
        | Source::Secret(_)
        | Source::Query(_)
        | Source::Cookie(_) => true,
        Source::Header(_) | Source::Property(_) | Source::Address { .. } | Source::Jwt(_) => false,
    }
}

/// Adds a value that is not in the list; false if there is no room.
fn add(list: &mut Vec<u64>, value: u64) -> bool {
    if list.contains(&value) {
        return true;
    }
    let room = list.len() < CREDENTIALS;
    if room {
        list.push(value);
    }
    room
}

/// Finds who a request is counted for.
pub fn identify(config: &IdentityConfig, keys: &Keys, head: &Head<'_>) -> Identity {
    let client = address::client(config, head);
    let mut id = Identity { anonymous: true, disbelieved: client.disbelieved, ..Identity::default() };
    let head = &Known { head, address: client.address };
    let mut secret = false;
    for source in &config.sources {
        let (first, credential) = (id.parts.is_empty(), is_credential(source));
        if !first && matches!(source, Source::Address { .. }) {
            continue;
        }
        // The first source that yields a value names the key, and behind a credential every other credential does, too.
        let names = first || (secret && credential);
        values(source, head, &mut |v, what| {
            let key = keys.of(source, v, config.hash_secrets);
            let room = add(if names && what == What::Names { &mut id.parts } else { &mut id.also }, key);
            id.crowded |= !room;
        });
        secret |= first && credential && !id.parts.is_empty();
    }
    id.anonymous = id.parts.is_empty();
    id.ambiguous = id.parts.len() > 1;
    if id.ambiguous {
        // A sum of hashes does not depend on the order of the values.
        id.key = KeyId(id.parts.iter().fold(0u64, |sum, k| sum.wrapping_add(hash::mix(*k))).max(1));
        let own = config.sources.iter().find(|s| matches!(s, Source::Address { .. }));
        let usual = Source::Address { ipv4: 32, ipv6: 64 };
        let source = own.unwrap_or(&usual);
        values(source, head, &mut |v, _| id.address = keys.of(source, v, false));
    } else {
        id.key = KeyId(id.parts.pop().unwrap_or(0));
    }
    if let Some(source) = &config.tenant {
        values(source, head, &mut |v, _| id.tenant = keys.tenant(v));
    }
    if let Some(source) = &config.age {
        values(source, head, &mut |v, _| match parse_time(v) {
            Some(at) => id.created = Some(at),
            None => id.age_unread = true,
        });
    }
    id.prefix = client.address.map_or(0, |a| sip13(keys.network, &masked(a, 24, 48)).max(1));
    id.client = client_shape(config, keys, head);
    id
}

/// A head while its sources are read.
struct Known<'a> {
    head: &'a Head<'a>,
    address: Option<IpAddr>,
}

/// What a value is used for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// It names the request.
    Names,
    /// It is a secret that does not name the request.
    Beside,
}

/// Hands every value of a source to `each`.
fn values(source: &Source, known: &Known<'_>, each: &mut dyn FnMut(&[u8], What)) {
    let head = known.head;
    let mut names = |v: &[u8]| {
        let v = v.trim_ascii();
        if !v.is_empty() {
            each(v, What::Names);
        }
    };
    match source {
        Source::Secret(name) if name == "authorization" => authorizations(head, &mut |c| {
            if let Credential::Token(v) = c {
                names(v);
            }
        }),
        Source::Secret(name) => head.all(name).for_each(|v| names(credentials::bare(v))),
        Source::Header(name) => head.all(name).for_each(names),
        Source::Bearer => authorizations(head, &mut |c| {
            if let Credential::Token(v) = c {
                names(v);
            }
        }),
        Source::Basic => authorizations(head, &mut |c| {
            let Credential::Basic(text) = c else { return };
            match credentials::basic(text) {
                Some((user, password)) if user.is_empty() => each(password.trim_ascii(), What::Names),
                Some((user, password)) => {
                    each(&user, What::Names);
                    if !password.is_empty() {
                        each(&password, What::Beside);
                    }
                }
                None => {}
            }
        }),
        Source::SigV4 => {
            authorizations(head, &mut |c| {
                if let Credential::AccessKey(id) = c {
                    names(id);
                }
            });
            query(head.path, "X-Amz-Credential", &mut |v| {
                if let Some(id) = credentials::access_key(v) {
                    names(id);
                }
            });
        }
        Source::Jwt(path) => authorizations(head, &mut |c| {
            if let Credential::Token(token) = c
                && let Some(claim) = credentials::claim(token, path)
            {
                names(&claim);
            }
        }),
        Source::Cookie(name) => {
            head.all("cookie").for_each(|h| credentials::cookie(h, name, &mut |v| names(v)));
        }
        Source::Query(name) => query(head.path, name, &mut names),
        Source::Property(path) => {
            if let Some(v) = head.properties.get(path) {
                names(&v);
            }
        }
        Source::Address { ipv4, ipv6 } => {
            if let Some(a) = known.address {
                each(&masked(a, *ipv4, *ipv6), What::Names);
            }
        }
    }
}

/// The credentials of all `authorization` headers.
fn authorizations<'a>(head: &Head<'a>, each: &mut dyn FnMut(Credential<'a>)) {
    head.all("authorization").for_each(|v| credentials::authorization(v, each));
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

/// A hash of JA4, the order of header names and the user agent: which client program sends.
fn client_shape(config: &IdentityConfig, keys: &Keys, known: &Known<'_>) -> u64 {
    let mut shape = 0x73_6861_7065_u64;
    for (name, value) in known.head.headers.iter().take(MAX_PAIRS) {
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
        values(source, known, &mut |v, _| shape = combine(shape, sip13(keys.network, v)));
    }
    shape.max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
#[path = "identity_tests.rs"]
mod tests;
