//! Invariants held by reading the tree: each is an absence or an equality (src/ARCHITECTURE.md names them).
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::path::{Path, PathBuf};
use weir::engine::config::Campaign;
use weir::engine::detect::HONEST;
use weir::engine::dialect::DIALECTS;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files(dir: &Path, ext: &str) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files(&path, ext));
        } else if path.extension().is_some_and(|e| e == ext) {
            out.push(path);
        }
    }
    out.sort();
    out
}

/// Source without comments and without its test modules.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap();
    text.lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
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
        "HashMap<",
        "proxy_",
        "crate::host",
        "std::io::stdin",
        "rand::",
    ];
    for f in engine() {
        let text = code(&f);
        for word in banned {
            // HashSet in the configuration orders nothing; maps with random seeds are banned everywhere.
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
    assert_eq!(with_raw, [root().join("src/host/proxy_wasm/abi.rs")], "raw host calls live in one file");
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
fn dialects_and_explanations_are_registered_tested_and_in_the_readme() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let shared = ["mod", "facts", "path", "reader", "reply", "sampler", "tables"];
    let count = |dir: &str, shared: &[&str]| {
        let all = files(&root().join(dir), "rs");
        all.iter().filter(|f| !shared.contains(&f.file_stem().unwrap().to_str().unwrap())).count()
    };
    assert_eq!(count("src/engine/dialect", &shared), DIALECTS.len());
    for d in DIALECTS {
        assert!(root().join("tests/fixtures").join(d.name()).is_dir(), "no fixtures for {}", d.name());
        assert!(readme.contains(&format!("`{}`", d.name())), "{} is not in the README", d.name());
    }
    // An explanation is a file that builds on `hypothesis`; `queue` is the campaign's own, `mixture` puts it among the honest.
    let explains = |f: &PathBuf| code(f).contains(": Hypothesis = Hypothesis {") && !f.ends_with("queue.rs");
    assert_eq!(
        files(&root().join("src/engine/detect"), "rs").iter().filter(|f| explains(f)).count(),
        HONEST.len()
    );
    for h in HONEST {
        assert!(readme.contains(&format!("`{}`", h.name)), "{} is not in the README", h.name);
    }
    // Each can be switched off by its (last) name, and is then what is off.
    for (i, h) in HONEST.iter().enumerate() {
        let mut c = Campaign::default();
        assert!(c.switch_off(h.name.rsplit(' ').next().unwrap()) && c.is_off(1 << i), "{}", h.name);
        assert_eq!(c.off.count_ones(), 1);
    }
}

#[test]
fn what_the_readme_says_can_be_run() {
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    let makefile = std::fs::read_to_string(root().join("Makefile")).unwrap();
    let mut n = 0;
    for (at, _) in readme.match_indices("make ") {
        let verb: String =
            readme[at + 5..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
        let quoted =
            readme[..at].ends_with('`') || readme[..at].ends_with('\n') || readme[..at].ends_with("    ");
        if quoted && !verb.is_empty() {
            assert!(
                makefile.contains(&format!("\n{verb}:")),
                "make {verb} is in the README, not in the Makefile"
            );
            n += 1;
        }
    }
    assert!(n >= 4);
    // Every JSON block of the README is a configuration that loads.
    let blocks: Vec<&str> =
        readme.split("```json\n").skip(1).map(|b| b.split("```").next().unwrap()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        weir::engine::config::parse(block).unwrap_or_else(|e| panic!("{e}\n{block}"));
    }
    let reference: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(root().join("envoy/filter.json")).unwrap()).unwrap();
    for key in reference.as_object().unwrap().keys() {
        assert!(
            readme.contains(&format!("`{key}`")) || readme.contains(&format!("`{key}.")),
            "{key} is not in the README's table"
        );
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
fn stages_do_not_import_later_ones() {
    // units, hash, math, wire < sketch < verdict < config; dialect and fingerprint know neither ledger nor detect.
    let rules: [(&str, &[&str]); 6] = [
        ("src/engine/sketch", &["ledger", "detect", "edge", "dialect", "config"]),
        ("src/engine/dialect", &["ledger", "detect", "fingerprint", "config", "verdict"]),
        ("src/engine/fingerprint", &["ledger", "detect", "edge", "config", "dialect"]),
        ("src/engine/detect", &["edge", "dialect", "fingerprint", "verdict"]),
        ("src/engine/rules", &["edge", "dialect", "fingerprint", "verdict"]),
        ("src/engine/ledger", &["edge", "dialect", "fingerprint"]),
    ];
    for (dir, banned) in rules {
        for f in files(&root().join(dir), "rs").into_iter().filter(|f| !is_test(f)) {
            let text = code(&f);
            for b in banned {
                let used = text.contains(&format!("crate::engine::{b}::"))
                    && !(dir.ends_with("dialect") && *b == "edge");
                assert!(!used, "{} imports {b}", f.display());
            }
        }
    }
}
