//! What may run on any thread, in any order: lines to hashes and counts.

use super::batch::{Batch, Count, Filled, Judgeable, Request};
use super::times::times;
use crate::import::record::Record;
use crate::import::request::{Beside, Made, Paths, Sink};
use crate::import::{self, Format};
use crate::lines::{Item, MAX_LINE};
use crate::skip::{Skip, shown_time};
use crate::trace::{Line, Text, time_of};
use serde_json::json;
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::dialect::Facts;
use weir::engine::edge::extract::Extractor;
use weir::engine::edge::identity::{Head, Keys};
use weir::engine::edge::session::Session;
use weir::engine::hash::Seed;
use weir::engine::units::Nanos;
use weir::engine::{Decision, extract};

/// How records are read.
#[derive(Clone, Default)]
pub struct Import {
    /// The format of all records; `None`: each is recognised.
    pub format: Option<&'static dyn Format>,
    /// True if all are lines of traces.
    pub traces_only: bool,
    pub paths: Paths,
    /// True to look for fields that tell when a key was made.
    pub times: bool,
}

/// A reader of lines; one for each thread.
pub struct Reader {
    config: Arc<Config>,
    keys: Keys,
    extractor: Extractor,
    import: Import,
}

impl Reader {
    pub fn new(config: &Arc<Config>, import: &Import) -> Reader {
        Reader::with_texts(config, &config.seed, import)
    }

    /// A reader whose keys are those of the configuration and whose texts are hashed under another seed.
    pub fn with_texts(config: &Arc<Config>, texts: &Seed, import: &Import) -> Reader {
        Reader {
            keys: Keys::new(&config.seed),
            extractor: Extractor::new(texts),
            config: Arc::clone(config),
            import: import.clone(),
        }
    }

    /// Reads all lines of a batch: everything about them that does not depend on their place in the trace.
    pub fn read(&mut self, batch: &mut Batch) {
        batch.split(|item, number, filled| match item {
            Item::TooLong => {
                let why = Skip::new(format!("line is longer than {MAX_LINE} bytes"));
                filled.lines.add(number).outcome = Err(why);
            }
            Item::Line(text) => {
                if let Err(why) = self.record(text, number, filled) {
                    filled.lines.add(number).outcome = Err(why);
                }
            }
        });
    }

    /// Reads one record: a line of a trace, or of another format.
    fn record(&mut self, text: &[u8], number: u64, filled: &mut Filled<'_>) -> Result<(), Skip> {
        let fault = match self.import.format {
            Some(_) => Skip::new("is not UTF-8"),
            None => match Line::parse(text) {
                Ok(mut line) => {
                    let beside = self.beside(text);
                    let to = filled.lines.add(number);
                    if self.import.times
                        && let Ok(text) = std::str::from_utf8(text)
                    {
                        times(text, &mut to.times);
                    }
                    one(self.line(&mut line, &beside, &mut to.request), &line, &beside, to, filled.labels);
                    return Ok(());
                }
                Err(fault) => fault,
            },
        };
        let Ok(text) = std::str::from_utf8(text) else { return Err(fault) };
        if self.import.traces_only {
            return Err(fault);
        }
        let paths = std::mem::take(&mut self.import.paths);
        let mut sink = Sink { paths: &paths, file_time: filled.file_time, made: Vec::new() };
        let read = import::read(text, self.import.format, fault, &mut sink);
        let made = std::mem::take(&mut sink.made);
        self.import.paths = paths;
        let mut count = Count { records: 1, ..Count::default() };
        let name = read?;
        for made in made {
            let to = filled.lines.add(number);
            to.imported = true;
            match made {
                Made::Piece { of, piece } => to.piece = Some((of, piece)),
                Made::Line(line, beside) => {
                    count.requests += 1;
                    count.without_text += u64::from(beside.no_text);
                    count.by_hash += u64::from(beside.key_is_hash && beside.key.is_some());
                    if self.import.times {
                        times(text, &mut to.times);
                    }
                    match Line::parse(&line) {
                        Err(why) => to.outcome = Err(why),
                        Ok(mut line) => {
                            one(
                                self.line(&mut line, &beside, &mut to.request),
                                &line,
                                &beside,
                                to,
                                filled.labels,
                            );
                        }
                    }
                }
            }
        }
        filled.formats.entry(name).or_default().add(count);
        Ok(())
    }

    /// What the named fields (`Paths`) tell of a line of a trace.
    fn beside(&self, text: &[u8]) -> Beside {
        let mut beside = Beside::default();
        if !self.import.paths.is_empty()
            && let Ok(text) = std::str::from_utf8(text)
            && let Ok(record) = Record::object(text)
        {
            self.import.paths.read(None, &record, &mut beside);
        }
        beside
    }

    /// Reads a line: the decision, if it can be made without the ledger; otherwise the extracted request is
    /// in `x`.
    ///
    /// # Errors
    /// The line cannot be used.
    pub fn line(
        &mut self,
        line: &mut Line<'_>,
        beside: &Beside,
        out: &mut Request,
    ) -> Result<Option<Decision>, Skip> {
        out.time = line.time()?;
        out.age = match &beside.made {
            Some(made) => Some(age(made, out.time)?),
            None => line.key_age_s.map(|age| Nanos((age * 1e9) as u64)),
        };
        let properties = line.properties();
        let body = line.body()?;
        let headers = line.headers();
        fn bytes<'s>(s: &'s Option<Text<'_>>) -> &'s [u8] {
            s.as_ref().map_or("", |s| s.as_ref()).as_bytes()
        }
        let head = Head {
            method: line.method.as_ref().map_or("POST", |m| m.as_ref()).as_bytes(),
            path: bytes(&line.path),
            authority: bytes(&line.authority),
            headers: &headers,
            source: bytes(&line.source),
            route: bytes(&line.route),
            virtual_host: b"",
            service: b"",
            metadata_profile: b"",
            properties: &properties,
            end_of_stream: body.is_none(),
        };
        let mut session = Session::open(&self.config, &self.keys, &head);
        if beside.no_text && session.dialect.is_some() {
            // It had a body, which nobody knows: who sent it, and when, is all it teaches.
            session = Session::from_facts(session.profile, session.identity, Facts::default());
        }
        if let Some(key) = &beside.key
            && let Some(profile) = self.config.profile(session.profile)
        {
            session.identity.name(&profile.identity, &self.keys, key.as_bytes(), beside.key_is_hash);
        }
        let tenant = beside.tenant.as_deref().or(line.tenant.as_ref().map(AsRef::as_ref));
        if let Some(tenant) = tenant {
            session.identity.tenant = self.keys.tenant(tenant.as_bytes());
        }
        if let Some(body) = &body {
            session.push(body, true);
        }
        Ok(extract(&self.config, &mut self.extractor, out.time, &mut session, &mut out.x))
    }
}

/// What became of a line, and its label.
fn one(
    outcome: Result<Option<Decision>, Skip>,
    line: &Line<'_>,
    beside: &Beside,
    to: &mut Judgeable,
    labels: &mut String,
) {
    let from = labels.len();
    let label = beside.label.as_deref().or(line.label.as_ref().map(AsRef::as_ref));
    if outcome.is_ok()
        && let Some(label) = label
    {
        to.labelled = true;
        labels.push_str(label);
    }
    to.label = from..labels.len();
    to.outcome = outcome;
}

/// Numbers below this are ages in seconds (31 years), others are times since the epoch.
const AGES_S: f64 = 1e9;

/// Age of a key at `now`, given the time at which it was made or its age in seconds.
fn age(text: &str, now: Nanos) -> Result<Nanos, Skip> {
    if let Ok(age) = text.trim().parse::<f64>()
        && (0.0..AGES_S).contains(&age)
    {
        return Ok(Nanos((age * 1e9) as u64));
    }
    let made = time_of(&json!(text).to_string()).map_err(|_| {
        let why = format!("the field of --age is {}: neither a time nor seconds", shown_time(text));
        Skip::of(why, "the field of --age is neither a time nor seconds")
    })?;
    Ok(now.since(made))
}
