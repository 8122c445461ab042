//! Turns a finished session into hashes and counts. Prompt text ends here; the result may be sent to other
//! threads and VMs.

use super::session::{Other, Session};
use crate::engine::config::ProfileId;
use crate::engine::dialect::Unreadable;
use crate::engine::dialect::sampler::Pick;
use crate::engine::edge::age;
use crate::engine::fingerprint::{Fingerprint, Fingerprinter, unite};
use crate::engine::hash::{self, Purpose, Seed};
use crate::engine::observation::{self, Few, Observation};
use crate::engine::units::Nanos;
use crate::engine::value::Axis;
use crate::engine::value::KeyId;

/// Largest number of values of a request.
pub const VALUES: usize = 192;

/// Values derived for a request that cannot be read: as many as a short template has.
const UNREAD: u64 = 4;
/// A request without its text, to be judged: about 600 bytes, and 8 for each value.
#[derive(Clone, Debug, Default)]
pub struct Extracted {
    /// What the ledger is told. `matched` is filled by the decision.
    pub obs: Observation,
    /// All fingerprint values of the request, sorted, unique: at most `VALUES`.
    pub values: Vec<u64>,
    /// Key of the request.
    pub key: KeyId,
    /// The profile that applies.
    pub profile: ProfileId,
    /// True if the request has two different credentials.
    pub ambiguous: bool,
    /// Keys of these credentials, one by one.
    pub parts: Vec<u64>,
    /// Key of the address of such a request, 0 if unknown.
    pub address: u64,
    /// True if it has more credentials than any client sends.
    pub crowded: bool,
    /// Further keys whose list entries and convictions apply to the request.
    pub also: Vec<u64>,
    /// Why the body could not be read.
    pub unreadable: Option<Unreadable>,
    /// How it is decided if it carries no prompt.
    pub other: Other,
    /// A sample of the other requests of a batch: at most 7.
    pub others: Vec<Extracted>,
}

impl Extracted {
    /// Sets the time at which the request is judged, if it was extracted before. `created` replaces the
    /// account's creation time if that was told as an age.
    pub fn set_time(&mut self, now: Nanos, created: Option<Nanos>) {
        self.others.iter_mut().for_each(|item| item.set_time(now, created));
        self.obs.time = now;
        if let Some(at) = created {
            self.obs.created_s = created_s(at);
            self.obs.flags &= !observation::AGE_UNREAD;
        }
    }
}

/// Seconds since the epoch; 0 stands for unknown.
fn created_s(at: Nanos) -> u32 {
    u32::try_from(at.secs()).unwrap_or(u32::MAX).max(1)
}

/// Takes fingerprints. It holds only keys and working memory (about 10 KiB), so make one for each thread.
#[derive(Debug)]
pub struct Extractor {
    text_key: (u64, u64),
    network_key: u64,
    fingerprinter: Fingerprinter,
    own: Fingerprint,
    first: Fingerprint,
    picked: Fingerprint,
}

impl Extractor {
    /// An extractor for a policy's seed.
    pub fn new(seed: &Seed) -> Extractor {
        let text_key = seed.key(Purpose::Text);
        Extractor {
            text_key,
            network_key: seed.key(Purpose::Network).0,
            fingerprinter: Fingerprinter::new(text_key.0),
            own: Fingerprint::default(),
            first: Fingerprint::default(),
            picked: Fingerprint::default(),
        }
    }

    /// Extracts a session into `out`, replacing what it holds. The session's text stays until its owner wipes
    /// it.
    #[inline(never)]
    pub fn take(&mut self, now: Nanos, session: &mut Session, out: &mut Extracted) {
        // A creation time in the future, or before all models, is written in an unknown unit.
        let id = &mut session.identity;
        if id.created.is_some_and(|at| !age::is_possible(at, now)) {
            (id.created, id.age_unread) = (None, true);
        }
        self.one(now, session, out);
        out.others.clear();
        for other in std::mem::take(&mut session.facts.sample) {
            let first = std::mem::replace(&mut session.facts, other);
            let mut item = Extracted::default();
            self.one(now, session, &mut item);
            // A batch is charged with its first.
            item.obs.cost = 0;
            out.others.push(item);
            session.facts = first;
        }
    }

    fn one(&mut self, now: Nanos, session: &mut Session, out: &mut Extracted) {
        let id = &session.identity;
        let facts = &mut session.facts;
        let prompts = if session.by_item { facts.items.max(facts.prompts).max(1) } else { 1 };
        out.key = id.key;
        out.profile = session.profile;
        out.ambiguous = id.ambiguous;
        out.parts.clone_from(&id.parts);
        out.address = id.address;
        out.crowded = id.crowded;
        out.also.clone_from(&id.also);
        out.unreadable = facts.unreadable;
        out.other = session.other;
        out.obs = Observation {
            time: now,
            key: if id.anonymous { 0 } else { id.key.0 },
            tenant: id.tenant,
            created_s: id.created.map_or(0, created_s),
            profile: session.profile,
            cost: facts.answers.max(1).saturating_mul(prompts),
            ..Observation::default()
        };
        let obs = &mut out.obs;
        let flag = |on: bool, f: u8| if on { f } else { 0 };
        obs.flags = flag(facts.conversation, observation::CONVERSATION)
            | flag(id.anonymous, observation::ANONYMOUS)
            | flag(facts.unreadable.is_some(), observation::UNREADABLE)
            | flag(id.age_unread && id.created.is_none(), observation::AGE_UNREAD);
        obs.last_user = facts.user.digest(self.text_key);
        let several = !facts.first_user.is_empty();
        obs.first_user = if several { facts.first_user.digest(self.text_key) } else { obs.last_user };
        let (head, tail) = facts.user.regions();
        self.fingerprinter.take(&[&facts.instructions, head, tail], &mut self.own);
        obs.exact = self.own.exact.unwrap_or(0);
        obs.value_count = u8::try_from(self.own.values.len()).unwrap_or(u8::MAX);
        // All that an unreadable request says is how it is unreadable. A crowd of keys that keeps sending such requests is
        // judged like any other.
        if let Some(what) = facts.unreadable
            && obs.value_count == 0
            && what != Unreadable::Empty
        {
            obs.exact = hash::combine(facts.body, self.text_key.0).max(1);
            let kind = hash::combine(self.text_key.0, what as u64) >> 4;
            // Sorted.
            self.own.values.extend((0..UNREAD).map(|i| i << 60 | kind ^ i << 32));
        }
        obs.anchors = Few::of(self.own.values.iter().copied());
        out.values.clear();
        out.values.extend_from_slice(&self.own.values);
        if several {
            let (head, tail) = facts.first_user.regions();
            self.fingerprinter.take(&[head, tail], &mut self.first);
            obs.first_anchors = Few::of(self.first.values.iter().copied());
            unite(&mut out.values, &self.first.values);
        }
        let mut middle = Few::default();
        for picks in [&facts.picks, &facts.later].into_iter().filter(|p| !p.is_empty()) {
            let known = &out.values;
            self.fingerprinter.sample(picks.iter().map(Pick::text), &mut self.picked, |v| {
                if known.binary_search(&v).is_err() && !middle.as_slice().contains(&v) {
                    middle.push(v);
                }
            });
            unite(&mut out.values, &self.picked.values);
        }
        obs.middle = middle;
        // These are looked up and not reported: tools and schemas are the client's, not the prompt's.
        if !facts.beside.is_empty() {
            self.fingerprinter.sample(facts.beside.iter().map(Pick::text), &mut self.picked, |_| {});
            unite(&mut out.values, &self.picked.values);
        }
        let shape = hash::combine(hash::combine(id.client, facts.shape), facts.model ^ self.network_key);
        obs.nets = [
            if id.prefix == 0 { 0 } else { Axis::Network.tag(hash::mix(id.prefix)) },
            if id.client == 0 { 0 } else { Axis::Network.tag(shape) },
        ];
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::engine::Engine;
    use crate::engine::config;
    use crate::engine::edge::identity::Head;
    use crate::engine::observation::{AGE_UNREAD, ANONYMOUS, CONVERSATION, UNREADABLE};
    use std::sync::Arc;

    const KEY: (&str, &str) = ("authorization", "Bearer k1");

    /// What is extracted of a request to a chat API.
    fn extracted(seed: char, headers: &[(&str, &str)], body: &str) -> Extracted {
        let seed = seed.to_string().repeat(64);
        let text = format!(r#"{{"seed": "{seed}", "identity": {{"age": {{"header": "x-created"}}}}}}"#);
        let config = Arc::new(config::parse(&text).unwrap());
        let headers: Vec<(&[u8], &[u8])> =
            headers.iter().map(|(k, v)| (k.as_bytes(), v.as_bytes())).collect();
        let head =
            Head { method: b"POST", path: b"/v1/chat/completions", headers: &headers, ..Head::default() };
        let mut session = Engine::new(Arc::clone(&config)).open(Nanos(0), &head);
        session.push(body.as_bytes(), true);
        session.finish();
        let mut out = Extracted::default();
        Extractor::new(&config.seed).take(Nanos::from_secs(1_800_000_000), &mut session, &mut out);
        out
    }

    #[test]
    fn an_observation_says_what_kind_of_request_it_was() {
        let one = r#"{"messages":[{"role":"user","content":"one two three four five six"}]}"#;
        let talk = r#"{"messages":[{"role":"user","content":"one two three four five"},{"role":"assistant","content":"a"},
            {"role":"user","content":"and six seven eight nine"}]}"#;
        for (headers, body, flags) in [
            (&[KEY][..], one, 0),
            (&[KEY], talk, CONVERSATION),
            (&[], one, ANONYMOUS),
            (&[KEY], "no JSON", UNREADABLE),
            (&[KEY, ("x-created", "1700000000")], one, 0),
            (&[KEY, ("x-created", "soon")], one, AGE_UNREAD),
            (&[("x-created", "soon")], "no JSON", ANONYMOUS | UNREADABLE | AGE_UNREAD),
            (&[("x-created", "soon")], talk, ANONYMOUS | CONVERSATION | AGE_UNREAD),
        ] {
            assert_eq!(extracted('1', headers, body).obs.flags, flags, "{headers:?} {body}");
        }
    }

    #[test]
    fn a_request_that_cannot_be_read_is_told_by_how_it_cannot() {
        let values = |seed, body| extracted(seed, &[KEY], body).values;
        let (a, b) = (extracted('1', &[KEY], "no JSON"), extracted('1', &[KEY], "none either"));
        assert_eq!(a.values.len(), UNREAD as usize);
        assert!(a.values.is_sorted_by(|a, b| a < b));
        // Of one kind are all bodies, which remain different texts.
        assert_eq!(a.values, b.values);
        assert!(a.obs.exact != b.obs.exact && a.obs.exact != 0);
        assert_eq!(a.obs.anchors.as_slice(), &a.values[..a.obs.anchors.as_slice().len()]);
        for other in [values('1', r#"{"messages":[{"role":"us"#), values('2', "no JSON")] {
            assert_eq!(other.len(), UNREAD as usize);
            assert!(other.iter().all(|v| !a.values.contains(v)), "{other:?}");
        }
        // No text at all is no such way.
        assert!(values('1', r#"{"messages":[]}"#).is_empty());
    }
}
