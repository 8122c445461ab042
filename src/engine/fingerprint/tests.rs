//! The slow twin (strings, no rolling, no reuse), pinned vectors, and what must not change a fingerprint.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn take(seed: u64, regions: &[&[u8]]) -> Fingerprint {
    let mut out = Fingerprint::default();
    Fingerprinter::new(seed).take(regions, &mut out);
    out
}

fn slow_words(text: &[u8]) -> Vec<Vec<u8>> {
    let mut words = vec![Vec::new()];
    let mut at = 0;
    while at < text.len() {
        let (c, n) = decode(&text[at..]);
        at += n;
        let mut piece = Vec::new();
        let mut push = |c: u32| piece.extend(char::from_u32(c).into_iter().collect::<String>().bytes());
        match c {
            Some(c @ 0..128) if (c as u8).is_ascii_alphanumeric() => {
                push(u32::from((c as u8).to_ascii_lowercase()))
            }
            Some(128..) => match fold(c.unwrap_or(0)) {
                Fold::Drop => {}
                Fold::Break => words.push(Vec::new()),
                Fold::Ascii(b) => push(u32::from(b)),
                Fold::Several(letters) => letters.chars().for_each(|c| push(u32::from(c))),
                Fold::Keep(c) => push(c),
                Fold::Alone(c) => {
                    push(c);
                    words.push(std::mem::take(&mut piece));
                    words.push(Vec::new());
                }
            },
            _ => words.push(Vec::new()),
        }
        if let Some(last) = words.last_mut() {
            last.extend(piece);
        }
    }
    let digit = |w: &[u8]| w.iter().any(u8::is_ascii_digit);
    let all_digits = |w: &[u8]| w.iter().all(u8::is_ascii_digit);
    words
        .into_iter()
        .filter(|w| !w.is_empty() && w.len() <= 24)
        .filter(|w| if w.len() <= 7 { !all_digits(w) } else { !digit(w) })
        .collect()
}

fn slow(seed: u64, regions: &[&[u8]]) -> Fingerprint {
    let hash = |w: &Vec<u8>| {
        let mut h = seed;
        for (i, b) in w.chunks(8).enumerate() {
            let mut x = [0; 8];
            x[..b.len()].copy_from_slice(b);
            let x = u64::from_le_bytes(x);
            h = if i == 0 { (x ^ seed).wrapping_mul(P) } else { (h ^ x).wrapping_mul(P) };
            h ^= h >> 32;
        }
        h.wrapping_mul(P)
    };
    let (mut all, mut exact, mut n) = (BTreeSet::new(), seed, 0);
    for r in regions {
        let words: Vec<u64> = slow_words(r).iter().map(hash).collect();
        for w in &words {
            exact = (exact ^ w).wrapping_mul(0x9FB2_1C65_1E98_DF25).rotate_left(29);
            n += 1;
        }
        let mut region = BTreeSet::new();
        for s in words.windows(4) {
            let r = s.iter().fold(0u64, |r, w| r.wrapping_mul(P).wrapping_add(*w));
            let z = r ^ seed;
            let h = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
            let h = h ^ (h >> 29);
            if h < u64::MAX / 4 {
                region.insert(h.wrapping_mul(4) >> 2);
            }
        }
        all.extend(region.into_iter().take(CAP));
    }
    Fingerprint { values: all.into_iter().collect(), exact: (n >= 4).then_some(exact.max(1)) }
}

const TEXT: &str = "You are a careful assistant for a hardware shop. Answer the question below in plain words, name the part \
    number if you know it, and say so when you do not. Question: which of the two hinges carries a door of forty kilos?";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn agrees_with_the_slow_twin(a in ".{0,300}", b in "[a-z0-9 .é中а]{0,400}", raw in prop::collection::vec(any::<u8>(), 0..200), seed: u64) {
        let regions: [&[u8]; 3] = [a.as_bytes(), b.as_bytes(), &raw];
        prop_assert_eq!(take(seed, &regions), slow(seed, &regions));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn long_texts_agree_with_the_slow_twin(a in "([a-zA-Z0-9]{1,12}[ .,]|[0-9]{1,9} |[a-z]{20,80}|é|中|[a-z]{3}ï[a-z]{3} |\u{200b}| ){0,400}", b in "[a-z ]{0,3000}", seed: u64) {
        let regions: [&[u8]; 2] = [a.as_bytes(), b.as_bytes()];
        prop_assert_eq!(take(seed, &regions), slow(seed, &regions));
    }
    #[test]
    fn vectors_classify_as_plain_words_do(block in prop::array::uniform32(any::<u8>()), other in prop::array::uniform32(0x2fu8..0x7c)) {
        let mut all = [0u8; 64];
        all[..32].copy_from_slice(&block);
        all[32..].copy_from_slice(&other);
        prop_assert_eq!(super::classes::classify(&all), super::classes::plain::classify(&all));
        for (i, b) in all.iter().enumerate() {
            let c = super::classes::classify(&all);
            prop_assert_eq!((c.words >> i & 1 == 1, c.digits >> i & 1 == 1, c.wide >> i & 1 == 1), (b.is_ascii_alphanumeric(), b.is_ascii_digit(), !b.is_ascii()));
        }
    }
}

#[test]
fn values_are_pinned_on_every_target() {
    let f = take(0xcbf2_9ce4_8422_2325, &[TEXT.as_bytes()]);
    assert_eq!(f.values.len(), slow(0xcbf2_9ce4_8422_2325, &[TEXT.as_bytes()]).values.len());
    assert!(f.values.iter().all(|v| v >> 62 == 0));
    let sum = f.values.iter().fold(0u64, |s, v| s.wrapping_mul(31).wrapping_add(*v));
    assert_eq!((f.values.len(), sum, f.exact), (PINNED.0, PINNED.1, Some(PINNED.2)));
}

const PINNED: (usize, u64, u64) = (9, 10_862_715_688_859_933_121, 2_425_629_278_732_821_375);

#[test]
fn what_looks_the_same_is_the_same() {
    let base = take(7, &[TEXT.as_bytes()]);
    let upper = TEXT.to_uppercase();
    let spaced = TEXT.replace(' ', " \u{200b} \n").replace('.', " !!");
    let homoglyph = TEXT.replace('a', "а").replace('o', "ο").replace('e', "é");
    let wide: String = TEXT
        .chars()
        .map(|c| if c.is_ascii_alphabetic() { char::from_u32(c as u32 + 0xfee0).unwrap_or(c) } else { c })
        .collect();
    let noisy = TEXT.replace(' ', " 4f3a9c21d0 17 ");
    for other in [upper, spaced, homoglyph, wide, noisy] {
        assert_eq!(take(7, &[other.as_bytes()]), base, "{other}");
    }
    assert_ne!(take(8, &[TEXT.as_bytes()]), base, "the seed matters");
}

#[test]
fn an_inserted_word_touches_only_its_neighbours() {
    let base = take(7, &[TEXT.as_bytes()]).values;
    let changed = take(7, &[TEXT.replace("careful", "careful honest").as_bytes()]).values;
    let kept = base.iter().filter(|v| changed.contains(v)).count();
    assert!(base.len() - kept <= 3, "{} of {} kept", kept, base.len());
}

#[test]
fn unrelated_texts_share_almost_nothing() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/corpora/benign_prompts.jsonl");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let mut seen: std::collections::HashMap<u64, u32> = Default::default();
    let mut n = 0u32;
    for line in text.lines() {
        let Ok(v) = serde_json::from_str::<serde_json::Value>(line) else { continue };
        let Some(t) = v.get("text").and_then(|t| t.as_str()) else { continue };
        n += 1;
        for v in take(7, &[t.as_bytes()]).values {
            *seen.entry(v).or_default() += 1;
        }
    }
    let common = seen.values().filter(|c| **c > n / 50).count();
    assert_eq!(common, 0, "a value recurs in more than 2 % of {n} prompts");
}

#[test]
fn a_region_leaves_24_values_and_a_word_of_25_letters_none() {
    let many: String = (0..3_000).map(|i| format!("word{} ", letters(i))).collect();
    let one = take(7, &[many.as_bytes()]).values.len();
    assert_eq!(one, CAP);
    let (first, second) = many.split_at(many.len() / 2);
    let two = take(7, &[first.as_bytes(), second.as_bytes()]).values.len();
    assert!(two > CAP && two <= 2 * CAP, "{two}");
    let with =
        |n: usize| format!("one two three {} four five six seven eight nine ten eleven", "a".repeat(n));
    let without = take(7, &["one two three four five six seven eight nine ten eleven".as_bytes()]);
    assert_ne!(take(7, &[with(24).as_bytes()]).values, without.values);
    assert_eq!(take(7, &[with(25).as_bytes()]).values, without.values);
}

/// A word of its own for each number.
fn letters(n: usize) -> String {
    n.to_string().bytes().map(|b| char::from(b - b'0' + b'a')).collect()
}
