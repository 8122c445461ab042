//! The corpora, made of fixtures and of what Weir writes itself: a few small files a target. What fuzzing finds beyond them stays in
//! `target/fuzz`.

use super::bodies::{PATHS, frame};
use super::wires::{SMALL, batch};
use crate::engine::dialect::dialect_for;
use crate::engine::dialect::path::Normal;
use crate::engine::hash::mix;
use crate::engine::ledger::Ledger;
use crate::engine::observation;
use crate::engine::snapshot::{CaseEntry, KeyEntry, OverdrawnEntry, Shard, ValueEntry};
use crate::engine::units::Nanos;
use crate::node::cells::{Cell, Head, HubMeta, Meta, Slot};
use crate::node::exchange::{Reply, Request, Sent};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Longest file that is taken.
const LONGEST: usize = 1_500;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(dir: &str) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> =
        std::fs::read_dir(repository().join(dir)).expect(dir).map(|e| e.expect(dir).path()).collect();
    all.sort();
    all
}

/// What is between head and checksum.
fn body(bytes: &[u8], head: usize) -> &[u8] {
    &bytes[head..bytes.len() - 4]
}

/// Writes all of them below `dir`.
pub fn write(dir: &Path) {
    let save = |target: &str, name: &str, bytes: &[u8]| {
        assert!(super::target(target).is_some(), "{target}");
        std::fs::create_dir_all(dir.join(target)).expect("a folder");
        std::fs::write(dir.join(target).join(name), bytes).expect("a file");
    };
    text(&save);
    heads(&save);
    wires(&save);
    logs(&save);
}

type Save<'a> = &'a dyn Fn(&str, &str, &[u8]);

/// Bodies of fixtures with their paths, shortest first.
fn bodies() -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<(String, Vec<u8>)> = Vec::new();
    for dir in files("tests/fixtures").into_iter().filter(|d| !d.ends_with("parsers")) {
        for file in std::fs::read_dir(dir).expect("fixtures") {
            let text = std::fs::read_to_string(file.expect("a fixture").path()).expect("a fixture");
            let fixture: Value = serde_json::from_str(&text).expect("a fixture");
            let body = match fixture.get("raw") {
                Some(raw) => raw.as_str().expect("raw").as_bytes().to_vec(),
                None => serde_json::to_vec(&fixture["body"]).expect("a body"),
            };
            all.push((fixture["path"].as_str().expect("a path").to_string(), body));
        }
    }
    all.retain(|(_, body)| body.len() >= 60);
    all.sort_by(|a, b| (a.1.len(), a).cmp(&(b.1.len(), b)));
    all
}

fn text(save: Save<'_>) {
    let documents: [(&str, &[u8]); 6] = [
        ("empty", b"\x07{}"),
        ("all", br#" {"a":[1,-2.5e+3,true,false,null,"b\n\u00e9\ud83d\ude00\/"],"c":{"d":{}},"":[[]]} "#),
        ("long", b"\x03[\"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde\\\"f\\\\\",\"\xc3\xa9\"]"),
        ("odd", b"\x01{\"a\":NaN,\"b\":\"\n\"}"),
        ("number", b"\x02[0,-0,0.1,1e5,1E-5,12345678901234567890]"),
        ("bom", b"\x05\xef\xbb\xbf{\"a\":1}"),
    ];
    documents.iter().for_each(|(name, bytes)| save("json", name, bytes));
    let all = bodies();
    for (i, path) in PATHS.iter().enumerate() {
        let normal = Normal::of(path.as_bytes());
        let dialect = dialect_for(&normal).expect(path).name();
        let of = |p: &str| dialect_for(&Normal::of(p.as_bytes())).map(|d| d.name());
        let fits = all.iter().find(|(p, _)| p == path);
        let Some((_, body)) = fits.or(all.iter().find(|(p, _)| of(p) == Some(dialect))) else { continue };
        save("dialects", &format!("{i:02}_{dialect}"), &[&[i as u8, 11][..], body].concat());
        if i < 6 && std::str::from_utf8(body).is_ok() {
            save("unicode", dialect, &[&[i as u8, 5][..], body].concat());
        }
    }
    let chat = br#"{"body":{"messages":[{"role":"user","content":"four words are here"}]}}"#;
    save("multipart", "lines", &[&[0, 3][..], chat, b"\n", chat].concat());
    save("multipart", "torn", &[&[1, 3][..], chat, b"\n{\"messages\":[\n\n{}\nx"].concat());
    save("multipart", "form", &[&[2, 3][..], b"--b\r\ncontent-type: x\r\n\r\n", chat, b"\r\n--b--"].concat());
    let event = br#"{"type":"response.create","response":{"instructions":"four words are here"}}"#;
    let item = br#"{"type":"conversation.item.create","item":{"role":"user","content":[{"type":"input_text","text":"and here are more"}]}}"#;
    save("frames", "text", &[&[0, 9][..], event, b"\xff", item].concat());
    let live = br#"{"clientContent":{"turns":[{"role":"user","parts":[{"text":"four words are here"}]}]}}"#;
    save("frames", "masked", &[&[5, 9][..], &frame(0x81, Some([1, 2, 3, 4]), live)].concat());
    let torn = [frame(1, Some([9; 4]), &item[..20]), frame(0x89, None, b""), frame(0x80, None, &item[20..])];
    save("frames", "torn", &[&[0, 2][..], &torn.concat()].concat());
    let long = "words that go on and on, each a little different from the last: ".repeat(12);
    let long = format!(r#"{{"type":"response.create","response":{{"instructions":"{long}"}}}}"#);
    save("frames", "long", &[&[0, 4][..], long.as_bytes()].concat());
    save(
        "frames",
        "binary",
        &[&[0, 2][..], &frame(0xc2, None, b"\0\x01"), &frame(0x88, None, b"\x03\xe8")].concat(),
    );
}

fn heads(save: Save<'_>) {
    let paths = [
        "/v1/chat/completions?api-version=1",
        "//v1/./x/../Chat%2Fcompletions;a=b/c#d",
        "/model/arn%3Aaws%3abedrock/converse\\x",
        "/a/../../..",
        "v1beta/models/g:generateContent",
    ];
    paths.iter().enumerate().for_each(|(i, p)| save("path", &format!("{i}"), p.as_bytes()));
    let long: String = (0..60).map(|i| format!("/seg{i:03}ment")).collect();
    save("path", "long", long.as_bytes());
    // {"org":{"sub":"a","id":"b"},"sub":"c"}
    let token = "eyJhbGciOiJIUzI1NiJ9.eyJvcmciOnsic3ViIjoiYSIsImlkIjoiYiJ9LCJzdWIiOiJjIn0.c2ln";
    let sigv4 = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/bedrock/aws4_request, SignedHeaders=host, Signature=ab";
    let body = r#"{"messages":[{"role":"user","content":"four words are here, and more"}]}"#;
    let chat = "POST /v1/chat/completions?key=k1";
    let requests = [
        ("bearer", 0, format!("{chat}\nauthorization: Bearer sk-0123456789\ncontent-type: application/json\n\n{body}")),
        ("jwt", 2, format!("{chat}\nauthorization: Bearer {token}\nx-forwarded-for: 1.2.3.4, [2001:db8::1]:80\n\n{body}")),
        ("basic", 1, format!("{chat}\nauthorization: Basic YTpi\ncookie: a=b; sid=\"c\"\nx-org: o\nx-account-created: 2026-01-01\n\n{body}")),
        ("sigv4", 1, format!("POST /model/m/invoke\nauthorization: {sigv4}\nforwarded: for=\"[2001:db8::2]\";by=x\n\n{body}")),
        ("several", 0, format!("POST /v1/messages\nx-api-key: a\napi-key: b\nx-goog-api-key: c\ncontent-length: 9\n\n{body}")),
        ("upgrade", 0, "GET /v1/realtime\nupgrade: websocket\nx-http-method-override: POST\naccept: application/problem+json\n\n".into()),
        ("odd", 2, "DELETE /v1/files/f\ncontent-encoding: br\ncontent-length: 0\n\n\x1f\u{8b}".into()),
    ];
    for (name, which, text) in &requests {
        save("identity", name, &[&[*which][..], text.as_bytes()].concat());
        save("requests", name, &[&[*which, 0, 7][..], text.as_bytes()].concat());
    }
    for file in files("tests/config/good") {
        let text = std::fs::read_to_string(&file).expect("a configuration");
        let small: Value = serde_json::from_str(&text).unwrap_or_default();
        let text = if small.is_null() { text } else { small.to_string() };
        if text.len() <= LONGEST {
            save("config", &file.file_stem().expect("a name").to_string_lossy(), text.as_bytes());
        }
    }
}

fn shard(of: u64) -> Shard {
    let value = (1..).map(mix).find(|v| crate::engine::snapshot::shard_of(*v) == 3).unwrap_or(of);
    Shard {
        now_s: 1_790_000_000,
        values: vec![ValueEntry { value, prior: 4.0, case: 3 }],
        cases: vec![CaseEntry { case: 3, campaign: 9, usual: 4.0, numbers: Default::default() }],
        keys: vec![KeyEntry { key: of, campaign: 9, until_s: 1_790_000_100 }],
        overdrawn: vec![OverdrawnEntry { key: of, until_s: 1_790_000_050, profile: 0, limit: 1 }],
        known: vec![3; 16],
        suspects: vec![value],
        proven: vec![255; 8],
    }
}

fn wires(save: Save<'_>) {
    let check = SMALL.seed.check();
    let batch = batch();
    save("observations", "eight", &[&batch[8..10], body(&batch, 12)].concat());
    save("observations", "none", &[0, 0]);
    let mut out = Vec::new();
    for (name, shard) in [("empty", Shard::default()), ("full", shard(mix(77)))] {
        shard.encode(3, check, &mut out);
        save("shards", name, &[&[3, 130][..], body(&out, 8)].concat());
    }
    let full = out.clone();
    // Pages that hold something, as many as fit into a few files.
    let mut ledger = Ledger::new(&SMALL);
    ledger.tick(Nanos(1_790_000_000_000_000_000));
    ledger.observe(&batch, |_, _| ()).expect("a batch of our own");
    let mut empty = Ledger::new(&SMALL);
    empty.tick(Nanos(1_790_000_000_000_000_000));
    let (mut page, mut none, mut several) = (Vec::new(), Vec::new(), Vec::new());
    for index in 0..ledger.page_count() {
        ledger.write_page(index, &mut page);
        empty.write_page(index, &mut none);
        let body = body(&page, 10);
        if index > 0 && page == none || body.len() > LONGEST {
            continue;
        }
        let mut entry = (index as u16).to_le_bytes().to_vec();
        entry.extend((body.len() as u16).to_le_bytes());
        entry.extend(body);
        save("pages", &format!("{index:03}"), &entry);
        several.extend(entry);
    }
    several.truncate(4_000);
    save("pages", "several", &several);
    let held = [1; crate::node::cells::HUB_SHARDS];
    let batches = vec![Sent { ring: 1, seq: 7, first: 40, bytes: &batch[..200] }];
    let clock = Nanos(1_790_000_000_000_000_000);
    let request =
        Request { seed_check: check, node: [7; 16], policy: "fuzz", clock, hub_epoch: 9, held, batches };
    request.encode(&mut out);
    save("exchange", "request", &[&[0][..], body(&out, 8)].concat());
    let reply = Reply {
        seed_check: check,
        hub_epoch: 9,
        period_ms: 500,
        offset_ms: -3,
        acks: vec![(1, 8)],
        shards: vec![(3, 1, &full)],
    };
    reply.encode(&mut out);
    save("exchange", "reply", &[&[1][..], body(&out, 8)].concat());
    let mut kinds = vec![Head::default().encode(), Slot::decode(&[]).map_or_else(Vec::new, |s| s.encode())];
    kinds.retain(|k| !k.is_empty());
    for (i, bytes) in kinds.iter().enumerate() {
        save("cells", &format!("kind_{i}"), &[&[0][..], body(bytes, 0)].concat());
    }
    let _ = (Cell::decode(&[]).is_none(), Meta::decode(&[]).is_none(), HubMeta::decode(&[]).is_none());
    let head = Head::default().encode();
    let damage =
        [&[1, 0x80, 0, 40][..], &head[..40], &[1, 0, 3, 1, 2, 3], &[5, 3, 20], &full[..20], &[9, 0, 0]];
    save("cells", "damaged", &damage.concat());
    let _ = observation::SERVED;
}

fn logs(save: Save<'_>) {
    let lines = [
        (
            "body",
            r#"{"t":"2026-09-01T10:00:00Z","method":"POST","path":"/v1/chat/completions","headers":{"authorization":"Bearer a"},"body":{"messages":[{"role":"user","content":"four words are here"}]},"key_age_s":60.5,"label":"x","response":{"status":429}}"#,
        ),
        (
            "pairs",
            r#"{"t":1790000000.25,"path":"POST https://api.example.com/v1/messages HTTP/1.1","headers":[[":authority","a"],["x-api-key","b"]],"body_text":"{\"messages\":[]}","source":"1.2.3.4:5","properties":{"a":"b","c":null},"ja4":"t13d"}"#,
        ),
        (
            "base64",
            r#"{"t":"1790000000123","path":"/v1/completions","body_base64":"eyJwcm9tcHQiOiJhIn0=","tenant":"t","route":"r"}"#,
        ),
    ];
    lines.iter().for_each(|(name, line)| save("trace", name, line.as_bytes()));
    for file in files("tests/replay/formats") {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let bytes = std::fs::read(&file).expect("a log");
        // Cut behind a line, where there are several.
        let cut = bytes.iter().take(4_000).rposition(|b| *b == b'\n').unwrap_or(bytes.len().min(4_000));
        let kept = if bytes.len() <= 4_000 { &bytes[..] } else { &bytes[..cut] };
        save("import", &name.replace('.', "_"), &[&[255, 3][..], kept].concat());
    }
    let audit = [
        "\x041\n2\n3",
        "\x031\n2\n2\n5",
        "\x007\n0\n9",
        "\x02seventeen words stand here, for a chain of several lines, each with a reason",
    ];
    audit.iter().enumerate().for_each(|(i, text)| save("audit", &format!("{i}"), text.as_bytes()));
}
