//! The scenarios by name: the campaign, the honest traffic beside it, the state in which Weir starts, and the
//! targets.

use super::honest::Maker;
use super::texts::{Carrier, Disguise, Probe};
use super::world::{Ages, Renewal};

/// Networks and clients of a campaign's accounts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Network {
    /// Each account from its own home, with a popular client.
    Homes,
    /// From 200 relays.
    Relays,
    /// Each from its own home, all with a client that only the campaign uses.
    Client,
}

/// Templates of a campaign.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kit {
    System,
    Evolve,
    /// A number of published generation templates.
    Distill(u16),
    Code,
    Context,
    Suffix,
    /// Public role prompts, as users of the prompt library send them.
    Library,
    /// The most popular template of honest retrieval services.
    PopularTask,
    Scaffold,
    /// One template in eight languages.
    Translated,
    /// The system prompt of the honest app whose users are of this class.
    AppOf(&'static str),
    /// A system prompt that nobody has seen; drawn by the seed.
    Own,
    /// The most popular prompt of the public library.
    Pattern,
    None,
}

/// When an account sends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rhythm {
    /// As a work queue that never sleeps.
    Queue,
    /// At people's hours.
    Day,
    /// Hourly, at a minute of the account's own.
    Hourly,
    /// In one burst a day.
    DailyBurst,
}

/// State in which Weir starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// Two days before the campaign, empty; requests tell the age of their account.
    Ages,
    /// Two days before the campaign, empty; no ages are told.
    Cold,
    /// A number of hours into the run, empty; no ages are told.
    Midway(u32),
    /// The same after `weir replay` has learned from the earlier traffic.
    MidwayLogs(u32),
    /// As `Cold`; after a number of hours it restarts with its saved state.
    RestartSaved(u32),
    /// As `Cold`; after a number of hours it restarts empty.
    RestartEmpty(u32),
}

/// Further behaviour of a campaign.
#[derive(Clone, Copy, Debug)]
pub struct Tricks {
    /// Egress prefixes that its accounts share, with one client; 0 = as `network` says.
    pub egress: u16,
    /// Old accounts behind each of these prefixes, known before Weir has learned ages.
    pub donors: u32,
    /// Requests a second with made-up credentials, each used once, with unique text.
    pub flood: f64,
    pub renewal: Renewal,
    /// Share of each account's traffic that is chat in conversations.
    pub cover: f64,
    /// Conversations of each account on the day before its first probe.
    pub warm_up: usize,
    /// True if each account rests every third day.
    pub rests: bool,
    /// Hours in which the number of accounts doubles, 0 = it grows evenly.
    pub doubling_h: u32,
    /// True if a third of the accounts each send at rates 1, 3 and 10.
    pub tiers: bool,
    /// True if somebody else runs a second campaign with the same template: half as many accounts, people's
    /// hours, one client, a day later.
    pub twin: bool,
    /// True if all its bodies are compressed.
    pub packed: bool,
    /// True if the beginnings of its texts, and of the honest family's, stand between pages of other text.
    pub pages: bool,
    /// Class of an honest app's users, whose system prompt it sends beside its own template; empty = none.
    pub app: &'static str,
}

/// Limits that a result must keep.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Largest percentage of the campaign's requests that are served.
    pub served: f64,
    /// Least percentage of its accounts that are convicted.
    pub convicted: f64,
    /// Longest time until the first block, hours.
    pub first_block: f64,
    /// Least percentage of its accounts that a profile alarm watches, 0 = no target.
    pub alarmed: f64,
}

/// One scenario.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub title: &'static str,
    /// Name of what is left out together when a rule is made without seeing it: scenarios with one idea.
    pub family: &'static str,
    pub accounts: u32,
    pub per_day: f32,
    /// Spread of the accounts' rates (sigma of a log-normal distribution).
    pub sigma: f64,
    /// Share of accounts bought at an age.
    pub aged: f64,
    pub rhythm: Rhythm,
    /// Requests in a session, and the share of accounts that follow up once in each session in any case.
    pub turns: u8,
    pub talkers: f64,
    pub network: Network,
    /// Requests after which an account is replaced, 0 = never.
    pub churn: u32,
    pub kit: Kit,
    pub probe: Probe,
    pub tricks: Tricks,
    /// Hours over which the accounts appear; and duration of the campaign, hours.
    pub ramp_h: u32,
    pub hours: u32,
    /// Factor on the honest population, beside the command line's.
    pub honest: f64,
    /// Keys of each kind of honest newcomers.
    pub newcomers: usize,
    /// An honest family, and its number of keys; 0 = none.
    pub lookalike: fn(&mut Maker<'_>, usize),
    pub keys: usize,
    pub ages: Ages,
    pub start: Start,
    pub target: Option<Target>,
}

impl Scenario {
    /// Whose requests tell an age.
    pub fn told(&self) -> Ages {
        if self.start == Start::Ages { self.ages } else { Ages::Unknown }
    }
}

const P: Probe = Probe {
    carrier: Carrier::System,
    from: 0,
    n: 1,
    swap_h: 0,
    replace: 0.0,
    own: 0.0,
    bases: 0,
    disguise: Disguise::None,
    mix: 0.0,
    copies: 1,
    wide: false,
    history: false,
    agentic: false,
    per_hour: 0.0,
    invented: 0.0,
    twice: 0.0,
    app: None,
};
const USER: Probe = Probe { carrier: Carrier::User, ..P };
const RAW: Probe = Probe { carrier: Carrier::Raw, wide: true, ..P };
const PARAPHRASED: Probe = Probe { own: 0.6, bases: 1400, wide: true, ..P };

/// Behaviour: the beginnings of its texts stand between pages of other text.
const PAGES: Tricks = Tricks { pages: true, ..PLAIN };
const PLAIN: Tricks = Tricks {
    egress: 0,
    donors: 0,
    flood: 0.0,
    renewal: Renewal::Never,
    cover: 0.0,
    warm_up: 0,
    rests: false,
    doubling_h: 0,
    tiers: false,
    packed: false,
    pages: false,
    twin: false,
    app: "",
};

const fn target(served: f64, convicted: f64, first_block: f64) -> Option<Target> {
    Some(Target { served, convicted, first_block, alarmed: 0.0 })
}
const ALARM: Option<Target> = Some(Target { served: 100.0, convicted: 0.0, first_block: 1e9, alarmed: 99.0 });

const S: Scenario = Scenario {
    name: "S3",
    title: "one 400-byte system prompt, new questions",
    family: "template",
    accounts: 2_500,
    per_day: 25.6,
    sigma: 0.0,
    aged: 0.0,
    rhythm: Rhythm::Queue,
    turns: 1,
    talkers: 0.0,
    network: Network::Homes,
    churn: 0,
    kit: Kit::System,
    probe: P,
    tricks: PLAIN,
    ramp_h: 24,
    hours: 108,
    honest: 1.0,
    newcomers: 0,
    lookalike: |_, _| {},
    keys: 0,
    ages: Ages::Told,
    start: Start::Ages,
    target: target(0.4, 100.0, 4.0),
};
const NONE: Scenario =
    Scenario { family: "population", accounts: 0, kit: Kit::None, target: target(100.0, 0.0, 1e9), ..S };
const S6: Scenario =
    Scenario { family: "paraphrase", kit: Kit::None, probe: PARAPHRASED, target: ALARM, ..S };
const S11: Scenario = Scenario { family: "no_template", kit: Kit::None, probe: RAW, target: ALARM, ..S };

macro_rules! table {
    ($(#[$doc:meta])* $seen:vis static $table:ident: $($base:ident $name:literal $title:literal { $($field:ident : $value:expr),* $(,)? })*) => {
        $(#[$doc])*
        $seen static $table: &[Scenario] = &[$(Scenario { name: $name, title: $title, $($field: $value,)* ..$base }),*];
    };
}

mod attacks;
mod lookalikes;
#[cfg(test)]
mod tests;

table! {
    /// The scenarios that the rules were made with, in the order of the report.
    static KNOWN:
    NONE "S0" "honest traffic only" {}
    S "S2" "100 keys, 640 requests a day each" { accounts: 100, per_day: 640.0, ramp_h: 12, honest: 0.33, target: target(1.0, 100.0, 7.0) }
    S "S3" "one 400-byte system prompt, new questions" {}
    S "S3b" "the same on 250 keys, 256 a day" { accounts: 250, per_day: 256.0, honest: 0.33 }
    S "S3c" "the same on 60 keys" { accounts: 60, target: target(3.2, 100.0, 12.0) }
    S "S4" "rewriting prompts, 5 templates" { kit: Kit::Evolve, probe: Probe { n: 5, ..USER } }
    S "S4b" "published generation templates, 30" { kit: Kit::Distill(30), probe: Probe { n: 30, ..USER }, target: target(0.8, 100.0, 4.0) }
    S "S4c" "seeded by code" { kit: Kit::Code, probe: USER }
    S "S4d" "a 1.5 KB passage in each request" { kit: Kit::Context, probe: USER, target: target(2.2, 100.0, 4.0) }
    S "S4f" "a suffix of 17 words" { kit: Kit::Suffix, probe: Probe { carrier: Carrier::Suffix, ..P } }
    S "S5b" "30 % of the template's words replaced each time" { probe: Probe { replace: 0.3, ..P }, target: target(2.2, 100.0, 4.0) }
    S "S5c" "50 % of the template's words replaced each time" { probe: Probe { replace: 0.5, ..P }, target: target(3.0, 100.0, 5.0) }
    S6 "S6" "a paraphrase for each account" {}
    S6 "S6n" "the same through 200 relays" { network: Network::Relays, target: target(6.5, 99.0, 12.0) }
    S6 "S6s" "the same with one client of its own" { network: Network::Client, target: target(3.6, 99.0, 8.0) }
    S6 "S6d" "the same by the hours of people" { rhythm: Rhythm::Day, target: target(100.0, 0.0, 1e9) }
    S "S7" "random words in front" { probe: Probe { disguise: Disguise::Prefix, ..P } }
    S "S8" "zero-width characters, look-alike letters, random case" { probe: Probe { disguise: Disguise::Unicode, ..P } }
    S "S9" "half of each account's traffic is ordinary chat" { family: "cover", probe: Probe { mix: 0.5, ..P }, target: target(1.0, 100.0, 7.0) }
    S "S9b" "nine tenths are ordinary chat" { family: "cover", probe: Probe { mix: 0.9, ..P }, target: target(2.0, 98.0, 7.0) }
    S "S10" "heavy-tailed rates, sigma 1.2" { family: "rates", sigma: 1.2, target: target(10.0, 96.0, 31.0) }
    S "S10b" "bought accounts" { family: "bought", aged: 1.0, target: target(12.0, 96.0, 37.0) }
    S "S10c" "bought, heavy-tailed, people's hours, half chat" { family: "rates", aged: 1.0, sigma: 1.2, rhythm: Rhythm::Day, probe: Probe { mix: 0.5, ..P }, target: target(100.0, 0.0, 1e9) }
    S "S10d" "half of the accounts bought" { family: "bought", aged: 0.5, target: target(12.0, 96.0, 40.0) }
    S11 "S11" "no template, homes" {}
    S11 "S11t" "the same with the corpus's own items (phrases recur)" { probe: Probe { wide: false, ..RAW }, target: target(100.0, 0.0, 1e9) }
    S11 "S11b" "no template, 200 relays" { network: Network::Relays, target: target(6.5, 99.0, 12.0) }
    S11 "S11c" "no template, one client of its own" { network: Network::Client, target: target(3.6, 99.0, 8.0) }
    S "S12" "people's questions, people's hours, spread rates" { family: "human", kit: Kit::None, sigma: 1.0, rhythm: Rhythm::Day, probe: Probe { carrier: Carrier::Human, ..P }, target: target(100.0, 0.0, 1e9) }
    S "S14b" "the most popular honest template" { family: "poisoned_task", kit: Kit::PopularTask, probe: USER, target: target(100.0, 0.0, 1e9) }
    S "S15" "21,000 keys, 3 requests a day" { family: "many", accounts: 21_000, per_day: 3.0, target: target(8.0, 99.0, 24.0) }
    S "S16" "accounts die after 20 requests" { family: "churn", churn: 20 }
    S "S17" "a new public role prompt every 6 hours" { family: "library", kit: Kit::Library, probe: Probe { swap_h: 6, ..P } }
    S "S18" "every prompt on 8 accounts" { family: "copies", probe: Probe { copies: 8, ..P }, target: target(15.0, 99.0, 34.0) }
    S "S20" "a new role prompt every 6 hours, accounts die after 30 requests" { family: "churn", kit: Kit::Library, churn: 30, probe: Probe { swap_h: 6, ..P }, target: target(6.0, 99.0, 3.0) }
    S "S21" "agent sessions of 8 turns under its own scaffold" { family: "agents", kit: Kit::Scaffold, turns: 8, probe: Probe { agentic: true, ..P }, target: target(8.0, 99.0, 31.0) }
    S "S22" "hourly, each account at its own minute" { family: "timers", rhythm: Rhythm::Hourly, target: target(3.0, 99.0, 17.0) }
    S "S22b" "the same with 600 accounts" { family: "timers", accounts: 600, rhythm: Rhythm::Hourly, target: target(100.0, 0.0, 1e9) }
    S "S23" "one burst a day" { family: "timers", rhythm: Rhythm::DailyBurst, target: target(8.0, 99.0, 40.0) }
    S "C0" "cold start, honest traffic only" { family: "population", accounts: 0, start: Start::Cold, target: target(100.0, 0.0, 1e9) }
    S "C3" "cold start two days before" { start: Start::Cold }
    S "Cmid" "switched on empty two days into the campaign" { start: Start::Midway(96), target: target(100.0, 0.0, 1e9) }
    S "Clogs" "the same with ages learned from old logs" { start: Start::MidwayLogs(96), target: target(2.0, 99.0, 4.0) }
    S "Csave" "restart in mid-campaign, state saved" { start: Start::RestartSaved(100), target: target(0.4, 100.0, 4.0) }
    S "Cempty" "restart in mid-campaign, state lost" { start: Start::RestartEmpty(100), target: target(100.0, 0.0, 1e9) }
    S "E-history" "an invented exchange in front, template in the system prompt" { family: "history", probe: Probe { history: true, ..P }, target: target(1.0, 99.0, 4.0) }
    S "E-history-user" "an invented exchange, template in the last message" { family: "history", kit: Kit::Evolve, probe: Probe { history: true, n: 5, ..USER }, target: target(1.0, 99.0, 4.0) }
    S "E-paraphrase" "70 % of the template's words replaced each time" { probe: Probe { replace: 0.7, ..P }, target: target(100.0, 0.0, 1e9) }
    S "E-noise" "hexadecimal noise in the slots" { kit: Kit::Evolve, probe: Probe { n: 5, disguise: Disguise::SlotNoise, ..USER } }
    S "E-ramp" "accounts appear over the whole campaign" { ramp_h: 100 }
    S "E-base64" "the prompt in base64" { probe: Probe { disguise: Disguise::Base64, ..P }, target: target(5.0, 99.0, 8.0) }
    S "E-language" "eight languages, a fifth of the words different each time" { kit: Kit::Translated, probe: Probe { n: 8, replace: 0.2, ..P }, target: target(5.0, 99.0, 8.0) }
    S "E-document-first" "a document of 30-100 KB, then template and question" { kit: Kit::Evolve, probe: Probe { n: 5, disguise: Disguise::DocumentFirst, ..USER }, target: target(5.0, 99.0, 8.0) }
    S "E-document-last" "template and question, then a document of 30-100 KB" { kit: Kit::Evolve, probe: Probe { n: 5, disguise: Disguise::DocumentLast, ..USER }, target: target(5.0, 99.0, 8.0) }
    S "E-padding" "2-6 KB of ordinary text in front" { kit: Kit::Evolve, probe: Probe { n: 5, disguise: Disguise::Padding, ..USER }, target: target(5.0, 99.0, 8.0) }
    S "E-middle" "its template between 2-6 and 1-4 KB of ordinary text" { kit: Kit::Evolve, probe: Probe { n: 5, ..USER }, tricks: PAGES, target: target(15.0, 99.0, 12.0) }
    S "E-middle-one" "the same with one template" { probe: USER, tricks: PAGES, target: target(15.0, 99.0, 12.0) }
    S "E-middle-system" "one system prompt behind a page of ordinary text" { tricks: PAGES, target: target(15.0, 99.0, 12.0) }
    S "E-drowned" "400 accounts in large honest traffic" { accounts: 400, honest: 2.0, target: target(1.0, 100.0, 6.0) }
    S "E-dominant" "2,500 accounts, hardly anyone else" { honest: 0.03 }
    S "E-talkers" "one account in 100 follows up on every question, as an app's users do" { family: "talkers", talkers: 0.01, target: target(100.0, 99.0, 6.0) }
    S "E-seniors" "one account in 100 is old and sends what the others do" { family: "bought", aged: 0.01, target: target(100.0, 99.0, 6.0) }
    S "E-launch" "the prompt of an app that 150 honest users start to use" { family: "launch", kit: Kit::AppOf("launch"), newcomers: 150, target: target(100.0, 0.0, 1e9) }
    S "B40" "the prompt of an app with 40 honest users, half of them old" { family: "narrow", kit: Kit::AppOf("narrow"), newcomers: 40, honest: 0.33, target: target(100.0, 0.0, 1e9) }
    S "B150" "the prompt of an app with 150 honest users, half of them old" { family: "narrow", kit: Kit::AppOf("narrow"), newcomers: 150, honest: 0.33, target: target(100.0, 0.0, 1e9) }
    S "B800" "the prompt of an app with 800 honest users, half of them old" { family: "narrow", kit: Kit::AppOf("narrow"), newcomers: 800, honest: 0.33, target: target(100.0, 0.0, 1e9) }
    S "B3000" "the prompt of an app with 3,000 honest users, half of them old" { family: "narrow", kit: Kit::AppOf("narrow"), newcomers: 3000, honest: 0.33, target: target(100.0, 0.0, 1e9) }
    NONE "N40" "newcomers of every kind, 40 keys each" { family: "newcomers", newcomers: 40, honest: 0.33 }
    NONE "N150" "newcomers of every kind, 150 keys each" { family: "newcomers", newcomers: 150, honest: 0.33 }
    NONE "N800" "newcomers of every kind, 800 keys each" { family: "newcomers", newcomers: 800, honest: 0.33 }
    NONE "N3000" "newcomers of every kind, 3,000 keys each" { family: "newcomers", newcomers: 3000, honest: 0.33 }
    NONE "NC800" "the same as N800 from a cold start" { family: "newcomers", newcomers: 800, honest: 0.33, start: Start::Cold }
    S "NS150" "a campaign among newcomers, 150 keys each" { family: "newcomers", newcomers: 150 }
    S "NS60" "60 accounts among newcomers, 150 keys each" { family: "newcomers", accounts: 60, newcomers: 150, honest: 0.33, target: target(4.0, 98.0, 14.0) }
    S "H" "headline: 25,000 accounts, 45 days" { accounts: 25_000, ramp_h: 120, hours: 1_080, honest: 2.45, target: target(0.004, 100.0, 2.6) }
}

/// The scenarios of a group, if `name` is one.
pub fn group(name: &str) -> Option<fn(&Scenario) -> bool> {
    Some(match name {
        "all" => |s| s.name != "H" && KNOWN.iter().any(|k| k.name == s.name),
        "core" => |s| s.name.starts_with('S'),
        "cold" => |s| s.name.starts_with('C'),
        "evasions" => |s| s.name.starts_with("E-"),
        "newcomers" => |s| s.name.starts_with('N'),
        "lookalikes" => |s| s.name.starts_with("P-"),
        "attacks" => |s| s.name.starts_with("A-"),
        _ => return None,
    })
}

/// All scenarios, in the order of the report.
pub fn all() -> impl Iterator<Item = &'static Scenario> {
    KNOWN.iter().chain(lookalikes::TABLE).chain(lookalikes::LONG).chain(attacks::TABLE)
}

/// The scenario of a name, without regard to case.
pub fn find(name: &str) -> Option<&'static Scenario> {
    all().find(|s| s.name.eq_ignore_ascii_case(name))
}
