//! What is told to people: of a group, of a key, of the whole.

use super::tables::numbers::Numbers;
use super::{detect, rules};

/// A case, for reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseReport {
    /// Campaign number.
    pub campaign: u32,
    /// First confirmation and last match, seconds since the epoch.
    pub since_s: u32,
    /// See `since_s`.
    pub last_s: u32,
    /// Requests that matched it.
    pub requests: u32,
    /// Estimated keys of its largest value.
    pub keys: u32,
    /// Keys that are convicted of it now.
    pub convicted: u32,
    /// Of those: made (or first seen) within an hour, a day, a week.
    pub made: [u32; 3],
    /// Confirmed values, in order.
    pub values: Vec<u64>,
}

/// A template, network or profile group, for reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupReport {
    /// Campaign (case) number, 0 if none.
    pub campaign: u32,
    /// `text`, `network` or `profile`.
    pub axis: &'static str,
    /// `confirmed`, `alarm`, `watch`, `honest` or `open`.
    pub state: &'static str,
    /// The value, as it is written in allow lists (`tid:…`, `nid:…`).
    pub id: String,
    /// Estimated distinct keys.
    pub keys: u32,
    /// Requests (aged).
    pub requests: u32,
    /// Nats of a campaign over the best honest explanation.
    pub nats: i32,
    /// The explanations by name, nats behind the likeliest. Empty without a large sample.
    pub explanations: Vec<(&'static str, i32)>,
    /// Share of its keys that is the campaign's, if it is one.
    pub campaign_percent: Option<u8>,
    /// Its case was first confirmed, seconds since the epoch; 0 if it has none.
    pub since_s: u32,
    /// Share of its keys that were young at their first request here.
    pub young_percent: u8,
    /// Share of its openings whose text nobody had sent before.
    pub novel_percent: u8,
    /// Share of its requests that open a conversation.
    pub single_percent: u8,
    /// Share of its openings that come from old keys.
    pub old_percent: u8,
    /// Hashes of the keys in its sample.
    pub sampled_keys: Vec<u32>,
}

/// A group as it is now, for diagnosis.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// As reports have it.
    pub group: GroupReport,
    /// Consecutive evaluations that would confirm it.
    pub armed: u8,
    /// Requests beside something far more frequent.
    pub under: u32,
    /// What an evaluation finds now, if it has a large sample.
    pub finding: Option<detect::Finding>,
    /// What its case is judged by.
    pub numbers: Option<Numbers>,
}

/// What is known of one key, for decision records.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeyReport {
    /// Known to be young.
    pub young: bool,
    /// How its age is known: `created` (told by the request), `seen` (since its first request) or `unknown`.
    pub age: &'static str,
    /// Age, hours.
    pub age_hours: u32,
    /// Never sleeps, spread over the hour, one-shot, never repeats.
    pub automatic: bool,
    /// Convicted at present.
    pub convicted: bool,
    /// Requests.
    pub requests: u32,
    /// Share of openings among its recent requests.
    pub openings_percent: u32,
    /// Share of repeats among them.
    pub repeats_percent: u32,
    /// Share of matches among them.
    pub matches_percent: u32,
    /// Openings that matched its case.
    pub hits: u8,
    /// Blocks.
    pub strikes: u8,
    /// Of 64 buckets of prompts, those in which another key had sent the same within the hour.
    pub shared: u32,
    /// Follow-ups that carried its case's template.
    pub talk: u8,
    /// The odds that it is one of its case's campaign, factor by factor.
    pub odds: Option<rules::Odds>,
}

/// Sizes and counts for gauges and reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Keys in the table.
    pub keys: u32,
    /// Groups in use.
    pub groups: u32,
    /// Confirmed values.
    pub confirmed: u32,
    /// Open cases.
    pub campaigns: u32,
    /// Keys convicted at present.
    pub convicted: u32,
    /// Groups evicted so far.
    pub groups_evicted: u64,
    /// Keys evicted so far.
    pub keys_evicted: u64,
    /// Times the clock stepped back.
    pub clock_steps_back: u64,
    /// A profile alarm is on.
    pub profile_alarm: bool,
    /// Bytes of all tables.
    pub state_bytes: u64,
    /// Of the keys first seen 2 to 24 hours ago, the share that was last seen within 2 hours of that; 0 while they are fewer than
    /// 100. Told once a minute.
    pub short_lived_percent: u8,
}
