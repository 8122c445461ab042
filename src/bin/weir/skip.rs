//! Lines that are skipped: one message for each kind of fault, however many lines have it.

use std::path::Path;

/// Kinds of faults that are reported separately for a file, at most.
const KINDS: usize = 16;

/// Why a line was skipped.
#[derive(Debug)]
pub struct Skip {
    /// The whole reason.
    pub why: String,
    /// The kind, which is the same for all lines with this fault.
    kind: String,
}

impl Skip {
    /// A fault without details of the line.
    pub fn new(why: impl Into<String>) -> Skip {
        let why = why.into();
        Skip { kind: why.clone(), why }
    }

    /// A fault with details of this line, of a kind that other lines may share.
    pub fn of(why: String, kind: &str) -> Skip {
        Skip { why, kind: kind.into() }
    }

    /// The kind of fault.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// A fault found by the JSON parser. Faults that expect the same are of one kind. What stood there
    /// instead is described by its type only: it may be a prompt or a credential, and messages go to logs.
    pub fn json(e: &serde_json::Error) -> Skip {
        let why = if e.is_data() { without_values(&e.to_string()) } else { e.to_string() };
        let kind = if e.is_data() {
            let text = why.rsplit_once(" at line ").map_or(why.as_str(), |(text, _)| text);
            text.rsplit_once(", expected ").map_or(text, |(_, wanted)| wanted).to_string()
        } else {
            "is not JSON".to_string()
        };
        Skip { why, kind }
    }
}

/// A message of `serde_json` without the values of the line: those stand in quotes or backticks before what was expected.
fn without_values(why: &str) -> String {
    let (found, wanted) = match why.rfind(", expected ") {
        Some(at) => why.split_at(at),
        None if ["missing field ", "duplicate field "].iter().any(|known| why.starts_with(known)) => {
            return why.into();
        }
        None => why.split_at(why.rfind(" at line ").unwrap_or(why.len())),
    };
    let quote = ['"', '`'];
    match (found.find(quote), found.rfind(quote)) {
        (Some(from), Some(to)) => format!("{}…{}{wanted}", &found[..from], &found[to + 1..]),
        _ => why.into(),
    }
}

/// The beginning of a time that cannot be parsed, if it looks like a time; other text is not shown, as it may
/// be anything.
pub fn shown_time(text: &str) -> String {
    let shown: String = text.chars().take(40).collect();
    let is_time = |c: char| c.is_ascii_digit() || "+-:., \"TZUCGMe".contains(c);
    if shown.chars().all(is_time) { shown } else { "no time".into() }
}

/// One kind of fault in one file.
struct Kind {
    kind: String,
    why: String,
    first: u64,
    count: u64,
}

/// The faults of one file.
#[derive(Default)]
pub struct Skipped(Vec<Kind>);

impl Skipped {
    /// Counts a line.
    pub fn add(&mut self, number: u64, skip: &Skip) {
        let of = |k: &&mut Kind| k.kind == skip.kind;
        if let Some(known) = self.0.iter_mut().find(of) {
            known.count += 1;
        } else if self.0.len() < KINDS {
            self.0.push(Kind { kind: skip.kind.clone(), why: skip.why.clone(), first: number, count: 1 });
        } else if let Some(last) = self.0.last_mut() {
            last.count += 1;
        }
    }

    /// A message for each kind, in the order of their first lines. Clears the list.
    pub fn messages(&mut self, path: &Path) -> Vec<String> {
        let full = self.0.len() == KINDS;
        let message = |(i, k): (usize, Kind)| {
            let others = match (k.count - 1, full && i == KINDS - 1) {
                (0, _) => String::new(),
                (n, false) => format!(" (and {n} more lines of this kind)"),
                (n, true) => format!(" (and {n} more lines of this and other kinds)"),
            };
            format!("{}:{}: skipped: {}{others}", path.display(), k.first, k.why)
        };
        std::mem::take(&mut self.0).into_iter().enumerate().map(message).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only its errors are looked at")]
    enum Word {
        One,
        Two,
    }

    #[derive(Deserialize)]
    #[allow(dead_code, reason = "only its errors are looked at")]
    struct Line {
        n: u64,
        #[serde(default)]
        word: Option<Word>,
    }

    #[test]
    fn no_message_holds_a_value_of_the_line() {
        for (line, why) in [
            (r#"{"n":"my secret"}"#, "invalid type: string …, expected u64"),
            (r#"{"n":"a, expected \" b ` at line 9"}"#, "invalid type: string …, expected u64"),
            (r#"{"n":1,"word":"secret"}"#, "unknown variant …, expected `One` or `Two`"),
            (r#"{"n":1,"n":2}"#, "duplicate field `n`"),
            (r#"{"word":null}"#, "missing field `n`"),
            (r#"{"n" 1}"#, "expected `:`"),
            (r#"{"n":"#, "EOF while parsing a value"),
        ] {
            let skip = Skip::json(&serde_json::from_str::<Line>(line).err().unwrap());
            assert_eq!(skip.why.rsplit_once(" at line ").unwrap().0, why, "{line}");
            assert!(!skip.kind().contains("secret"), "{}", skip.kind());
        }
        for (text, shown) in [
            ("\"2026-02-31T10:00:00.5Z\"", "\"2026-02-31T10:00:00.5Z\""),
            ("99999999999999999999", "99999999999999999999"),
            ("\"a secret\"", "no time"),
            ("\"2026-05-01 10:00:00 and a secret\"", "no time"),
        ] {
            assert_eq!(shown_time(text), shown);
        }
    }
}
