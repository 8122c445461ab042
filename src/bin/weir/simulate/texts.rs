//! Contents of requests: of honest classes and of campaigns, composed from the corpus into `Facts`. They can
//! be made again from seed, key and conversation alone.

use super::corpus::{Corpus, Template};
use super::rng::Rng;
use super::world::{Actor, Request};
use std::sync::Arc;
use weir::engine::dialect::Facts;
use weir::engine::dialect::sampler::Sampler;

/// Content of a request, as a reader of bodies reports it: windows of its texts, and a sample of what they
/// drop.
#[derive(Debug)]
pub struct Said {
    pub facts: Facts,
    /// Sample of all text up to the end of the first message.
    opening: Sampler,
    /// Sample of the text after that.
    later: Sampler,
    /// Pages of other text around the first text of the request.
    pages: [Vec<u8>; 2],
}

impl Said {
    /// `key`: decides which snippets are sampled.
    pub fn new(key: u64) -> Said {
        let [mut opening, mut later] = [Sampler::default(), Sampler::default()];
        opening.key(key);
        later.key(key);
        Said { facts: Facts::default(), opening, later, pages: [Vec::new(), Vec::new()] }
    }

    /// Starts a request of this many messages.
    pub fn begin(&mut self, messages: u32) {
        self.forget();
        self.facts.messages = messages;
        (self.facts.unreadable, self.facts.body) = (None, 0);
    }

    /// Drops the content.
    pub fn forget(&mut self) {
        self.facts.instructions.clear();
        self.facts.user.clear();
        self.facts.first_user.clear();
        self.facts.conversation = false;
        self.pages.iter_mut().for_each(Vec::clear);
        let _ = (self.opening.take(), self.later.take());
    }

    /// Ends the request.
    pub fn end(&mut self) {
        let Said { facts, opening, later, .. } = self;
        if facts.first_user.is_empty() {
            facts.user.keep(opening);
        } else {
            facts.first_user.keep(opening);
            facts.user.keep(later);
        }
        (facts.picks, facts.later) = (opening.take(), later.take());
    }

    fn instruct(&mut self, text: &[u8]) {
        for text in [&self.pages[0][..], text] {
            let taken = self.facts.push_instructions(text, true);
            self.opening.feed(text.get(taken..).unwrap_or_default());
            self.opening.end();
        }
    }
    /// Adds the message that this one follows up.
    fn first(&mut self, text: &[u8]) {
        let [front, behind] = std::mem::take(&mut self.pages);
        for text in [&front[..], text, &behind] {
            self.facts.first_user.push(text, Some(&mut self.opening));
        }
    }
    /// Adds the last message.
    fn user(&mut self, text: &[u8]) {
        let [front, behind] = std::mem::take(&mut self.pages);
        let gone = if self.facts.first_user.is_empty() { &mut self.opening } else { &mut self.later };
        for text in [&front[..], text, &behind] {
            self.facts.user.push(text, Some(gone));
        }
    }
    /// Notes that the model has answered before.
    fn goes_on(&mut self) {
        self.facts.conversation = true;
    }
}

/// What a key writes.
#[derive(Clone, Copy, Debug)]
pub enum Text {
    /// A person's prompts and conversations.
    Chat,
    /// An agent: shared instructions, a task, then tool results.
    Agent { system: u16 },
    /// Shared instructions and a person's own text, with follow-ups.
    App { system: u16 },
    /// A shared task template, whose slots are filled with texts of `slot_texts` prompts each.
    Task { task: u16, slot_texts: u8 },
    /// One of three favourite prompts of the public library, and a person's own text.
    Library { first: u16 },
    /// A benchmark, item by item.
    Eval { set: u16, template: u16 },
    /// The same assignment as the whole class.
    Assignment { set: u16, item: u16 },
    /// Code to be completed.
    Code { system: u16 },
    /// A shared task template with a person's own text in the slot, with follow-ups.
    Pasted { task: u16 },
    /// Shared instructions and an item of work: with probability `common` one of the `of` items that all keys
    /// have on that day, otherwise an own one.
    Items { system: u16, common: f32, of: u16 },
    /// A campaign.
    Probe(u16),
}

/// Where a probe carries its template.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Carrier {
    /// In the system prompt; the slot is the user message.
    #[default]
    System,
    /// In the user message, with the slot.
    User,
    /// Behind the slot, as a short fixed suffix.
    Suffix,
    /// Nowhere: there is no template.
    Raw,
    /// Nowhere: human questions as they are.
    Human,
}

/// A change of the text before it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Disguise {
    #[default]
    None,
    /// Random words in front.
    Prefix,
    /// Random case, zero-width characters, look-alike letters.
    Unicode,
    /// The whole prompt in base64, with a short request to decode it.
    Base64,
    /// A document of 30 to 100 KB in front.
    DocumentFirst,
    /// The same document behind the question.
    DocumentLast,
    /// 2 to 6 KB of ordinary text in front.
    Padding,
    /// Random characters in every fifth word.
    SlotNoise,
}

/// How a campaign writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Probe {
    pub carrier: Carrier,
    /// Templates `from..from + n` of `Pool::probes`; each request draws one.
    pub from: u16,
    pub n: u16,
    /// Hours after which the template changes, 0 = never.
    pub swap_h: u16,
    /// Share of the template's words that each request replaces.
    pub replace: f32,
    /// Share of the template's words that each account replaces once.
    pub own: f32,
    /// Number of templates to start from if `own` is not 0.
    pub bases: u16,
    pub disguise: Disguise,
    /// Share of the account's requests that are ordinary chat.
    pub mix: f32,
    /// Number of accounts that get each prompt.
    pub copies: u8,
    /// True if every third word of a slot is random, so that slots share no phrases.
    pub wide: bool,
    /// True if an invented exchange stands in front.
    pub history: bool,
    /// True if follow-ups are results of tools, as an agent's.
    pub agentic: bool,
    /// Requests of the campaign an hour, to distribute prompts among `copies`.
    pub per_hour: f32,
    /// Share of the requests with an invented exchange in front.
    pub invented: f32,
    /// Share of the prompts that go to two accounts.
    pub twice: f32,
    /// Somebody else's system prompt that it also sends.
    pub app: Option<u16>,
}

/// A system prompt, and the number of the one that replaces it from a time on (seconds since the start).
type System = (Vec<u8>, Option<(u32, u16)>);

/// All texts of a run.
pub struct Pool {
    pub corpus: Arc<Corpus>,
    /// System prompts by number.
    pub systems: Vec<System>,
    pub tasks: Vec<Template>,
    pub probes: Vec<Template>,
    pub campaigns: Vec<Probe>,
    words: Vec<String>,
    /// Ordinary text, as much as documents need.
    flood: Vec<u8>,
}

impl Pool {
    pub fn new(corpus: Arc<Corpus>) -> Pool {
        let mut words: Vec<String> = corpus
            .prompts
            .iter()
            .chain(&corpus.items)
            .flat_map(|t| t.split(|c: char| !c.is_ascii_alphabetic()))
            .filter(|w| (3..=11).contains(&w.len()))
            .map(str::to_ascii_lowercase)
            .collect();
        words.sort_unstable();
        words.dedup();
        let mut pool = Pool {
            systems: Vec::new(),
            tasks: Vec::new(),
            probes: Vec::new(),
            campaigns: Vec::new(),
            words,
            flood: Vec::new(),
            corpus,
        };
        let mut flood = Vec::with_capacity(1 << 20);
        let mut rng = Rng::new(77);
        while flood.len() < 1 << 20 {
            let at = flood.len();
            pool.human(&mut rng, 1, &mut flood);
            pool.replace_words(&mut rng, 0.3, &mut flood, at);
            flood.push(b' ');
        }
        pool.flood = flood;
        pool
    }

    /// Adds a system prompt. Returns its number.
    pub fn system(&mut self, text: Vec<u8>) -> u16 {
        self.systems.push((text, None));
        (self.systems.len() - 1) as u16
    }

    pub fn words(&self, rng: &mut Rng, n: u32, out: &mut Vec<u8>) {
        for _ in 0..n {
            out.extend_from_slice(rng.pick(&self.words).as_bytes());
            out.push(b' ');
        }
    }

    /// Appends `n` texts of people.
    pub fn human(&self, rng: &mut Rng, n: u32, out: &mut Vec<u8>) {
        for i in 0..n {
            if i > 0 {
                out.extend_from_slice(b". ");
            }
            out.extend_from_slice(rng.pick(&self.corpus.prompts).as_bytes());
        }
    }

    /// Replaces words of `out[at..]`, each with probability `p`.
    pub fn replace_words(&self, rng: &mut Rng, p: f32, out: &mut Vec<u8>, at: usize) {
        if p <= 0.0 {
            return;
        }
        let text = out.split_off(at);
        for (i, word) in text.split(|b| *b == b' ').enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            if rng.chance(f64::from(p)) {
                out.extend_from_slice(rng.pick(&self.words).as_bytes());
            } else {
                out.extend_from_slice(word);
            }
        }
    }

    /// A person's addition to a shared prompt. Never twice the same.
    fn own_text(&self, rng: &mut Rng, n: u32, out: &mut Vec<u8>) {
        self.human(rng, n, out);
        out.push(b' ');
        self.words(rng, 3, out);
    }

    /// The subject that a campaign asks about.
    fn slot(&self, rng: &mut Rng, wide: bool, out: &mut Vec<u8>) {
        let at = out.len();
        let item = rng.pick(&self.corpus.items).as_bytes();
        let cut = rng.below(item.len() as u64 + 1) as usize;
        let cut = item[cut..].iter().position(|b| *b == b' ').map_or(item.len(), |i| cut + i);
        out.extend_from_slice(&item[..cut]);
        out.push(b' ');
        self.words(rng, 3, out);
        out.extend_from_slice(&item[cut..]);
        if wide {
            let text = out.split_off(at);
            for (i, word) in text.split(|b| *b == b' ').enumerate() {
                if i % 3 == 2 {
                    self.words(rng, 1, out);
                } else {
                    out.extend_from_slice(word);
                    out.push(b' ');
                }
            }
        }
    }

    /// Composes a request's content. True if it is a probe.
    pub fn compose(&self, seed: u64, a: &Actor, e: &Request, said: &mut Said) -> bool {
        // A conversation's first message is the same in every turn.
        let mut first = Rng::at(seed, u64::from(e.actor), u64::from(e.conv));
        let mut turn =
            Rng::at(seed ^ 0x7475_726e, u64::from(e.actor), u64::from(e.conv) << 16 | u64::from(e.turn));
        let mut text = Vec::with_capacity(512);
        if a.pages {
            said.pages = self.pages(&mut Rng::at(seed ^ 0x7061_6765, u64::from(e.actor), u64::from(e.conv)));
        }
        match a.text {
            Text::Chat => self.chat(&mut first, e.turn, said),
            Text::Agent { system } | Text::App { system } => {
                self.instruct(system, e, said);
                let tools = matches!(a.text, Text::Agent { .. });
                self.own_text(&mut first, if tools { 3 } else { 1 }, &mut text);
                self.turns(&text, e.turn, said, |out| {
                    if tools {
                        out.extend_from_slice(b"OBSERVATION: ");
                    }
                    self.own_text(&mut turn, if tools { 4 } else { 1 }, out);
                });
            }
            Text::Task { task, slot_texts } => {
                self.tasks[usize::from(task)].fill(&mut text, &mut |_, out| {
                    self.own_text(&mut first, u32::from(slot_texts), out);
                });
                said.user(&text);
            }
            Text::Library { first: favourite } => {
                let n = self.corpus.patterns.len() as u64;
                let which = (u64::from(favourite) + first.below(3) * 37) % n;
                self.corpus.patterns[which as usize]
                    .fill(&mut text, &mut |_, out| self.words(&mut turn, 2, out));
                said.instruct(&text);
                text.clear();
                let n = 1 + first.below(3) as u32;
                self.own_text(&mut first, n, &mut text);
                said.user(&text);
            }
            Text::Eval { set, template } => {
                let items = &self.corpus.evals[usize::from(set) % self.corpus.evals.len()];
                let item = &items[e.n as usize % items.len()];
                if template > 0 && !self.corpus.eval_templates.is_empty() {
                    let n = self.corpus.eval_templates.len();
                    self.corpus.eval_templates[usize::from(template) % n]
                        .fill(&mut text, &mut |_, out| out.extend_from_slice(item.as_bytes()));
                    said.user(&text);
                } else {
                    said.user(item.as_bytes());
                }
            }
            Text::Assignment { set, item } => {
                let items = &self.corpus.evals[usize::from(set) % self.corpus.evals.len()];
                let item = &items[(usize::from(item) + first.below(4) as usize) % items.len()];
                text.extend_from_slice(item.as_bytes());
                if first.chance(0.4) {
                    text.push(b' ');
                    self.own_text(&mut first, 1, &mut text);
                }
                self.turns(&text, e.turn, said, |out| self.own_text(&mut turn, 1, out));
            }
            Text::Code { system } => {
                self.instruct(system, e, said);
                self.code(&mut turn, &mut text);
                said.user(&text);
            }
            Text::Pasted { task } => {
                self.tasks[usize::from(task)]
                    .fill(&mut text, &mut |_, out| self.own_text(&mut first, 1, out));
                self.turns(&text, e.turn, said, |out| self.own_text(&mut turn, 1, out));
            }
            Text::Items { system, common, of } => {
                self.instruct(system, e, said);
                if first.chance(f64::from(common)) {
                    let item = first.below(u64::from(of)) << 32;
                    first = Rng::at(seed ^ u64::from(system), item, e.t_ms / 86_400_000);
                }
                self.own_text(&mut first, 2, &mut text);
                self.turns(&text, e.turn, said, |out| self.own_text(&mut turn, 1, out));
            }
            Text::Probe(p) => return self.probe(seed, usize::from(p), e, &mut first, &mut turn, said),
        }
        false
    }

    /// Ordinary text to stand in front and behind, each longer than what a window keeps of that end.
    fn pages(&self, rng: &mut Rng) -> [Vec<u8>; 2] {
        [(2_100, 6_000), (1_100, 4_000)].map(|(least, most)| {
            let n = rng.between(least, most) as usize;
            let at = rng.below((self.flood.len() - n) as u64) as usize;
            self.flood[at..at + n].to_vec()
        })
    }

    fn instruct(&self, system: u16, e: &Request, said: &mut Said) {
        let (text, switch) = &self.systems[usize::from(system)];
        let text = match switch {
            Some((at_s, next)) if e.t_ms >= u64::from(*at_s) * 1000 => &self.systems[usize::from(*next)].0,
            _ => text,
        };
        said.instruct(text);
    }

    fn turns(&self, opening: &[u8], turn: u16, said: &mut Said, follow: impl FnOnce(&mut Vec<u8>)) {
        if turn == 0 {
            said.user(opening);
            return;
        }
        said.first(opening);
        said.goes_on();
        let mut text = Vec::new();
        follow(&mut text);
        said.user(&text);
    }

    fn chat(&self, first: &mut Rng, turn: u16, said: &mut Said) {
        if first.chance(0.35) && !self.corpus.dialogues.is_empty() {
            let d = first.pick(&self.corpus.dialogues);
            let at = usize::from(turn).min(d.len() - 1);
            if at > 0 {
                said.first(d[0].as_bytes());
                said.goes_on();
            }
            said.user(d[at].as_bytes());
            return;
        }
        let mut text = Vec::new();
        let n = 1 + u32::from(first.chance(0.4));
        self.human(first, n, &mut text);
        let more = |rng: &mut Rng, out: &mut Vec<u8>| self.human(rng, 1, out);
        let mut rng = Rng::new(first.u64() ^ u64::from(turn));
        self.turns(&text, turn, said, |out| more(&mut rng, out));
    }

    fn code(&self, rng: &mut Rng, out: &mut Vec<u8>) {
        const SHAPES: [&str; 8] = [
            "def # (#, #):\n    # = #.#(#)\n    return #\n",
            "for # in #:\n    if # > #:\n        #.append(#)\n",
            "const # = await #.#(#, { #: # });\n",
            "pub fn #(#: &#) -> Option<#> {\n    #.get(#)\n}\n",
            "SELECT #, # FROM # WHERE # = # ORDER BY #;\n",
            "public static void #(# #) { #.#(#); }\n",
            "import # from '#';\n",
            "while (# != null) { # = #.next; }\n",
        ];
        for _ in 0..rng.between(3, 12) {
            for c in rng.pick(&SHAPES).chars() {
                if c == '#' {
                    out.extend_from_slice(rng.pick(&self.words).as_bytes());
                } else {
                    out.push(c as u8);
                }
            }
        }
    }

    /// Composes one request of a campaign.
    fn probe(
        &self,
        seed: u64,
        campaign: usize,
        e: &Request,
        first: &mut Rng,
        turn: &mut Rng,
        said: &mut Said,
    ) -> bool {
        let p = &self.campaigns[campaign];
        if first.chance(f64::from(p.mix)) {
            let mut ordinary = Rng::new(first.u64());
            self.chat(&mut ordinary, 0, said);
            return false;
        }
        let mut rng = *first;
        if p.copies > 1 {
            // Prompts of this half hour, each for `copies` accounts.
            let prompts = (p.per_hour * 0.5 / f32::from(p.copies)).max(1.0) as u64;
            let at = rng.below(prompts);
            rng = Rng::at(seed ^ 0x726f_6c6c, e.t_ms / 1_800_000, at);
        }
        if p.twice > 0.0 && rng.chance(f64::from(p.twice)) {
            // As many prompts of this half hour as make two requests each.
            let prompts = (f64::from(p.per_hour * p.twice) * 0.25).max(1.0) as u64;
            rng = Rng::at(seed ^ 0x7477_6963, e.t_ms / 1_800_000, rng.below(prompts));
        }
        let (mut template, mut slot) = (Vec::new(), Vec::new());
        match p.carrier {
            Carrier::Human => self.human(&mut rng, 1, &mut slot),
            Carrier::Raw => self.slot(&mut rng, p.wide, &mut slot),
            Carrier::System | Carrier::User | Carrier::Suffix => {
                self.template(seed, p, e, &mut rng, &mut template, &mut slot);
                if p.carrier == Carrier::System {
                    slot.clear();
                }
                if slot.is_empty() {
                    self.slot(&mut rng, p.wide, &mut slot);
                }
            }
        }
        let mut user = match p.carrier {
            Carrier::System | Carrier::Raw | Carrier::Human => slot,
            Carrier::User => template.split_off(0),
            Carrier::Suffix => [&slot[..], b"\n", &template.split_off(0)[..]].concat(),
        };
        self.disguise(p.disguise, &mut rng, &mut template, &mut user);
        if let Some(system) = p.app {
            self.instruct(system, e, said);
        }
        said.instruct(&template);
        let document = |rng: &mut Rng| {
            let n = rng.between(30 << 10, 100 << 10) as usize;
            let at = rng.below((self.flood.len() - n) as u64) as usize;
            &self.flood[at..at + n]
        };
        if p.agentic && e.turn > 0 {
            said.first(&user);
            said.goes_on();
            user.clear();
            user.extend_from_slice(b"RESULT: ");
            self.slot(turn, true, &mut user);
        } else if p.history || p.invented > 0.0 && rng.chance(f64::from(p.invented)) {
            let mut invented = Vec::new();
            self.own_text(&mut rng, 1, &mut invented);
            said.first(&invented);
            said.goes_on();
        }
        match p.disguise {
            Disguise::DocumentFirst => said.user(document(&mut rng)),
            Disguise::Padding => {
                let n = rng.between(2_200, 6_000) as usize;
                let at = rng.below((self.flood.len() - n) as u64) as usize;
                said.user(&self.flood[at..at + n]);
            }
            _ => {}
        }
        said.user(&user);
        if p.disguise == Disguise::DocumentLast {
            said.user(document(&mut rng));
        }
        true
    }

    /// Fills the template of this request. `slot` is left empty if the template contains the question.
    fn template(
        &self,
        seed: u64,
        p: &Probe,
        e: &Request,
        rng: &mut Rng,
        out: &mut Vec<u8>,
        slot: &mut Vec<u8>,
    ) {
        if p.own > 0.0 {
            // A paraphrase for each account: a base of three texts, most of its words replaced.
            let mut own = Rng::at(seed ^ 0x006f_776e, u64::from(e.actor), 0);
            let mut base = Rng::at(seed ^ 0x6261_7365, own.below(u64::from(p.bases.max(1))), 1);
            for _ in 0..3 {
                out.extend_from_slice(base.pick(&self.corpus.items).as_bytes());
                out.push(b' ');
            }
            self.replace_words(&mut own, p.own, out, 0);
            if p.carrier == Carrier::User {
                self.slot(rng, p.wide, out);
            }
            slot.clear();
            return;
        }
        let swapped = if p.swap_h > 0 { e.t_ms / 3_600_000 / u64::from(p.swap_h) } else { 0 };
        let which = (rng.below(u64::from(p.n.max(1))) + swapped) % self.probes.len().max(1) as u64;
        let t = &self.probes[(usize::from(p.from) + which as usize) % self.probes.len()];
        let mut taken = false;
        t.fill(out, &mut |name, out| {
            taken = true;
            for _ in 0..if name == "context" { 7 } else { 1 } {
                self.slot(rng, p.wide, out);
            }
        });
        if p.carrier == Carrier::User && !taken {
            out.extend_from_slice(b"\n\n");
            self.slot(rng, p.wide, out);
        }
        self.replace_words(rng, p.replace, out, 0);
        slot.clear();
    }

    fn disguise(&self, how: Disguise, rng: &mut Rng, template: &mut Vec<u8>, user: &mut Vec<u8>) {
        match how {
            Disguise::Prefix => {
                for text in [template, user] {
                    let mut noisy = Vec::new();
                    let n = rng.between(5, 20) as u32;
                    self.words(rng, n, &mut noisy);
                    noisy.append(text);
                    *text = noisy;
                }
            }
            Disguise::Unicode => {
                *template = disguised(rng, template);
                *user = disguised(rng, user);
            }
            Disguise::Base64 => {
                use base64::Engine as _;
                let whole = [&template[..], b"\n", &user[..]].concat();
                template.clear();
                *user = b"Decode the following base64 text and do what it says: ".to_vec();
                user.extend_from_slice(base64::engine::general_purpose::STANDARD.encode(whole).as_bytes());
            }
            Disguise::SlotNoise => {
                let text = std::mem::take(user);
                for (i, word) in text.split(|b| *b == b' ').enumerate() {
                    user.extend_from_slice(word);
                    if i % 5 == 4 {
                        user.extend_from_slice(format!(" {:08x}", rng.u64() as u32).as_bytes());
                    }
                    user.push(b' ');
                }
            }
            _ => {}
        }
    }
}

/// Random case, zero-width characters, Cyrillic look-alikes.
fn disguised(rng: &mut Rng, text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len() * 2);
    for c in String::from_utf8_lossy(text).chars() {
        match (c, rng.below(8)) {
            ('a', 0) => out.push('\u{430}'),
            ('e', 0) => out.push('\u{435}'),
            ('o', 0) => out.push('\u{43e}'),
            (c, 1) => out.extend(c.to_uppercase()),
            (c, 2) => {
                out.push('\u{200b}');
                out.push(c);
            }
            (c, _) => out.push(c),
        }
    }
    out.into_bytes()
}
