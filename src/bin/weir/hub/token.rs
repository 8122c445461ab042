//! Tokens of senders and of people, as requests carry them.

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;

/// A secret that is compared in constant time and never shown.
pub struct Token(Vec<u8>);

impl Token {
    /// `None` if there is nothing but space.
    pub fn new(text: &str) -> Option<Token> {
        let text = text.trim();
        (!text.is_empty()).then(|| Token(text.as_bytes().to_vec()))
    }
    fn is(&self, other: &[u8]) -> bool {
        self.0.ct_eq(other).into()
    }
    pub fn is_same(&self, other: &Token) -> bool {
        self.is(&other.0)
    }
    /// True if the request carries it.
    pub fn is_in(&self, headers: &HeaderMap) -> bool {
        let told = headers.get(header::AUTHORIZATION).map(|v| v.as_bytes());
        told.and_then(|t| t.split_at_checked(7))
            .is_some_and(|(scheme, t)| scheme.eq_ignore_ascii_case(b"bearer ") && self.is(t))
    }
}
