//! Lines chained by hashes: each holds its number, the hash of the line before, and its own hash (SHA-256 of
//! all that stands in front of it in the line).
//!
//! Verification finds a line that was changed, is missing, or stands twice or elsewhere. A chain alone cannot
//! show that lines were cut off at the end, or that somebody has rewritten a file from some line on with all
//! its hashes. Both are found by comparison with a head (the hash of a line) that was kept elsewhere.

use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// The hash before the first line.
pub const NONE: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Longest line, bytes.
pub const LINE_BYTES: u64 = 1 << 20;
/// Length of a line's end with its hash, bytes.
const TAIL: usize = 9 + 64 + 2;

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The last line of a chain, behind which the next is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the last line, 0 if there is none.
    pub n: u64,
    pub hash: String,
}

impl Default for Head {
    fn default() -> Head {
        Head { n: 0, hash: NONE.into() }
    }
}

impl Head {
    /// Makes the next line, with its line end. Returns it and the new head. `fields`: a JSON object.
    pub fn next(&self, t_ms: u64, event: &str, fields: &serde_json::Value) -> (String, Head) {
        let n = self.n + 1;
        let rest = fields.to_string();
        let rest = rest.strip_prefix('{').and_then(|r| r.strip_suffix('}')).unwrap_or_default();
        let comma = if rest.is_empty() { "" } else { "," };
        let body =
            format!(r#"{{"n":{n},"prev":"{}","t_ms":{t_ms},"event":"{event}"{comma}{rest}"#, self.hash);
        let hash = hex(&Sha256::digest(&body));
        (format!("{body},\"hash\":\"{hash}\"}}\n"), Head { n, hash })
    }
}

/// The chain's fields of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link<'a> {
    pub n: u64,
    pub prev: &'a str,
    pub hash: &'a str,
}

/// Reads the chain's fields of a line without its end. `None` if it has none or its hash does not match.
pub fn read(line: &[u8]) -> Option<Link<'_>> {
    let line = std::str::from_utf8(line).ok()?;
    let (body, tail) = line.split_at_checked(line.len().checked_sub(TAIL)?)?;
    let hash = tail.strip_prefix(",\"hash\":\"")?.strip_suffix("\"}")?;
    if hex(&Sha256::digest(body)) != hash {
        return None;
    }
    let (n, rest) = body.strip_prefix("{\"n\":")?.split_once(",\"prev\":\"")?;
    let prev = rest.get(..64).filter(|_| rest.get(64..65) == Some("\""))?;
    Some(Link { n: n.parse().ok()?, prev, hash })
}

/// One fault of a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A line that was changed: file, row.
    Changed(usize, u64),
    /// Numbers of missing lines: first, last.
    Missing(u64, u64),
    /// A line that stands behind a later one, or twice: number, file, row.
    Misplaced(u64, usize, u64),
    /// Number of a line that was written behind a line other than the one that stands before it.
    Rewritten(u64),
    /// No line has the hash that was given as a head.
    NoHead(String),
}

impl Finding {
    pub fn text(&self, files: &[String]) -> String {
        let file = |i: usize| files.get(i).map_or("", String::as_str);
        match self {
            Finding::Changed(i, row) => {
                format!("{}:{row}: changed: the line does not match its hash", file(*i))
            }
            Finding::Missing(a, b) if a == b => format!("line {a} is missing"),
            Finding::Missing(a, b) => format!("lines {a} to {b} are missing"),
            Finding::Misplaced(n, i, row) => {
                format!("{}:{row}: line {n} stands behind a later one, or twice", file(*i))
            }
            Finding::Rewritten(n) => {
                format!(
                    "line {n} was not written behind line {} as it stands there: one of them was rewritten",
                    n.saturating_sub(1)
                )
            }
            Finding::NoHead(hash) => {
                format!("no line has the hash {hash}: the end is cut off, or lines were rewritten")
            }
        }
    }
}

/// Verifies the lines of several files in their order.
#[derive(Debug, Default)]
pub struct Verifier {
    /// For each number the hash of the line before, and the line's own.
    lines: BTreeMap<u64, (String, String)>,
    /// Numbers that changed lines should have.
    changed: Vec<u64>,
    last: u64,
    findings: Vec<Finding>,
}

impl Verifier {
    pub fn line(&mut self, file: usize, row: u64, line: &[u8]) {
        let Some(link) = read(line) else {
            self.findings.push(Finding::Changed(file, row));
            // A number is whatever a line says.
            self.last = self.last.saturating_add(1);
            self.changed.push(self.last);
            return;
        };
        if link.n <= self.last && !self.changed.contains(&link.n) || self.lines.contains_key(&link.n) {
            self.findings.push(Finding::Misplaced(link.n, file, row));
        }
        self.last = self.last.max(link.n);
        self.lines.insert(link.n, (link.prev.into(), link.hash.into()));
    }

    /// Faults, and the head. `after`: the hash that the first line was written behind, if earlier files are
    /// missing. `head`: a head that was kept elsewhere.
    pub fn end(mut self, after: Option<&str>, head: Option<&str>) -> (Vec<Finding>, Option<Head>) {
        let first = self.lines.first_key_value().map(|(n, (prev, _))| (*n, prev.clone()));
        let mut due = match (&first, after) {
            (Some((n, prev)), Some(hash)) => {
                if prev != hash && !self.changed.contains(&n.saturating_sub(1)) {
                    self.findings.push(Finding::Rewritten(*n));
                }
                *n
            }
            _ => 1,
        };
        let mut before = (due == 1).then(|| NONE.to_string());
        for (n, (prev, hash)) in &self.lines {
            // Only the ends are looked for: a forged number may be any.
            let is_missing = |m: &u64| !self.changed.contains(m);
            if let (Some(a), Some(b)) = ((due..*n).find(is_missing), (due..*n).rfind(is_missing)) {
                self.findings.push(Finding::Missing(a, b));
            }
            if *n == due && before.as_ref().is_some_and(|b| b != prev) {
                self.findings.push(Finding::Rewritten(*n));
            }
            (due, before) = (n.saturating_add(1), Some(hash.clone()));
        }
        if let Some(h) = head
            && h != NONE
            && !self.lines.values().any(|(_, hash)| hash == h)
        {
            self.findings.push(Finding::NoHead(h.into()));
        }
        let last = self.lines.last_key_value().map(|(n, (_, hash))| Head { n: *n, hash: hash.clone() });
        (self.findings, last)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn log(n: u64) -> (Vec<Vec<u8>>, Head) {
        let (mut head, mut lines) = (Head::default(), Vec::new());
        for i in 0..n {
            let (line, next) =
                head.next(i, "act", &json!({"key": format!("kid:{i:016x}"), "reason": "a \"word\""}));
            lines.push(line.trim_end().as_bytes().to_vec());
            head = next;
        }
        (lines, head)
    }

    fn verify(lines: &[Vec<u8>], head: Option<&str>) -> Vec<Finding> {
        let mut v = Verifier::default();
        (1..).zip(lines).for_each(|(row, l)| v.line(0, row, l));
        v.end(None, head).0
    }

    #[test]
    fn a_whole_chain_is_whole_and_each_line_is_json() {
        let (lines, head) = log(40);
        assert_eq!(verify(&lines, Some(&head.hash)), []);
        let old = read(&lines[20]).unwrap().hash.to_string();
        assert_eq!(verify(&lines, Some(&old)), [], "a head of before");
        for (l, n) in lines.iter().zip(1u64..) {
            let v: serde_json::Value = serde_json::from_slice(l).unwrap();
            assert_eq!((&v["n"], &v["event"]), (&n.into(), &"act".into()));
        }
        assert_eq!(verify(&[], None), []);
        let (line, _) = Head::default().next(0, "started", &json!({}));
        assert!(serde_json::from_str::<serde_json::Value>(&line).is_ok());
        // Files of before are not here.
        let mut v = Verifier::default();
        (1..).zip(&lines[20..]).for_each(|(row, l)| v.line(0, row, l));
        let at = read(&lines[19]).unwrap().hash.to_string();
        assert_eq!(v.end(Some(&at), Some(&head.hash)), (vec![], Some(head)));
    }

    #[test]
    fn what_was_done_is_named() {
        let (lines, head) = log(9);
        let with = |f: &dyn Fn(&mut Vec<Vec<u8>>)| {
            let mut l = lines.clone();
            f(&mut l);
            verify(&l, Some(&head.hash))
        };
        assert_eq!(with(&|l| l[3][50] ^= 1), [Finding::Changed(0, 4)]);
        assert_eq!(with(&|l| drop(l.drain(2..5))), [Finding::Missing(3, 5)]);
        assert_eq!(with(&|l| drop(l.remove(0))), [Finding::Missing(1, 1)]);
        assert_eq!(with(&|l| l.swap(4, 5)), [Finding::Misplaced(5, 0, 6)]);
        assert_eq!(with(&|l| l.insert(6, l[1].clone())), [Finding::Misplaced(2, 0, 7)]);
        assert_eq!(with(&|l| l.truncate(7)), [Finding::NoHead(head.hash.clone())]);
        assert_eq!(verify(&lines[..7], None), [], "a chain alone does not see that its end is cut off");
        // One line rewritten with a good hash of its own.
        let before = Head { n: 3, hash: read(&lines[2]).unwrap().hash.into() };
        let (forged, _) = before.next(3, "act", &json!({"key": "another"}));
        assert_eq!(with(&|l| l[3] = forged.trim_end().as_bytes().to_vec()), [Finding::Rewritten(5)]);
        let files = ["a.jsonl".to_string()];
        assert_eq!(
            Finding::Changed(0, 4).text(&files),
            "a.jsonl:4: changed: the line does not match its hash"
        );
    }

    /// Found by fuzzing: the lines between were made one by one, and the number behind the last one overflowed.
    #[test]
    fn fuzz_a_forged_line_with_the_last_of_all_numbers_or_none_is_judged_at_once() {
        let (mut lines, head) = log(3);
        for before in [u64::MAX - 1, 0] {
            let forged = Head { n: before, hash: head.hash.clone() };
            let (mut line, _) = forged.next(9, "act", &json!({}));
            if before == 0 {
                let body = line.replacen("{\"n\":1,", "{\"n\":0,", 1);
                let body = &body[..body.len() - TAIL - 1];
                line = format!("{body},\"hash\":\"{}\"}}", hex(&Sha256::digest(body)));
            }
            lines.push(line.trim_end().as_bytes().to_vec());
        }
        lines.push(b"changed".to_vec());
        let found = verify(&lines, None);
        assert!(found.contains(&Finding::Missing(4, u64::MAX - 1)), "{found:?}");
        assert!(found.contains(&Finding::Misplaced(0, 0, 5)), "{found:?}");
        assert!(found.contains(&Finding::Changed(0, 6)), "{found:?}");
        let mut v = Verifier::default();
        v.line(0, 1, &lines[4]);
        let (found, _) = v.end(Some(NONE), None);
        assert!(found.iter().all(|f| !f.text(&["a".into()]).is_empty()), "{found:?}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

        /// Any one change, deletion, swap or doubling is found; a cut end against the head.
        #[test]
        fn nothing_is_done_to_it_unseen(n in 2u64..30, at: usize, to: usize, byte: usize, bit in 0u8..8, what in 0u8..5) {
            let (mut lines, head) = log(n);
            let (at, to) = (at % lines.len(), to % lines.len());
            let last = lines.len() - 1;
            match what {
                0 => {
                    let byte = byte % lines[at].len();
                    lines[at][byte] ^= 1 << bit;
                }
                1 => drop(lines.remove(at)),
                2 => lines.swap(at, to),
                3 => lines.insert(to, lines[at].clone()),
                _ => lines.truncate(at),
            }
            let unchanged = what == 2 && at == to;
            prop_assert_eq!(verify(&lines, Some(&head.hash)).is_empty(), unchanged);
            let only_cut = what == 4 || what == 1 && at == last;
            prop_assert_eq!(verify(&lines, None).is_empty(), unchanged || only_cut);
        }
    }
}
