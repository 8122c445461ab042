//! Reads credentials from a request's headers: secrets behind schemes, names in tokens and cookies. It does
//! not hash them.
//!
//! Guarantee: a secret gives the same value whatever its scheme, the scheme's case, spaces and the header it
//! stands in. Cost: linear in the header; a token's claims are read up to `MAX_CLAIMS` bytes.

use crate::engine::config::Problems;
use crate::engine::config::read::show;
use crate::engine::config::tree;
use crate::engine::json::files::base64_digit;
use serde_json::Value;

/// Longest claims of a token that are read, bytes. A token with longer ones names nobody.
pub const MAX_CLAIMS: usize = 8 << 10;

/// Schemes whose parameter is the secret itself.
const TOKEN_SCHEMES: [&str; 9] =
    ["bearer", "token", "apikey", "api-key", "api_key", "key", "jwt", "dpop", "oauth"];

/// A credential in an `authorization` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// A secret, without its scheme.
    Token(&'a [u8]),
    /// User name and password, in base64.
    Basic(&'a [u8]),
    /// Id of the access key that signed the request (AWS signature 4 or 2).
    AccessKey(&'a [u8]),
}

/// Scheme and parameter, both trimmed.
fn split(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = value.iter().position(u8::is_ascii_whitespace)?;
    let (scheme, rest) = value.split_at_checked(at)?;
    Some((scheme, rest.trim_ascii()))
}

fn is_token_scheme(scheme: &[u8]) -> bool {
    TOKEN_SCHEMES.iter().any(|s| scheme.eq_ignore_ascii_case(s.as_bytes()))
}

/// The secret behind any number of schemes.
pub fn bare(value: &[u8]) -> &[u8] {
    let mut value = value.trim_ascii();
    while let Some((scheme, rest)) = split(value).filter(|(scheme, _)| is_token_scheme(scheme)) {
        let _ = scheme;
        value = rest;
    }
    value
}

/// Hands each credential of an `authorization` header to `each`. Proxies may have joined several headers with
/// commas.
pub fn authorization<'a>(value: &'a [u8], each: &mut dyn FnMut(Credential<'a>)) {
    let known = |part: &[u8]| {
        split(part.trim_ascii_start())
            .is_some_and(|(s, _)| is_token_scheme(s) || s.eq_ignore_ascii_case(b"basic") || is_signature(s))
    };
    let (mut from, mut at) = (0usize, 0usize);
    while let Some(b) = value.get(at) {
        let next = at.saturating_add(1);
        if *b == b',' && known(value.get(next..).unwrap_or_default()) {
            one(value.get(from..at).unwrap_or_default(), each);
            from = next;
        }
        at = next;
    }
    one(value.get(from..).unwrap_or_default(), each);
}

/// AWS signature 4 (any algorithm) or 2.
fn is_signature(scheme: &[u8]) -> bool {
    scheme.eq_ignore_ascii_case(b"aws")
        || scheme.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"aws4-"))
}

fn one<'a>(value: &'a [u8], each: &mut dyn FnMut(Credential<'a>)) {
    let value = value.trim_ascii();
    let Some((scheme, rest)) = split(value) else {
        // Some servers take the bare secret. A scheme alone is none.
        if !value.is_empty() && !is_token_scheme(value) {
            each(Credential::Token(value));
        }
        return;
    };
    let is = |name: &str| scheme.eq_ignore_ascii_case(name.as_bytes());
    if is("basic") {
        each(Credential::Basic(rest));
    } else if is("aws") {
        let id = rest.split(|b| *b == b':').next().unwrap_or_default();
        if !id.is_empty() {
            each(Credential::AccessKey(id));
        }
    } else if is_signature(scheme) {
        let credential = rest.split(|b| *b == b',').map(<[u8]>::trim_ascii);
        let id = credential.filter_map(|p| p.strip_prefix(b"Credential=")).find_map(access_key);
        if let Some(id) = id {
            each(Credential::AccessKey(id));
        }
    } else if is_token_scheme(scheme) {
        let token = bare(rest);
        if !token.is_empty() && !is_token_scheme(token) {
            each(Credential::Token(token));
        }
    } else if !is("negotiate")
        && !is("ntlm")
        && !is("kerberos")
        && !rest.iter().any(|b| b"\", \t".contains(b))
    {
        // An unknown scheme. Parameters (`name="value", …`) differ from request to request, so they are no secret.
        each(Credential::Token(rest));
    }
}

/// Id of the access key in `AKIA…/date/region/service/aws4_request`.
pub fn access_key(credential: &[u8]) -> Option<&[u8]> {
    credential.split(|b| *b == b'/').next().map(<[u8]>::trim_ascii).filter(|id| !id.is_empty())
}

/// User name and password of a `Basic` credential. Without a colon all of it is the user name.
pub fn basic(text: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut user = base64(text, usize::MAX)?;
    let Some(at) = user.iter().position(|b| *b == b':') else { return Some((user, Vec::new())) };
    let password = user.get(at.saturating_add(1)..).unwrap_or_default().to_vec();
    user.truncate(at);
    Some((user, password))
}

/// Hands each value of a named cookie in a `cookie` header to `each`.
pub fn cookie<'a>(header: &'a [u8], name: &str, each: &mut dyn FnMut(&'a [u8])) {
    for pair in header.split(|b| *b == b';') {
        let mut parts = pair.splitn(2, |b| *b == b'=');
        let (key, value) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default().trim_ascii());
        let plain = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        if key.trim_ascii() == name.as_bytes() && !plain.is_empty() {
            each(plain);
        }
    }
}

/// A claim of a JSON Web Token. The signature is not verified here; a filter in front must do that. `path`:
/// the claim's name, or names with dots between them. Returns the text of strings, whole 64-bit numbers and
/// booleans; `None` for a token that is damaged, too long or has a name twice.
pub fn claim(token: &[u8], path: &str) -> Option<Vec<u8>> {
    let mut parts = token.split(|b| *b == b'.');
    let (_, payload, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let text = String::from_utf8(base64(payload, MAX_CLAIMS)?).ok()?;
    let mut problems = Problems::default();
    let claims = tree::read(&text, &mut problems).ok()?;
    if !problems.0.is_empty() {
        return None;
    }
    match find(&claims, path)? {
        Value::String(s) => Some(s.trim().as_bytes().to_vec()),
        // Whole numbers only: two numbers of more than 64 bits could read as one.
        Value::Number(n) if n.is_f64() => None,
        v @ (Value::Number(_) | Value::Bool(_)) => Some(show(v).into_bytes()),
        _ => None,
    }
    .filter(|v| !v.is_empty())
}

/// A name may hold dots (`https://example.com/org`): the longest name that exists wins.
fn find<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let Value::Object(map) = value else { return None };
    if let Some(v) = map.get(path) {
        return Some(v);
    }
    path.rmatch_indices('.').find_map(|(at, _)| {
        let (name, rest) = (path.get(..at)?, path.get(at.saturating_add(1)..)?);
        find(map.get(name)?, rest)
    })
}

/// Decodes base64 of either alphabet, padded or not; `None` for other bytes, or if the result is longer than
/// `most`.
fn base64(text: &[u8], most: usize) -> Option<Vec<u8>> {
    let text = text.trim_ascii_end();
    let digits = text.iter().rposition(|b| *b != b'=').map_or(0, |at| at.saturating_add(1));
    if digits / 4 > most / 3 || text.len().saturating_sub(digits) > 2 || digits % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(digits);
    for four in text.get(..digits)?.chunks(4) {
        let mut word = 0u32;
        for b in four {
            let digit = base64_digit(*b);
            if digit > 63 {
                return None;
            }
            word = word << 6 | u32::from(digit);
        }
        let missing = 4usize.saturating_sub(four.len());
        let bytes = word.wrapping_shl(6u32.saturating_mul(missing as u32)).to_be_bytes();
        out.extend(bytes.iter().skip(1).take(3usize.saturating_sub(missing)));
    }
    Some(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens(value: &[u8]) -> Vec<Credential<'_>> {
        let mut out = Vec::new();
        authorization(value, &mut |c| out.push(c));
        out
    }

    fn encode(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut out = String::new();
        for three in bytes.chunks(3) {
            let word = three.iter().chain([0, 0].iter()).take(3).fold(0u32, |w, b| w << 8 | u32::from(*b));
            (0..=three.len())
                .for_each(|i| out.push(char::from(ALPHABET[(word >> (18 - 6 * i) & 63) as usize])));
        }
        out
    }

    #[test]
    fn no_scheme_and_no_space_makes_another_secret() {
        for value in [
            "Bearer k",
            "bearer k",
            "BEARER\tk",
            "Bearer   k ",
            " Bearer\t \tk\t",
            "token k",
            "Token\tk",
            "ApiKey k",
            "Api-Key k",
            "key k",
            "Bearer Bearer k",
            "Bearer token k",
            "k",
            " k ",
            "DPoP k",
            "MyScheme k",
        ] {
            assert_eq!(tokens(value.as_bytes()), [Credential::Token(b"k")], "{value:?}");
        }
        for value in
            ["", " ", "Bearer", "Bearer ", "token\t", "Digest a=\"b\", c=\"d\"", "Negotiate YII", "NTLM TlR"]
        {
            assert_eq!(tokens(value.as_bytes()), [], "{value:?}");
        }
        assert_eq!(tokens(b"Bearer a,Bearer b"), [Credential::Token(b"a"), Credential::Token(b"b")]);
        assert_eq!(tokens(b"Bearer a, token\tb"), [Credential::Token(b"a"), Credential::Token(b"b")]);
        assert_eq!(tokens(b"Bearer a,b"), [Credential::Token(b"a,b")], "a comma of the secret itself");
        assert_eq!((bare(b"Bearer  k"), bare(b" k "), bare(b"a b")), (&b"k"[..], &b"k"[..], &b"a b"[..]));
    }

    #[test]
    fn signatures_tell_their_keys_id() {
        let id = Credential::AccessKey(b"AKIA1");
        for value in [
            "AWS4-HMAC-SHA256 Credential=AKIA1/20261128/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=ab",
            "AWS4-HMAC-SHA256\tSignedHeaders=host;x, Credential=AKIA1/20261128/r/s/aws4_request,Signature=00",
            "aws4-ecdsa-p256-sha256 Credential=AKIA1/1/s/aws4_request, Signature=1",
            "AWS AKIA1:signature=",
        ] {
            assert_eq!(tokens(value.as_bytes()), [id], "{value:?}");
        }
        assert_eq!(tokens(b"AWS4-HMAC-SHA256 Signature=1"), []);
    }

    #[test]
    fn names_and_passwords() {
        let text = |t: &str| encode(t.as_bytes());
        assert_eq!(basic(text("user:pa:ss").as_bytes()).unwrap(), (b"user".to_vec(), b"pa:ss".to_vec()));
        assert_eq!(basic(text("user").as_bytes()).unwrap(), (b"user".to_vec(), vec![]));
        assert_eq!(basic(b"dXNlcjpw").unwrap(), (b"user".to_vec(), b"p".to_vec()));
        assert_eq!(basic(b"dXNlcjo=").unwrap(), (b"user".to_vec(), vec![]));
        assert!(basic(b"!!!").is_none() && basic(b"A").is_none());
    }

    #[test]
    fn cookies() {
        let of = |header: &[u8]| {
            let mut out = Vec::new();
            cookie(header, "sid", &mut |v| out.push(v.to_vec()));
            out
        };
        assert_eq!(of(b"a=b; sid=x=1;sid=\"y\"; SID=no; sid="), [b"x=1".to_vec(), b"y".to_vec()]);
    }

    #[test]
    fn claims_by_name_and_path() {
        let token =
            |claims: &str| [&encode(b"{}"), ".", &encode(claims.as_bytes()), ".sig"].concat().into_bytes();
        let of =
            |claims: &str, path: &str| claim(&token(claims), path).map(|v| String::from_utf8(v).unwrap());
        let some = |text: &str| Some(text.to_string());
        assert_eq!(of(r#"{"sub":"alice"}"#, "sub"), some("alice"));
        assert_eq!(of(r#"{"sub":7}"#, "sub"), some("7"));
        assert_eq!(of(r#"{"a":{"b.c":{"d":"x"}}}"#, "a.b.c.d"), some("x"));
        assert_eq!(of(r#"{"https://e.x/org":{"id":"o"}}"#, "https://e.x/org.id"), some("o"));
        assert_eq!(of(r#"{"sub":"a","sub":"b"}"#, "sub"), None, "parsers differ");
        for bad in [r#"{"sub":""}"#, r#"{"sub":["a"]}"#, r#"{"sub":null}"#, "[]", "x", r#"{"sub":{"a":1}}"#] {
            assert_eq!(of(bad, "sub"), None, "{bad}");
        }
        assert_eq!(claim(b"opaque", "sub"), None);
        assert_eq!(claim(&[&token(r#"{"sub":"a"}"#)[..], b".x"].concat(), "sub"), None);
        let long = format!(r#"{{"sub":"a","x":"{}"}}"#, "y".repeat(MAX_CLAIMS));
        assert_eq!(of(&long, "sub"), None);
        let deep = format!(r#"{{"sub":"a","x":{}{}}}"#, "[".repeat(3_000), "]".repeat(3_000));
        assert_eq!(of(&deep, "sub"), None);
    }

    proptest! {
        #[test]
        fn base64_goes_there_and_back(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
            prop_assert_eq!(base64(encode(&bytes).as_bytes(), 99).unwrap(), bytes);
        }
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            authorization(&bytes, &mut |_| ());
            let _ = (basic(&bytes), claim(&bytes, "a.b"), base64(&bytes, 10));
            cookie(&bytes, "a", &mut |_| ());
        }
    }
}
