//! What the pages say is so: links lead somewhere, files and verbs exist, commands run, configurations load, nothing is left out.

use super::{all_files, files, root};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// All pages but what was built, with their text.
fn pages() -> BTreeMap<PathBuf, String> {
    let mut all = ["README.md", "CHANGELOG.md", "SECURITY.md"].map(|f| root().join(f)).to_vec();
    for dir in ["envoy", "src", "tests"] {
        all.extend(files(&root().join(dir), "md"));
    }
    all.into_iter().map(|p| (p.clone(), std::fs::read_to_string(p).unwrap())).collect()
}

pub fn page(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The part of a page below a heading, up to the next of the same or a higher level.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let level = heading.find(' ').unwrap();
    let (_, rest) = text.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    (1..=level).fold(rest, |rest, n| rest.split(&format!("\n{} ", "#".repeat(n))).next().unwrap())
}

/// The fenced blocks of one language, in order.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    text.split(&format!("```{language}\n")).skip(1).map(|b| b.split("\n```").next().unwrap()).collect()
}

/// Code of a page: what stands in backticks, and the lines of fenced and indented blocks.
fn code_of(text: &str) -> Vec<String> {
    let (mut out, mut fenced, mut prose) = (Vec::new(), false, String::new());
    for line in text.lines() {
        if line.starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            out.push(line.trim().to_string());
        } else {
            prose.push_str(line);
            prose.push(' ');
        }
    }
    out.extend(prose.split('`').skip(1).step_by(2).map(String::from));
    out
}

/// Targets of the links and pictures of a page.
fn links(text: &str) -> Vec<&str> {
    text.split("](").skip(1).map(|l| l.split(')').next().unwrap()).collect()
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

#[test]
fn links_lead_somewhere_and_every_page_is_two_links_from_the_readme() {
    let pages = pages();
    let mut next: BTreeMap<&Path, BTreeSet<PathBuf>> = BTreeMap::new();
    for (path, text) in &pages {
        for link in links(text) {
            let (file, at) = link.split_once('#').map_or((link, None), |(f, a)| (f, Some(a)));
            let target = if file.is_empty() { path.clone() } else { path.parent().unwrap().join(file) };
            let target =
                target.canonicalize().unwrap_or_else(|_| panic!("{}: {link} is not there", path.display()));
            let inside = target.starts_with(root().canonicalize().unwrap());
            assert!(inside, "{}: {link} leaves the repository", path.display());
            if let Some(at) = at {
                let to = std::fs::read_to_string(&target).unwrap();
                let headings = to.lines().filter(|l| l.starts_with('#')).map(|l| l.trim_start_matches('#'));
                let found = headings.map(|h| anchor(h.trim())).any(|h| h == at);
                assert!(found, "{}: {link}: no such heading", path.display());
            }
            next.entry(path).or_default().insert(target);
        }
        assert!(!text.contains("../shared"), "{} names a file outside of the repository", path.display());
    }
    let readme = root().join("README.md");
    let near: BTreeSet<PathBuf> = next[readme.as_path()].clone();
    let far = near.iter().filter_map(|p| next.get(p.as_path())).flatten().cloned();
    let all: BTreeSet<PathBuf> = near.iter().cloned().chain(far).chain([readme]).collect();
    for path in pages.keys() {
        assert!(
            all.contains(&path.canonicalize().unwrap()),
            "{} is not found from the README",
            path.display()
        );
    }
}

#[test]
fn the_readme_is_short() {
    let lines = page("README.md").lines().count();
    assert!(lines <= 215, "{lines} lines: what is not for everybody belongs on one of the other pages");
}

#[test]
fn files_that_pages_name_are_there() {
    let mut there = Vec::new();
    for dir in ["envoy", "src", "tests", ".ci"] {
        let below = all_files(&root().join(dir));
        there.extend(below.iter().map(|p| format!("/{}", p.strip_prefix(root()).unwrap().display())));
    }
    there.extend(["Makefile", "Cargo.toml", "README.md", ".clippy.toml"].map(|f| format!("/{f}")));
    let endings = ["rs", "py", "json", "yaml", "md", "sh", "toml"].map(|e| format!(".{e}"));
    // What a reader makes or has, and what is a pattern.
    let own = [
        "/v1/",
        "lists.json",
        "indicators.json",
        "entries.json",
        "my.json",
        "envoy.yaml",
        "weir.wasm",
        "target/",
        "FILE",
    ];
    let mut n = 0;
    for (path, text) in pages().into_iter().filter(|(p, _)| !p.ends_with("CHANGELOG.md")) {
        for word in code_of(&text).iter().flat_map(|c| c.split([' ', ';', ':', '='])) {
            let named = endings.iter().any(|e| word.ends_with(e.as_str()))
                || ["src/", "tests/", "envoy/"].iter().any(|d| word.starts_with(d));
            if !named || own.iter().any(|o| word.starts_with(o)) || word.contains(['<', '*', '@', '$']) {
                continue;
            }
            let word = word.trim_end_matches(['/', '.', ')']).trim_start_matches("./");
            for name in braces(word) {
                let end = format!("/{name}");
                let found = there.iter().any(|f| f.ends_with(&end) || f.contains(&format!("{end}/")));
                assert!(found, "{} names {name}, which is not there", path.display());
                n += 1;
            }
        }
    }
    assert!(n >= 150, "{n}");
}

/// `a/{b,c}.rs` is `a/b.rs` and `a/c.rs`.
fn braces(word: &str) -> Vec<String> {
    let Some((before, rest)) = word.split_once('{') else { return vec![word.into()] };
    let Some((names, after)) = rest.split_once('}') else { return Vec::new() };
    names.split(',').map(|n| format!("{before}{n}{after}")).collect()
}

#[test]
fn verbs_commands_and_options_that_pages_name_exist() {
    let (makefile, manifest) = (page("Makefile"), page("Cargo.toml"));
    let help = |args: &[&str]| {
        let o = Command::new(env!("CARGO_BIN_EXE_weir")).args(args).arg("--help").output().unwrap();
        o.status.success().then(|| String::from_utf8(o.stdout).unwrap())
    };
    let commands =
        ["check", "replay", "explain", "except", "report", "indicators", "hub", "audit", "demo", "simulate"];
    // Options of a command with verbs are those of its verbs.
    let of = |c: &str| match c {
        "audit" => help(&[c, "verify"]),
        "indicators" => Some(["export", "import", "verify"].map(|verb| help(&[c, verb]).unwrap()).join("")),
        _ => help(&[c]),
    };
    let commands = commands.map(|c| (c, of(c).unwrap()));
    let (mut verbs, mut runs, mut tests) = (0, 0, 0);
    for (path, text) in pages().into_iter().filter(|(p, _)| !p.ends_with("CHANGELOG.md")) {
        let at = path.display();
        for code in code_of(&text) {
            for part in code.split(['|', '&', ';', '#']).map(str::trim) {
                let words: Vec<&str> = part.split_whitespace().collect();
                match *words.as_slice() {
                    ["make", verb, ..] => {
                        assert!(makefile.contains(&format!("\n{verb}:")), "{at}: there is no make {verb}");
                        verbs += 1;
                    }
                    ["target/weir" | "weir", command, ref rest @ ..] if command != "COMMAND" => {
                        let help = commands.iter().find(|c| c.0 == command);
                        let (_, help) = help.unwrap_or_else(|| panic!("{at}: there is no weir {command}"));
                        for option in rest.iter().filter(|w| w.starts_with("--")) {
                            let option = option.split('=').next().unwrap();
                            assert!(help.contains(option), "{at}: weir {command} has no {option}");
                        }
                        runs += 1;
                    }
                    ["cargo", "test", ref rest @ ..] => {
                        let target = rest.iter().skip_while(|w| **w != "--test").nth(1);
                        let known = |t: &str| manifest.contains(&format!("[[test]]\nname = \"{t}\"\n"));
                        assert!(target.is_none_or(|t| known(t)), "{at}: {part}: no such test");
                        tests += 1;
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(verbs >= 30 && runs >= 30 && tests >= 5, "{verbs} {runs} {tests}");
}

#[test]
fn samples_of_configuration_load_and_every_key_is_told() {
    let mut n = 0;
    for (path, text) in pages() {
        for block in blocks(&text, "json") {
            weir::engine::config::parse(block).unwrap_or_else(|e| panic!("{}: {e}\n{block}", path.display()));
            n += 1;
        }
    }
    assert!(n >= 1);
    // One line that a shell writes into a file.
    let readme = page("README.md");
    let written = readme.lines().find_map(|l| l.strip_prefix("echo '")?.split("' > ").next()).unwrap();
    let written = written.replace("'$(openssl rand -hex 32)'", &"ab".repeat(32));
    weir::engine::config::parse(&written).unwrap_or_else(|e| panic!("{e}\n{written}"));
    // And the value in the YAML of the filter.
    for (path, text) in pages() {
        for block in blocks(&text, "yaml") {
            let value = block.split("value: '").nth(1).and_then(|v| v.split("'}").next()).unwrap();
            weir::engine::config::parse(value).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }

    let reference: serde_json::Value = serde_json::from_str(&page("envoy/filter.json")).unwrap();
    let (full, mut keys) = (page("envoy/CONFIGURATION.md"), Vec::new());
    leaves("", &reference, &mut keys);
    let table = section(&full, "## Every key");
    let told = |key: &str| table.contains(&format!("`{key}`")) || table.contains(&format!("`{key}."));
    for key in &keys {
        let parent = key.rsplit_once('.').map_or("", |k| k.0);
        let short = key.strip_prefix(parent).unwrap();
        // `a.b.c` and beside it `.d`, or a row for the whole list.
        let beside = !parent.is_empty()
            && table.contains(&format!("`{parent}."))
            && table.contains(&format!(", `{short}`"));
        assert!(told(key) || beside, "{key} is not in the table of envoy/CONFIGURATION.md");
    }
    assert!(keys.len() >= 40, "{}", keys.len());
    // The short table of the README tells the same defaults.
    let short = section(&readme, "## Configure");
    for row in short.lines().filter(|l| l.starts_with("| `")) {
        let cells: Vec<&str> = row.split(" | ").collect();
        for key in cells[0].split('`').skip(1).step_by(2) {
            let known = keys.iter().any(|k| k == key || k.starts_with(&format!("{key}."))) || told(key);
            assert!(known, "{key} of the README is no key");
        }
        if let [key] = cells[0].split('`').skip(1).step_by(2).collect::<Vec<_>>()[..]
            && let Some(value) = key.split('.').try_fold(&reference, |v, k| v.get(k))
            && !value.is_array()
            && !value.is_object()
        {
            let default = value.as_str().map_or_else(|| value.to_string(), String::from);
            assert_eq!(cells[1].trim_matches('`'), default, "{key} of the README");
        }
    }
}

/// The dotted names of all values; a list is one.
fn leaves(name: &str, value: &serde_json::Value, out: &mut Vec<String>) {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            for (key, value) in map {
                leaves(&if name.is_empty() { key.clone() } else { format!("{name}.{key}") }, value, out);
            }
        }
        _ => out.push(name.to_string()),
    }
}

#[test]
fn every_metric_reason_and_word_is_told() {
    let metrics = std::fs::read_to_string(root().join("src/host/proxy_wasm/metrics.rs")).unwrap();
    let operations = page("envoy/README.md");
    let table = section(&operations, "## Metrics and alerts");
    let mut n = 0;
    let named = metrics.match_indices("(\"").chain(metrics.match_indices("=> \""));
    for (at, open) in named {
        let name = metrics[at + open.len()..].split('"').next().unwrap();
        let is_name =
            name.contains(['_']) || ["keys", "groups", "confirmed", "campaigns", "convicted"].contains(&name);
        if is_name && name.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
            assert!(table.contains(&format!("`weir_{name}`")), "weir_{name} is not in envoy/README.md");
            n += 1;
        }
    }
    assert!(n >= 25, "{n}");
    // And what it names is there, in the module or in the hub.
    let of_hub = std::fs::read_to_string(root().join("src/bin/weir/hub/metrics.rs")).unwrap();
    let hub_has = |name: &str| {
        let own = |n| of_hub.contains(&format!("\"{n}\"")) || of_hub.contains(&format!("weir_hub_{n} "));
        name.strip_prefix("hub_").is_some_and(|n| own(n) || of_hub.contains(&format!("\"weir_hub_{n}\"")))
    };
    for name in table.split("`weir_").skip(1) {
        let name: String = name.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let known = ["requests", "unreadable", "scope_vm"].contains(&name.as_str())
            || metrics.contains(&format!("\"{name}\""))
            || hub_has(&name);
        assert!(known, "there is no metric weir_{name}");
    }
    let commands = page("src/bin/weir/README.md");
    for reason in weir::engine::verdict::Reason::ALL {
        assert!(commands.contains(&format!("`{}`", reason.name())), "reason {}", reason.name());
    }
    let architecture = page("src/ARCHITECTURE.md");
    let glossary = section(&architecture, "## Glossary");
    let words: Vec<&str> = glossary
        .lines()
        .filter(|l| l.starts_with("| ") && !l.starts_with("| word"))
        .map(|l| l.split(" | ").next().unwrap())
        .collect();
    let sorted = words.windows(2).all(|w| w[0] < w[1]);
    assert!(words.len() >= 40 && sorted, "each word once, in order: {words:?}");
}

#[test]
fn the_release_has_a_section_and_manifests_name_its_image() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(page("CHANGELOG.md").contains(&format!("\n## {version}")), "no section for {version}");
    let mut n = 0;
    let manifests =
        files(&root().join("envoy"), "yaml").into_iter().chain([root().join("tests/support/oci.py")]);
    for file in manifests {
        for tag in std::fs::read_to_string(&file)
            .unwrap()
            .replace("weir/hub:", "weir/weir:")
            .split("weir/weir:")
            .skip(1)
        {
            assert!(tag.starts_with(version), "{} names another image than {version}", file.display());
            n += 1;
        }
    }
    assert!(n >= 4, "{n}");
}

#[test]
fn the_picture_is_what_its_script_makes() {
    let script = root().join("tests/support/picture.py");
    let o = Command::new("python3").arg("-B").arg(script).arg("-").output().unwrap();
    assert!(o.status.success(), "{}", String::from_utf8_lossy(&o.stderr));
    assert!(o.stdout == page("src/architecture.svg").into_bytes(), "make picture");
}

/// The commands of "Try it" and of the command line's page, as they stand, in a directory that has `envoy` and `target/weir`. A verb
/// of the Makefile only has to be there.
#[test]
fn commands_of_the_readme_and_of_the_command_lines_page_run() {
    let (readme, commands) = (page("README.md"), page("src/bin/weir/README.md"));
    let try_it = blocks(section(&readme, "## Try it"), "sh").join("\n");
    for (name, script, say) in [
        ("try", try_it, "Evidence: template tid:"),
        ("commands", blocks(&commands, "sh").join("\n"), "shared cells weir"),
    ] {
        let dir = std::env::temp_dir().join(format!("weir-pages-{}-{name}", std::process::id()));
        std::fs::create_dir_all(dir.join("target")).unwrap();
        for folder in ["envoy", "tests"] {
            std::os::unix::fs::symlink(root().join(folder), dir.join(folder)).unwrap();
        }
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_weir"), dir.join("target/weir")).unwrap();
        let makefile = root().join("Makefile");
        let make = format!(
            "make() {{ grep -q \"^$1:\" '{}' || {{ echo \"no make $1\" >&2; exit 9; }}; }}",
            makefile.display()
        );
        let o = Command::new("bash")
            .args(["-euc", &format!("{make}\n{script}")])
            .current_dir(&dir)
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&o.stdout);
        assert!(
            o.status.success() && out.contains(say),
            "{script}\n{out}{}",
            String::from_utf8_lossy(&o.stderr)
        );
        std::fs::remove_dir_all(dir).unwrap();
    }
}

/// All code, of tests and of what they test.
pub fn sources() -> String {
    let mut all = String::new();
    for dir in ["src", "tests"] {
        for file in all_files(&root().join(dir))
            .iter()
            .filter(|f| f.extension().is_some_and(|e| e == "rs" || e == "py"))
        {
            all.push_str(&std::fs::read_to_string(file).unwrap());
        }
    }
    all
}

/// What is promised against an attack is held by a test of that name.
#[test]
fn tests_that_the_threat_model_names_are_there() {
    let all = sources();
    let text = page("SECURITY.md");
    let is_name = |w: &&str| {
        w.matches('_').count() >= 3
            && w.bytes().all(|b| b.is_ascii_lowercase() || b"_0123456789".contains(&b))
    };
    let named: Vec<&str> = text.split('`').skip(1).step_by(2).filter(is_name).collect();
    assert!(named.len() >= 30, "{}", named.len());
    for name in named {
        assert!(
            all.contains(&format!("fn {name}(")) || all.contains(&format!("def {name}(")),
            "no test is called {name}"
        );
    }
}
