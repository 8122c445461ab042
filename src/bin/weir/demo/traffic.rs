//! The demo's traffic: honest keys and one campaign, by seed. All text is made here from word lists of our own.

use serde_json::{Value, json};

/// Seconds before the campaign starts.
pub const WARM_UP_S: f64 = 12.0 * HOUR;
/// Length of the demo, model seconds.
pub const LENGTH_S: f64 = 42.0 * HOUR;
/// Accounts of the campaign.
pub const ACCOUNTS: usize = 420;
const HOUR: f64 = 3600.0;
const DAY: f64 = 86_400.0;

/// A key, and when its account was made (seconds before the start; below zero: after it).
#[derive(Clone, Debug)]
pub struct Key {
    pub class: &'static str,
    pub token: String,
    pub age_s: f64,
    pub agent: &'static str,
    /// Its address. Accounts of the campaign come from everywhere, like people; staff come from three
    /// networks.
    pub address: String,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Model seconds from the start.
    pub t: f64,
    pub key: usize,
    pub path: &'static str,
    pub body: Vec<u8>,
}

/// All requests of the demo, in order of time.
pub struct Traffic {
    pub keys: Vec<Key>,
    pub requests: Vec<Request>,
}

impl Traffic {
    pub fn is_campaign(&self, key: usize) -> bool {
        self.keys[key].class == "campaign"
    }
}

/// xorshift64*: good enough for traffic.
pub struct Rng(u64);

impl Rng {
    fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }
    fn range(&mut self, from: f64, to: f64) -> f64 {
        from + (to - from) * self.unit()
    }
    /// Number of times that something is done if it is given up each time with probability `stop`; at least
    /// one.
    fn geometric(&mut self, stop: f64) -> usize {
        1 + (self.unit().ln() / (1.0 - stop).ln()) as usize
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    fn exp(&mut self, mean: f64) -> f64 {
        -self.unit().ln() * mean
    }
    fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        let z = (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos();
        median * (sigma * z).exp()
    }
    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

const NOUNS: &[&str] = &[
    "garden",
    "engine",
    "ledger",
    "bridge",
    "kitchen",
    "violin",
    "harbour",
    "contract",
    "battery",
    "river",
    "museum",
    "sensor",
    "budget",
    "holiday",
    "camera",
    "orchard",
    "printer",
    "theatre",
    "recipe",
    "compiler",
    "bicycle",
    "insurance",
    "lantern",
    "meadow",
    "notebook",
    "pension",
    "quarry",
    "railway",
    "satellite",
    "tenant",
    "umbrella",
    "vaccine",
    "warehouse",
    "xylophone",
    "yacht",
    "zoo",
    "antenna",
    "bakery",
    "cathedral",
    "dataset",
    "elevator",
    "festival",
    "glacier",
    "hospital",
    "island",
    "jacket",
    "kettle",
    "library",
    "mountain",
    "network",
    "oven",
    "pipeline",
    "quilt",
    "robot",
    "school",
    "tunnel",
    "university",
    "village",
    "window",
    "yard",
    "apron",
    "beetle",
    "candle",
    "dentist",
    "envelope",
    "falcon",
    "guitar",
    "hammer",
    "invoice",
    "jungle",
    "keyboard",
    "ladder",
    "mirror",
    "needle",
    "onion",
    "parcel",
    "queue",
    "ribbon",
    "saddle",
    "teapot",
    "uncle",
    "valley",
    "wallet",
    "yogurt",
    "accountant",
    "balcony",
    "carpet",
    "drawer",
];
const VERBS: &[&str] = &[
    "repair",
    "compare",
    "choose",
    "explain",
    "clean",
    "replace",
    "plan",
    "insulate",
    "translate",
    "price",
    "sort",
    "protect",
    "describe",
    "paint",
    "measure",
    "sell",
    "borrow",
    "design",
    "store",
    "test",
    "carry",
    "heat",
    "cool",
    "divide",
    "combine",
    "reduce",
    "extend",
    "inspect",
    "register",
    "schedule",
    "summarise",
    "verify",
    "weigh",
    "label",
    "draft",
    "cancel",
    "negotiate",
    "migrate",
    "benchmark",
    "restore",
    "polish",
    "arrange",
    "export",
    "import",
    "balance",
    "trim",
    "water",
    "season",
    "tune",
    "calibrate",
    "document",
    "archive",
];
const ADJECTIVES: &[&str] = &[
    "old",
    "wooden",
    "quiet",
    "cheap",
    "leaking",
    "modern",
    "shared",
    "narrow",
    "sunny",
    "broken",
    "portable",
    "public",
    "rusty",
    "small",
    "historic",
    "digital",
    "seasonal",
    "northern",
    "fragile",
    "heavy",
    "electric",
    "temporary",
    "crowded",
    "empty",
    "organic",
    "legal",
    "remote",
    "spare",
    "twisted",
    "urgent",
    "vintage",
    "weekly",
    "yellow",
    "annual",
    "bright",
    "certain",
    "daily",
    "early",
    "formal",
];
const PLACES: &[&str] = &[
    "Lisbon",
    "the attic",
    "a small office",
    "Oslo",
    "winter",
    "the basement",
    "a rented flat",
    "Kyoto",
    "the countryside",
    "a lab",
    "Nairobi",
    "the north coast",
    "an open plan office",
    "Lima",
    "the rain",
    "a school hall",
    "Tallinn",
    "high altitude",
    "a tight budget",
    "summer",
    "the first week",
    "a family of five",
    "two languages",
    "the evening",
    "a shared house",
    "Montreal",
    "the old town",
];
const OPENERS: &[&str] = &[
    "how would you",
    "what is a good way to",
    "can I",
    "should we",
    "is it possible to",
    "who can help me",
    "why does nobody",
    "when do people",
    "where could we",
    "tell me how to",
    "please help me",
    "my neighbour wants to",
    "our team has to",
    "remind me how to",
    "give me steps to",
];

fn phrase(r: &mut Rng) -> String {
    format!(
        "{} {} {} {} in {}",
        r.pick(VERBS),
        r.pick(&["the", "a", "my", "our", "some"]),
        r.pick(ADJECTIVES),
        r.pick(NOUNS),
        r.pick(PLACES)
    )
}

fn question(r: &mut Rng) -> String {
    let mut s = format!("{} {}", r.pick(OPENERS), phrase(r));
    if r.unit() < 0.6 {
        s += &format!(
            ", and then {} with {} {}",
            phrase(r),
            r.pick(&["one", "another", "that", "every"]),
            r.pick(NOUNS)
        );
    }
    s + "?"
}

fn paragraph(r: &mut Rng, sentences: usize) -> String {
    (0..sentences)
        .map(|_| {
            format!(
                "{} {} {} while others {}.",
                r.pick(&["Some", "Most", "Few", "Many"]),
                r.pick(NOUNS),
                phrase(r),
                phrase(r)
            )
        })
        .collect::<Vec<_>>()
        .join(" ")
}

const AGENT: &str = "You are the build helper of a small software team. You work in a checkout of the team's repository and may call the \
    tools list_files, read_file, write_file and run_tests. Read before you write. Change as little as you can, keep the style of the file \
    you are in, and run the tests after each change. When a test fails, say which one and why before you try again. Never touch files \
    outside the checkout, never print secrets, and stop with a short summary of what you changed and what is left to do.";
const CRON: [&str; 2] = [
    "Summarise the machine's log of the last hour for the night shift: first what failed, then what was slow, then what changed since the \
     hour before. Use at most five lines and no greeting. Log follows.",
    "You receive the hourly readings of one greenhouse. Say in two sentences whether temperature, moisture and light are within their bands \
     and name the reading that is closest to its limit. Readings follow.",
];
const EVAL: &str =
    "Answer the following question about everyday physics with a single letter and nothing else. Question:";
const VIRAL: &str = "Pretend you are the captain of a ship made of cheese and describe your greatest voyage in exactly four lines that rhyme, \
    ending with the name of my town, which is";
const PASSED: &str = "Act as my strictest friend. I tell you what I want to buy, and you ask yourself three hard questions on my behalf, answer them \
    the way I would not like to hear, and then give a verdict in capital letters: buy, wait or forget it. I want to buy something to";
const STAFF: &str = "You are the assistant of the staff of a regional freight company. You help with letters to customers, tenders, customs \
    papers, rosters and tables. Answer in the language of the question, in plain words and without headings, say so when a rule of the \
    company would decide the matter, and refer everything about pay or health to the personnel office. Do not guess prices, and never \
    write a customer's name into an example.";
const CAMPAIGN: &str = "You are an expert teacher who writes worked solutions for a training collection. For the task below, first restate \
    the problem in your own words, then reason step by step and write every intermediate step on its own numbered line, check the result \
    with a second method, and finish with a line that starts with Final answer. Do not mention these instructions, do not ask for \
    clarification, do not refuse, and keep the tone neutral so that the text can be used as it is. Task:";

struct Maker {
    rng: Rng,
    keys: Vec<Key>,
    requests: Vec<Request>,
}

const AGENTS: &[&str] =
    &["python-client/2.1", "node-sdk/4.0", "curl/8.5", "go-http/1.1", "app-mobile/7.2", "web-chat/3.3"];

impl Maker {
    fn key(&mut self, class: &'static str, young: bool) -> usize {
        let n = self.keys.len();
        let age_s =
            if young { DAY * (1.0 + 9.0 * self.rng.unit()) } else { DAY * (30.0 + self.rng.exp(150.0)) };
        let agent = AGENTS[self.rng.below(AGENTS.len())];
        let address =
            format!("10.{}.{}.{}", self.rng.below(250), self.rng.below(250), 1 + self.rng.below(250));
        self.keys.push(Key {
            class,
            token: format!("demo-{n:05}-{:016x}", self.rng.next()),
            age_s,
            agent,
            address,
        });
        n
    }

    fn chat(&mut self, t: f64, key: usize, system: Option<&str>, turns: &[(&str, String)]) {
        if !(0.0..LENGTH_S).contains(&t) {
            return;
        }
        let mut messages: Vec<Value> =
            system.map(|s| json!({"role": "system", "content": s})).into_iter().collect();
        messages.extend(turns.iter().map(|(role, text)| json!({"role": role, "content": text})));
        let body =
            json!({"model": "small-chat", "messages": messages, "max_tokens": 512}).to_string().into_bytes();
        self.requests.push(Request { t, key, path: "/v1/chat/completions", body });
    }

    /// A random time of a key's waking day.
    fn waking(&mut self, zone: f64) -> f64 {
        loop {
            let t = self.rng.unit() * LENGTH_S;
            let hour = (t / HOUR + zone) % 24.0;
            if self.rng.unit() < (-((hour - 15.0) / 4.5).powi(2)).exp() {
                return t;
            }
        }
    }

    /// Adds a conversation: each turn repeats what came before.
    fn session(&mut self, t: f64, key: usize, system: Option<&str>, turns: usize, gap: f64, tools: bool) {
        let mut history: Vec<(&str, String)> = Vec::new();
        let mut at = t;
        for i in 0..turns {
            let text = if i == 0 || !tools { question(&mut self.rng) } else { paragraph(&mut self.rng, 2) };
            history.push((if tools && i > 0 { "tool" } else { "user" }, text));
            self.chat(at, key, system, &history);
            history.push(("assistant", paragraph(&mut self.rng, 1)));
            at += self.rng.exp(gap) + 20.0;
        }
    }

    fn people(&mut self) {
        for i in 0..150 {
            let key = self.key("chat", i % 10 == 0);
            let zone = [0.0, 8.0, 17.0][i % 3];
            let sessions = self.rng.log_normal(3.0, 0.9).min(40.0) as usize + 1;
            for _ in 0..sessions {
                let (t, turns) = (self.waking(zone), 1 + self.rng.below(4));
                self.session(t, key, None, turns, 240.0, false);
            }
        }
        for i in 0..60 {
            let key = self.key("agents", i % 5 < 2);
            let sessions = self.rng.log_normal(3.0, 1.0).min(30.0) as usize + 1;
            for _ in 0..sessions {
                let (t, turns) = (self.waking(8.0 * (i % 3) as f64), 3 + self.rng.below(6));
                self.session(t, key, Some(AGENT), turns, 60.0, true);
            }
        }
        for i in 0..20 {
            let key = self.key("ide", i % 4 == 0);
            let n = self.rng.log_normal(20.0, 1.0).min(150.0) as usize;
            for _ in 0..n {
                let t = self.waking(0.0);
                let body = json!({"model": "small-code", "prompt": format!("// {}\nfn ", phrase(&mut self.rng)), "max_tokens": 64});
                self.requests.push(Request {
                    t,
                    key,
                    path: "/v1/completions",
                    body: body.to_string().into_bytes(),
                });
            }
        }
    }

    fn machines(&mut self) {
        for (fleet, prompt) in CRON.iter().enumerate() {
            let minute = 420.0 + 1500.0 * fleet as f64;
            for i in 0..20 {
                let key = self.key("cron", i % 10 < if fleet == 0 { 3 } else { 7 });
                for hour in 0..42 {
                    let t = f64::from(hour) * HOUR + minute + self.rng.unit() * 20.0;
                    let text = paragraph(&mut self.rng, 2);
                    self.chat(t, key, Some(prompt), &[("user", text)]);
                }
            }
        }
        for start in [15.0, 27.0] {
            let key = self.key("evaluation", start > 20.0);
            for i in 0..500 {
                let text = format!("{EVAL} {}", question(&mut self.rng));
                self.chat(start * HOUR + 4.0 * f64::from(i), key, None, &[("user", text)]);
            }
        }
        for i in 0..60 {
            let key = self.key("viral", i % 5 < 3);
            let tries = 1 + self.rng.below(4);
            let mut t = 16.0 * HOUR + self.rng.exp(3.0 * HOUR);
            for _ in 0..tries {
                let text = format!("{VIRAL} {}.", self.rng.pick(PLACES));
                self.chat(t, key, None, &[("user", text)]);
                t += self.rng.exp(0.5 * HOUR);
            }
        }
    }

    /// A prompt that people share: half of them join for it, most on that day. Each tries it a few times, and
    /// chats, too.
    fn passed_on(&mut self) {
        let (follow, from) = (self.rng.range(0.03, 0.2), WARM_UP_S + HOUR);
        for i in 0..50 {
            let key = self.key("passed", false);
            let at = from + DAY * self.rng.unit();
            let mut member_s = 0.0;
            if i % 2 == 0 {
                let before = if self.rng.unit() < 0.7 { 0.2 * HOUR } else { self.rng.range(0.0, 10.0 * DAY) };
                self.keys[key].age_s = before - at;
                member_s = f64::max(at - before, 0.0);
            }
            let (stop, gap) = (self.rng.range(0.15, 0.6), self.rng.range(0.1, 6.0) * HOUR);
            let mut t = at + self.rng.exp(0.3 * HOUR);
            for _ in 0..self.rng.geometric(stop) {
                let wish = format!("{PASSED} {}.", phrase(&mut self.rng));
                let mut turns = vec![("user", wish)];
                self.chat(t, key, None, &turns);
                if self.rng.unit() < follow {
                    turns.push(("assistant", paragraph(&mut self.rng, 1)));
                    turns.push(("user", question(&mut self.rng)));
                    let soon = self.rng.range(0.01, 0.05) * HOUR;
                    self.chat(t + soon, key, None, &turns);
                }
                t += self.rng.exp(gap) + 30.0;
            }
            let zone = [0.0, 8.0, 17.0][self.rng.below(3)];
            for _ in 0..self.rng.log_normal(2.0, 1.0).min(20.0) as usize {
                let (t, turns) = (self.waking(zone), self.rng.geometric(0.45).min(6));
                if t >= member_s {
                    self.session(t, key, None, turns, 150.0, false);
                }
            }
        }
    }

    /// Staff of a business get an assistant on one morning, two hours after the campaign starts.
    /// Conversations, in office hours.
    fn staff(&mut self) {
        let morning = WARM_UP_S + 2.0 * HOUR;
        let networks: Vec<String> =
            (0..3).map(|_| format!("10.{}.{}", self.rng.below(250), self.rng.below(250))).collect();
        let (follow, sigma) = (self.rng.range(0.6, 0.86), self.rng.range(0.35, 0.55));
        for _ in 0..40 {
            let key = self.key("staff", true);
            let (age_s, network) = (self.rng.range(0.0, 5.0 * DAY), self.rng.below(networks.len()));
            let k = &mut self.keys[key];
            (k.age_s, k.agent) = (age_s, "office-assistant/1.4");
            k.address = format!("{}.{}", networks[network], 1 + self.rng.below(250));
            let at = morning + 2.0 * HOUR * self.rng.unit();
            let mut starts = vec![at];
            // Ten hours of this day and what is left of the next.
            for (from, to) in [(at, morning + 10.0 * HOUR), (morning + DAY, LENGTH_S)] {
                let mean = self.rng.log_normal(3.0, sigma) * (to - from) / (10.0 * HOUR);
                let mut t = from + self.rng.exp((to - from) / mean);
                while t < to {
                    starts.push(t);
                    t += self.rng.exp((to - from) / mean);
                }
            }
            for t in starts {
                let turns = self.rng.geometric(1.0 - follow).min(40);
                self.session(t, key, Some(STAFF), turns, 70.0, false);
            }
        }
    }

    fn campaign(&mut self) {
        for _ in 0..ACCOUNTS {
            let key = self.key("campaign", true);
            let mut t = WARM_UP_S + self.rng.exp(HOUR);
            while t < LENGTH_S {
                let text = format!("{} {}", paragraph(&mut self.rng, 1), question(&mut self.rng));
                self.chat(t, key, Some(CAMPAIGN), &[("user", text)]);
                t += self.rng.exp(HOUR);
            }
        }
    }
}

/// Makes the traffic of a seed.
pub fn make(seed: u64) -> Traffic {
    let mut m = Maker { rng: Rng::new(seed), keys: Vec::new(), requests: Vec::new() };
    m.people();
    m.machines();
    m.passed_on();
    m.staff();
    m.campaign();
    m.requests.sort_by(|a, b| a.t.total_cmp(&b.t));
    Traffic { keys: m.keys, requests: m.requests }
}
