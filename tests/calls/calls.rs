//! The host's `unsafe` on a host within the test: whatever it answers, the calls of `calls.rs` hand over what they were given, read what
//! they were told and no more, and take memory over once. Under Miri (`make test-miri`) each access is checked, and that nothing leaks.
//!
//! Here memory is given back to an allocator that knows how much it gave (Miri's own), in `wiped.rs` to the module's.

#[path = "../../src/host/proxy_wasm/calls.rs"]
mod calls;
mod fake;

use fake::{Bytes, Call, calls as seen, host};
use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType};

/// All statuses of the ABI but Ok, and some of none.
const ERRORS: [u32; 15] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0x8000_0000, u32::MAX];

/// Texts that a call must hand over byte by byte: empty, with a NUL, beyond ASCII, long.
fn texts() -> [String; 4] {
    [String::new(), "a\0b".into(), "müßig 💧".into(), "x".repeat(if cfg!(miri) { 5_000 } else { 1 << 20 })]
}

/// The same of bytes, which need not be UTF-8.
fn values() -> [Vec<u8>; 5] {
    let [a, b, c, d] = texts().map(String::into_bytes);
    [a, b, c, d, vec![0xFF, 0xC0, 0, 0xED, 0xA0, 0x80]]
}

/// The one call since the last look.
fn only() -> Call {
    let mut calls = seen();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

fn call<const N: usize, const M: usize>(name: &'static str, bytes: [&[u8]; N], numbers: [i64; M]) -> Call {
    Call { name, bytes: bytes.map(<[u8]>::to_vec).to_vec(), numbers: numbers.to_vec() }
}

/// A map as the ABI encodes it.
fn map(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
    let word = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
    let mut out = word(pairs.len()).to_vec();
    out.extend(pairs.iter().flat_map(|(k, v)| [word(k.len()), word(v.len())].concat()));
    out.extend(pairs.iter().flat_map(|(k, v)| [k, &b"\0"[..], v, &b"\0"[..]].concat()));
    out
}

/// A call that brings bytes: the value, or `None` on an error.
type Reader = (&'static str, fn() -> Option<Vec<u8>>);

const READERS: [Reader; 4] = [
    ("buffer", || calls::buffer(BufferType::HttpRequestBody, 3, 9)),
    ("map", || calls::map(MapType::HttpRequestTrailers)),
    ("property", || calls::property(b"request\0path")),
    ("shared", || calls::shared("cell").map(|(bytes, _)| bytes)),
];

#[test]
fn bytes_of_the_host_are_taken_over_once() {
    for (name, read) in READERS {
        for value in values() {
            host(|h| h.bytes = Bytes::Some(value.clone()));
            let mut got = read().unwrap();
            assert_eq!(got, value, "{name}");
            assert_eq!(only().name, name);
            // It is a vector like any other: it grows, and is given back.
            got.extend_from_slice(b"more");
            assert!(got.starts_with(&value) && got.ends_with(b"more"));
        }
    }
}

#[test]
fn several_values_of_the_host_live_side_by_side() {
    let all: Vec<Vec<u8>> = READERS
        .iter()
        .enumerate()
        .map(|(i, (_, read))| {
            host(|h| h.bytes = Bytes::Some(vec![i as u8; 100 + i]));
            read().unwrap()
        })
        .collect();
    for (i, value) in all.iter().enumerate() {
        assert_eq!(*value, vec![i as u8; 100 + i]);
    }
}

#[test]
fn no_pointer_or_no_length_is_an_empty_value() {
    for (name, read) in READERS {
        for nothing in [Bytes::Untold, Bytes::Wild(0, 0), Bytes::Wild(0, 1000), Bytes::Wild(64, 0)] {
            host(|h| h.bytes = nothing.clone());
            assert_eq!(read(), Some(Vec::new()), "{name}");
        }
    }
}

#[test]
fn what_comes_with_an_error_is_not_looked_at() {
    for (name, read) in READERS {
        for status in ERRORS {
            for junk in [Bytes::Untold, Bytes::Wild(64, 1000), Bytes::Wild(usize::MAX, usize::MAX)] {
                host(|h| (h.status, h.bytes) = (status, junk.clone()));
                assert_eq!(read(), None, "{name} on {status}");
            }
        }
    }
}

#[test]
fn a_reader_asks_for_what_it_was_told_to() {
    for (start, max) in [(0, 0), (3, 9), (1 << 30, 1 << 31)] {
        calls::buffer(BufferType::HttpCallResponseBody, start, max);
        assert_eq!(only(), call("buffer", [], [4, start as i64, max as i64]));
    }
    calls::buffer(BufferType::PluginConfiguration, 0, 1);
    assert_eq!(only(), call("buffer", [], [7, 0, 1]));
    calls::map(MapType::HttpRequestHeaders);
    assert_eq!(only(), call("map", [], [0]));
    calls::map(MapType::HttpCallResponseHeaders);
    assert_eq!(only(), call("map", [], [6]));
    for path in values() {
        calls::property(&path);
        assert_eq!(only(), call("property", [&path], []));
    }
    for name in texts() {
        host(|h| h.number = 0xFFFF_FFF0);
        assert_eq!(calls::shared(&name), Some((Vec::new(), 0xFFFF_FFF0)));
        assert_eq!(only(), call("shared", [name.as_bytes()], []));
    }
}

#[test]
fn a_writer_hands_over_every_byte() {
    for (text, value) in texts().iter().zip(values().iter().rev()) {
        let bytes = text.as_bytes();
        assert!(calls::log(LogLevel::Warn, text));
        assert_eq!(only(), call("log", [bytes], [3]));
        assert_eq!(calls::set_shared(text, value, 7), 0);
        assert_eq!(only(), call("set_shared", [bytes, value], [7]));
        assert!(calls::add_header(MapType::HttpRequestHeaders, text, "v"));
        assert_eq!(only(), call("add", [bytes, b"v"], [0]));
        assert!(calls::add_header(MapType::HttpRequestTrailers, "k", text));
        assert_eq!(only(), call("add", [b"k", bytes], [1]));
        calls::remove_header(MapType::HttpRequestTrailers, text);
        assert_eq!(only(), call("remove", [bytes], [1]));
        calls::set_property(text, "v");
        assert_eq!(only(), call("set_property", [bytes, b"v"], []));
        calls::set_property("k", text);
        assert_eq!(only(), call("set_property", [b"k", bytes], []));
        assert!(calls::reply(429, text, &[("a", text), ("", "")], value, None));
        let headers = map(&[(b"a", bytes), (b"", b"")]);
        assert_eq!(only(), call("reply", [bytes, value, &headers], [429, -1]));
        host(|h| h.number = 40);
        assert_eq!(calls::http_call(text, &[(text, "v")], value, 1500), Some(40));
        let headers = map(&[(bytes, b"v")]);
        assert_eq!(only(), call("http_call", [bytes, &headers, value, &[0; 4]], [1500]));
        assert_eq!(calls::define_metric(MetricType::Gauge, text), Some(40));
        assert_eq!(only(), call("define", [bytes], [1]));
    }
    assert!(calls::reply(u16::MAX, "", &[], b"", Some(8)));
    assert_eq!(only(), call("reply", [b"", b"", &[0; 4]], [65_535, 8]));
    assert!(calls::set_tick_period(u32::MAX));
    assert_eq!(only(), call("tick", [], [4_294_967_295]));
    for by in [1, -1, i64::MAX, i64::MIN] {
        calls::increment(u32::MAX, by);
        assert_eq!(only(), call("increment", [], [4_294_967_295, by]));
    }
    for value in [0, 1, u64::MAX] {
        calls::record(5, value);
        assert_eq!(only(), call("record", [], [5, value.cast_signed()]));
    }
    calls::act_for(9);
    assert_eq!(only(), call("act_for", [], [9]));
    // The stream is named first, then its request goes on.
    calls::resume(9);
    assert_eq!(seen(), [call("act_for", [], [9]), call("continue", [], [0])]);
}

#[test]
fn an_error_of_the_host_is_told_and_ends_nothing() {
    for status in ERRORS {
        host(|h| (h.status, h.number) = (status, 5));
        assert!(!calls::log(LogLevel::Info, "text"));
        assert!(!calls::set_tick_period(100));
        assert_eq!(calls::set_shared("cell", b"value", 1), status);
        assert!(!calls::add_header(MapType::HttpRequestHeaders, "k", "v"));
        assert!(!calls::reply(503, "details", &[("k", "v")], b"{}", Some(14)));
        assert_eq!(calls::http_call("hub", &[(":path", "/")], b"", 100), None);
        assert_eq!(calls::define_metric(MetricType::Counter, "name"), None);
        assert_eq!(calls::random(), None);
        calls::remove_header(MapType::HttpRequestHeaders, "k");
        calls::set_property("k", "v");
        calls::increment(1, 1);
        calls::record(1, 1);
        calls::act_for(1);
        calls::resume(1);
    }
}

#[test]
fn a_clock_that_is_not_told_is_none() {
    host(|h| (h.wall, h.monotonic) = (u64::MAX, 77));
    assert_eq!((calls::now(), calls::monotonic()), (u64::MAX, 77));
    assert_eq!(seen(), [call("wall", [], []), call("clock", [], [1, 1])]);
    // Without a clock that never steps back, wall time.
    host(|h| h.monotonic = 0);
    assert_eq!(calls::monotonic(), u64::MAX);
    for status in ERRORS {
        host(|h| (h.status, h.monotonic) = (status, 77));
        assert_eq!(calls::monotonic(), u64::MAX);
        host(|h| h.wall_status = status);
        assert_eq!((calls::now(), calls::monotonic()), (0, 0));
        host(|h| h.wall_status = 0);
    }
}

#[test]
fn random_bytes_are_all_of_the_host_or_none() {
    for byte in [1, 0xFF] {
        host(|h| h.random = byte);
        assert_eq!(calls::random(), Some([byte; 32]));
        assert_eq!(only(), call("random", [], [32]));
    }
    // A host that only says that it wrote.
    host(|h| h.random = 0);
    assert_eq!(calls::random(), None);
    for status in ERRORS {
        host(|h| (h.random, h.status) = (9, status));
        assert_eq!(calls::random(), None);
    }
}

#[test]
fn a_map_is_read_as_far_as_it_is_whole() {
    let all: [(&[u8], &[u8]); 4] = [(b":path", b"/v1"), (b"", b""), (b"x\xFF", b"\xC0\0z"), (b"k", b"value")];
    for n in 0..=all.len() {
        assert_eq!(calls::pairs(&map(&all[..n])), &all[..n]);
    }
    let whole = map(&all);
    // The last NUL ends nothing that is read.
    for end in 0..whole.len() - 1 {
        let got = calls::pairs(&whole[..end]);
        assert!(got.len() < all.len() && got == all[..got.len()], "{end}: {got:?}");
    }
    assert_eq!(calls::pairs(&whole[..whole.len() - 1]), all);
    // More pairs are announced than there are.
    let mut more = whole.clone();
    more[0] = 5;
    assert!(calls::pairs(&more).len() <= 4);
    more[..4].copy_from_slice(&[0xFF; 4]);
    // No memory is asked for that so many bytes cannot need.
    assert!(calls::pairs(&more).capacity() <= whole.len() / 8);
}

#[test]
fn any_bytes_are_a_map_of_pieces_of_them() {
    // Every size of a map, one after the other, is made any of these.
    let whole = map(&[(b"name", b"value"), (b"a", b"b"), (b"", b"c")]);
    for at in (0..28).step_by(4) {
        for size in [0, 1, 2, 3, 4, 5, 6, 27, 28, 29, 1000, 0x7FFF_FFFF, 0x8000_0000, u32::MAX - 1, u32::MAX]
        {
            let mut bytes = whole.clone();
            bytes[at..at + 4].copy_from_slice(&size.to_le_bytes());
            let within = bytes.as_ptr_range();
            for piece in calls::pairs(&bytes).into_iter().flat_map(|(k, v)| [k, v]) {
                let of = piece.as_ptr_range();
                assert!(within.start <= of.start && of.end <= within.end);
            }
        }
    }
}
