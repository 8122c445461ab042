//! The honest families that no rule was tuned for (`P-…`), each in several sizes, with ages told (no letter),
//! unknown (`u`) and told by every other account (`m`). The usual honest population is beside them. There is
//! no campaign, except where an app's prompt is copied.

use super::super::honest::{machines, newcomers, people, work};
use super::{Ages, Kit, NONE, PAGES, S, Scenario, target};

/// Eight days after the run-in, for families that take days to grow.
const WEEK: Scenario = Scenario { honest: 0.33, hours: 192, ..NONE };
const DAYS: Scenario = Scenario { honest: 0.33, ..NONE };
/// The family with a campaign that sends the prompt of its app.
const POISONED: Scenario =
    Scenario { kit: Kit::AppOf("poisoned"), honest: 0.33, target: target(100.0, 0.0, 1e9), ..S };

macro_rules! families {
    ($($base:ident $family:literal $name:literal $add:path, $title:literal: $($n:literal)*;)*) => {
        pub static TABLE: &[Scenario] = &[$($(
            Scenario {
                name: concat!("P-", $name, "-", $n),
                title: concat!($title, ", ", $n, " keys"),
                family: $family, lookalike: $add, keys: $n, ..$base
            },
            Scenario {
                name: concat!("P-", $name, "-", $n, "u"),
                title: concat!($title, ", ", $n, " keys, ages unknown"),
                family: $family, lookalike: $add, keys: $n, ages: Ages::Unknown, ..$base
            },
            Scenario {
                name: concat!("P-", $name, "-", $n, "m"),
                title: concat!($title, ", ", $n, " keys, half tell an age"),
                family: $family, lookalike: $add, keys: $n, ages: Ages::Half, ..$base
            },
        )*)*];
        /// The same families between pages of other text, so that no window keeps their common text.
        pub static LONG: &[Scenario] = &[$(
            Scenario {
                name: concat!("P-long-", $name, "-150"),
                title: concat!($title, ", 150 keys, between pages of text"),
                family: $family, lookalike: $add, keys: 150, tricks: PAGES, ..$base
            },
            Scenario {
                name: concat!("P-long-", $name, "-150u"),
                title: concat!($title, ", 150 keys, between pages of text, ages unknown"),
                family: $family, lookalike: $add, keys: 150, tricks: PAGES, ages: Ages::Unknown, ..$base
            },
        )*];
    };
}

families! {
    WEEK "passed" "passed" people::passed_on, "a prompt that people pass on": 40 150 300 800;
    WEEK "rollout" "rollout" work::rollout, "staff get an assistant, conversations": 40 150 300 800;
    WEEK "rollout" "rollout-few" work::rollout_few, "staff get an assistant, few follow-ups": 40 150 300 800;
    DAYS "ingestion" "ingestion" machines::ingestion, "workers of one owner chew a collection": 12 40 150 300;
    DAYS "ingestion" "ingestion-tenant" machines::ingestion_tenant, "the same, the tenant told": 12 40 150 300;
    DAYS "ingestion" "ingestion-spread" machines::ingestion_spread, "the same, some workers elsewhere": 40 150 300;
    POISONED "poisoned" "poisoned" people::poisoned, "the prompt of a young app is copied": 28 80 150 300;
    WEEK "migration" "migration" work::migration, "a product's customers all get new keys": 300 800 3000;
    DAYS "desks" "desks" work::desks, "support desks around the clock": 40 150 300 800;
    WEEK "installs" "installs" people::installs, "a key for each installation": 40 150 300 800;
    WEEK "homework" "homework" people::homework, "homework in the evening and at weekends": 40 150 300 800;
    WEEK "crowd" "crowd" work::crowd, "paid annotators": 40 100 200 400;
    WEEK "marketplace" "marketplace" machines::marketplace, "flows of an automation marketplace": 40 150 300 800;
    WEEK "game" "game" people::game, "players of a new game": 40 150 300 800;
    WEEK "extension" "extension" people::extension, "an extension with a referral burst": 150 500 1000 2000;
    DAYS "backoff" "backoff" machines::backoff, "devices that back off and retry": 40 300 600 900;
    WEEK "hall" "hall" people::hall, "students in one hall": 40 150 300;
    WEEK "packed" "packed" people::packed, "people whose clients compress": 40 150 300 800;
    WEEK "carrier" "carrier" people::carrier, "a start on one carrier's telephones": 40 150 300 800;
    DAYS "tokens" "tokens" work::tokens, "tokens that live an hour": 40 150 300 800;
    DAYS "contest" "contest" people::contest, "teams that run the same test items": 40 150 300;
    WEEK "digests" "digests" machines::digests, "nightly digests of a tool": 40 150 300 800;
    DAYS "launch" "launch" newcomers::launch, "an app that starts": 150 800;
    DAYS "staff" "staff" newcomers::staff, "staff who start on one morning": 150 800;
    DAYS "hackathon" "hackathon" newcomers::hackathon_new, "two days of building": 150 800;
    DAYS "rotated" "rotated" newcomers::rotated, "credentials changed within four hours": 150 800;
    DAYS "jitter" "jitter" newcomers::jitter, "devices on timers": 150 800;
    DAYS "viral" "viral" newcomers::viral, "an app by word of mouth": 150 800;
    DAYS "narrow" "narrow" newcomers::narrow, "a narrow service, half of the keys old": 150 800;
}
