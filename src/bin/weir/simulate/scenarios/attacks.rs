//! Campaigns that no rule was tuned for (`A-…`). Targets were set before anything was measured; without a
//! target any result is accepted, and only the honest side is judged.

use super::super::texts::Probe;
use super::super::world::Renewal;
use super::{Ages, Kit, Network, P, PLAIN, Rhythm, S, S6, Scenario, Start, Target, Tricks, target};

const ANY: Option<Target> = target(100.0, 0.0, 1e9);
const fn served(percent: f64) -> Option<Target> {
    target(percent, 0.0, 1e9)
}

const A: Scenario = Scenario { target: ANY, ..S };
/// Behaviour: ten egresses with one old account each vouch for 1,500 new ones.
const LAUNDERED: Tricks = Tricks { egress: 10, donors: 1, ..PLAIN };
const L: Scenario = Scenario {
    family: "laundering",
    accounts: 1_500,
    tricks: LAUNDERED,
    start: Start::Cold,
    target: served(2.0),
    ..S
};
const RELAYS: Scenario = Scenario {
    family: "relays",
    network: Network::Relays,
    rhythm: Rhythm::Day,
    sigma: 0.6,
    target: served(8.0),
    ..S
};
const COVER: Scenario =
    Scenario { family: "cover", tricks: Tricks { cover: 0.5, ..PLAIN }, target: served(3.0), ..S };
const PACKED: Tricks = Tricks { packed: true, ..PLAIN };
const BESIDE: Scenario =
    Scenario { family: "beside", kit: Kit::Evolve, probe: Probe { n: 5, ..super::USER }, ..A };
const FLOOD: Scenario = Scenario { family: "flood", ..A };
const HALF_CHAT: Probe = Probe { mix: 0.5, ..P };

table! {
    /// All of these scenarios.
    pub static TABLE:
    RELAYS "A-relays" "200 relays, people's hours, sigma 0.6" {}
    RELAYS "A-relays-u" "the same, ages unknown" { ages: Ages::Unknown }
    RELAYS "A-relays-para" "the same, a paraphrase for each account" { kit: Kit::None, probe: super::PARAPHRASED, target: ANY }
    COVER "A-cover" "half of each account's traffic is conversations" {}
    COVER "A-cover67" "two thirds are conversations" { tricks: Tricks { cover: 0.667, ..PLAIN } }
    COVER "A-cover-day" "half are conversations, people's hours, sigma 0.6" { rhythm: Rhythm::Day, sigma: 0.6 }
    COVER "A-cover-u" "half are conversations, ages unknown" { ages: Ages::Unknown }
    A "A-disposable" "a new key for each request, ages unknown" { family: "disposable", ages: Ages::Unknown, tricks: Tricks { renewal: Renewal::EachRequest, ..PLAIN } }
    A "A-hourly-keys" "a new key each hour, ages unknown" { family: "disposable", ages: Ages::Unknown, tricks: Tricks { renewal: Renewal::Hourly, ..PLAIN } }
    L "A-launder" "age laundering: 10 egresses" {}
    L "A-launder-chat" "the same, half chat" { probe: HALF_CHAT }
    L "A-launder-cover" "the same, half conversations" { tricks: Tricks { cover: 0.5, ..LAUNDERED } }
    L "A-launder-day" "the same by people's hours, sigma 0.4" { rhythm: Rhythm::Day, sigma: 0.4 }
    L "A-launder-30" "the same, accounts die after 30 requests" { churn: 30 }
    FLOOD "A-flood9-10" "S9 beside 10 made-up keys a second" { probe: HALF_CHAT, tricks: Tricks { flood: 10.0, ..PLAIN }, target: served(2.0) }
    FLOOD "A-flood9-26" "S9 beside 26 made-up keys a second" { probe: HALF_CHAT, tricks: Tricks { flood: 26.0, ..PLAIN }, target: served(2.0) }
    FLOOD "A-flood3-10" "S3 beside 10 made-up keys a second" { tricks: Tricks { flood: 10.0, ..PLAIN } }
    FLOOD "A-flood3-26" "S3 beside 26 made-up keys a second" { tricks: Tricks { flood: 26.0, ..PLAIN } }
    A "A-rest" "each account rests every third day" { family: "rests", tricks: Tricks { rests: true, ..PLAIN } }
    A "A-invent" "an invented exchange in front of 15 % of the requests" { family: "history", probe: Probe { invented: 0.15, ..P } }
    A "A-growth" "accounts double every 24 hours" { family: "growth", tricks: Tricks { doubling_h: 24, ..PLAIN } }
    A "A-tiers" "rates of 1, 3 and 10" { family: "rates", tricks: Tricks { tiers: true, ..PLAIN } }
    A "A-twice" "3 % of the prompts go to two accounts" { family: "copies", probe: Probe { twice: 0.03, ..P } }
    A "A-library" "the library's most popular prompt, accounts double every 24 hours" { family: "library", kit: Kit::Pattern, tricks: Tricks { doubling_h: 24, ..PLAIN } }
    A "A-twins" "two campaigns with one template" { family: "twins", tricks: Tricks { twin: true, ..PLAIN } }
    A "A-packed" "all bodies compressed" { family: "packed", tricks: PACKED }
    A "A-packed-u" "the same, ages unknown" { family: "packed", ages: Ages::Unknown, tricks: PACKED }
    A "A-warm" "ten chat requests before the first probe" { family: "warm_up", tricks: Tricks { warm_up: 6, ..PLAIN } }
    A "A-warm-u" "the same, ages unknown" { family: "warm_up", ages: Ages::Unknown, tricks: Tricks { warm_up: 6, ..PLAIN } }
    A "A-own" "a system prompt that nobody has seen before" { family: "own", kit: Kit::Own }
    A "A-own-u" "the same, ages unknown" { family: "own", kit: Kit::Own, ages: Ages::Unknown }
    A "A-mixed" "half of the deployment tells ages" { family: "own", kit: Kit::Own, ages: Ages::Half }
    S6 "A-para-tiers" "a paraphrase for each account, rates of 1, 3 and 10" { family: "rates", tricks: Tricks { tiers: true, ..PLAIN }, target: ANY }
    A "A-viral" "the prompt of an app that spreads (60 % young)" { family: "poisoned", kit: Kit::AppOf("viral") }
    A "A-tenant" "the prompt of a tenant's app" { family: "poisoned", kit: Kit::AppOf("tenant") }
    BESIDE "A-beside-tenant" "its own templates beside the system prompt of a tenant's app" { tricks: Tricks { app: "tenant", ..PLAIN } }
    BESIDE "A-beside-viral" "the same, of an app that spreads" { tricks: Tricks { app: "viral", ..PLAIN } }
    BESIDE "A-beside-800" "the same, of an app with 800 users, half of them old" { tricks: Tricks { app: "narrow", ..PLAIN }, newcomers: 800, honest: 0.33 }
    BESIDE "A-beside-3000" "the same, of an app with 3,000 users" { tricks: Tricks { app: "narrow", ..PLAIN }, newcomers: 3000, honest: 0.33 }
    BESIDE "A-beside-launch" "the same, of an app that 150 people start to use" { tricks: Tricks { app: "launch", ..PLAIN }, newcomers: 150 }
    A "A-staff" "the prompt of 150 new staff seats" { family: "poisoned", kit: Kit::AppOf("staff"), newcomers: 150 }
}
