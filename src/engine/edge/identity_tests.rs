//! Who is who, table by table.

use super::*;

fn config(sources: Vec<Source>) -> IdentityConfig {
    IdentityConfig {
        sources,
        tenant: Some(Source::Header("x-tenant".into())),
        age: Some(Source::Header("x-created".into())),
        ja4: None,
        trusted_hops: 0,
    }
}

fn all() -> Vec<Source> {
    vec![
        Source::Header("x-client-id".into()),
        Source::Bearer,
        Source::Header("x-api-key".into()),
        Source::Query("key".into()),
        Source::Address { ipv4: 32, ipv6: 64 },
    ]
}

fn who(path: &str, headers: &[(&str, &[u8])], source: &str) -> Identity {
    let pairs: Vec<(&[u8], &[u8])> = headers.iter().map(|(k, v)| (k.as_bytes(), *v)).collect();
    let head = Head {
        method: b"POST",
        path: path.as_bytes(),
        authority: b"a",
        headers: &pairs,
        source: source.as_bytes(),
        route: b"",
        virtual_host: b"",
        service: b"",
        metadata_profile: b"",
        properties: &NoProperties,
        end_of_stream: false,
    };
    identify(&config(all()), &Keys::new(&Seed::from_text("t")), &head)
}

#[test]
fn the_first_source_wins_and_kinds_never_collide() {
    let bearer = who("/", &[("Authorization", b"Bearer abc")], "");
    assert_eq!(bearer.key, who("/", &[("authorization", b"bEARER   abc ")], "").key);
    assert_ne!(bearer.key, who("/", &[("x-api-key", b"abc")], "").key);
    assert_ne!(who("/?key=abc", &[], "").key, who("/", &[("x-api-key", b"abc")], "").key);
    assert_eq!(who("/?a=1&k%65y=a%62c", &[], "").key, who("/?key=abc", &[], "").key);
    let named = who("/", &[("x-client-id", b"c"), ("authorization", b"Bearer abc")], "");
    assert!(!named.ambiguous);
    assert_eq!(named.key, who("/", &[("x-client-id", b"c")], "").key);
    assert!(who("/", &[("authorization", b"Basic abc")], "").anonymous);
}

#[test]
fn two_credentials_are_ambiguous_in_any_order() {
    let [a, b] = [&b"one"[..], b"two"].map(|v| ("x-api-key", v));
    let (x, y) = (who("/", &[a, b], ""), who("/", &[b, a], ""));
    assert!(x.ambiguous && y.ambiguous);
    assert_eq!(x.key, y.key);
    assert_ne!(x.key, who("/", &[a], "").key);
    let same = who("/", &[a, a], "");
    assert!(!same.ambiguous);
    assert_eq!(same.key, who("/", &[a], "").key);
    assert!(who("/", &[("authorization", b"Bearer x"), a], "").ambiguous);
    assert!(!who("/", &[("authorization", b"Bearer one"), a], "").ambiguous, "the same secret twice is one");
    assert!(!who("/", &[a], "10.0.0.1:5").ambiguous);
    // Neither order nor repetition makes another key, or two credentials would bring any number of fresh quotas.
    let c = ("x-api-key", &b"three"[..]);
    let all = who("/", &[a, b, c], "");
    for other in [&[c, b, a][..], &[b, a, c], &[a, a, b, a, c, c]] {
        assert_eq!(who("/", other, "").key, all.key);
    }
    assert_ne!(all.key, x.key);
    assert_eq!(who("/", &[a, b, a], "").key, x.key);
    for alone in [a, b, c] {
        assert!(all.parts.contains(&who("/", &[alone], "").key.0));
    }
    assert_eq!(who("/", &[a], "").parts, [0; CREDENTIALS]);
}

#[test]
fn bytes_that_are_no_text_are_a_key_like_any_other() {
    let odd = who("/", &[("x-api-key", b"\xff\xfe")], "");
    assert!(!odd.anonymous && odd.key != KeyId(0));
}

#[test]
fn addresses_are_cut_and_parsed() {
    for (a, b, same) in [
        ("10.1.2.3:80", "10.1.2.3", true),
        ("10.1.2.3", "10.1.2.4", false),
        ("[2001:db8::1]:443", "2001:db8::2", true),
        ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ("::ffff:10.1.2.3", "10.1.2.3", true),
    ] {
        assert_eq!(who("/", &[], a).key == who("/", &[], b).key, same, "{a} {b}");
    }
    assert_eq!(who("/", &[], "10.1.2.3").prefix, who("/", &[], "10.1.2.250").prefix);
    assert_ne!(who("/", &[], "10.1.2.3").prefix, who("/", &[], "10.1.3.3").prefix);
    assert!(who("/", &[], "nonsense").anonymous);
    assert_eq!(who("/", &[], "").prefix, 0);
}

#[test]
fn creation_times_and_tenants() {
    let created = |v: &[u8]| who("/", &[("x-created", v)], "").created.map(Nanos::secs);
    assert_eq!(created(b"1777629600"), Some(1_777_629_600));
    assert_eq!(created(b"2026-05-01T10:00:00Z"), Some(1_777_629_600));
    assert_eq!(created(b"2026-05-01T12:00:00.25+02:00"), Some(1_777_629_600));
    assert_eq!(created(b"2000-02-29T00:00:00Z"), Some(951_782_400));
    for bad in [&b"yesterday"[..], b"2026-13-01T00:00:00Z", b"2026-05-01", b"\xff", b"-5", b""] {
        assert_eq!(created(bad), None, "{bad:?}");
    }
    assert_ne!(who("/", &[("x-tenant", b"a")], "").tenant, 0);
}

#[test]
fn client_shape_ignores_what_varies() {
    let a = who("/", &[("user-agent", b"x/1"), ("accept", b"*/*"), ("content-length", b"5")], "");
    let b = who(
        "/",
        &[("User-Agent", b"x/1"), ("accept", b"json"), ("content-length", b"9"), ("x-request-id", b"1")],
        "",
    );
    assert_eq!(a.client, b.client);
    assert_ne!(a.client, who("/", &[("accept", b"*/*"), ("user-agent", b"x/1")], "").client);
    assert_ne!(a.client, who("/", &[("user-agent", b"x/2"), ("accept", b"*/*")], "").client);
}
