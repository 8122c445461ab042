//! The identity of a sender: the name that its certificate or token stands for. A node's id is of its own
//! choice; its identity is not.
//!
//! A certificate's name is as reliable as its signer, and a token's as the line of `--tokens`; nobody without
//! its key or token can have it. All who share a token are one identity. Names are not secret; tokens are
//! never shown.

use super::token::Token;
use crate::audit::chain::hex;
use axum::http::HeaderMap;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use weir::engine::wire::{Reader, Writer};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// An identity for comparison: a hash of its name, 0 for all who share a token.
pub type Who = [u8; 16];

/// Largest number of tokens, one for each node.
pub const TOKENS: usize = 4_096;
/// Shortest token of a node, characters.
pub const TOKEN_CHARS: usize = 16;
/// Bytes that are kept of a name, at most.
const NAME_BYTES: usize = 128;

/// The identity of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    who: Who,
    /// The name as people read it: `token NAME`, `certificate NAME`, `shared`.
    name: String,
}

impl Identity {
    /// The identity of all who share a token, or need none.
    pub fn shared() -> Arc<Identity> {
        Arc::new(Identity { who: [0; 16], name: "shared".into() })
    }

    fn named(kind: &str, name: &str) -> Arc<Identity> {
        let mut who = [0; 16];
        let hash = Sha256::digest(format!("{kind} {name}"));
        who.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        let clean = |c: char| if c.is_control() { '?' } else { c };
        let mut short: String = format!("{kind} {name}").chars().map(clean).collect();
        let end = (0..=NAME_BYTES.min(short.len())).rev().find(|n| short.is_char_boundary(*n)).unwrap_or(0);
        short.truncate(end);
        Arc::new(Identity { who, name: short })
    }

    /// The identity of a line of `--tokens`.
    pub fn of_token(name: &str) -> Arc<Identity> {
        Identity::named("token", name)
    }

    /// The identity of a log that is followed.
    pub fn of_log(path: &std::path::Path) -> Arc<Identity> {
        Identity::named("log", &path.display().to_string())
    }

    /// The identity of a verified certificate: its first URI (as in SPIFFE), else its first DNS name, else
    /// its subject; so the next certificate with that name is the same identity. A certificate without a name
    /// is known by its hash.
    pub fn of_certificate(der: &[u8]) -> Arc<Identity> {
        let name = X509Certificate::from_der(der).ok().and_then(|(_, cert)| {
            let san = cert.subject_alternative_name().ok().flatten();
            let all = || san.iter().flat_map(|s| &s.value.general_names);
            let uri = all().find_map(|n| match n {
                GeneralName::URI(u) => Some((*u).to_string()),
                _ => None,
            });
            let dns = || {
                all().find_map(|n| match n {
                    GeneralName::DNSName(d) => Some((*d).to_string()),
                    _ => None,
                })
            };
            let subject = || Some(cert.subject().to_string()).filter(|s| !s.is_empty());
            uri.or_else(dns).or_else(subject)
        });
        let hash = || hex(&Sha256::digest(der));
        Identity::named("certificate", &name.unwrap_or_else(hash))
    }

    pub fn who(&self) -> Who {
        self.who
    }
    pub fn name(&self) -> &str {
        &self.name
    }
    /// True if it is that of a log.
    pub fn is_log(&self) -> bool {
        self.name.starts_with("log ")
    }
    /// True if others share it.
    pub fn is_shared(&self) -> bool {
        self.who == [0; 16]
    }

    pub fn put(&self, w: &mut Writer<'_>) {
        w.0.extend_from_slice(&self.who);
        w.u8(self.name.len() as u8);
        w.0.extend_from_slice(self.name.as_bytes());
    }
    /// Reads an encoded identity; `None` if it is none.
    pub fn read(r: &mut Reader<'_>) -> Option<Arc<Identity>> {
        let (who, len) = (r.bytes(16)?.try_into().ok()?, r.u8()?);
        let name = std::str::from_utf8(r.bytes(len.into())?).ok()?.to_string();
        Some(Arc::new(Identity { who, name }))
    }
}

/// Identities that may send.
#[derive(Default)]
pub struct Known {
    shared: Option<Token>,
    of_nodes: Vec<(Token, Arc<Identity>)>,
}

impl Known {
    /// `shared`: the token that all may use. `lines`: a name and a token each, separated by space; empty
    /// lines and those that begin with `#` are skipped.
    ///
    /// # Errors
    /// The number of the first line that is wrong, and why; tokens are not in the message.
    pub fn new(shared: Option<Token>, lines: Option<&str>) -> Result<Known, String> {
        let mut known = Known { shared, of_nodes: Vec::new() };
        let mut names = BTreeSet::new();
        for (n, line) in (1..).zip(lines.unwrap_or_default().lines()) {
            let bad = |why: &str| Err(format!("line {n}: {why}"));
            let mut words = line.split_whitespace();
            let (name, token) = match (words.next(), words.next(), words.next()) {
                (None, ..) => continue,
                (Some(first), ..) if first.starts_with('#') => continue,
                (Some(name), Some(token), None) => (name, token),
                _ => return bad("must be a name and a token, with space between"),
            };
            let plain = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
            if name.len() > 64 || !name.bytes().all(plain) {
                return bad("a name is letters, digits, `.`, `_` and `-`, 64 at most");
            }
            let Some(own) = Token::new(token).filter(|_| token.len() >= TOKEN_CHARS) else {
                return bad("a node's token has 16 characters or more: `openssl rand -hex 32`");
            };
            if !names.insert(name.to_string()) {
                return bad("stands for a name that another line has");
            }
            let twice = known.of_nodes.iter().map(|k| &k.0).chain(&known.shared).any(|t| t.is_same(&own));
            if twice {
                return bad("its token is another line's, or the shared one");
            }
            if known.of_nodes.len() >= TOKENS {
                return bad("there are 4,096 tokens at most");
            }
            known.of_nodes.push((own, Identity::of_token(name)));
        }
        if lines.is_some() && known.of_nodes.is_empty() {
            return Err("holds no name with a token".into());
        }
        Ok(known)
    }

    /// True if a caller must show a token.
    pub fn is_asked(&self) -> bool {
        self.shared.is_some() || !self.of_nodes.is_empty()
    }

    /// The identity of a request by its token. All tokens are compared, so that the time taken reveals
    /// nothing.
    pub fn of(&self, headers: &HeaderMap) -> Option<Arc<Identity>> {
        if !self.is_asked() {
            return Some(Identity::shared());
        }
        let mut found = self.shared.as_ref().is_some_and(|t| t.is_in(headers)).then(Identity::shared);
        for (token, identity) in &self.of_nodes {
            if token.is_in(headers) {
                found = Some(Arc::clone(identity));
            }
        }
        found
    }
}

#[cfg(test)]
#[path = "identity_tests.rs"]
mod tests;
