//! Lines of `--tokens`, and the identities of requests.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use axum::http::HeaderValue;
use axum::http::header::AUTHORIZATION;

fn bears(token: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    HeaderMap::from_iter([(AUTHORIZATION, value)])
}

#[test]
fn a_token_stands_for_its_name_and_what_is_no_line_is_told_without_it() {
    let lines = "# proxies\n\nproxy-1  0123456789abcdef0\nproxy-2\tfedcba98765432100\n";
    let known = Known::new(Token::new("the-shared-one"), Some(lines)).unwrap();
    let of = |token: &str| known.of(&bears(token)).map(|i| i.name().to_string());
    assert_eq!(of("0123456789abcdef0").as_deref(), Some("token proxy-1"));
    assert_eq!(of("fedcba98765432100").as_deref(), Some("token proxy-2"));
    assert_eq!(of("the-shared-one").as_deref(), Some("shared"));
    assert_eq!((of("proxy-1"), of("0123456789abcdef"), known.of(&HeaderMap::new())), (None, None, None));
    let open = Known::new(None, None).unwrap();
    assert!(!open.is_asked() && open.of(&HeaderMap::new()).unwrap().is_shared());
    assert_ne!(Identity::of_token("a").who(), Identity::of_token("b").who());
    for (bad, why) in [
        ("a", "line 1: must be a name and a token"),
        ("\na 0123456789abcdef0 x", "line 2: must be a name and a token"),
        ("a/b 0123456789abcdef0", "line 1: a name is letters"),
        ("a short", "line 1: a node's token has 16 characters"),
        ("a 0123456789abcdef0\na 0123456789abcdef1", "line 2: stands for a name"),
        ("a 0123456789abcdef0\nb 0123456789abcdef0", "line 2: its token is another line's"),
        ("a the-shared-one-of-all", "line 1: its token is another line's, or the shared one"),
        ("# nobody\n", "holds no name with a token"),
    ] {
        let said = Known::new(Token::new("the-shared-one-of-all"), Some(bad)).err().unwrap();
        assert!(said.starts_with(why) && !said.contains("0123"), "{bad:?}: {said}");
    }
    let line = |i: usize| format!("n{i} 0123456789abcdef-{i}\n");
    assert!(Known::new(None, Some(&(0..TOKENS).map(line).collect::<String>())).is_ok());
    let many = Known::new(None, Some(&(0..=TOKENS).map(line).collect::<String>())).err().unwrap();
    assert_eq!(many, "line 4097: there are 4,096 tokens at most");
}

fn certificate(names: &[rcgen::SanType], subject: &str) -> Vec<u8> {
    let mut p = rcgen::CertificateParams::new(Vec::new()).unwrap();
    p.subject_alt_names = names.to_vec();
    p.distinguished_name = rcgen::DistinguishedName::new();
    if !subject.is_empty() {
        p.distinguished_name.push(rcgen::DnType::CommonName, subject);
    }
    p.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

#[test]
fn a_certificate_is_its_name_and_the_next_one_of_that_name_is_the_same() {
    let (uri, dns) = (
        rcgen::SanType::URI("spiffe://mesh/proxy-1".try_into().unwrap()),
        rcgen::SanType::DnsName("proxy-1.local".try_into().unwrap()),
    );
    let name = |names: &[rcgen::SanType], subject| {
        let i = Identity::of_certificate(&certificate(names, subject));
        (i.name().to_string(), i.who())
    };
    let first = name(&[dns.clone(), uri.clone()], "p");
    assert_eq!(first.0, "certificate spiffe://mesh/proxy-1");
    assert_eq!(first, name(&[uri], "another subject"), "another key, the same name");
    assert_eq!(name(&[dns], "p").0, "certificate proxy-1.local");
    assert_eq!(name(&[], "proxy 1").0, "certificate CN=proxy 1");
    let (nameless, other) = (name(&[], ""), name(&[], ""));
    assert!(nameless.0.len() == "certificate ".len() + 64 && nameless != other, "{nameless:?}");
    let long = Identity::of_token(&"ä".repeat(300));
    assert!(long.name().len() <= NAME_BYTES);
    let mut bytes = Vec::new();
    long.put(&mut Writer(&mut bytes));
    assert_eq!(Identity::read(&mut Reader(&bytes)), Some(long));
    assert!((0..bytes.len()).all(|n| Identity::read(&mut Reader(&bytes[..n])).is_none()));
}
