//! The part of a replay that needs no order: lines to hashes and counts, on any thread.

use super::batch::{Batch, Request};
use crate::lines::{Item, MAX_LINE};
use crate::skip::Skip;
use crate::trace::{Line, Text};
use std::sync::Arc;
use weir::engine::config::Config;
use weir::engine::edge::extract::Extractor;
use weir::engine::edge::identity::{Head, Keys};
use weir::engine::edge::session::Session;
use weir::engine::units::Nanos;
use weir::engine::{Decision, extract};

/// One a thread.
pub struct Reader {
    config: Arc<Config>,
    keys: Keys,
    extractor: Extractor,
}

impl Reader {
    pub fn new(config: &Arc<Config>) -> Reader {
        Reader {
            keys: Keys::new(&config.seed),
            extractor: Extractor::new(&config.seed),
            config: Arc::clone(config),
        }
    }

    /// Everything about a batch that its place in the trace does not change.
    pub fn read(&mut self, batch: &mut Batch) {
        batch.split(|item, line, labels| {
            let from = labels.len();
            line.outcome = match item {
                Item::TooLong => Err(Skip::new(format!("line is longer than {MAX_LINE} bytes"))),
                Item::Line(text) => Line::parse(text).and_then(|mut parsed| {
                    let early = self.line(&mut parsed, &mut line.request)?;
                    line.labelled = parsed.label.is_some();
                    labels.push_str(parsed.label.as_ref().map_or("", |l| l.as_ref()));
                    Ok(early)
                }),
            };
            line.label = from..labels.len();
        });
    }

    fn line(&mut self, line: &mut Line<'_>, out: &mut Request) -> Result<Option<Decision>, Skip> {
        out.time = line.time()?;
        out.age = line.key_age_s.map(|age| Nanos((age * 1e9) as u64));
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
        if let Some(tenant) = &line.tenant {
            session.identity.tenant = self.keys.tenant(tenant.as_ref().as_bytes());
        }
        if let Some(body) = &body {
            session.push(body, true);
        }
        Ok(extract(&self.config, &mut self.extractor, out.time, &mut session, &mut out.x))
    }
}
