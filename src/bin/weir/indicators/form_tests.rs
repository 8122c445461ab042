#![allow(clippy::unwrap_used, clippy::type_complexity, reason = "tests")]

use super::*;
use ring::rand::SystemRandom;
use ring::signature::KeyPair;

const NOW: u64 = 1_790_000_000;

fn key() -> Ed25519KeyPair {
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap()
}

fn sample() -> Indicators {
    let phrases: Vec<String> = (1..9u64).map(|i| format!("{i:016x}")).collect();
    let one = Indicator {
        id: id(&phrases),
        phrases,
        typical: 6,
        from_s: NOW - 7_200,
        to_s: NOW,
        keys: 420,
        requests: 12_000,
        nats: 142,
    };
    Indicators {
        weir: "indicators".into(),
        version: VERSION,
        issuer: "Org A".into(),
        created_s: NOW,
        expires_s: NOW + 86_400,
        exchange: "0000abcd".into(),
        indicators: vec![one],
    }
}

fn sent(key: &Ed25519KeyPair, change: impl FnOnce(&mut Indicators)) -> Result<Indicators, Refused> {
    let mut all = sample();
    change(&mut all);
    read(write(&all, key).unwrap().as_bytes(), key.public_key().as_ref(), NOW + 5, Some(0xabcd))
}

#[test]
fn what_was_signed_comes_back() {
    assert_eq!(sent(&key(), |_| {}), Ok(sample()));
    assert_eq!(sample().indicators[0].need(), 3);
}

#[test]
fn every_changed_byte_and_another_key_are_refused() {
    let key = key();
    let text = write(&sample(), &key).unwrap().into_bytes();
    for at in 0..text.len() {
        let mut bad = text.clone();
        bad[at] ^= 1;
        // White space between the parts is none of them.
        if read(&bad, key.public_key().as_ref(), NOW, None).is_ok() {
            assert!(text[at].is_ascii_whitespace(), "byte {at}");
        }
    }
    for cut in 0..text.len() - 2 {
        assert!(read(&text[..cut], key.public_key().as_ref(), NOW, None).is_err(), "cut at {cut}");
    }
    assert_eq!(read(&text, self::key().public_key().as_ref(), NOW, None), Err(Refused::Signature));
}

#[test]
fn time_version_and_seed_are_those_that_hold() {
    let key = key();
    assert_eq!(sent(&key, |a| a.expires_s = NOW + 5), Err(Refused::Expired(NOW + 5)));
    assert_eq!(sent(&key, |a| a.created_s = NOW + 606), Err(Refused::Early(NOW + 606)));
    assert!(sent(&key, |a| a.created_s = NOW + 605).is_ok(), "a clock may be ten minutes behind");
    assert_eq!(sent(&key, |a| a.version = 2), Err(Refused::Version(2)));
    assert_eq!(sent(&key, |a| a.exchange = "0000abce".into()), Err(Refused::Exchange));
}

#[test]
fn what_is_beyond_a_limit_is_malformed() {
    let key = key();
    let changes: [(&str, fn(&mut Indicators)); 12] = [
        ("something else", |a| a.weir = "release".into()),
        ("366 days", |a| a.expires_s = a.created_s + 367 * 86_400),
        ("issuer", |a| a.issuer = "x".repeat(65)),
        ("issuer", |a| a.issuer = "a\u{1b}[2J".into()),
        ("256 indicators", |a| a.indicators = vec![a.indicators[0].clone(); 257]),
        ("3 phrases", |a| a.indicators[0].phrases.truncate(3)),
        ("33 phrases", |a| a.indicators[0].phrases = (0..33u64).map(|i| format!("{i:016x}")).collect()),
        ("in order", |a| a.indicators[0].phrases.swap(0, 1)),
        ("each once", |a| a.indicators[0].phrases[1] = a.indicators[0].phrases[0].clone()),
        ("16 hexadecimal", |a| a.indicators[0].phrases[0] = "kid:0000000000000001".into()),
        ("id is not", |a| a.indicators[0].id = "xid:0000000000000000".into()),
        ("typical", |a| a.indicators[0].typical = 1),
    ];
    for (what, change) in changes {
        let got = sent(&key, change);
        assert!(matches!(&got, Err(Refused::Malformed(why)) if why.contains(what)), "{what}: {got:?}");
    }
    let long = vec![b' '; MOST_BYTES as usize + 1];
    assert!(matches!(read(&long, &[0; 32], NOW, None), Err(Refused::Malformed(_))));
    // Nothing is smuggled in beside what is known, and a signature of another kind is none.
    let (payload, raw) = (serde_json::to_value(sample()).unwrap(), |header: &str, payload: &str| {
        let (protected, payload) = (B64.encode(header), B64.encode(payload));
        let signature = B64.encode(key.sign(format!("{protected}.{payload}").as_bytes()));
        let text = serde_json::to_vec(&Signed { protected, payload, signature }).unwrap();
        read(&text, key.public_key().as_ref(), NOW, None)
    });
    assert!(raw(HEADER, &payload.to_string()).is_ok());
    let mut more = payload.clone();
    more["indicators"][0]["text"] = "a prompt".into();
    assert!(
        matches!(raw(HEADER, &more.to_string()), Err(Refused::Malformed(why)) if why.contains("unknown field"))
    );
    assert!(matches!(raw(r#"{"alg":"none"}"#, &payload.to_string()), Err(Refused::Malformed(_))));
}
