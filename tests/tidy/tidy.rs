//! Invariants held by reading the tree: each is an absence or an equality (src/ARCHITECTURE.md names them).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

mod limits;
mod pages;
mod supply;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use weir::engine::config::Campaign;
use weir::engine::detect::{HONEST, switch_off};
use weir::engine::dialect::DIALECTS;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files below a folder, in order.
fn all_files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(all_files(&path));
        } else {
            out.push(path);
        }
    }
    out.sort();
    out
}

fn files(dir: &Path, ext: &str) -> Vec<PathBuf> {
    all_files(dir).into_iter().filter(|path| path.extension().is_some_and(|e| e == ext)).collect()
}

/// Source without comments and without its test modules.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let is_module = |at: &usize| {
        let mut lines = text[*at..].lines().skip_while(|l| !l.starts_with("mod ") && !l.is_empty());
        lines.next().is_some_and(|l| l.ends_with('{'))
    };
    let tests = text.match_indices("#[cfg(test)]").map(|(at, _)| at).find(is_module);
    text[..tests.unwrap_or(text.len())]
        .lines()
        .filter(|l| !l.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn is_test(path: &Path) -> bool {
    path.file_stem().is_some_and(|s| s == "tests" || s.to_string_lossy().ends_with("_tests"))
}

fn engine() -> Vec<PathBuf> {
    files(&root().join("src/engine"), "rs").into_iter().filter(|f| !is_test(f)).collect()
}

#[test]
fn the_engine_is_pure() {
    let banned = [
        "std::time",
        "SystemTime",
        "Instant",
        "std::fs",
        "std::net::Tcp",
        "std::env",
        "std::thread",
        "println!",
        "eprintln!",
        "log::",
        "unsafe {",
        "static mut",
        "thread_local!",
        "RandomState",
        "HashMap",
        "HashSet",
        "proxy_",
        "crate::host",
        "std::io::stdin",
        "rand::",
    ];
    for f in engine() {
        let text = code(&f);
        // Maps with fixed seeds come from one file.
        let maps = f.ends_with("engine/map.rs");
        for word in banned.iter().filter(|w| !(maps && ["RandomState", "HashMap", "HashSet"].contains(w))) {
            assert!(!text.contains(word), "{} contains {word}", f.display());
        }
    }
    assert!(
        std::fs::read_to_string(root().join("src/engine/mod.rs"))
            .unwrap()
            .contains("#![forbid(unsafe_code)]")
    );
}

#[test]
fn only_the_host_folder_knows_the_abi() {
    for f in files(&root().join("src"), "rs") {
        let text = code(&f);
        if !f.starts_with(root().join("src/host")) {
            assert!(!text.contains("proxy_on_") && !text.contains("extern \"C\""), "{}", f.display());
        }
    }
    let raw = "unsafe extern \"C\"";
    let with_raw: Vec<_> =
        files(&root().join("src"), "rs").into_iter().filter(|f| code(f).contains(raw)).collect();
    assert_eq!(with_raw, [root().join("src/host/proxy_wasm/calls.rs")], "raw host calls live in one file");
    // The SDK's own panic on statuses that a host may answer; `weir-prune` refuses a module that makes one of them.
    for f in files(&root().join("src"), "rs") {
        assert!(!code(&f).contains("hostcalls"), "{} uses the SDK's host calls", f.display());
    }
}

#[test]
fn what_is_unsafe_runs_under_miri() {
    let text = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let tests = text("tests/calls/calls.rs") + &text("tests/calls/wiped.rs");
    let is_unsafe =
        |f: &PathBuf| ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|w| code(f).contains(w));
    let found: Vec<_> = files(&root().join("src"), "rs").into_iter().filter(is_unsafe).collect();
    for f in &found {
        let name = f.strip_prefix(root()).unwrap().display();
        assert!(tests.contains(&format!("#[path = \"../../{name}\"]")), "{name} is not in tests/calls");
    }
    assert_eq!(found.len(), 2, "{found:?}");
    for line in code(&found[0]).lines().filter_map(|l| l.strip_prefix("pub fn ")) {
        let name = line.split('(').next().unwrap();
        assert!(tests.contains(&format!("calls::{name}(")), "tests/calls makes no call of {name}");
    }
}

/// `weir-prune` takes the code that prints values for debugging out of the module.
#[test]
fn the_module_prints_nothing_for_debugging() {
    for f in ["engine", "host", "node"].iter().flat_map(|d| files(&root().join("src").join(d), "rs")) {
        for word in [":?}", ":#?}", "debug_struct", "debug_tuple", "Unexpected::"] {
            assert!(is_test(&f) || !code(&f).contains(word), "{} uses {word}", f.display());
        }
    }
}

#[test]
fn the_mode_is_read_in_one_place() {
    for f in engine() {
        let text = code(&f);
        if text.contains("Mode::Enforce") {
            let name = f.strip_prefix(root().join("src/engine")).unwrap().display().to_string();
            assert!(["verdict.rs", "config/raw.rs"].contains(&name.as_str()), "{name} reads the mode");
        }
    }
}

#[test]
fn dialects_and_explanations_are_registered_tested_and_on_their_pages() {
    let page = |name: &str| std::fs::read_to_string(root().join(name)).unwrap();
    let (operations, architecture) = (page("envoy/README.md"), page("src/ARCHITECTURE.md"));
    let between = |text: &str, from: &str, to: &str| {
        text.split(from).nth(1).unwrap().split(to).next().unwrap().to_string()
    };
    let dialects = between(&operations, "\n## Supported APIs\n", "\n## ");
    let explanations = between(&architecture, "\n## Judging\n", "\n## ");
    let shared = ["mod", "facts", "path", "reader", "reply", "sampler", "tables"];
    let count = |dir: &str, shared: &[&str]| {
        let all = files(&root().join(dir), "rs");
        all.iter().filter(|f| !shared.contains(&f.file_stem().unwrap().to_str().unwrap())).count()
    };
    assert_eq!(count("src/engine/dialect", &shared), DIALECTS.len());
    for d in DIALECTS {
        assert!(root().join("tests/fixtures").join(d.name()).is_dir(), "no fixtures for {}", d.name());
        assert!(dialects.contains(&format!("`{}`", d.name())), "{} is not in envoy/README.md", d.name());
    }
    // An explanation is a file that builds on `hypothesis`; `queue` is the campaign's own, `mixture` puts it among the honest.
    let explains = |f: &PathBuf| code(f).contains(": Hypothesis = Hypothesis {") && !f.ends_with("queue.rs");
    assert_eq!(
        files(&root().join("src/engine/detect"), "rs").iter().filter(|f| explains(f)).count(),
        HONEST.len()
    );
    for h in HONEST {
        assert!(explanations.contains(&format!("`{}`", h.name)), "{} is not in src/ARCHITECTURE.md", h.name);
    }
    // Each can be switched off by its (last) name, and is then what is off.
    for (i, h) in HONEST.iter().enumerate() {
        let mut c = Campaign::default();
        assert!(switch_off(&mut c, h.name.rsplit(' ').next().unwrap()) && c.is_off(1 << i), "{}", h.name);
        assert_eq!(c.off.count_ones(), 1);
    }
}

#[test]
fn no_feature_changes_a_verdict_and_nothing_is_left_undone() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    // One feature, for failures on purpose: the engine and the protocol know nothing of it.
    let features = manifest.split("[features]\n").nth(1).unwrap().split("\n\n").next().unwrap();
    assert_eq!(features, "chaos = []");
    for f in files(&root().join("src"), "rs") {
        let hooks = f.starts_with(root().join("src/host"));
        let own = code(&f).replace("target_feature =", "");
        assert!(hooks || !own.contains("feature ="), "{} depends on a feature", f.display());
    }
    for f in files(&root().join("src"), "rs") {
        let text = std::fs::read_to_string(&f).unwrap();
        for word in ["todo!(", "unimplemented!(", "FIXME", "XXX"] {
            assert!(!text.contains(word), "{} contains {word}", f.display());
        }
    }
}

#[test]
fn the_module_is_built_on_the_fields_parts_alone() {
    let allowed = ["ahash", "log", "proxy-wasm", "serde", "serde_json", "sha2", "siphasher", "strsim"]
        .map(String::from);
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let (mut of_module, mut of_commands, mut here) = (Vec::new(), Vec::new(), "");
    for line in manifest.lines() {
        here = if line.starts_with('[') { line } else { here };
        let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with(['#', '['])) else {
            continue;
        };
        if here.ends_with(".dependencies]") && here.contains("not(target_arch") {
            of_commands.push(name.to_string());
        } else if here == "[dependencies]" || here.ends_with(".dependencies]") {
            of_module.push(name.to_string());
        }
    }
    assert!(!of_module.is_empty() && of_module.iter().all(|d| allowed.contains(d)), "{of_module:?}");
    of_commands.retain(|d| !of_module.contains(d));
    assert!(of_commands.contains(&"clap".into()), "{of_commands:?}");
    for f in ["engine", "host", "node"].iter().flat_map(|d| files(&root().join("src").join(d), "rs")) {
        for d in of_commands.iter().filter(|_| !is_test(&f)) {
            let d = d.replace('-', "_");
            let (text, name) = (code(&f), format!("{d}::"));
            // `String::` ends like `ring::`.
            let is_whole = |at: usize| !text[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let used = text.match_indices(&name).any(|(at, _)| is_whole(at));
            assert!(!used, "{} uses {d}", f.display());
        }
    }
}

/// The engine's floors, from the ground up, each with those that it may use. What is not listed here is refused.
const FLOORS: [(&str, &[&str]); 29] = [
    ("hash", &[]),
    ("decimal", &[]),
    ("map", &["hash"]),
    ("math", &[]),
    ("units", &[]),
    ("time", &["units"]),
    ("beta_binomial", &["math"]),
    ("wire", &["hash"]),
    ("sort", &[]),
    ("sketch", &["hash"]),
    ("value", &["hash"]),
    // reading
    ("json", &[]),
    ("dialect", &["hash", "json"]),
    ("fingerprint", &["hash"]),
    // what is asked for, counted and remembered
    ("verdict", &["hash", "units"]),
    (
        "config",
        &["beta_binomial", "decimal", "dialect", "hash", "map", "sort", "time", "units", "value", "verdict"],
    ),
    ("limiter", &["config", "hash", "sketch", "units"]),
    ("observation", &["units", "wire"]),
    ("outcome", &["units", "verdict"]),
    ("tables", &["beta_binomial", "config", "hash", "limiter", "math", "sketch", "units", "value", "wire"]),
    // judging: of a value, of a key
    ("detect", &["beta_binomial", "config", "hash", "math", "sketch", "sort", "tables", "value"]),
    ("rules", &["beta_binomial", "detect", "math", "tables"]),
    ("report", &["detect", "rules", "tables"]),
    // what is published, the half that learns, the half that decides
    ("snapshot", &["hash", "limiter", "rules", "sketch", "tables", "units", "verdict", "wire"]),
    (
        "ledger",
        &[
            "config",
            "detect",
            "hash",
            "limiter",
            "map",
            "observation",
            "outcome",
            "report",
            "rules",
            "sketch",
            "snapshot",
            "sort",
            "tables",
            "units",
            "value",
            "verdict",
            "wire",
        ],
    ),
    ("decision", &["config", "value", "verdict"]),
    (
        "edge",
        &[
            "config",
            "decision",
            "dialect",
            "fingerprint",
            "hash",
            "json",
            "limiter",
            "observation",
            "outcome",
            "rules",
            "sketch",
            "snapshot",
            "time",
            "units",
            "value",
            "verdict",
            "wire",
        ],
    ),
    ("record", &["config", "decimal", "decision", "ledger", "report", "rules", "units", "value"]),
    ("mod", &[]),
];

/// The floors that a file of the engine uses.
fn used(file: &Path) -> BTreeSet<String> {
    let text = code(file);
    let depth = file.strip_prefix(root().join("src/engine")).unwrap().components().count();
    let mut found = words_after(&text, "crate::engine::");
    let is_mod = file.ends_with("mod.rs");
    match depth.saturating_sub(usize::from(is_mod)) {
        1 => found.extend(words_after(&text, "super::")),
        2 => found.extend(words_after(&text, "super::super::")),
        _ => {}
    }
    found.retain(|w| FLOORS.iter().any(|(floor, _)| floor == w));
    found
}

#[test]
fn each_floor_uses_only_those_below_it() {
    for (at, (floor, below)) in FLOORS.iter().enumerate() {
        for b in *below {
            assert!(FLOORS[..at].iter().any(|(f, _)| f == b), "{floor} would use {b}, which is not below it");
        }
    }
    let mut seen = 0;
    for f in engine().into_iter().filter(|f| !is_test(f)) {
        let of = f.strip_prefix(root().join("src/engine")).unwrap().components().next().unwrap();
        let of = of.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_string();
        let (_, below) = FLOORS
            .iter()
            .find(|(floor, _)| *floor == of)
            .unwrap_or_else(|| panic!("{of} is on no floor: add it to FLOORS"));
        if of == "mod" {
            continue;
        }
        for u in used(&f) {
            assert!(u == of || below.contains(&u.as_str()), "{} uses {u}: {of} may not", f.display());
            seen += usize::from(u != of);
        }
    }
    assert!(seen > 200, "only {seen} uses were found: the test is blind");
}

/// Files side by side that need each other, and why.
const CIRCLES: [(&[&str], &str); 4] = [
    (&["builtin", "corpus"], "texts are made up where no directory of them is given"),
    (&["calls", "chaos", "shared"], "the chaos build's calls fail on purpose, by what is shared"),
    (&["plugin", "registry", "socket", "stream"], "a plugin makes its streams, and each keeps its plugin"),
    (&["texts", "world"], "who sends, and what"),
];

/// Of each file or folder of a folder, those beside it that it uses. (A parent and its children may use each other.)
fn beside(dir: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let of = |f: &Path| {
        let name = f.strip_prefix(dir).unwrap().components().next().unwrap();
        name.as_os_str().to_str().unwrap().trim_end_matches(".rs").to_string()
    };
    let all: Vec<PathBuf> = files(dir, "rs").into_iter().filter(|f| !is_test(f)).collect();
    let names: BTreeSet<String> = all.iter().map(|f| of(f)).filter(|n| n != "mod" && n != "main").collect();
    let mut out = BTreeMap::new();
    for f in &all {
        let name = of(f);
        let depth = f.strip_prefix(dir).unwrap().components().count() - usize::from(f.ends_with("mod.rs"));
        let text = code(f);
        let path = dir.strip_prefix(root().join("src")).unwrap().to_str().unwrap();
        let path = path.strip_prefix("bin/weir").unwrap_or(path).trim_matches('/').replace('/', "::");
        let from = if path.is_empty() { "crate::".into() } else { format!("crate::{path}::") };
        let mut used = words_after(&text, &from);
        if depth > 0 {
            used.extend(words_after(&text, &"super::".repeat(depth)));
        }
        let found: &mut BTreeSet<String> = out.entry(name.clone()).or_default();
        found.extend(used.into_iter().filter(|u| *u != name && names.contains(u)));
    }
    out.retain(|name, _| names.contains(name));
    out
}

/// The first words of all that a text takes from a path, `{a, b::c}` included.
fn words_after(text: &str, path: &str) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    let starts = text.match_indices(path).filter(|(at, _)| {
        let before = &text[..*at];
        !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
    });
    for (at, _) in starts {
        let part = &text[at + path.len()..];
        let mut depth = 0;
        let end = part.find(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth <= 0 && !(c.is_alphanumeric() || "_:{}".contains(c))
        });
        let part = &part[..end.unwrap_or(part.len())];
        let inside = part.strip_prefix('{').map_or(part, |p| p.trim_end_matches('}'));
        let mut depth = 0;
        for item in inside.split(|c: char| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            c == ',' && depth == 0
        }) {
            out.insert(item.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect());
        }
    }
    out
}

#[test]
fn files_side_by_side_do_not_use_each_other_in_a_circle() {
    let mut dirs: Vec<PathBuf> =
        files(&root().join("src"), "rs").iter().map(|f| f.parent().unwrap().into()).collect();
    dirs.sort();
    dirs.dedup();
    let (mut uses, mut told): (usize, BTreeSet<String>) = (0, BTreeSet::new());
    for dir in dirs {
        let used = beside(&dir);
        uses += used.values().map(BTreeSet::len).sum::<usize>();
        let reached = |from: &str| {
            let (mut seen, mut next): (BTreeSet<&str>, _) = (BTreeSet::new(), vec![&used[from]]);
            while let Some(of) = next.pop() {
                next.extend(of.iter().filter(|n| seen.insert(n)).map(|n| &used[n]));
            }
            seen
        };
        for name in used.keys() {
            let circle: Vec<&str> =
                reached(name).into_iter().filter(|n| reached(n).contains(name.as_str())).collect();
            if !circle.is_empty() {
                let known = CIRCLES.iter().any(|(c, _)| *c == circle);
                assert!(known, "{}: {circle:?} use each other: {used:?}", dir.display());
                told.insert(circle.join(" "));
            }
        }
    }
    assert!(uses > 200, "only {uses} uses were found: the test is blind");
    assert_eq!(told.len(), CIRCLES.len(), "of the circles told only these are there: {told:?}");
}

/// The ledger composes parts. Each has one place, and fields that nobody else reaches into.
#[test]
fn the_ledger_is_made_of_parts_that_keep_their_fields() {
    let dir = root().join("src/engine/ledger");
    let all: Vec<(String, String)> = files(&dir, "rs")
        .into_iter()
        .filter(|f| !is_test(f) && !f.starts_with(dir.join("tests")))
        .map(|f| (f.strip_prefix(&dir).unwrap().display().to_string(), code(&f)))
        .collect();
    let with = |what: &str| -> Vec<&str> {
        all.iter().filter(|(_, text)| text.contains(what)).map(|(name, _)| name.as_str()).collect()
    };
    assert_eq!(with("\nimpl Ledger {"), ["mod.rs", "observe.rs", "report.rs", "state.rs"]);
    let fields = |name: &str| -> String {
        let text = all.iter().find_map(|(_, text)| text.split(&format!("struct {name} {{\n")).nth(1));
        text.unwrap_or_else(|| panic!("no struct {name}")).split("\n}").next().unwrap().to_string()
    };
    let of_ledger = fields("Ledger");
    let parts: Vec<&str> = of_ledger
        .lines()
        .filter_map(|l| l.trim().trim_end_matches(',').split_once(": "))
        .map(|(_, of)| of)
        // What people have decided is the configuration's, and only read here.
        .filter(|of| of.starts_with(char::is_uppercase) && *of != "Exceptions")
        .collect();
    assert_eq!(parts, ["Clock", "Keys", "Values", "Ladder", "Rates", "Budgets", "Publisher"]);
    let opens =
        |fields: &str| fields.lines().any(|l| l.trim().starts_with("pub ") || l.trim().starts_with("pub("));
    assert!(!opens(&of_ledger));
    for part in parts {
        assert!(!opens(&fields(part)), "{part} opens its fields");
        let files = with(&format!("\nimpl {part} {{"));
        let one_place = files.len() == 1 || files.iter().all(|f| f.starts_with("values/"));
        assert!(one_place, "{part} has verbs in {files:?}");
    }
}
