//! Which credentials and names give which key: tables of requests.

use super::*;
use crate::engine::config::HopsHeader;
use proptest::prelude::*;

fn config(sources: Vec<Source>) -> IdentityConfig {
    IdentityConfig {
        sources,
        hash_secrets: false,
        tenant: Some(Source::Header("x-tenant".into())),
        age: Some(Source::Header("x-created".into())),
        ja4: None,
        trusted_hops: 0,
        hops_header: HopsHeader::XForwardedFor,
    }
}

fn all() -> Vec<Source> {
    vec![
        Source::Header("x-client-id".into()),
        Source::Bearer,
        Source::header("X-Api-Key"),
        Source::Query("key".into()),
        Source::Cookie("sid".into()),
        Source::Basic,
        Source::Address { ipv4: 32, ipv6: 64 },
    ]
}

fn who(path: &str, headers: &[(&str, &[u8])], source: &str) -> Identity {
    read(&config(all()), path, headers, source)
}

fn read(config: &IdentityConfig, path: &str, headers: &[(&str, &[u8])], source: &str) -> Identity {
    let pairs: Vec<(&[u8], &[u8])> = headers.iter().map(|(k, v)| (k.as_bytes(), *v)).collect();
    let head = Head {
        path: path.as_bytes(),
        authority: b"a",
        headers: &pairs,
        source: source.as_bytes(),
        ..Head::default()
    };
    identify(config, &Keys::new(&Seed::from_text("t")), &head)
}

/// Basic credentials, as a client writes them.
const BASIC_ABC: &[u8] = b"Basic YWJjOg=="; // abc:
const BASIC_PASSWORD: &[u8] = b"basic\tOmFiYw"; // :abc

#[test]
fn one_secret_is_one_key_wherever_it_stands() {
    let key = who("/", &[("authorization", b"Bearer abc")], "").key;
    type Place = (&'static str, &'static [(&'static str, &'static [u8])]);
    let places: [Place; 14] = [
        ("/", &[("Authorization", b"bEARER   abc ")]),
        ("/", &[("authorization", b"Bearer\tabc")]),
        ("/", &[("authorization", b"token abc")]),
        ("/", &[("authorization", b"abc")]),
        ("/", &[("authorization", b"Bearer Bearer abc")]),
        ("/", &[("authorization", BASIC_ABC)]),
        ("/", &[("authorization", BASIC_PASSWORD)]),
        ("/", &[("X-Api-Key", b"abc")]),
        ("/", &[("x-api-key", b"\tBearer abc ")]),
        ("/?key=abc", &[]),
        ("/?a=1&k%65y=a%62c", &[]),
        ("/", &[("cookie", b"a=b; sid=abc")]),
        ("/?key=abc", &[("x-api-key", b"abc"), ("authorization", b"Bearer abc,Bearer abc")]),
        ("/", &[("authorization", b"Bearer abc"), ("authorization", b"token\tabc")]),
    ];
    for (path, headers) in places {
        let id = who(path, headers, "");
        assert_eq!((id.key, id.ambiguous, id.parts.len()), (key, false, 0), "{path} {headers:?}");
    }
    let two = who("/", &[("authorization", b"Bearer abc,Bearer x")], "");
    let apart = who("/", &[("authorization", b"Bearer x"), ("authorization", b"Bearer abc")], "");
    assert!(two.ambiguous && two.key == apart.key && two.parts.contains(&key.0));
}

#[test]
fn names_are_no_secrets() {
    let named = who("/", &[("x-client-id", b"abc")], "");
    assert_ne!(
        named.key,
        who("/", &[("x-api-key", b"abc")], "").key,
        "nobody becomes abc by a secret of that text"
    );
    // An address, as bytes behind a percent sign.
    assert_ne!(who("/", &[], "10.0.0.1:5").key, who("/?key=%04%20%0a%00%00%01", &[], "").key);
    assert_ne!(named.key, who("/?key=%01x-client-id%00abc", &[], "").key);
    // Behind a name a credential names nobody; lists and convictions hold for it all the same.
    let both = who(
        "/",
        &[("x-client-id", b"abc"), ("authorization", b"Bearer bad"), ("x-api-key", b"worse")],
        "10.0.0.1:5",
    );
    assert!(both.key == named.key && !both.ambiguous && both.parts.is_empty());
    let alone = |v: &[u8]| who("/", &[("x-api-key", v)], "").key.0;
    assert_eq!(both.also, [alone(b"bad"), alone(b"worse")]);
    let basic = who("/", &[("authorization", b"Basic dXNlcjpiYWQ=")], ""); // user:bad
    assert_eq!((basic.key.0, basic.also.as_slice()), (alone(b"user"), &[alone(b"bad")][..]));
}

#[test]
fn claims_and_signatures_name_their_owner() {
    let jwt = |rest: &str, headers: &[(&str, &[u8])]| {
        let mut c = config(all());
        c.sources.insert(0, Source::Jwt("sub".into()));
        read(&c, rest, headers, "")
    };
    // {"sub":"alice"} in two tokens that differ in head and signature, and {"sub":"bob"}.
    let (a, b) = (&b"Bearer e30.eyJzdWIiOiJhbGljZSJ9.x"[..], &b"bearer\te31.eyJzdWIiOiJhbGljZSJ9.y"[..]);
    let alice = jwt("/", &[("authorization", a)]);
    assert_eq!(alice.key, jwt("/", &[("authorization", b)]).key);
    assert!(!alice.ambiguous && alice.also.len() == 1, "the token itself is looked up, too");
    assert_ne!(alice.key, jwt("/", &[("authorization", b"Bearer e30.eyJzdWIiOiJib2IifQ.x")]).key);
    assert_ne!(alice.key, jwt("/", &[("authorization", b"Bearer alice")]).key);
    assert!(
        jwt("/", &[("authorization", a), ("authorization", b"Bearer e30.eyJzdWIiOiJib2IifQ.x")]).ambiguous
    );
    let signed =
        |path: &str, headers: &[(&str, &[u8])]| read(&config(vec![Source::SigV4]), path, headers, "").key;
    let head = &b"AWS4-HMAC-SHA256 Credential=AKIA1/20261128/r/bedrock/aws4_request, SignedHeaders=host, Signature=1"[..];
    let other =
        &b"AWS4-HMAC-SHA256 SignedHeaders=host,Credential=AKIA1/20261129/x/bedrock/aws4_request,Signature=2"
            [..];
    assert_eq!(signed("/", &[("authorization", head)]), signed("/", &[("authorization", other)]));
    assert_eq!(
        signed("/", &[("authorization", head)]),
        signed("/?X-Amz-Credential=AKIA1%2F20261128%2Fr%2Fs%2Faws4_request", &[])
    );
    assert_ne!(signed("/", &[("authorization", head)]), KeyId(0));
}

#[test]
fn no_number_of_credentials_hides_one() {
    let junk: Vec<String> = (0..300).map(|i| format!("junk{i}")).collect();
    let alone = |v: &str| who("/", &[("x-api-key", v.as_bytes())], "").key.0;
    for n in [2, 9, 64, CREDENTIALS - 1] {
        let mut headers: Vec<(&str, &[u8])> =
            junk.iter().take(n).map(|j| ("x-api-key", j.as_bytes())).collect();
        headers.push(("authorization", b"Bearer bad"));
        let id = who("/", &headers, "10.0.0.1:5");
        assert!(id.parts.contains(&alone("bad")) && id.parts.contains(&alone("junk0")) && !id.crowded, "{n}");
        assert_eq!((id.parts.len(), id.address), (n + 1, who("/", &[], "10.0.0.1:9").key.0));
    }
    // More than there can be header pairs: refused, whatever they are, and no more memory.
    let path = junk.iter().fold(String::from("/?a=b"), |p, j| p + "&key=" + j);
    let id = who(&path, &[], "");
    assert!(id.crowded && id.parts.len() == CREDENTIALS && id.parts.capacity() <= 2 * CREDENTIALS);
}

proptest! {
    #[test]
    fn space_and_case_make_no_other_key(
        secret in "[A-Za-z0-9._~+/-]{4,40}", scheme in "[Bb][eE]arer|[tT]OKEN|[aA]piKey|[kK]ey", space in "[ \t]{1,4}", end in "[ \t]{0,3}",
    ) {
        let value = format!("{end}{scheme}{space}{secret}{end}");
        let plain = who("/", &[("x-api-key", secret.as_bytes())], "").key;
        prop_assert_eq!(who("/", &[("authorization", value.as_bytes())], "").key, plain);
        prop_assert_eq!(who("/", &[("x-api-key", value.as_bytes())], "").key, plain);
    }
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
    assert!(who("/", &[a], "").parts.is_empty());
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
    // Port 0: the host read the address from a header of the client. Nobody is believed.
    for told in ["10.1.2.3:0", "[2001:db8::1]:0"] {
        let id = who("/", &[("x-forwarded-for", b"10.1.2.3")], told);
        assert!(id.anonymous && id.prefix == 0 && id.disbelieved, "{told}");
    }
    assert!(!who("/", &[], "10.1.2.3:80").disbelieved && !who("/", &[], "2001:db8::0").anonymous);
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
    let unread = |v: &[u8]| who("/", &[("x-created", v)], "").age_unread;
    assert!(unread(b"yesterday") && !unread(b"1777629600") && !unread(b" ") && !who("/", &[], "").age_unread);
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

#[test]
fn trusted_hops_are_counted_from_the_right() {
    let from = |hops: u8, by: HopsHeader, headers: &[(&str, &[u8])], peer: &str| {
        let c = IdentityConfig {
            trusted_hops: hops,
            hops_header: by,
            ..config(vec![Source::Address { ipv4: 32, ipv6: 64 }])
        };
        read(&c, "/", headers, peer).key
    };
    let is = |address: &str| from(0, HopsHeader::XForwardedFor, &[], address);
    let xff = |v: &'static str| [("x-forwarded-for", v.as_bytes())];
    let by = HopsHeader::XForwardedFor;
    assert_eq!(from(1, by, &xff("6.6.6.6, 10.0.0.1"), "10.0.0.9:5"), is("10.0.0.1"));
    assert_eq!(from(2, by, &xff("6.6.6.6, 10.0.0.1, 10.0.0.2"), "10.0.0.9:5"), is("10.0.0.1"));
    // The proxy has added the peer itself, in front of this filter.
    assert_eq!(from(1, by, &xff("6.6.6.6, 10.0.0.1, 10.0.0.9"), "10.0.0.9:5"), is("10.0.0.1"));
    assert_eq!(
        from(1, by, &[("X-Forwarded-For", b"6.6.6.6"), ("x-forwarded-for", b"10.0.0.1")], "10.0.0.9:5"),
        is("10.0.0.1")
    );
    // Without it the host's own reading of the header has port 0.
    assert_eq!(from(1, by, &xff("6.6.6.6, 10.0.0.1"), "10.0.0.1:0"), is("10.0.0.1"));
    assert_eq!(from(1, by, &xff("10.0.0.9"), "10.0.0.9:5"), is("10.0.0.9"), "past the proxies: the peer");
    assert_eq!(from(2, by, &[], "10.0.0.9:5"), is("10.0.0.9"));
    assert_eq!(from(1, by, &xff("unknown"), "10.0.0.9:5"), KeyId(0));
    let forwarded = |v: &'static str| [("Forwarded", v.as_bytes()), ("x-forwarded-for", b"6.6.6.6")];
    let by = HopsHeader::Forwarded;
    for (value, address) in [
        ("for=6.6.6.6, For=10.0.0.1;proto=https", "10.0.0.1"),
        ("for=\"[2001:db8::1]:4711\"", "2001:db8::1"),
        ("proto=https; for=10.0.0.1:80; by=x", "10.0.0.1"),
        ("for=10.0.0.1, for=10.0.0.9", "10.0.0.1"),
    ] {
        assert_eq!(from(1, by, &forwarded(value), "10.0.0.9:5"), is(address), "{value}");
    }
    for hidden in ["for=_hidden", "for=unknown", "by=10.0.0.1", ""] {
        assert_eq!(from(1, by, &forwarded(hidden), "10.0.0.9:5"), KeyId(0), "{hidden}");
    }
}

#[test]
fn a_secret_that_is_hashed_first_is_the_key_of_a_log_that_has_the_hash() {
    use sha2::{Digest, Sha256};
    let hex = |text: &[u8]| Sha256::digest(text).iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(
        hex(b"abc"),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "as FIPS 180-4 has it"
    );
    // Around the lengths at which padding takes a block more.
    for n in (0..200).chain([1_000, 4_096]) {
        let text = vec![b'k'; n];
        assert_eq!(sha256_hex(&text), hex(&text).as_bytes(), "{n} bytes");
    }
    let plain = config(vec![Source::Bearer, Source::header("X-Api-Key"), Source::Header("x-name".into())]);
    let hashed = IdentityConfig { hash_secrets: true, ..plain.clone() };
    let live =
        |c: &IdentityConfig, name: &str, value: &str| read(c, "/", &[(name, value.as_bytes())], "").key;
    let keys = Keys::new(&Seed::from_text("t"));
    let logged = |c: &IdentityConfig, value: &str, is_hash: bool| {
        let mut id =
            Identity { tenant: 7, prefix: 8, ambiguous: true, anonymous: true, ..Identity::default() };
        id.name(c, &keys, value.as_bytes(), is_hash);
        assert!(id.tenant == 7 && id.prefix == 8 && !id.ambiguous && !id.anonymous);
        id.key
    };
    let (secret, hash) = ("sk-example", hex(b"sk-example"));
    assert_eq!(live(&hashed, "authorization", &format!("Bearer {secret}")), logged(&hashed, &hash, true));
    assert_eq!(live(&hashed, "x-api-key", secret), logged(&hashed, &hash.to_uppercase(), true));
    assert_eq!(live(&hashed, "x-api-key", secret), logged(&hashed, secret, false));
    assert_eq!(live(&plain, "x-api-key", secret), logged(&plain, secret, false));
    assert_ne!(live(&plain, "x-api-key", secret), logged(&plain, &hash, true), "nothing can match it");
    assert_eq!(live(&hashed, "x-name", "n"), live(&plain, "x-name", "n"), "names are not hashed");
    let named = IdentityConfig { sources: vec![Source::Header("x-name".into())], ..plain.clone() };
    assert_eq!(live(&named, "x-name", "n"), logged(&named, "n", false));
}
