use super::*;
use proptest::prelude::*;

/// What Python's `base64.b64decode` makes of it (`urlsafe_b64decode` of the other alphabet). It stops at padding that ends a group of four.
#[rustfmt::skip]
const PYTHON: &[(&str, &[u8])] = &[
    ("WW91IGFyZSBnaXZlbiBvbmUgZXhlcmNpc2UgZnJvbSBhIGNvbGxlY3Rpb24gZm9yIGFkdmFuY2VkIHN0dWRlbnRzLg==", b"You are given one exercise from a collection for advanced students."),
    ("WW91IGFyZSBnaXZlbiBvbmUgZXhlcmNpc2UgZnJvbSBhIGNvbGxlY3Rpb24gZm9yIGFkdmFuY2VkIHN0dWRlbnRzLg", b"You are given one exercise from a collection for advanced students."),
    ("WW91IGFyZSBnaXZlbiBvbmUgZXhlcmNpc2UgZnJvbSBhIGNvbGxlY3Rpb24gZm9yIGFkdmFuY2Vk\nIHN0dWRlbnRzLg==\n", b"You are given one exercise from a collection for advanced students."),
    ("WW91IGFyZSBnaXZlbiBvbmUgZXhlcmNpc2UgZnJvbSBhIGNvbGxlY3Rpb24gZm9yIGFkdmFuY2VkIHN0dWRlbnRzLg==", b"You are given one exercise from a collection for advanced students."),
    ("W!W!9!1!I!G!F!y!Z!S!B!n!a!X!Z!l!b!i!B!v!b!m!U!g!Z!X!h!l!c!m!N!p!c!2!U!g!Z!n!J!v!b!S!B!h!I!G!N!v!b!G!x!l!Y!3!R!p!b!2!4!g!Z!m!9!y!I!G!F!k!d!m!F!u!Y!2!V!k!I!H!N!0!d!W!R!l!b!n!R!z!L!g!=!=", b"You are given one exercise from a collection for advanced students."),
    ("w6kgw7wg5ryi5a2XINGC0LXQutGB0YIg8J+YgCBhbmQgbW9yZSB3b3JkcyBpbiBpdA==", b"\xc3\xa9 \xc3\xbc \xe6\xbc\xa2\xe5\xad\x97 \xd1\x82\xd0\xb5\xd0\xba\xd1\x81\xd1\x82 \xf0\x9f\x98\x80 and more words in it"),
    ("w6kgw7wg5ryi5a2XINGC0LXQutGB0YIg8J+YgCBhbmQgbW9yZSB3b3JkcyBpbiBpdA", b"\xc3\xa9 \xc3\xbc \xe6\xbc\xa2\xe5\xad\x97 \xd1\x82\xd0\xb5\xd0\xba\xd1\x81\xd1\x82 \xf0\x9f\x98\x80 and more words in it"),
    ("w6kgw7wg5ryi5a2XINGC0LXQutGB0YIg8J+YgCBhbmQgbW9yZSB3b3JkcyBpbiBpdA==\n", b"\xc3\xa9 \xc3\xbc \xe6\xbc\xa2\xe5\xad\x97 \xd1\x82\xd0\xb5\xd0\xba\xd1\x81\xd1\x82 \xf0\x9f\x98\x80 and more words in it"),
    ("w6kgw7wg5ryi5a2XINGC0LXQutGB0YIg8J-YgCBhbmQgbW9yZSB3b3JkcyBpbiBpdA==", b"\xc3\xa9 \xc3\xbc \xe6\xbc\xa2\xe5\xad\x97 \xd1\x82\xd0\xb5\xd0\xba\xd1\x81\xd1\x82 \xf0\x9f\x98\x80 and more words in it"),
    ("w!6!k!g!w!7!w!g!5!r!y!i!5!a!2!X!I!N!G!C!0!L!X!Q!u!t!G!B!0!Y!I!g!8!J!+!Y!g!C!B!h!b!m!Q!g!b!W!9!y!Z!S!B!3!b!3!J!k!c!y!B!p!b!i!B!p!d!A!=!=", b"\xc3\xa9 \xc3\xbc \xe6\xbc\xa2\xe5\xad\x97 \xd1\x82\xd0\xb5\xd0\xba\xd1\x81\xd1\x82 \xf0\x9f\x98\x80 and more words in it"),
    ("YSBiIGMgZA==", b"a b c d"),
    ("YSBiIGMgZA", b"a b c d"),
    ("YSBiIGMgZA==\n", b"a b c d"),
    ("YSBiIGMgZA==", b"a b c d"),
    ("Y!S!B!i!I!G!M!g!Z!A!=!=", b"a b c d"),
    ("TmFtZSxTY29yZQ0KQSwxDQo=", b"Name,Score\x0d\x0aA,1\x0d\x0a"),
    ("TmFtZSxTY29yZQ0KQSwxDQo", b"Name,Score\x0d\x0aA,1\x0d\x0a"),
    ("TmFtZSxTY29yZQ0KQSwxDQo=\n", b"Name,Score\x0d\x0aA,1\x0d\x0a"),
    ("TmFtZSxTY29yZQ0KQSwxDQo=", b"Name,Score\x0d\x0aA,1\x0d\x0a"),
    ("T!m!F!t!Z!S!x!T!Y!2!9!y!Z!Q!0!K!Q!S!w!x!D!Q!o!=", b"Name,Score\x0d\x0aA,1\x0d\x0a"),
    ("oX98WHgCtzC1uwB5", b"\xa1\x7f|Xx\x02\xb70\xb5\xbb\x00y"),
    ("uSrjLnonWKTn9UGKzEes", b"\xb9*\xe3.z'X\xa4\xe7\xf5A\x8a\xccG\xac"),
    ("W/rXL+i =uItE", b"[\xfa\xd7/\xe8"),
    ("j7k=tsjs0sW", b"\x8f\xb9"),
    ("5uq\nS!VZu9kK1V\n1miDZU4X", b"\xe6\xea\x92U\x9b\xbd\x90\xadU\xd6h\x83eN\x17"),
    ("XF8cVGRO", b"\x5c_\x1cTdN"),
    ("w9ZRLsAwNpSpw23c/l9w", b"\xc3\xd6Q.\xc006\x94\xa9\xc3m\xdc\xfe_p"),
    ("ORl4TXX0", b"9\x19xMu\xf4"),
    ("v6xWQCrK", b"\xbf\xacV@*\xca"),
    ("ELP=6ex79pN!DxGT2cO", b"\x10\xb3"),
    ("m2p77MYTUJvx8TgO", b"\x9bj{\xec\xc6\x13P\x9b\xf1\xf18\x0e"),
    ("TPpl6eUEZDdKzunX", b"L\xfae\xe9\xe5\x04d7J\xce\xe9\xd7"),
    ("LUJb", b"-B["),
    ("2QuZqtBUUMi!VS532", b"\xd9\x0b\x99\xaa\xd0TP\xc8\x95K\x9d\xf6"),
    ("qo5d", b"\xaa\x8e]"),
    ("SSe+wEMVyMkZ", b"I'\xbe\xc0C\x15\xc8\xc9\x19"),
    ("Dn x=8z5HS1", b"\x0e|"),
    ("eJELmsa9\n", b"x\x91\x0b\x9a\xc6\xbd"),
    ("1eiJSiM9", b"\xd5\xe8\x89J#="),
    ("=3EbD103wBVrS", b"\xdcF\xc3\xd7M\xf0\x05Z\xd2"),
    ("ukAPV6JJwE0TZC/o", b"\xba@\x0fW\xa2I\xc0M\x13d/\xe8"),
    ("ExsCm45N", b"\x13\x1b\x02\x9b\x8eM"),
    ("I/Aa6FHLOrSv", b"#\xf0\x1a\xe8Q\xcb:\xb4\xaf"),
    ("fh4WRGtPB6F/FD0P0!4cO", b"~\x1e\x16DkO\x07\xa1\x7f\x14=\x0f\xd3\x87\x0e"),
    ("OMKw3Oin", b"8\xc2\xb0\xdc\xe8\xa7"),
    ("62Fa RwXYp!JRnG7n4", b"\xebaZG\x05\xd8\xa4\x94g\x1b\xb9\xf8"),
    ("L5g7U9NmgtGPaDr9+\nkqH", b"/\x98;S\xd3f\x82\xd1\x8fh:\xfd\xfaJ\x87"),
    ("SkXAT2NA7pK+", b"JE\xc0Oc@\xee\x92\xbe"),
    ("P\nKKF+ 8b4", b"<\xa2\x85\xfb\xc6\xf8"),
    ("Us2L", b"R\xcd\x8b"),
];

fn decode(text: &str, cut: usize) -> (Vec<u8>, bool) {
    let (mut out, mut file) = (Vec::new(), File { state: State::Base64, ..File::default() });
    // As it is: not as some other encoding of Unicode.
    file.transcoder.feed(b"xx", &mut |_| {});
    for piece in text.as_bytes().chunks(cut) {
        file.feed(piece, true, &mut |b| out.extend(b));
    }
    file.end(&mut |b| out.extend(b));
    (out, file.is_odd())
}

/// What is read of a string, and the file afterwards.
fn read(text: &str, claimed: bool, cut: usize) -> (String, File) {
    let (mut out, mut file) = (Vec::new(), File::claimed(claimed));
    for piece in text.as_bytes().chunks(cut) {
        file.feed(piece, true, &mut |b| out.extend(b));
    }
    file.end(&mut |b| out.extend(b));
    (String::from_utf8_lossy(&out).into_owned(), file)
}

fn encode(bytes: &[u8]) -> String {
    let letter = |n: u8| char::from(DIGITS.iter().position(|d| *d == n).unwrap() as u8);
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let mut all = [0u8; 4];
        all[1..=group.len()].copy_from_slice(group);
        let bits = u32::from_be_bytes(all);
        out.extend((0..=group.len()).map(|i| letter((bits >> (18 - 6 * i) & 63) as u8)));
        out.extend((group.len()..3).map(|_| '='));
    }
    out
}

#[test]
fn decodes_what_python_decodes() {
    for (text, want) in PYTHON {
        for cut in [1, 2, 3, 5, 97] {
            let (got, odd) = decode(text, cut);
            assert!(got == *want || odd && got.starts_with(want), "{text:?}: {got:?}, not {want:?}");
        }
    }
}

#[test]
fn text_is_told_by_its_bytes() {
    let text =
        "You are given one exercise from a collection for advanced students. Solve it, please, in steps.";
    let wide = |f: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(f).collect::<Vec<u8>>();
    for bytes in [text.as_bytes().to_vec(), wide(u16::to_le_bytes), wide(u16::to_be_bytes)] {
        for cut in [1, 7, 1_000] {
            assert_eq!(read(&encode(&bytes), false, cut).0, text);
            assert_eq!(read(&format!("data:x/y;base64,{}", encode(&bytes)), false, cut).0, text);
            assert_eq!(read(&format!("DATA:;base64,{}", encode(&bytes)), false, cut).0, text);
        }
    }
    assert_eq!(read("data:text\\/plain;charset=utf-8,one%20two%2C three", false, 1_000).0, "one two, three");
    // Escaped slashes.
    let slashes = encode("???".repeat(40).as_bytes()).replace('/', "\\/");
    assert!(slashes.contains("\\/"));
    assert_eq!(read(&slashes, false, 1_000).0, "???".repeat(40));
    let others: &[&[u8]] = &[
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\0\0\0\x02\0",
        b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01",
        b"GIF89a\x40\x01\xf0\0\xf7\0\0\0\0\0\0\0\x33",
        b"RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0\x01\0",
        b"%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\n",
        b"PK\x03\x04\x14\0\x06\0\x08\0\0\0!\0word/document.xml",
        b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom",
        b"OggS\0\x02\0\0\0\0\0\0\0\0vorbis and so on and on",
        b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcbH\xcd\xc9\xc9W(\xcf/\xcaI\x01\0",
    ];
    for bytes in others {
        let (text, file) = read(&encode(bytes), false, 1_000);
        assert!(text.is_empty() && file.is_binary(), "{text:?}");
        assert_eq!(file.passed(), encode(bytes).len() as u64);
        assert!(!read(&encode(bytes), true, 1_000).0.is_empty(), "called a text, it is one");
    }
    for name in ["https://example.com/some/path/to/an/image.png", "file-abc123", "", "low", "data:image/png"]
    {
        assert_eq!(read(name, false, 3).0, "", "{name}");
        assert_eq!(read(name, true, 3).0, "", "{name}");
    }
}

#[test]
fn kinds_of_text_have_names() {
    for name in [
        "text/plain",
        "text/csv; charset=utf-8",
        "Application/JSON",
        "image/svg+xml",
        "txt",
        "a b.MD",
        "application/x-ndjson",
    ] {
        assert!(is_text_type(name.as_bytes()), "{name}");
    }
    let pages = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    for name in ["image/png", "application/pdf", "pdf", "docx", pages, "base64", "", "/", "audio/wav"] {
        assert!(!is_text_type(name.as_bytes()), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn any_bytes_in_any_pieces_give_one_answer(bytes in prop::collection::vec(any::<u8>(), 0..300), claimed: bool, url: bool, cut in 1usize..40) {
        let mut raw = if url { b"data:text/plain;base64,".to_vec() } else { Vec::new() };
        raw.extend(bytes.iter().filter(|b| **b != b'\\'));
        let run = |cut: usize| {
            let (mut out, mut file) = (Vec::<u8>::new(), File::claimed(claimed));
            raw.chunks(cut).for_each(|piece| file.feed(piece, true, &mut |b| out.extend(b)));
            file.end(&mut |b| out.extend(b));
            (out, file.passed(), file.is_odd(), file.is_binary())
        };
        prop_assert_eq!(run(raw.len().max(1)), run(cut));
    }

    #[test]
    fn every_text_comes_back(text in "[a-z é漢😀\n\"]{16,300}", cut in 1usize..40) {
        prop_assert_eq!(read(&encode(text.as_bytes()), false, cut).0, text);
    }
}
