//! Texts for traffic: read from a directory of JSON Lines, or generated (`builtin`).
//!
//! Contract: the six files are read as streams, one record at a time. A missing file, an unreadable line or a
//! malformed record is reported as a warning and skipped; an empty category is an error, never replaced in
//! silence. Records are classified by `kind` and by their slots, not by `source`, so a second set from other
//! sources can be loaded. Splits are by a fixed hash: of the group for templates and evaluation sets (a
//! family is in one split), of the id for prompts, dialogues and items, of the original's id for rewordings.
//! Memory: the texts, once.

use super::builtin;
use crate::lines::{Item, Lines};
use serde::Deserialize;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use weir::engine::hash::sip13;

/// Seed of the generated corpus: fixed, so that two runs without a directory use the same texts, and that of
/// the published figures.
pub const BUILTIN_SEED: u64 = 1;
/// Warnings kept per file; the rest are counted.
const MAX_WARNINGS: usize = 10;
/// A system prompt of at least this many fixed bytes stands for an agent's.
const AGENT_BYTES: usize = 1_500;
/// Least number of items of an evaluation set.
const MIN_EVAL_ITEMS: usize = 20;
/// Key of the split. Chosen, before any result was seen, so that both sides hold one of the large evaluation sets.
const SPLIT_KEY: (u64, u64) = (0x7765_6972, 0);

const PROMPTS: &str = "benign_prompts.jsonl";
const DIALOGUES: &str = "benign_dialogues.jsonl";
const POPULAR: &str = "popular_templates.jsonl";
const EVALS: &str = "eval_sets.jsonl";
const DISTILL: &str = "distill_templates.jsonl";
const ITEMS: &str = "distill_items.jsonl";

/// A piece of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Fixed text.
    Text(String),
    /// A slot with its name.
    Slot(String),
}

/// A text with slots.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Its pieces in order; no two fixed texts in a row.
    pub parts: Vec<Part>,
    /// Group of related templates, for splits.
    pub group: String,
}

impl Template {
    /// Parses a text in which `{name}` is a slot for the names in `slots`. Other braces are text.
    pub fn parse(text: &str, slots: &[&str]) -> Template {
        let mut parts = Vec::new();
        let mut fixed = 0;
        let mut at = 0;
        while let Some(open) = text[at..].find('{').map(|i| at + i) {
            let inside = &text[open + 1..];
            let named = slots.iter().find(|s| inside.strip_prefix(**s).is_some_and(|r| r.starts_with('}')));
            at = open + 1;
            if let Some(name) = named {
                if fixed < open {
                    parts.push(Part::Text(text[fixed..open].to_string()));
                }
                parts.push(Part::Slot(name.to_string()));
                at = open + name.len() + 2;
                fixed = at;
            }
        }
        if fixed < text.len() {
            parts.push(Part::Text(text[fixed..].to_string()));
        }
        Template { parts, group: String::new() }
    }

    /// A template without slots.
    pub fn plain(text: &str) -> Template {
        Template { parts: vec![Part::Text(text.to_string())], group: String::new() }
    }

    /// Bytes of its fixed text.
    pub fn text_len(&self) -> usize {
        self.parts.iter().map(|p| if let Part::Text(t) = p { t.len() } else { 0 }).sum()
    }

    /// Appends the text. `slot` appends the value of each slot it is called for.
    pub fn fill(&self, out: &mut Vec<u8>, slot: &mut dyn FnMut(&str, &mut Vec<u8>)) {
        for part in &self.parts {
            match part {
                Part::Text(t) => out.extend_from_slice(t.as_bytes()),
                Part::Slot(name) => slot(name, out),
            }
        }
    }

    /// Replaces slots by values, each once: a value that contains `{name}` stays as it is.
    fn bind(mut self, values: &HashMap<&str, &str>) -> Template {
        let mut parts: Vec<Part> = Vec::with_capacity(self.parts.len());
        for part in self.parts {
            let part = match part {
                Part::Slot(name) => match values.get(name.as_str()) {
                    Some(value) => Part::Text(value.to_string()),
                    None => Part::Slot(name),
                },
                text => text,
            };
            match (parts.last_mut(), part) {
                (Some(Part::Text(before)), Part::Text(t)) => before.push_str(&t),
                (_, part) => parts.push(part),
            }
        }
        self.parts = parts;
        self
    }

    fn has_slots(&self) -> bool {
        self.parts.iter().any(|p| matches!(p, Part::Slot(_)))
    }

    /// The text, with slots left out.
    fn text(&self) -> String {
        self.parts.iter().map(|p| if let Part::Text(t) = p { t.as_str() } else { "" }).collect()
    }
}

/// Texts by their use.
#[derive(Clone, Debug, Default)]
pub struct Corpus {
    /// Where they came from, for reports.
    pub origin: String,
    /// Single prompts of people.
    pub prompts: Vec<String>,
    /// User messages of human conversations, each in order; at least one.
    pub dialogues: Vec<Vec<String>>,
    /// System prompts of agents: long, shared by many keys.
    pub agents: Vec<Template>,
    /// Prompts of a public library: shorter system prompts and shared prompts.
    pub patterns: Vec<Template>,
    /// Task templates, with slots.
    pub tasks: Vec<Template>,
    /// Evaluation sets: rendered items of one source and group. Of a benchmark dialogue the first user turn.
    pub evals: Vec<Vec<String>>,
    /// Templates of benchmarks and judges, with slots.
    pub eval_templates: Vec<Template>,
    /// Templates that generate training data, with or without slots.
    pub distill: Vec<Template>,
    /// Instructions that such pipelines have generated.
    pub items: Vec<String>,
    /// Pairs of a rendered evaluation item and its rewording.
    pub paraphrases: Vec<(String, String)>,
}

/// A part of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// All records.
    All,
    /// 70 % of the records: to tune on.
    Tune,
    /// The other 30 %: to report on.
    Held,
}

impl Split {
    fn takes(self, id: &str) -> bool {
        let held = sip13(SPLIT_KEY, id.as_bytes()) % 100 >= 70;
        match self {
            Split::All => true,
            Split::Tune => !held,
            Split::Held => held,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Split::All => "every record",
            Split::Tune => "tune split",
            Split::Held => "held-out split",
        }
    }
}

/// The generated texts of a seed.
pub fn built_in(seed: u64) -> Corpus {
    let mut corpus = builtin::corpus(seed);
    if seed != BUILTIN_SEED {
        corpus.origin = format!("built-in generator, seed {seed}");
    }
    corpus
}

/// Reads a directory, or generates texts without one (which are not split). Returns warnings beside the
/// texts.
///
/// # Errors
/// A category is empty.
pub fn load(dir: Option<&Path>, split: Split) -> Result<(Corpus, Vec<String>), String> {
    let Some(dir) = dir else {
        return Ok((built_in(BUILTIN_SEED), Vec::new()));
    };
    let mut loader = Loader::new(split);
    loader.corpus.origin = format!("corpora {} ({})", dir.display(), split.name());
    for name in [PROMPTS, DIALOGUES, POPULAR, EVALS, DISTILL, ITEMS] {
        loader.file(dir, name);
    }
    loader.finish()
}

/// One line. Unknown fields are ignored.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow, default)]
    source: Cow<'a, str>,
    #[serde(borrow, default)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    group: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    text: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    messages: Option<Vec<Message<'a>>>,
    #[serde(borrow, default)]
    template: Option<Cow<'a, str>>,
    #[serde(default)]
    slots: Map<String, Value>,
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    role: Cow<'a, str>,
    #[serde(borrow)]
    content: Cow<'a, str>,
}

impl Record<'_> {
    /// What decides the split: the family or, without one, the record itself.
    fn family(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.id)
    }

    fn users(&self) -> Vec<String> {
        let messages = self.messages.iter().flatten();
        messages.filter(|m| m.role == "user").map(|m| m.content.to_string()).collect()
    }

    /// The record's text as a template: filled slots are text, empty ones stay slots.
    fn template(&self) -> Result<Template, String> {
        let mut template = if let Some(text) = &self.text {
            Template::plain(text)
        } else if let Some(text) = &self.template {
            let names: Vec<&str> = self.slots.keys().map(String::as_str).collect();
            let mut values = HashMap::new();
            for (name, value) in &self.slots {
                let value = value.as_str().ok_or_else(|| format!("slot {name:.40} is not a string"))?;
                if !value.is_empty() {
                    values.insert(name.as_str(), value);
                }
            }
            Template::parse(text, &names).bind(&values)
        } else if self.messages.is_some() {
            Template::plain(self.users().first().ok_or("no message of the user")?)
        } else {
            return Err("none of text, messages, template".into());
        };
        if template.text_len() == 0 {
            return Err("no text".into());
        }
        template.group = self.group.as_deref().unwrap_or_default().to_string();
        Ok(template)
    }
}

struct Loader {
    split: Split,
    corpus: Corpus,
    warnings: Vec<String>,
    /// Warnings of the current file.
    in_file: usize,
    /// Items by source and group; sets too small are left out at the end.
    sets: BTreeMap<(String, String), Vec<String>>,
    /// Every rendered item by id, whatever the split: rewordings name their original.
    rendered: HashMap<String, String>,
}

impl Loader {
    fn new(split: Split) -> Loader {
        Loader {
            split,
            corpus: Corpus::default(),
            warnings: Vec::new(),
            in_file: 0,
            sets: BTreeMap::new(),
            rendered: HashMap::new(),
        }
    }

    fn warn(&mut self, text: String) {
        self.in_file += 1;
        if self.in_file <= MAX_WARNINGS {
            self.warnings.push(text);
        }
    }

    fn file(&mut self, dir: &Path, name: &'static str) {
        self.in_file = 0;
        match Lines::open(&dir.join(name)) {
            Err(e) => self.warn(format!("{name}: {e}")),
            Ok(mut lines) => self.lines(&mut lines, name),
        }
        if self.in_file > MAX_WARNINGS {
            let more = self.in_file - MAX_WARNINGS;
            self.warnings.push(format!("{name}: {more} more records were skipped"));
        }
    }

    fn lines(&mut self, lines: &mut Lines, name: &'static str) {
        for number in 1u64.. {
            let outcome = match lines.next() {
                Ok(None) => break,
                Err(e) => {
                    self.warn(format!("{name}:{number}: {e}; the rest of the file was not read"));
                    break;
                }
                Ok(Some(Item::TooLong)) => Err("the line is too long".to_string()),
                Ok(Some(Item::Line([]))) => continue,
                Ok(Some(Item::Line(line))) => serde_json::from_slice(line)
                    .map_err(|e| e.to_string())
                    .and_then(|r| self.record(name, &r)),
            };
            if let Err(e) = outcome {
                self.warn(format!("{name}:{number}: {e}"));
            }
        }
    }

    fn record(&mut self, name: &str, r: &Record<'_>) -> Result<(), String> {
        let split = self.split;
        match name {
            PROMPTS => {
                let text = r.template()?.text();
                if split.takes(&r.id) {
                    self.corpus.prompts.push(text);
                }
            }
            DIALOGUES => {
                let users = r.users();
                if users.is_empty() {
                    return Err("no message of the user".into());
                }
                if split.takes(&r.id) {
                    self.corpus.dialogues.push(users);
                }
            }
            POPULAR => self.popular(r)?,
            EVALS => self.eval(r)?,
            DISTILL => {
                let template = r.template()?;
                if split.takes(r.family()) {
                    self.corpus.distill.push(template);
                }
            }
            _ => self.item(r)?,
        }
        Ok(())
    }

    fn popular(&mut self, r: &Record<'_>) -> Result<(), String> {
        let template = r.template()?;
        if !self.split.takes(r.family()) {
            return Ok(());
        }
        let c = &mut self.corpus;
        let list = match &*r.kind {
            "agent_prompt" => &mut c.agents,
            "task_template" => &mut c.tasks,
            "shared_prompt" => &mut c.patterns,
            _ if template.text_len() >= AGENT_BYTES => &mut c.agents,
            "system_prompt" => &mut c.patterns,
            // A kind we do not know: short with slots is a task.
            _ if template.has_slots() => &mut c.tasks,
            _ => &mut c.patterns,
        };
        list.push(template);
        Ok(())
    }

    fn eval(&mut self, r: &Record<'_>) -> Result<(), String> {
        let template = r.template()?;
        let taken = self.split.takes(r.family());
        if template.has_slots() {
            if taken {
                self.corpus.eval_templates.push(template);
            }
            return Ok(());
        }
        let text = template.text();
        if taken {
            let set = (r.source.to_string(), r.group.as_deref().unwrap_or_default().to_string());
            self.sets.entry(set).or_default().push(text.clone());
        }
        self.rendered.insert(r.id.to_string(), text);
        Ok(())
    }

    fn item(&mut self, r: &Record<'_>) -> Result<(), String> {
        let text = r.template()?.text();
        match &*r.kind {
            // Whole requests: the template is in `distill` already.
            "rendered_request" => {}
            "paraphrased_item" => {
                let original =
                    r.group.as_deref().ok_or("a rewording without group: its original is not known")?;
                let found = self.rendered.get(original);
                let found = found.ok_or_else(|| format!("the original {original:.40} is not in {EVALS}"))?;
                if self.split.takes(original) {
                    self.corpus.paraphrases.push((found.clone(), text));
                }
            }
            _ if self.split.takes(&r.id) => self.corpus.items.push(text),
            _ => {}
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(Corpus, Vec<String>), String> {
        self.corpus.evals = self.sets.into_values().filter(|s| s.len() >= MIN_EVAL_ITEMS).collect();
        let c = &self.corpus;
        let needed = [
            ("prompts", c.prompts.len(), PROMPTS),
            ("dialogues", c.dialogues.len(), DIALOGUES),
            ("agent prompts", c.agents.len(), POPULAR),
            ("prompt-library patterns", c.patterns.len(), POPULAR),
            ("task templates", c.tasks.len(), POPULAR),
            ("evaluation sets of 20 items or more", c.evals.len(), EVALS),
            ("evaluation templates", c.eval_templates.len(), EVALS),
            ("distillation templates", c.distill.len(), DISTILL),
            ("generated instructions", c.items.len(), ITEMS),
            ("rewordings", c.paraphrases.len(), ITEMS),
        ];
        let empty = needed.iter().find(|(_, n, _)| *n == 0);
        if let Some((what, _, file)) = empty {
            let first = self.warnings.iter().find(|w| w.starts_with(file));
            let cause = first.map(|w| format!("; {w}")).unwrap_or_default();
            return Err(format!("no {what} in {file} ({}){cause}", self.split.name()));
        }
        Ok((self.corpus, self.warnings))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::dir::Dir;
    use std::path::PathBuf;

    fn filled(t: &Template) -> String {
        let mut out = Vec::new();
        t.fill(&mut out, &mut |name, out| {
            out.extend_from_slice(b"<");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b">");
        });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_the_named_slots_are_slots() {
        let t = Template::parse("é {a} {b} {{a}} {\"a\": 1} {a {a", &["a", "ab"]);
        assert_eq!(filled(&t), "é <a> {b} {<a>} {\"a\": 1} {a {a");
        assert_eq!(t.text_len(), "é  {b} {} {\"a\": 1} {a {a".len());
        assert_eq!(filled(&Template::parse("{a}{ab}", &["a", "ab"])), "<a><ab>");
        assert_eq!(Template::plain("{a}").parts, [Part::Text("{a}".into())]);
        assert!(Template::parse("", &["a"]).parts.is_empty());
    }

    #[test]
    fn a_value_is_put_in_once_and_empty_slots_stay() {
        let line = r#"{"id":"x","template":"Q: {q} A: {a}","slots":{"q":"what is {a}?","a":""},"group":"g"}"#;
        let r: Record<'_> = serde_json::from_str(line).unwrap();
        let t = r.template().unwrap();
        assert_eq!(t.parts, [Part::Text("Q: what is {a}? A: ".into()), Part::Slot("a".into())]);
        assert_eq!(t.group, "g");
    }

    impl Dir {
        /// All six files, small but complete, but for the one named.
        fn fill(&self, without: &str) {
            let rep = |n: usize, f: &dyn Fn(usize) -> String| (0..n).map(f).collect::<Vec<_>>().join("\n");
            let files = [
                (PROMPTS, rep(40, &|i| format!(r#"{{"id":"p{i}","text":"prompt {i}"}}"#))),
                (
                    DIALOGUES,
                    r#"{"id":"d","messages":[{"role":"user","content":"one"},{"role":"assistant","content":"x"},{"role":"user","content":"two"}]}"#.into(),
                ),
                (
                    POPULAR,
                    [
                        r#"{"id":"a","kind":"agent_prompt","text":"act","group":"a"}"#.to_string(),
                        r#"{"id":"b","kind":"system_prompt","text":"short","group":"b"}"#.to_string(),
                        r#"{"id":"c","kind":"task_template","template":"do {x}","slots":{"x":""},"group":"c"}"#.to_string(),
                        format!(r#"{{"id":"e","kind":"system_prompt","text":"{}","group":"e"}}"#, "long ".repeat(300)),
                    ]
                    .join("\n"),
                ),
                (
                    EVALS,
                    rep(21, &|i| {
                        let q = if i == 0 { String::new() } else { format!("q{i}") };
                        format!(r#"{{"id":"e{i}","source":"s","group":"g","template":"Q: {{q}}","slots":{{"q":"{q}"}}}}"#)
                    }),
                ),
                (DISTILL, r#"{"id":"t","template":"make {n}","slots":{"n":""}}"#.into()),
                (
                    ITEMS,
                    [
                        r#"{"id":"i","kind":"generated_instruction","text":"write"}"#,
                        r#"{"id":"r","kind":"paraphrased_item","group":"e3","text":"reworded"}"#,
                        r#"{"id":"w","kind":"rendered_request","text":"whole"}"#,
                    ]
                    .join("\n"),
                ),
            ];
            for (name, text) in files.iter().filter(|(n, _)| *n != without) {
                std::fs::write(self.0.join(name), text).unwrap();
            }
        }
    }

    #[test]
    fn records_go_where_they_belong() {
        let dir = Dir::new("whole");
        dir.fill("");
        let (c, warnings) = load(Some(&dir.0), Split::All).unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        assert_eq!(c.prompts.len(), 40);
        assert_eq!(c.dialogues, [["one", "two"]]);
        assert_eq!((c.agents.len(), c.patterns.len(), c.tasks.len()), (2, 1, 1));
        assert_eq!(c.evals.len(), 1);
        assert_eq!(c.evals[0][1], "Q: q2");
        assert_eq!(c.eval_templates.len(), 1);
        assert_eq!(c.items, ["write"]);
        assert_eq!(c.paraphrases, [("Q: q3".to_string(), "reworded".to_string())]);
    }

    #[test]
    fn bad_records_are_named_and_a_missing_file_is_an_error() {
        let dir = Dir::new("bad");
        dir.fill("");
        let path = dir.0.join(PROMPTS);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("\n{\"id\":\"z\"}\nnot json\n{\"id\":\"y\",\"text\":\"\"}\n");
        text.push_str(&"[\n".repeat(20));
        std::fs::write(&path, text).unwrap();
        let (c, warnings) = load(Some(&dir.0), Split::All).unwrap();
        assert_eq!(c.prompts.len(), 40);
        assert_eq!(warnings.len(), MAX_WARNINGS + 1);
        assert_eq!(warnings[0], "benign_prompts.jsonl:41: none of text, messages, template");
        assert!(warnings[1].starts_with("benign_prompts.jsonl:42: expected"), "{}", warnings[1]);
        assert_eq!(warnings[2], "benign_prompts.jsonl:43: no text");
        assert_eq!(warnings[10], "benign_prompts.jsonl: 13 more records were skipped");

        let dir = Dir::new("missing");
        dir.fill(DISTILL);
        let e = load(Some(&dir.0), Split::All).unwrap_err();
        assert!(
            e.starts_with("no distillation templates in distill_templates.jsonl (every record); "),
            "{e}"
        );
    }

    #[test]
    fn the_split_is_fixed_and_a_partition() {
        let ids: Vec<String> = (0..10_000).map(|i| format!("id-{i}")).collect();
        let tune = ids.iter().filter(|i| Split::Tune.takes(i)).count();
        let held = ids.iter().filter(|i| Split::Held.takes(i)).count();
        assert_eq!(tune + held, ids.len());
        assert!((6_800..7_200).contains(&tune), "{tune}");
        assert!(Split::Tune.takes("gsm8k"));
    }

    /// With the developer corpora present: nothing is skipped and the two sides are whole and apart.
    #[test]
    fn the_corpora_load_whole() {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let Some(dir) =
            ["../shared/corpora", "../../shared/corpora"].iter().map(|d| here.join(d)).find(|d| d.is_dir())
        else {
            return;
        };
        let sizes = |split| {
            let (c, warnings) = load(Some(&dir), split).unwrap();
            assert!(warnings.is_empty(), "{warnings:?}");
            let evals: Vec<usize> = c.evals.iter().map(Vec::len).collect();
            println!("{split:?}: {:?} evals {evals:?}", counts(&c));
            counts(&c)
        };
        let (all, tune, held) = (sizes(Split::All), sizes(Split::Tune), sizes(Split::Held));
        for i in 0..all.len() {
            assert_eq!(all[i], tune[i] + held[i], "category {i}");
        }
        println!("built-in: {:?}", counts(&load(None, Split::All).unwrap().0));
    }

    fn counts(c: &Corpus) -> [usize; 10] {
        [
            c.prompts.len(),
            c.dialogues.len(),
            c.agents.len(),
            c.patterns.len(),
            c.tasks.len(),
            c.evals.len(),
            c.eval_templates.len(),
            c.distill.len(),
            c.items.len(),
            c.paraphrases.len(),
        ]
    }
}
