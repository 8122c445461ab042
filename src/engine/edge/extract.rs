//! A finished session to hashes and counts. Prompt text ends here; what comes out may cross threads and VMs.

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

/// Values of a request that cannot be read: as many as of a short template.
const UNREAD: u64 = 4;
/// What is left of a request once its text is gone: about 600 bytes, and 8 for each value.
#[derive(Clone, Debug, Default)]
pub struct Extracted {
    /// What the ledger is told; `matched` is filled at the decision.
    pub obs: Observation,
    /// All values of the request, sorted, unique: at most 168.
    pub values: Vec<u64>,
    /// Who.
    pub key: KeyId,
    /// The profile that applies.
    pub profile: ProfileId,
    /// Two different credentials in one request.
    pub ambiguous: bool,
    /// Then: the key of each of them alone.
    pub parts: Vec<u64>,
    /// Then: the key of the address, 0 if none.
    pub address: u64,
    /// More of them than any client sends.
    pub crowded: bool,
    /// Keys for which lists and convictions hold, too.
    pub also: Vec<u64>,
    /// Why the body could not be read.
    pub unreadable: Option<Unreadable>,
    /// What decides, if it carries no prompt.
    pub other: Other,
    /// Of a batch, the sample of its other requests: at most 7.
    pub others: Vec<Extracted>,
}

impl Extracted {
    /// Moves what was extracted ahead of its turn to the time at which it is judged, and the account's creation with it, if
    /// that was told as an age.
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

/// Takes fingerprints. Holds only keys and working memory (about 10 KiB): make one a thread.
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
    /// For one policy's seed.
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

    /// Replaces what `out` holds. The session's text stays until its owner wipes it.
    #[inline(never)]
    pub fn take(&mut self, now: Nanos, session: &mut Session, out: &mut Extracted) {
        // An account of the future, or older than all of them: somebody writes it in a unit of their own.
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
        // Of what cannot be read, how it cannot be is all that it says: a crowd that keeps coming so is like any other.
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
        // Looked up, and told to nobody: a follow-up cannot be told from an opening by what a sample happens to hold.
        if !facts.picks.is_empty() {
            self.fingerprinter.sample(facts.picks.iter().map(Pick::text), &mut self.picked);
            unite(&mut out.values, &self.picked.values);
        }
        let shape = hash::combine(hash::combine(id.client, facts.shape), facts.model ^ self.network_key);
        obs.nets = [
            if id.prefix == 0 { 0 } else { Axis::Network.tag(hash::mix(id.prefix)) },
            if id.client == 0 { 0 } else { Axis::Network.tag(shape) },
        ];
    }
}
