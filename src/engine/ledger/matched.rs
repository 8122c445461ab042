//! What a request matched: the confirmed values it carries, and their cases.

use crate::engine::observation::{Few, Observation};
use crate::engine::rules::Pieces;
use crate::engine::tables::cases::Cases;

/// The confirmed values in a request, and the case that they support best.
#[derive(Clone, Copy, Debug, Default)]
pub struct Matched {
    values: Few<40>,
    /// That case, 0 if none.
    pub case: u16,
    /// Number of its values in this request.
    pub count: u32,
    /// A bitmap of those values, by hash.
    pub bits: u16,
    /// Odds of the best of those values.
    pub pieces: Pieces,
    /// Case of the request's network, 0 if none.
    pub network: u16,
    /// The confirmed network value.
    pub network_value: u64,
    /// Number of values in the request.
    pub value_count: u32,
}

impl Matched {
    /// All confirmed text values.
    pub fn values(&self) -> &[u64] {
        self.values.as_slice()
    }

    /// Records the matches in their cases, which keeps them from expiry. Cases that keep occurring together
    /// are merged.
    pub(super) fn note(&self, cases: &mut Cases, now_s: u32) {
        if self.count > 0 {
            self.note_texts(cases, now_s);
        }
        if self.network != 0 {
            // A network that is still in use does not expire.
            cases.touch(self.network_value, now_s);
        }
    }

    fn note_texts(&self, cases: &mut Cases, now_s: u32) {
        let mut met = Few::<8>::default();
        for &v in self.values() {
            cases.touch(v, now_s);
            let case = cases.get(v).map_or(0, |e| cases.resolve(e.case));
            if case != 0 && !met.as_slice().contains(&u64::from(case)) {
                met.push(u64::from(case));
            }
        }
        cases.matched(self.case, self.count, now_s);
        let met = met.as_slice();
        for (i, &a) in met.iter().enumerate() {
            if a != u64::from(self.case) {
                cases.matched(a as u16, 1, now_s);
            }
            for &b in met.get(i.saturating_add(1)..).unwrap_or_default() {
                cases.meet(a as u16, b as u16);
            }
        }
    }
}

/// Looks up all values of an observation.
pub fn find(cases: &Cases, obs: &Observation) -> Matched {
    let mut m = Matched { value_count: u32::from(obs.value_count), ..Matched::default() };
    if cases.live() == 0 {
        return m;
    }
    let mut tally: [(u16, Pieces, u16); 8] = Default::default();
    let lists = [obs.anchors.as_slice(), obs.first_anchors.as_slice(), obs.matched.as_slice()];
    for &v in lists.into_iter().flatten() {
        let Some(entry) = cases.get(v).filter(|_| !m.values.as_slice().contains(&v)) else { continue };
        let case = cases.resolve(entry.case);
        if case == 0 {
            continue;
        }
        m.values.push(v);
        // A request that meets more than eight cases counts the first eight.
        let Some(slot) = tally.iter_mut().find(|t| t.0 == case || t.0 == 0) else { continue };
        slot.0 = case;
        slot.1.add(entry.prior);
        slot.2 |= 1u16 << ((v >> 32) & 15);
    }
    let best =
        tally.into_iter().reduce(|a, b| if b.1.says_more_than(&a.1) { b } else { a }).unwrap_or_default();
    (m.case, m.pieces, m.bits) = best;
    m.count = m.pieces.count;
    for &v in obs.nets.iter().filter(|v| **v != 0) {
        if let Some(entry) = cases.get(v) {
            m.network = cases.resolve(entry.case);
            m.network_value = v;
        }
    }
    m
}
