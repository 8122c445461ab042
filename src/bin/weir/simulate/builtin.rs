//! A corpus made by a grammar, for machines without the corpora. Every word of it was written here.
//!
//! Contract: the same seed gives the same texts on every machine. Unrelated texts rarely share a sequence of four words:
//! a frame never has more than three fixed words between two drawn ones, except where people do repeat themselves, and
//! each kind of text (people, system prompts, tasks, evaluations, attacks) has frames of its own over one vocabulary.
//! Not for: judging what a paraphrase by a model looks like; `paraphrases` are two hand-written frames for one content.
//!
//! A frame is text with marks: `%n` noun, `%N` plural, `%v` verb, `%a` adjective, `%b` adverb, `%p` person, `%x` name,
//! `%d` number, `%w` any noun of any topic, `%s` a noun of the second topic; `%0`..`%9` repeat the n-th drawn word and
//! `%~` before such a digit takes its synonym.

use super::corpus::{Corpus, Template};
use std::collections::HashSet;

/// A field of life: its nouns, verbs, adjectives and people, separated by spaces.
struct Topic {
    nouns: &'static str,
    verbs: &'static str,
    adjectives: &'static str,
    people: &'static str,
}

const TOPICS: &[Topic] = &[
    Topic {
        nouns: "compiler parser thread buffer pointer module function query index cache socket branch commit regex \
                iterator closure schema cursor loop array stack struct token callback daemon package linker mutex",
        verbs: "compile refactor debug benchmark deploy parse serialize allocate mock patch rebase profile inline",
        adjectives: "recursive asynchronous immutable typed lazy concurrent deprecated nested stale atomic verbose",
        people: "developer maintainer reviewer tester",
    },
    Topic {
        nouns: "skillet dough broth garlic lentil oven spice marinade noodle pancake custard onion basil sauce \
                pepper risotto crust whisk stew salad butter ginger yeast glaze dumpling mushroom vinegar cinnamon",
        verbs: "simmer knead roast chop season whip ferment grill saute steam drain marinate peel",
        adjectives: "crispy savory sour creamy smoky tender bitter spicy vegan leftover golden",
        people: "chef baker guest butcher",
    },
    Topic {
        nouns: "contract tenant clause verdict lease statute appeal witness permit deposit lawsuit trademark bylaw \
                warranty summons plea custody subpoena settlement liability hearing affidavit easement probate \
                notary will fine penalty",
        verbs: "sue notarize appeal terminate settle testify negotiate draft waive enforce dispute certify amend",
        adjectives: "binding void federal implied civil exempt statutory overdue joint unlawful verbal",
        people: "lawyer landlord judge clerk",
    },
    Topic {
        nouns: "passport hostel ferry visa luggage itinerary airport museum beach suitcase border train ticket \
                island harbor souvenir glacier temple backpack currency flight village cathedral market canyon \
                monsoon tram lagoon",
        verbs: "book pack visit hike cancel explore board rent photograph reserve cross wander sail",
        adjectives: "scenic crowded remote tropical cheap nonstop coastal ancient rainy alpine foreign",
        people: "tourist pilot guide backpacker",
    },
    Topic {
        nouns: "matrix integral fraction theorem polygon vector prime exponent derivative triangle equation graph \
                polynomial axiom radius median variance logarithm quotient tangent lemma subset parabola ratio \
                modulus angle cube sequence",
        verbs: "factor integrate prove differentiate multiply approximate bisect solve invert plot round estimate \
                bound",
        adjectives: "orthogonal convex rational finite symmetric cubic discrete linear negative parallel bounded",
        people: "mathematician pupil lecturer geometer",
    },
    Topic {
        nouns: "vaccine fever allergy tumor bandage artery insulin migraine dosage rash fracture antibiotic tendon \
                ulcer thyroid biopsy cough kidney asthma pulse stroke retina enzyme tablet virus anemia spine vein",
        verbs: "diagnose prescribe inject heal sterilize examine vaccinate soothe inhale swallow monitor treat bleed",
        adjectives: "chronic acute swollen infected benign painful viral pediatric dizzy contagious mild",
        people: "nurse surgeon patient pharmacist",
    },
    Topic {
        nouns: "invoice spreadsheet meeting memo payroll budget deadline agenda ledger printer forecast newsletter \
                vendor stapler reimbursement calendar audit pipeline quarter onboarding inventory shipment receipt \
                backlog pension overtime proposal cubicle",
        verbs: "schedule approve reconcile archive delegate invoice hire forward submit summarize postpone staff \
                outsource",
        adjectives: "quarterly unpaid confidential urgent hybrid fiscal tentative clerical lean monthly redundant",
        people: "manager accountant recruiter intern",
    },
    Topic {
        nouns: "empire dynasty treaty siege monarchy plague pharaoh colony parchment revolution cavalry archive \
                crusade guild castle republic famine scroll fortress emperor armada feudalism artifact legion \
                peasant coronation trench epoch",
        verbs: "conquer abolish crown invade excavate colonize rebel chronicle besiege unite annex reform exile",
        adjectives: "medieval imperial bronze feudal victorian nomadic colonial doomed royal pagan revolutionary",
        people: "historian knight queen archaeologist",
    },
    Topic {
        nouns: "seedling compost lawn tulip hedge trellis fertilizer orchard aphid mulch greenhouse pruner rose \
                sprinkler cactus weed vine fern soil tomato shovel bulb moss pond wheelbarrow lavender beetle acorn",
        verbs: "prune water sow transplant harvest weed graft rake fertilize trim dig shade germinate",
        adjectives: "perennial wilted shady dormant thorny leafy muddy fragrant drought-proof potted evergreen",
        people: "gardener florist farmer botanist",
    },
    Topic {
        nouns: "guitar chord symphony drummer melody concert piano album chorus violin tempo lyric rhythm opera \
                trumpet playlist octave ballad microphone banjo waltz amplifier sonata harp encore flute soprano jam",
        verbs: "compose strum rehearse record tune improvise sing transpose conduct remix hum arrange perform",
        adjectives: "acoustic minor upbeat mellow choral offbeat orchestral loud haunting electric muted",
        people: "singer composer pianist conductor",
    },
    Topic {
        nouns: "mortgage dividend stock inflation loan bond portfolio tariff broker pension hedge credit savings \
                bankruptcy equity refund debt asset premium subsidy commodity yield auction annuity escrow \
                recession tax margin",
        verbs: "invest refinance borrow diversify liquidate insure audit lend depreciate earn withdraw bid save",
        adjectives: "volatile taxable insolvent liquid secured compound bullish offshore prepaid risky frugal",
        people: "investor banker economist teller",
    },
    Topic {
        nouns: "engine brake gearbox tire clutch radiator piston exhaust bumper battery headlight motorcycle garage \
                mileage axle windshield dashboard carburetor throttle diesel coolant sedan trailer hubcap chassis \
                alternator hatchback muffler",
        verbs: "tow lubricate park overhaul accelerate refuel inspect weld polish steer repaint idle brake",
        adjectives: "rusty turbocharged manual leaking vintage hydraulic bald dented fuel-efficient noisy sporty",
        people: "mechanic driver racer dealer",
    },
    Topic {
        nouns: "galaxy comet orbit telescope nebula asteroid rocket eclipse satellite crater photon quasar spectrum \
                gravity meteor lander probe pulsar supernova moon horizon plasma isotope neutron magnet laser \
                dwarf aurora",
        verbs: "orbit observe launch collide radiate measure simulate detect calibrate dock explode absorb refract",
        adjectives: "interstellar lunar dense magnetic faint radioactive solar distant elliptical thermal hollow",
        people: "astronomer physicist astronaut stargazer",
    },
    Topic {
        nouns: "toddler homework nursery wedding puppy bedtime tantrum birthday sibling kitten allowance playground \
                stroller nanny cradle reunion babysitter chore diaper hamster lullaby curfew picnic divorce \
                anniversary pajamas crib leash",
        verbs: "babysit adopt scold celebrate tutor cuddle invite forgive feed train comfort apologize discipline",
        adjectives: "shy stubborn teenage clingy playful jealous sleepy elderly curious spoiled homesick",
        people: "parent aunt teacher neighbor",
    },
    Topic {
        nouns: "goalkeeper marathon racket stadium referee dumbbell treadmill tournament helmet penalty sprint \
                barbell coach trophy relay hurdle yoga surfboard paddle skate javelin jersey bench squat net \
                offside podium whistle",
        verbs: "dribble stretch sprint train score tackle lift jog swim referee climb pedal qualify",
        adjectives: "competitive sore amateur explosive defensive aerobic undefeated flexible injured seasonal tied",
        people: "athlete trainer striker swimmer",
    },
];

const ADVERBS: &str = "slowly carefully quickly rarely quietly often barely usually twice together safely cheaply \
    honestly eventually suddenly loosely firmly evenly overnight early abroad indoors outdoors anyway daily weekly \
    sparingly instead properly gently";
const ADJECTIVES: &str = "small strange ordinary broken new old cheap tall heavy simple modern hidden second plain \
    bright careful empty famous odd narrow favorite local spare ugly useful wet broad clever quiet rough";
const SYLLABLES: &str =
    "ka ri mo len dra vi sto be nor ta gu el ma fi zo ran ha li per os que ny bra tol sha wen du ist";

/// Words that may stand for each other in a rewording.
const SYNONYMS: &str = "small:little strange:peculiar ordinary:common broken:damaged new:recent old:aged cheap:low-cost \
    tall:lofty heavy:weighty simple:basic modern:contemporary hidden:concealed plain:unadorned bright:vivid \
    careful:cautious empty:vacant famous:renowned odd:unusual narrow:slim favorite:preferred local:nearby spare:extra \
    ugly:unsightly useful:handy wet:soaked broad:wide clever:smart quiet:silent rough:coarse slowly:gradually \
    carefully:attentively quickly:rapidly rarely:seldom quietly:silently often:frequently barely:hardly \
    usually:normally together:jointly safely:securely honestly:frankly eventually:finally suddenly:abruptly \
    firmly:tightly evenly:uniformly daily:every-day weekly:every-week properly:correctly gently:softly";

/// SplitMix64 (Steele, Lea, Flood 2014): small, portable, good enough for choosing words.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (((self.next() >> 32) * n as u64) >> 32) as usize
    }

    fn range(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from)
    }

    fn percent(&mut self, p: usize) -> bool {
        self.below(100) < p
    }

    fn pick<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.below(list.len())]
    }
}

struct Words {
    nouns: Vec<&'static str>,
    verbs: Vec<&'static str>,
    adjectives: Vec<&'static str>,
    people: Vec<&'static str>,
}

/// Draws words and expands frames.
struct Writer {
    rng: Rng,
    topics: Vec<Words>,
    adverbs: Vec<&'static str>,
    adjectives: Vec<&'static str>,
    syllables: Vec<&'static str>,
    topic: usize,
    second: usize,
    /// Drawn since the last `fresh`, for the marks that repeat.
    drawn: Vec<String>,
}

fn words(text: &'static str) -> Vec<&'static str> {
    text.split_whitespace().collect()
}

fn plural(noun: &str) -> String {
    match noun.as_bytes() {
        [.., b's' | b'x'] | [.., b'c' | b's', b'h'] => format!("{noun}es"),
        [stem @ .., before, b'y'] if !b"aeiou".contains(before) => {
            format!("{}ies", &noun[..stem.len() + 1])
        }
        _ => format!("{noun}s"),
    }
}

fn synonym(word: &str) -> &str {
    let pairs = SYNONYMS.split_whitespace().filter_map(|p| p.split_once(':'));
    pairs.filter(|(a, _)| *a == word).map(|(_, b)| b).next().unwrap_or(word)
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

impl Writer {
    /// Each kind of text has its own stream, so that one may grow without changing the others.
    fn new(seed: u64, kind: u64) -> Writer {
        let mut rng = Rng(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ (kind << 48));
        rng.next();
        let topics = TOPICS.iter().map(|t| Words {
            nouns: words(t.nouns),
            verbs: words(t.verbs),
            adjectives: words(t.adjectives),
            people: words(t.people),
        });
        Writer {
            rng,
            topics: topics.collect(),
            adverbs: words(ADVERBS),
            adjectives: words(ADJECTIVES),
            syllables: words(SYLLABLES),
            topic: 0,
            second: 1,
            drawn: Vec::new(),
        }
    }

    /// Another subject.
    fn fresh(&mut self) {
        self.topic = self.rng.below(self.topics.len());
        self.second = self.rng.below(self.topics.len());
        self.drawn.clear();
    }

    fn draw(&mut self, mark: char) -> String {
        let topic = &self.topics[self.topic];
        let rng = &mut self.rng;
        match mark {
            'n' => rng.pick(&topic.nouns).to_string(),
            'N' => plural(rng.pick(&topic.nouns)),
            'v' => rng.pick(&topic.verbs).to_string(),
            'a' if rng.percent(50) => rng.pick(&self.adjectives).to_string(),
            'a' => rng.pick(&topic.adjectives).to_string(),
            'A' => rng.pick(&self.adjectives).to_string(),
            'b' => rng.pick(&self.adverbs).to_string(),
            'p' => rng.pick(&topic.people).to_string(),
            's' => rng.pick(&self.topics[self.second].nouns).to_string(),
            'w' => {
                let any = rng.below(self.topics.len());
                rng.pick(&self.topics[any].nouns).to_string()
            }
            'd' => rng.range(2, 97).to_string(),
            _ => {
                let n = rng.range(2, 4);
                let name: String = (0..n).map(|_| rng.pick(&self.syllables)).collect();
                capital(&name)
            }
        }
    }

    /// Appends a frame with its marks replaced.
    fn expand(&mut self, frame: &str, out: &mut String) {
        let mut chars = frame.chars();
        while let Some(c) = chars.next() {
            if c != '%' {
                out.push(c);
                continue;
            }
            let mut mark = chars.next().unwrap_or('%');
            let reworded = mark == '~';
            if reworded {
                mark = chars.next().unwrap_or('0');
            }
            if let Some(nth) = mark.to_digit(10) {
                let word = self.drawn.get(nth as usize).map_or("", String::as_str);
                out.push_str(if reworded { synonym(word) } else { word });
            } else {
                let word = self.draw(mark);
                out.push_str(&word);
                self.drawn.push(word);
            }
        }
    }

    fn one(&mut self, frames: &[&str]) -> String {
        let mut out = String::new();
        let frame = self.rng.pick(frames);
        self.expand(frame, &mut out);
        out
    }

    /// Sentences until at least `bytes` are written.
    fn prose(&mut self, frames: &[&str], bytes: usize, gap: &str, out: &mut String) {
        let end = out.len() + bytes;
        while out.len() < end {
            if !out.is_empty() && !out.ends_with(['\n', ' ']) {
                out.push_str(gap);
            }
            let sentence = self.one(frames);
            out.push_str(&capital(&sentence));
        }
    }
}

/// What people ask. Short; some of it as repetitive as people are.
const ASK: &[&str] = &[
    "how do i %v a %a %n",
    "how can a %p %v the %n %b",
    "what is a %a %n",
    "whats the best %n for a %p",
    "which %n should i %v first",
    "why does my %n %v so %b",
    "why is the %n always %a",
    "is it ok to %v %a %N",
    "can you %v my %n",
    "can a %n %v near the %s",
    "where can i find %a %N",
    "where did %x %v the %n",
    "who was %x %x",
    "who invented the %a %n",
    "when should the %p %v",
    "when did %x become a %p",
    "%a %n vs %a %n",
    "%n %v help",
    "%x %n price",
    "%N for a %a %p please",
    "my %p says the %n is %a, true?",
    "my %n won't %v after the %s broke",
    "i need %d %N by %x day",
    "i want to %v %b but my %n is %a",
    "tell me about %x's %n",
    "tell a joke about %N and a %p",
    "name %d %a %N",
    "list some %N that %v %b",
    "explain %n like i'm a %p",
    "explain why %N %v before the %s",
    "difference between %n and %s",
    "does %x %v %N?",
    "do %N really %v %b",
    "are %a %N good for the %s",
    "should i %v or %v my %n",
    "should a %p %v every %n",
    "write a poem about %x the %a %p",
    "write an email to my %p about the %a %n",
    "translate '%a %n' to %x",
    "fix my %n, it looks %a",
    "give me %d ideas to %v %N with a %s",
    "help, the %p wants to %v our %n",
    "hi %x, is the %n %a today",
    "thanks, %n works",
    "set a %n for %d minutes",
    "remind me to %v %x's %n",
    "how much does a %a %n cost in %x",
    "how many %N fit in the %s",
    "how far is %x from the %n",
    "how old is %x the %p",
    "was the %n of %x %a or %a",
    "could %N %v without any %s",
    "suggest a %n to %v %b with %x",
    "any %a %n near %x?",
    "please %v this %n and keep the %s %a",
    "summarize the %n about %x and %s",
    "if i %v the %n will the %s be %a",
    "looking for a %a %p in %x",
    "recommend %N similar to %x",
    "ugh %n is %a again",
];

/// What people add, or paste.
const MORE: &[&str] = &[
    "must be %a and %v %b.",
    "last %n the %p used a %s.",
    "we already own %d %N, mostly %a.",
    "%x says %N %v better.",
    "no %N please, they're %a.",
    "budget is %d dollars per %n.",
    "the %s broke when %x tried to %v it %b.",
    "also the %p is %a about %N.",
    "i'm a %p, not a %p.",
    "keep the %n short.",
    "my %n came with %d %a %N and a %s.",
    "%b, the %n smells %a.",
    "before that, %x would %v each %n by hand.",
    "is that %a?",
    "then our %p asked whether %N ever %v.",
    "in %x we %v %N differently.",
];

/// Later turns of a conversation.
const TURN: &[&str] = &[
    "and what about the %n?",
    "ok but %x can't %v the %s",
    "make it more %a",
    "shorter, and mention %x",
    "why %a?",
    "hmm, would a %p agree that %N %v?",
    "i meant the %a %n, not your %s",
    "can you %v it %b instead",
    "thanks! now the %n part",
    "what if there are %d %N",
    "so %x was wrong about %N?",
    "give an example with a %n and %s",
    "that sounds %a, how would you %v",
    "no, my %p already tried to %v",
    "which one is %a?",
    "wait, does the %n %v too",
    "add %d more %N for %x",
];

/// Roles of system prompts.
const ROLE: &[&str] = &[
    "you are %x, a %a %p who can %v any %n.",
    "act as %a %p for the %n team at %x.",
    "your job: %v %N for each %p, %b.",
    "this assistant serves %x %n; it will %v %a %N.",
    "as the %p on duty, you %v every %a %n.",
    "%x is a %n helper built for a %a %p.",
];

/// Rules of system prompts.
const RULE: &[&str] = &[
    "never %v a %n unless the %p has a %a %s.",
    "always check the %a %n before you %v its %s.",
    "if %N are %a, %v them %b and tell the %p.",
    "when a %p mentions %x, %v the %n first.",
    "prefer %a %N over %a %s notes.",
    "report every %n as %a, %a or %a.",
    "limit each %n to %d %N and one %s.",
    "%N marked %a belong in the %s section.",
    "ask for the %n if %x left it %a.",
    "do not %v what the %p called %a.",
    "the %n must %v %b within %d minutes.",
    "quote %a %N exactly; %v the rest.",
    "to %v one %n, open the %s and count its %N.",
    "treat any %a %w as a %n request.",
    "refuse to %v %N that %x owns.",
    "use a %a tone with each %p.",
    "after step %d, %v the %n and log %s.",
    "a %p may %v %N only when %a.",
    "write the %n name, then its %a %s.",
    "skip %N whose %n looks %a.",
    "keep %d %N in reserve for a %a %p.",
    "%b %v each %n; a %a %s comes next.",
    "group %N by %n, sort by %s.",
    "between two %N choose the %a one.",
    "%p requests outrank %n upkeep, %b or not.",
    "keep %x out of %a %N.",
    "a second %n means %a %s work for %x.",
    "name the %p whose %N %v %b.",
    "%a and %a %N need %d words at most.",
    "once %x can %v, hand over the %s.",
    "mark doubts about %N with %w.",
    "every reply opens on %n, closes on %s.",
    "cite %x if some %n seems %a.",
    "%v, then %v, then show %a %N.",
    "the %a %p reads only %n lines.",
    "without %N, offer %d %a guesses.",
];

/// Headings of system prompts.
const HEAD: &[&str] = &[
    "%n rules",
    "how to %v",
    "%a %N",
    "steps for a %p",
    "%x and the %n",
    "%n format",
    "about %N",
    "when to %v %b",
];

/// Tasks that applications send, with slots.
const TASK: &[&str] = &[
    "{text}\n\nDoes this %n %v the %a %s? Yes or no.",
    "Given {context}, which %n would a %p %v? {question}",
    "Sentence: {sentence}\nIs its %n %a or %a?",
    "%x %n review: {text}\nRate how %a it is from 1 to %d.",
    "Pick the %a %n for \"{question}\" among {answer_choices}.",
    "{premise} So, can we %v the %n? {hypothesis}",
    "{title}\nName %d %N in this %n article: {text}",
    "Label {utterance} with a %n: %a, %a, %a.",
    "{sentence1}\n{sentence2}\nDo both %v one %s, %b?",
    "Shorten for a %a %p: {text}\n%n summary:",
    "Find every %n and %s in {passage} that a %p could %v.",
    "%n question from %x: {question}\nUse the %a %s {context}",
    "Continue {story} so that %x will %v the %n.",
    "Fill the %n gap in {sentence} with {answer_choices}, %a first.",
    "Claim: {claim}\nWould %a %N %v it?",
    "Who is the %p in {text}, and which %n is %a?",
];

/// Judges and bare benchmark templates, with slots.
const JUDGE: &[&str] = &[
    "[%n] {question}\n[%s of A] {answer_a}\n[%s of B] {answer_b}\nChoose the %a %n, then %v.",
    "Score {answer} for its %n (1-%d) as a %a %p. Query: {question}",
    "Reference {ref_answer_1}; candidate {answer}. Is the %n %a? Mark %x or %x.",
    "%n exam. {question}\nA. {a}\nB. {b}\nC. {c}\nD. {d}\n%x key:",
    "Passage: {context}\n%s query: {question}\n%a %n:",
    "{premise}\n%n? %a, %a or %a: {hypothesis}\nVerdict %x:",
    "%x test, %a %n part. Input: {input}\nOutput %s:",
];
const JUDGING: &[&str] = &[
    "weigh %a %N twice.",
    "a %n without %s loses %d points.",
    "order of the %N must not %v your %n.",
    "%a length earns no %s.",
    "mention %n and %a %s in the verdict.",
    "ties go to %x.",
    "grade %n first, %s later, %a style last.",
];

/// Beginnings of templates that make training data.
const MAKE: &[&str] = &[
    "generate {batch_size} %a %n exercises on {topics}, each for another %p.",
    "below sits a %a %n seed: {instruction}\nEvolve it so a %p must %v twice.",
    "create %d brand-new %n dialogues about {topic}; vary the %s and the %p.",
    "you fill a %n training file. Seeds:\n{seed_tasks}\nExtend with %d %a lines.",
    "rewrite {instruction} into a %a %n puzzle in {language}.",
    "invent {batch_size} %s riddles with %a answers, reading level {flesch}.",
    "our %n model lacks %a data on {topics}. Supply %d pairs of %s and reply.",
    "imagine %x, a %p, quizzing {name} on %a %N; transcribe {task_count} rounds.",
];

/// Requirements of such templates.
const REQUIRE: &[&str] = &[
    "every output needs %n plus %d %a distractors.",
    "verbs like %v and %v appear once.",
    "no instruction repeats %a %n of its %s.",
    "vary difficulty from %a to %a, about %d percent %s.",
    "answers stay %a, %d words, %n included.",
    "avoid images, %N and %a %s tables.",
    "mix %n questions, %v commands, %a roleplay.",
    "number entries as %n %d, %s %d.",
    "half should make %ps %v a %a %n.",
    "include synthetic %N where %x acts %b.",
    "start item %d with \"%v\", finish on %s.",
    "drop samples which a %p deems %a.",
    "persona: %a %p, then %a %p, alternating %b.",
    "responses cite %n facts; %s facts are optional, %a.",
    "diversify: %w, %w, %w, %a %w.",
    "emit JSON, fields %n and %s, values %a.",
    "chain-of-thought about %N goes before any %s.",
    "each %p persona gets %d %a turns.",
    "reject trivia on %x; %n trivia passes if %a.",
    "topics covered: %n theory, %a %s, ways to %v.",
    "balance %d %a samples against %N.",
    "hints mention %w, never %a %N.",
    "outputs resemble %p notes: %a, %b worded.",
    "seed %d borrows %s plots, %a endings.",
    "penalize %a phrasing, copied %N, lone %s.",
    "for line %d imitate %x; otherwise %v.",
    "label hardness %d for %n, %d for %s.",
    "paraphrase %s lore till it sounds %a.",
];

/// Instructions made by such templates.
const ITEM: &[&str] = &[
    "compose a %a short story in which %x must %v the last %n.",
    "design an experiment showing whether %a %N %v under %d %s loads.",
    "construct a step-by-step plan that lets a %p %v %d %N %b.",
    "roleplay a %a %p meeting %x over one %n.",
    "develop a script to %v %N, handling %a %s input.",
    "analyze how a %n influences the %a %s of %x.",
    "devise three arguments for and %d against %a %N.",
    "outline a lecture covering %n, %s and the %a %w.",
    "convert this %n log into %a bullet points on %N.",
    "classify %w, %w and %w as %a or %a.",
    "draft dialogue: %p %x teaches %x to %v a %n.",
    "calculate what %d %N weigh if each %s is %a.",
];

/// What such an instruction goes on with.
const DETAIL: &[&str] = &[
    "incorporate %a imagery of %N and a %s.",
    "your reply must compare %n with %w.",
    "assume %x owns %d %a %N.",
    "conclude by letting the %p %v %b.",
    "justify each %n using %a evidence.",
    "state constraints: %d %N, a %a %s, zero %w.",
    "make the %p sound %a yet %a.",
    "cover at least %d %N, explaining one %s.",
];

/// Evaluation items by kind of set.
const CHOICE: &[&str] = &[
    "Which %n would %v a %a %s?\n(A) %n (B) %w (C) %a %n (D) %x",
    "A %p sees %d %a %N. What follows?\n(A) %v (B) %v (C) %n (D) %s",
    "The %a %n of %x is best known for its\n(A) %n (B) %s (C) %w (D) %N",
];
const TRIVIA: &[&str] = &[
    "in which %n did %x first %v the %a %s?",
    "what %a %n links %x to %x?",
    "%x the %p wrote about which %n?",
    "how many %N had the %a %s of %x?",
    "which %p of %x would %v a %n?",
];
const CODING: &[&str] = &[
    "def %v_%n(%s, %N):\n    \"\"\"Return the %a %n of %s after %d %N.\"\"\"",
    "Implement %v_%n: given %N and a %a %s, count each %w that may %v.",
    "Function %n_%s(%w) must %v up to %d %a %N; complete it.",
];
const OPEN: &[&str] = &[
    "Argue whether a %a %p ought to %v %N, with %d reasons on %s.",
    "Plan a %n visit: %x, %d days, %a %s included.",
    "Describe the %n from the view of a %a %w.",
    "Compose a %s memo by %x on why %N %v.",
];

/// One content in two wordings: clauses of the first, clauses of the second, and how each asks.
const TWINS: &[[&str; 6]] = &[
    [
        "%x the %p buys %d %A %N on the first day.",
        "Every second morning %x has to %v %d of them %b.",
        "How many of those does %0 hold after %d days?",
        "Find what %0 is left with once %9 days have gone,",
        "given purchases of %2 %~3 %4 by this %1 at the outset",
        "and %7 being lost to %5, who will %6 them %~8 on alternate mornings.",
    ],
    [
        "A %A %n holds %d %N and one %A %s.",
        "If %x adds %d and the %p takes half,",
        "what number of %3 remains inside?",
        "Half the contents go to some %8;",
        "earlier %6 had put %7 into that %~0 %1, where %2 %3 lay beside this %~4 %5.",
        "Compute its final count.",
    ],
    [
        "%x can %v %d %N per hour, %b.",
        "Her %A %p needs %d hours for the same %n.",
        "Working as a pair, when would both finish?",
        "Two colleagues join forces: one, some %~5 %6, spends %7 hours upon a single %8;",
        "%0, by contrast, manages to %~4 %1 hourly lots of %2 %3.",
        "Determine their combined duration.",
    ],
    [
        "Because the %A %n was full, %x left %d %N with a %p.",
        "The %p then had to %v %d percent of these %b.",
        "Write down how many are left.",
        "State what quantity survives",
        "if some %6 chose %~9 to %7 a share, %8 in every hundred,",
        "out of the %3 %4 which %2 handed to another %5, room being short in that %~0 %1.",
    ],
    [
        "Is it %A for a %p to %v %N when the %n is %A?",
        "Answer with regard to %x and %A %N.",
        "Give %d reasons.",
        "%9 arguments wanted:",
        "taking %6 plus %~7 %8 into account,",
        "ought some %1 with an %~5 %4 ever %2 one of those %3, or would that be un%~0?",
    ],
];

const TASK_SLOTS: &str = "text context question sentence answer_choices premise hypothesis title utterance sentence1 \
    sentence2 passage story claim";
const JUDGE_SLOTS: &str =
    "question answer_a answer_b answer ref_answer_1 a b c d context premise hypothesis input";
const MAKE_SLOTS: &str =
    "batch_size topics instruction topic seed_tasks language flesch name task_count examples";

/// Sizes of the evaluation sets. The first holds the originals of `paraphrases`.
const EVAL_SIZES: [usize; 12] = [1_300, 600, 164, 400, 250, 100, 100, 120, 800, 140, 180, 300];

/// The texts for a seed.
pub fn corpus(seed: u64) -> Corpus {
    let (evals, paraphrases) = evals(seed);
    Corpus {
        origin: "built-in generator".to_string(),
        prompts: prompts(seed),
        dialogues: dialogues(seed),
        agents: library(Writer::new(seed, 3), "agent", 20, (1_500, 6_000)),
        patterns: library(Writer::new(seed, 4), "pattern", 220, (400, 4_000)),
        tasks: tasks(seed),
        evals,
        eval_templates: judges(seed),
        distill: makers(seed),
        items: items(seed),
        paraphrases,
    }
}

/// A size between two, the small ones more often.
fn skewed(rng: &mut Rng, (from, to): (usize, usize)) -> usize {
    let r = rng.below(1_000);
    from + (to - from) * r * r / 1_000_000
}

fn prompt(w: &mut Writer) -> String {
    w.fresh();
    let mut text = w.one(ASK);
    let careful = w.rng.percent(45);
    if careful {
        text = capital(&text);
        if !text.ends_with('?') {
            text.push(if w.rng.percent(70) { '?' } else { '.' });
        }
    }
    let more = match w.rng.below(100) {
        0..78 => 0,
        78..94 => 1,
        94..98 => w.rng.range(30, 200),
        _ => w.rng.range(200, 1_450),
    };
    if more > 0 {
        w.prose(MORE, more, " ", &mut text);
    }
    text
}

fn prompts(seed: u64) -> Vec<String> {
    let mut w = Writer::new(seed, 1);
    let mut seen = HashSet::new();
    let mut out = Vec::new();
    while out.len() < 6_000 {
        let text = prompt(&mut w);
        if text.len() >= 16 && seen.insert(text.clone()) {
            out.push(text);
        }
    }
    out
}

fn dialogues(seed: u64) -> Vec<Vec<String>> {
    let mut w = Writer::new(seed, 2);
    let one = |w: &mut Writer| {
        let mut turns = vec![prompt(w)];
        for _ in 0..w.rng.below(6) {
            let mut turn = w.one(TURN);
            if w.rng.percent(40) {
                let more = w.rng.range(1, 250);
                w.prose(MORE, more, " ", &mut turn);
            }
            turns.push(turn);
        }
        turns
    };
    (0..1_000).map(|_| one(&mut w)).collect()
}

/// System prompts: a role, then sections of rules.
fn library(mut w: Writer, group: &str, count: usize, bytes: (usize, usize)) -> Vec<Template> {
    let mut out = Vec::new();
    for i in 0..count {
        w.fresh();
        let size = skewed(&mut w.rng, bytes);
        let mut text = String::new();
        w.prose(ROLE, 1, "", &mut text);
        while text.len() < size {
            // Agents do several things: each section may have a second subject of its own.
            w.second = w.rng.below(w.topics.len());
            text.push_str("\n\n# ");
            let head = w.one(HEAD);
            text.push_str(&capital(&head));
            text.push_str("\n\n");
            let section = w.rng.range(120, 700).min(size);
            let gap = w.rng.pick(&["\n- ", " ", "\n"]);
            w.prose(RULE, section, gap, &mut text);
        }
        out.push(Template { group: format!("{group}-{i}"), ..Template::plain(&text) });
    }
    out
}

fn tasks(seed: u64) -> Vec<Template> {
    let mut w = Writer::new(seed, 5);
    let one = |i: usize| {
        w.fresh();
        Template { group: format!("task-{i}"), ..Template::parse(&w.one(TASK), &words(TASK_SLOTS)) }
    };
    (0..200).map(one).collect()
}

fn judges(seed: u64) -> Vec<Template> {
    let mut w = Writer::new(seed, 6);
    let one = |i: usize| {
        w.fresh();
        let mut text = String::new();
        if i % 2 == 1 {
            let size = w.rng.range(60, 1_100);
            w.prose(JUDGING, size, " ", &mut text);
            text.push('\n');
        }
        text.push_str(&w.one(JUDGE));
        Template { group: format!("judge-{i}"), ..Template::parse(&text, &words(JUDGE_SLOTS)) }
    };
    (0..60).map(one).collect()
}

/// Templates that make training data: an order, numbered requirements, sometimes a place for examples.
fn makers(seed: u64) -> Vec<Template> {
    let mut w = Writer::new(seed, 7);
    let one = |i: usize| {
        w.fresh();
        let size = skewed(&mut w.rng, (400, 4_600));
        let mut text = String::new();
        w.prose(MAKE, 1, "", &mut text);
        let mut number = 0;
        while text.len() < size {
            number += 1;
            text.push_str(&format!("\n{number}. "));
            w.prose(REQUIRE, 1, "", &mut text);
        }
        if i.is_multiple_of(3) {
            text.push_str("\n\n{examples}\n");
        }
        Template { group: format!("maker-{i}"), ..Template::parse(&text, &words(MAKE_SLOTS)) }
    };
    (0..40).map(one).collect()
}

fn items(seed: u64) -> Vec<String> {
    let mut w = Writer::new(seed, 8);
    let one = |_| {
        w.fresh();
        let size = skewed(&mut w.rng, (90, 380));
        let mut text = String::new();
        w.prose(ITEM, 1, "", &mut text);
        while text.len() < size {
            w.prose(DETAIL, 1, " ", &mut text);
        }
        text
    };
    (0..3_600).map(one).collect()
}

fn evals(seed: u64) -> (Vec<Vec<String>>, Vec<(String, String)>) {
    let mut w = Writer::new(seed, 9);
    let mut sets = Vec::new();
    let mut pairs = Vec::new();
    for (i, size) in EVAL_SIZES.into_iter().enumerate() {
        let kinds = [CHOICE, TRIVIA, CODING, OPEN];
        let frames = kinds[i % kinds.len()];
        // Every third set is asked with worked examples before each item.
        let shots = if i % 3 == 1 { 6 } else { 0 };
        let mut head = String::new();
        for _ in 0..shots {
            w.fresh();
            w.prose(frames, 1, "", &mut head);
            w.expand("\n=> %n %x\n\n", &mut head);
        }
        let mut set = Vec::new();
        for n in 0..size {
            w.fresh();
            if i > 0 {
                let mut text = head.clone();
                w.prose(frames, 1, "", &mut text);
                set.push(text);
                continue;
            }
            let (original, reworded) = twins(&mut w);
            if n < 500 {
                pairs.push((original.clone(), reworded));
            }
            set.push(original);
        }
        sets.push(set);
    }
    (sets, pairs)
}

/// One content in two wordings; the first as its benchmark asks it. Rewordings by a model leave about one sequence of
/// four words in fifteen (measured on published ones): two in five keep their question as it was.
fn twins(w: &mut Writer) -> (String, String) {
    let frames = TWINS[w.rng.below(TWINS.len())];
    let mut clauses = Vec::with_capacity(frames.len());
    for frame in frames {
        let mut clause = String::new();
        w.expand(frame, &mut clause);
        clauses.push(clause);
    }
    let (original, reworded) = clauses.split_at_mut(3);
    if w.rng.percent(40) {
        reworded[0].clone_from(&original[2]);
    }
    (format!("Question: {}\nAnswer:", original.join(" ")), capital(&reworded.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::super::corpus::Part;
    use super::*;
    use std::collections::HashMap;

    /// Sequences of four words, lower-cased; a slot ends a sequence.
    fn fours(text: &str) -> HashSet<String> {
        let words: Vec<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|w| !w.is_empty())
            .map(str::to_lowercase)
            .collect();
        words.windows(4).map(|w| w.join(" ")).collect()
    }

    fn template_fours(t: &Template) -> HashSet<String> {
        t.parts
            .iter()
            .filter_map(|p| if let Part::Text(t) = p { Some(fours(t)) } else { None })
            .flatten()
            .collect()
    }

    fn shared(a: &HashSet<String>, b: &HashSet<String>) -> f64 {
        a.intersection(b).count() as f64 / a.len().min(b.len()).max(1) as f64
    }

    #[test]
    fn the_same_seed_gives_the_same_texts() {
        let (a, b, c) = (corpus(1), corpus(1), corpus(2));
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
        assert_ne!(a.prompts, c.prompts);
        // A fixed vector: the texts are part of published figures.
        let all = format!("{a:?}");
        assert_eq!(weir::engine::hash::sip13((0, 0), all.as_bytes()), FIXED, "texts of seed 1 changed");
    }

    const FIXED: u64 = 0xf3d6_6774_17bd_e494;

    #[test]
    fn sizes_are_natural() {
        let c = corpus(1);
        let mut lens: Vec<usize> = c.prompts.iter().map(String::len).collect();
        lens.sort_unstable();
        let at = |p: usize| lens[lens.len() * p / 100];
        println!(
            "prompts p1 {} p5 {} p50 {} p95 {} max {}",
            at(1),
            at(5),
            at(50),
            at(95),
            lens[lens.len() - 1]
        );
        assert!((16..26).contains(&at(5)) && (30..60).contains(&at(50)) && (80..250).contains(&at(95)));
        assert_eq!(c.evals.iter().map(Vec::len).collect::<Vec<_>>(), EVAL_SIZES);
        assert!(c.dialogues.iter().all(|d| (1..=6).contains(&d.len())));
        let within = |l: &[Template], from, to| l.iter().all(|t| (from..to).contains(&t.text_len()));
        assert!(within(&c.agents, 1_500, 7_000) && within(&c.patterns, 400, 4_800));
        assert!(within(&c.distill, 330, 4_800));
        let has_slot = |t: &Template| t.parts.iter().any(|p| matches!(p, Part::Slot(_)));
        assert!(c.tasks.iter().chain(&c.eval_templates).chain(&c.distill).all(has_slot));
        assert!(c.items.iter().all(|i| (60..520).contains(&i.len())));
        let all = format!("{c:?}");
        assert!(!all.contains('%') && all.is_ascii(), "a mark was left");
    }

    #[test]
    fn no_sequence_of_four_words_is_common_among_prompts() {
        let c = corpus(1);
        let mut seen: HashMap<String, usize> = HashMap::new();
        for four in c.prompts[..3_000].iter().flat_map(|p| fours(p)) {
            *seen.entry(four).or_default() += 1;
        }
        let mut top: Vec<_> = seen.into_iter().map(|(t, n)| (n, t)).collect();
        top.sort_unstable_by(|a, b| b.cmp(a));
        println!("{:?}", &top[..5]);
        assert!(top[0].0 <= 90, "{:?}", top[0]);
    }

    #[test]
    fn long_texts_share_little() {
        let c = corpus(1);
        for (name, list) in [("agents", &c.agents), ("patterns", &c.patterns), ("distill", &c.distill)] {
            let sets: Vec<_> = list.iter().map(template_fours).collect();
            let mut worst = 0.0f64;
            let mut sum = 0.0;
            let mut pairs = 0;
            for i in 0..sets.len() {
                for j in 0..i {
                    let s = shared(&sets[i], &sets[j]);
                    worst = worst.max(s);
                    sum += s;
                    pairs += 1;
                }
            }
            println!("{name}: mean {:.4} worst {worst:.4}", sum / f64::from(pairs));
            assert!(worst < 0.10, "{name} {worst}");
        }
    }

    #[test]
    fn attack_and_honest_texts_are_apart() {
        let c = corpus(1);
        let templates = c.agents.iter().chain(&c.patterns).chain(&c.tasks).chain(&c.eval_templates);
        let mut honest: HashSet<String> = templates.flat_map(template_fours).collect();
        honest.extend(c.prompts.iter().chain(c.dialogues.iter().flatten()).flat_map(|p| fours(p)));
        honest.extend(c.evals.iter().flatten().flat_map(|p| fours(p)));
        let mut attack: HashSet<String> = c.distill.iter().flat_map(template_fours).collect();
        attack.extend(c.items.iter().flat_map(|p| fours(p)));
        let share = shared(&attack, &honest);
        println!("attack {} honest {} shared {share:.5}", attack.len(), honest.len());
        assert!(share < 0.005, "{share}");
    }

    #[test]
    fn few_sequences_survive_a_rewording() {
        let c = corpus(1);
        assert_eq!(c.paraphrases.len(), 500);
        let kept: f64 = c.paraphrases.iter().map(|(a, b)| shared(&fours(a), &fours(b))).sum();
        println!("kept {:.4}", kept / 500.0);
        assert!((0.02..0.10).contains(&(kept / 500.0)));
    }
}
