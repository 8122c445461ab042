//! envoy/LIMITS.md says what is so: each constant is there and has the value that the page tells, each test is there, and no constant
//! that bounds something is left out. The command line's page has tables of the same kind.

use super::pages::{page, sources};
use super::{files, is_test, root};
use std::collections::{BTreeMap, BTreeSet};

/// Constants whose comment sounds like a bound, and which are none that anybody meets.
const NO_BOUNDS: [(&str, &str); 6] = [
    ("engine/detect/birth_burst.rs::BURST_TICKS", "statistics: what counts as one burst"),
    ("engine/detect/coming.rs::STOPS", "statistics: values that a fit tries"),
    ("engine/detect/mixture.rs::STEPS", "statistics: steps of a fit"),
    ("engine/detect/shared.rs::PASSING", "statistics: a share"),
    ("engine/fingerprint/mod.rs::SAMPLE", "one in four is a rate, not a number that is reached"),
    ("engine/tables/quota.rs::LONGEST", "another name of the limiter's"),
];

/// Words by which a comment says that a constant bounds something.
const WORDS: [&str; 9] =
    ["at most", "Longest", "longest", "Most ", "kept", "remember", "up to", "allowed", "beyond"];

struct Constant {
    doc: String,
    expr: String,
}

/// All constants at the top of files below engine, node and host, by `path::NAME`.
fn constants() -> BTreeMap<String, Constant> {
    let mut all = BTreeMap::new();
    for file in ["engine", "node", "host"].iter().flat_map(|d| files(&root().join("src").join(d), "rs")) {
        if is_test(&file) {
            continue;
        }
        let path = file.strip_prefix(root().join("src")).unwrap().display().to_string();
        let text = std::fs::read_to_string(&file).unwrap();
        let mut doc = String::new();
        for (at, line) in text.split_inclusive('\n').scan(0, |at, line| {
            *at += line.len();
            Some((*at - line.len(), line))
        }) {
            let plain = line.strip_prefix("pub(in crate::engine) ").or(line.strip_prefix("pub(super) "));
            let plain =
                plain.or(line.strip_prefix("pub(crate) ")).or(line.strip_prefix("pub ")).unwrap_or(line);
            if let Some(words) = line.strip_prefix("/// ") {
                doc.push_str(words.trim_end());
                doc.push(' ');
            } else if let Some((name, _)) = plain.strip_prefix("const ").and_then(|l| l.split_once(": ")) {
                let rest = &text[at..];
                let expr = rest.split_once(" =").unwrap().1.split(';').next().unwrap().to_string();
                all.insert(format!("{path}::{name}"), Constant { doc: std::mem::take(&mut doc), expr });
            } else if !line.starts_with("#[") {
                doc.clear();
            }
        }
    }
    all
}

/// Evaluates what constants are made of: numbers, `+ - * / <<`, brackets, other constants, `Nanos::from_…`.
struct Eval<'a> {
    all: &'a BTreeMap<String, Constant>,
    /// The file in which names are looked up first.
    path: String,
    tokens: Vec<String>,
    at: usize,
    deep: usize,
}

fn tokens(text: &str) -> Vec<String> {
    let (mut out, mut rest) = (Vec::new(), text.trim());
    while !rest.is_empty() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || "_:".contains(c))).unwrap_or(rest.len());
        let n = if word > 0 {
            word
        } else if rest.starts_with("<<") {
            2
        } else {
            rest.chars().next().unwrap().len_utf8()
        };
        out.push(rest[..n].to_string());
        rest = rest[n..].trim_start();
    }
    out
}

/// The value of a constant; `None` if it is no number.
fn value(all: &BTreeMap<String, Constant>, name: &str) -> Option<u128> {
    value_within(all, name, 8)
}

/// The same through so many other constants.
fn value_within(all: &BTreeMap<String, Constant>, name: &str, deep: usize) -> Option<u128> {
    let path = name.rsplit_once("::")?.0.to_string();
    let mut e = Eval { all, path, tokens: tokens(&all.get(name)?.expr), at: 0, deep: deep.checked_sub(1)? };
    let v = e.shifts()?;
    (e.at == e.tokens.len()).then_some(v)
}

impl Eval<'_> {
    fn next_if(&mut self, of: &[&str]) -> Option<String> {
        let token = self.tokens.get(self.at).filter(|t| of.contains(&t.as_str()))?.clone();
        self.at += 1;
        Some(token)
    }
    fn shifts(&mut self) -> Option<u128> {
        let mut v = self.sums()?;
        while self.next_if(&["<<"]).is_some() {
            v <<= self.sums()?;
        }
        Some(v)
    }
    fn sums(&mut self) -> Option<u128> {
        let mut v = self.products()?;
        while let Some(op) = self.next_if(&["+", "-"]) {
            let w = self.products()?;
            v = if op == "+" { v + w } else { v - w };
        }
        Some(v)
    }
    fn products(&mut self) -> Option<u128> {
        let mut v = self.one()?;
        while let Some(op) = self.next_if(&["*", "/"]) {
            let w = self.one()?;
            v = if op == "*" { v * w } else { v / w };
        }
        Some(v)
    }
    fn one(&mut self) -> Option<u128> {
        let token = self.tokens.get(self.at)?.clone();
        self.at += 1;
        if token == "(" {
            let v = self.shifts()?;
            return self.next_if(&[")"]).map(|_| v);
        }
        let digits = token.replace('_', "");
        if let Some(hex) = digits.strip_prefix("0x") {
            return u128::from_str_radix(hex, 16).ok();
        }
        if digits.starts_with(|c: char| c.is_ascii_digit()) {
            return digits.parse().ok();
        }
        let scale = match token.as_str() {
            "Nanos::from_millis" => 1_000_000,
            "Nanos::from_secs" => 1_000_000_000,
            "Nanos::from_hours" => 3_600_000_000_000,
            name => return self.named(name),
        };
        self.next_if(&["("])?;
        let v = self.shifts()?;
        self.next_if(&[")"]).map(|_| v * scale)
    }
    /// A constant of this file, of the module that is named, or the only one of its name.
    fn named(&self, name: &str) -> Option<u128> {
        let (module, name) = name.rsplit_once("::").unwrap_or(("", name));
        let here = format!("{}::{name}", self.path);
        if module.is_empty() && self.all.contains_key(&here) {
            return value_within(self.all, &here, self.deep);
        }
        let module = module.rsplit("::").next().unwrap();
        let of = |n: &&String| {
            let (path, own) = n.rsplit_once("::").unwrap();
            own == name && (module.is_empty() || path.ends_with(&format!("/{module}.rs")))
        };
        let found: Vec<&String> = self.all.keys().filter(of).collect();
        if let [one] = found[..] { value_within(self.all, one, self.deep) } else { None }
    }
}

/// The first number of a cell: itself, or bytes, or (with `true`) nanoseconds.
fn told(cell: &str) -> (u128, bool) {
    let from = cell.find(|c: char| c.is_ascii_digit()).unwrap_or_else(|| panic!("no number: {cell}"));
    let n = cell[from..].find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(cell.len() - from);
    let number: u128 = cell[from..from + n].replace(',', "").parse().unwrap();
    let unit = cell[from + n..].trim_start().split([' ', ',']).next().unwrap();
    const S: u128 = 1_000_000_000;
    match unit {
        "KiB" => (number << 10, false),
        "MiB" => (number << 20, false),
        "ms" => (number * S / 1_000, true),
        "s" => (number * S, true),
        "ticks" => (number * 600 * S, true),
        "h" => (number * 3_600 * S, true),
        "days" => (number * 86_400 * S, true),
        _ => (number, false),
    }
}

/// Nanoseconds that a constant counts in, if it is a time.
fn unit(name: &str, c: &Constant) -> u128 {
    let named = |ends: &str| name.ends_with(ends);
    match () {
        () if ["Nanos::", "MS", "TICK"].iter().any(|w| c.expr.contains(w)) || named("_NS") => 1,
        () if named("_MS") || c.doc.contains("milliseconds") => 1_000_000,
        () if named("_TICKS") || c.doc.contains("ticks") => 600_000_000_000,
        () => 1_000_000_000,
    }
}

/// Rows of all tables that begin with a column `limit`: their cells by the names of the columns.
fn rows(text: &str) -> Vec<BTreeMap<&str, &str>> {
    let (mut out, mut columns) = (Vec::new(), Vec::new());
    for line in text.lines() {
        let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").map(str::trim).collect();
        if !line.starts_with("| ") {
            if !line.starts_with("|-") {
                columns.clear();
            }
        } else if cells[0] == "limit" {
            columns = cells;
        } else if !columns.is_empty() {
            assert_eq!(cells.len(), columns.len(), "{line}");
            out.push(columns.iter().copied().zip(cells).collect());
        }
    }
    out
}

fn code(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn each_limit_is_what_its_constant_says() {
    let (text, all) = (page("envoy/LIMITS.md"), constants());
    let (mut seen, mut checked) = (BTreeSet::new(), 0);
    for row in rows(&text) {
        let (limit, cell) = (row["limit"], row["constant"]);
        assert!(!row["beyond it"].is_empty(), "{limit}: what happens beyond it?");
        let Some(name) = code(cell).next().filter(|_| !cell.starts_with('–')) else {
            assert!(cell.starts_with("– ("), "{limit}: no constant, and no reason");
            continue;
        };
        let c = all.get(name).unwrap_or_else(|| panic!("{limit}: there is no {name}"));
        let is = value(&all, name).unwrap_or_else(|| panic!("{name} is no number: {}", c.expr));
        let (told, time) = told(row["is"]);
        let is = if time { is * unit(name, c) } else { is };
        assert_eq!(told, is, "{limit}: the page says {}, {name} is {}", row["is"], c.expr);
        assert!(seen.insert(name.to_string()), "{name} stands twice");
        checked += 1;
    }
    assert!(checked >= 80, "{checked}");
    // What bounds something stands there.
    for (name, c) in &all {
        let bounds = WORDS.iter().any(|w| c.doc.contains(w)) && value(&all, name).is_some();
        let none = NO_BOUNDS.iter().any(|(n, _)| n == name);
        assert!(!bounds || none || seen.contains(name), "{name} is not in envoy/LIMITS.md: {}", c.doc);
        assert!(!none || !seen.contains(name), "{name} is a bound after all");
    }
    for (name, why) in NO_BOUNDS {
        assert!(all.contains_key(name) && !why.is_empty(), "there is no {name}");
    }
    println!("{} rows, {checked} constants, {} with a test", rows(&text).len(), {
        rows(&text).iter().filter(|r| !r["test"].starts_with('–')).count()
    });
}

#[test]
fn each_limit_has_its_test_or_a_reason() {
    let code_of = sources();
    let (mut n, mut without) = (0, 0);
    for name in ["envoy/LIMITS.md", "src/bin/weir/README.md"] {
        let text = page(name);
        let rows = rows(&text);
        assert!(rows.len() >= 30, "{name}: {}", rows.len());
        for row in rows {
            let (limit, tests) = (row["limit"], row["test"]);
            if tests.starts_with('–') {
                assert!(tests.starts_with("– ("), "{name}: {limit}: no test, and no reason");
                without += 1;
            } else {
                assert!(code(tests).next().is_some() || tests == "the same", "{name}: {limit}: {tests}");
            }
            for test in code(tests).filter(|t| !t.contains(['/', ' ', '<'])) {
                let there = ["fn", "def"].iter().any(|f| code_of.contains(&format!("{f} {test}(")));
                assert!(there, "{name}: {limit}: no test is called {test}");
                n += 1;
            }
        }
    }
    assert!(n >= 120 && without <= 15, "{n} {without}");
}

#[test]
fn constants_are_evaluated_as_the_compiler_does() {
    let c = |expr: &str| Constant { doc: String::new(), expr: expr.into() };
    let all = BTreeMap::from([
        ("a.rs::A".to_string(), c("64 << 10")),
        ("a.rs::B".into(), c("1 + 2 * (A - 0x10_000 + 3)")),
        ("b/cells.rs::RING".into(), c("65_536 / 2")),
        ("a.rs::C".into(), c("cells::RING / 3")),
        ("a.rs::D".into(), c("Nanos::from_hours(24 * 31)")),
        ("a.rs::E".into(), c("[1, 2]")),
    ]);
    let values = ["a.rs::A", "a.rs::B", "a.rs::C", "a.rs::D", "a.rs::E"].map(|n| value(&all, n));
    assert_eq!(values, [Some(65_536), Some(7), Some(10_922), Some(2_678_400_000_000_000), None]);
    assert_eq!(told("1,262,304,000 s since"), (1_262_304_000_000_000_000, true));
    assert_eq!((told("60, then one"), told("4 MiB")), ((60, false), (4 << 20, false)));
}
