//! The client's address: the peer's, or what trusted proxies in front report.
//!
//! A host may report an address that it took from a header of the client (Envoy without
//! `use_remote_address`). Such an address has port 0, which no connection has. It is believed only where hops
//! are trusted.

use super::head::Head;
use crate::engine::config::{HopsHeader, IdentityConfig};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Filter state in which a filter in front may store the address of the connection itself.
pub const PEER: &str = "filter_state.weir.peer";

/// A client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// The address; `None` if it is not told, or only by headers that are not trusted.
    pub address: Option<IpAddr>,
    /// True if the host's address came from a header and no hop is trusted.
    pub disbelieved: bool,
}

/// Finds the client's address.
pub fn client(config: &IdentityConfig, head: &Head<'_>) -> Client {
    let believed = port(head.source) != Some(0);
    let peer = || match believed {
        true => parse_address(head.source),
        false => head.properties.get(PEER).and_then(|v| parse_address(&v)),
    };
    let Some(hops) = usize::from(config.trusted_hops).checked_sub(1) else {
        return Client { address: peer(), disbelieved: !believed };
    };
    let peer = peer();
    let nth = |n: usize| match config.hops_header {
        HopsHeader::XForwardedFor => from_right(head, "x-forwarded-for").nth(n).map(parse_address),
        HopsHeader::Forwarded => from_right(head, "forwarded").nth(n).map(forwarded_for),
    };
    // The proxy itself adds the peer at the end, before any filter reads it.
    let own = usize::from(peer.is_some() && nth(0).flatten() == peer);
    // A request that came past the proxies has the peer's address.
    Client { address: nth(hops.saturating_add(own)).unwrap_or(peer), disbelieved: false }
}

/// The entries of a list that may be spread over headers, last one first.
fn from_right<'a>(head: &'a Head<'a>, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
    let headers = head.headers.iter().rev().filter(move |(k, _)| k.eq_ignore_ascii_case(name.as_bytes()));
    headers.flat_map(|(_, v)| v.rsplit(|b| *b == b',')).map(<[u8]>::trim_ascii)
}

/// `for` of an entry of `forwarded` (RFC 7239): `for=192.0.2.1;proto=https`, `for="[2001:db8::1]:4711"`. Hidden names are nobody's.
fn forwarded_for(entry: &[u8]) -> Option<IpAddr> {
    entry.split(|b| *b == b';').find_map(|pair| {
        let pair = pair.trim_ascii();
        let (name, value) = pair.split_at_checked(4)?;
        let plain = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        if name.eq_ignore_ascii_case(b"for=") { parse_address(plain) } else { None }
    })
}

/// The port behind an address, if one is told.
fn port(text: &[u8]) -> Option<u16> {
    let text = std::str::from_utf8(text).ok()?;
    let port = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.1.strip_prefix(':')?,
        None if text.matches(':').count() == 1 => text.split_once(':')?.1,
        None => return None,
    };
    port.parse().ok()
}

/// Parses `1.2.3.4`, `1.2.3.4:5`, `::1` or `[::1]:5`. IPv4 mapped into IPv6 is read as IPv4.
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

/// An address cut to a prefix length (bits, by family), with a byte for its family.
pub fn masked(address: IpAddr, ipv4: u8, ipv6: u8) -> Vec<u8> {
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
