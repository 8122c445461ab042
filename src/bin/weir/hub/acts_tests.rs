//! Which decisions are in force, and for how long.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::fake::{Rng, config};
use super::*;

fn act(verb: Verb, name: Name, until_s: u32) -> Act {
    Act { verb, name, since_s: 1, until_s, reason: "a ticket".into(), values: Vec::new() }
}

#[test]
fn decisions_round_trip_and_damage_is_seen() {
    let of_case = Act { values: vec![3, 4], ..act(Verb::Release, Name::Case(7), 9) };
    for a in [act(Verb::Deny, Name::Key(5), 2), act(Verb::Undo, Name::Template(6), 0), of_case] {
        let mut bytes = Vec::new();
        a.put(&mut Writer(&mut bytes));
        assert_eq!(Act::read(&mut Reader(&bytes)), Some(a));
        for cut in 0..bytes.len() {
            assert!(Act::read(&mut Reader(&bytes[..cut])).is_none());
        }
    }
}

#[test]
fn what_is_decided_again_replaces_and_what_ends_goes() {
    let mut book = Book::default();
    let (first, key) = (book.version(), Name::Key(5));
    book.take(&act(Verb::Deny, key, 100));
    assert_eq!((book.decided(5), book.pardoned().len(), book.len()), (DENIED, 0, 1));
    assert_eq!(book.take(&act(Verb::Release, key, 200)), [5]);
    book.take(&act(Verb::Allow, Name::Template(6), 50));
    assert_eq!((book.decided(5), book.decided(6), book.len()), (RELEASED, ALLOWED, 2));
    let o = |key, v| Observation { key, nets: [v, 0], ..Observation::default() };
    let flags = [o(5, 1), o(4, 6), o(5, 6), o(1, 1)].map(|o| book.flags(&o));
    assert_eq!(flags, [observation::NO_PROMPT, observation::ALLOWED, observation::ALLOWED, 0]);
    let shard = book.shard(Nanos::from_secs(40));
    assert_eq!((shard.keys.len(), shard.values.len(), shard.now_s), (2, 1, 40));
    let mut bytes = Vec::new();
    book.put(&mut Writer(&mut bytes));
    let back = Book::read(&mut Reader(&bytes)).unwrap();
    assert_eq!((back.ids.clone(), back.all.clone()), (book.ids.clone(), book.all.clone()));
    assert!(back.version() > book.version(), "nodes take it over");
    book.expire(Nanos::from_secs(50));
    assert_eq!(book.len(), 2);
    book.expire(Nanos::from_secs(51));
    assert_eq!((book.len(), book.decided(6)), (1, 0));
    book.take(&act(Verb::Undo, key, 0));
    assert_eq!((book.len(), book.decided(5), book.pardoned().len()), (0, 0, 0));
    assert!(book.version() > first);
}

#[test]
fn there_is_room_for_so_many_and_no_more() {
    let ledger = Ledger::new(&config(""));
    let (mut book, mut rng) = (Book::default(), Rng(1));
    for _ in 0..MOST {
        let mut a = act(Verb::Deny, Name::Key(rng.next()), 9);
        assert_eq!(book.admit(&mut a, &ledger), Ok(()));
        book.all.insert(a.name, a);
    }
    let known = book.all.values().next().unwrap().clone();
    assert_eq!(book.admit(&mut act(Verb::Deny, Name::Key(1), 9), &ledger), Err(NoAct::Full));
    assert_eq!(book.admit(&mut act(Verb::Allow, known.name, 9), &ledger), Ok(()), "it is there already");
    assert_eq!(book.admit(&mut act(Verb::Undo, known.name, 0), &ledger), Ok(()));
    assert_eq!(book.admit(&mut act(Verb::Undo, Name::Key(1), 0), &ledger), Err(NoAct::Unknown));
    assert_eq!(book.admit(&mut act(Verb::Release, Name::Case(1), 9), &ledger), Err(NoAct::Unknown));
    let mut bytes = Vec::new();
    book.put(&mut Writer(&mut bytes));
    assert_eq!(Book::read(&mut Reader(&bytes)).unwrap().len(), MOST);
    let full = book.shard(Nanos(0));
    let mut cell = Vec::new();
    full.encode(64, 1, &mut cell);
    assert!(cell.len() <= weir::node::cells::HUB_SHARD_BYTES, "{}", cell.len());
}

#[test]
fn only_keys_are_denied_and_no_case_is_allowed() {
    let (key, template, case) = (Name::Key(1), Name::Template(1), Name::Case(1));
    let fits = |verb: Verb| [key, template, case].map(|n| verb.fits(n));
    assert_eq!(fits(Verb::Release), [true; 3]);
    assert_eq!(fits(Verb::Undo), [true; 3]);
    assert_eq!(fits(Verb::Allow), [true, true, false]);
    assert_eq!(fits(Verb::Deny), [true, false, false]);
    assert_eq!([key, template, case].map(Name::text)[2], "00000001");
    assert_eq!(Name::Template(2 << 62).text(), "nid:8000000000000000");
}
