//! Lines that are passed over: one message a kind of fault, however many lines have it.

use std::path::Path;

/// Kinds that are told apart in one file; further ones are told together.
const KINDS: usize = 16;

/// Why a line was passed over.
#[derive(Debug)]
pub struct Skip {
    /// In full.
    pub why: String,
    /// The same for all lines with this fault.
    kind: String,
}

impl Skip {
    /// A fault that needs no details.
    pub fn new(why: impl Into<String>) -> Skip {
        let why = why.into();
        Skip { kind: why.clone(), why }
    }

    /// A fault with details of this line.
    pub fn of(why: String, kind: &str) -> Skip {
        Skip { why, kind: kind.into() }
    }

    /// A fault that the JSON parser found: of one kind are those that expect the same.
    pub fn json(e: &serde_json::Error) -> Skip {
        let why = e.to_string();
        let kind = if e.is_data() {
            let text = why.rsplit_once(" at line ").map_or(why.as_str(), |(text, _)| text);
            text.rsplit_once(", expected ").map_or(text, |(_, wanted)| wanted).to_string()
        } else {
            "is not JSON".to_string()
        };
        Skip { why, kind }
    }
}

/// One kind of fault in one file.
struct Kind {
    kind: String,
    why: String,
    first: u64,
    count: u64,
}

/// The faults of one file so far.
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

    /// A message for each kind, in the order of their first lines; forgets them.
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
