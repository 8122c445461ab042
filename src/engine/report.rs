//! What reports and gauges show of a group, a key, a case and the whole ledger.

use super::tables::numbers::Numbers;
use super::{detect, rules};

/// A case, for reports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaseReport {
    /// Campaign number.
    pub campaign: u32,
    /// Time of the first confirmation, seconds since the epoch.
    pub since_s: u32,
    /// Time of the last match, seconds since the epoch.
    pub last_s: u32,
    /// Requests that matched it.
    pub requests: u32,
    /// Estimated keys of its largest value.
    pub keys: u32,
    /// Keys whose conviction of it stands.
    pub convicted: u32,
    /// Of those, keys made (or first seen) within an hour, within a day, within a week.
    pub made: [u32; 3],
    /// Confirmed values, sorted.
    pub values: Vec<u64>,
}

/// A template, network or profile group, for reports.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupReport {
    /// Number of its campaign, 0 if none.
    pub campaign: u32,
    /// `text`, `network` or `profile`.
    pub axis: &'static str,
    /// `confirmed`, `alarm`, `watch`, `honest` or `open`.
    pub state: &'static str,
    /// The value, as it is written in allow lists (`tid:…`, `nid:…`).
    pub id: String,
    /// Estimated distinct keys.
    pub keys: u32,
    /// Requests (halved at each ageing).
    pub requests: u32,
    /// Nats of a campaign over the best honest explanation.
    pub nats: i32,
    /// Each explanation by name, with the nats by which it is worse than the likeliest. Empty without a large
    /// sample.
    pub explanations: Vec<(&'static str, i32)>,
    /// Share of its keys that are the campaign's, if it is a campaign's; percent.
    pub campaign_percent: Option<u8>,
    /// Time of its case's first confirmation, seconds since the epoch; 0 if it has none.
    pub since_s: u32,
    /// Keys that were young at their first request here, percent.
    pub young_percent: u8,
    /// Openings whose text nobody had sent before, percent.
    pub novel_percent: u8,
    /// Requests that open a conversation, percent.
    pub single_percent: u8,
    /// Openings that come from old keys, percent.
    pub old_percent: u8,
    /// Hashes of the keys in its sample.
    pub sampled_keys: Vec<u32>,
}

/// A group in its present state, for diagnosis.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The group as reports show it.
    pub group: GroupReport,
    /// Consecutive evaluations that met all conditions.
    pub armed: u8,
    /// Requests that also carry something far more frequent.
    pub under: u32,
    /// The result of an evaluation now, if it has a large sample.
    pub finding: Option<detect::Finding>,
    /// The numbers of its case.
    pub numbers: Option<Numbers>,
}

/// What is known of one key, for decision records.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KeyReport {
    /// True if it is known to be young.
    pub young: bool,
    /// How its age is known: `created` (told by the request), `seen` (since its first request) or `unknown`.
    pub age: &'static str,
    /// Age, hours.
    pub age_hours: u32,
    /// True if it is automatic: never sleeps, sends at any minute, follows up on nothing, never repeats.
    pub automatic: bool,
    /// True if its conviction stands.
    pub convicted: bool,
    /// Requests.
    pub requests: u32,
    /// Openings among its recent requests, percent.
    pub openings_percent: u32,
    /// Repeats among its recent openings, percent.
    pub repeats_percent: u32,
    /// Openings that matched its case, among all since the first that did, percent.
    pub matches_percent: u32,
    /// Openings that matched its case.
    pub hits: u8,
    /// Blocks counted against it.
    pub strikes: u8,
    /// Number of distinct prompts (up to 64) that another key had sent within the hour before.
    pub shared: u32,
    /// Follow-ups that carried the template of its case.
    pub talk: u8,
    /// The odds that it belongs to its case's campaign, factor by factor.
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
    /// Times that the clock stepped back.
    pub clock_steps_back: u64,
    /// True if a load profile is in alarm.
    pub profile_alarm: bool,
    /// Bytes of all tables.
    pub state_bytes: u64,
    /// Of the keys first seen 2 to 24 hours ago, percent whose last request came less than 2 hours after
    /// their first; 0 if there are fewer than 100. Updated every ten minutes.
    pub short_lived_percent: u8,
}
