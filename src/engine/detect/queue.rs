//! The campaign: a work queue spread over accounts.
//!
//! It keeps sending (an account seldom stops), all accounts carry about the same load, they do not follow up
//! and do not repeat, and they never sleep. Accounts are mostly new. Half or all of them may be bought: as
//! honest templates have old keys, too, these cases cost 15 and 30 nats more. Other forms: it converses, all
//! accounts alike; it hands some prompts out twice, as paid annotators do in shifts; or it keeps people's
//! hours, but then all accounts are new.

use super::coming::Range;
use super::hypothesis::{Hypothesis, nothing};
use crate::engine::beta_binomial::Share;
use crate::engine::config::fitted::{NOVEL, SILENT};

const COMING: Range = Range { stops: &[0.0005, 0.015, 0.05], shapes: &[3.0, 8.0, 40.0] };
/// Share of repeats where the queue hands some prompts out twice.
pub const OFTEN: Share = Share::new(0.03, 60.0);
const YOUNG: &[(f64, f64)] = &[(0.985, 0.0), (0.5, 15.0), (0.03, 30.0)];

/// The usual form: each request is a conversation of its own.
pub static QUEUE: Hypothesis = QUEUE_FORM;

const QUEUE_FORM: Hypothesis = Hypothesis {
    name: "queue",
    coming: COMING,
    talk: &[SILENT],
    repeats: &[NOVEL],
    alike: &[20.0],
    sleep: &[0.02],
    young: YOUNG,
    besides: nothing,
};

/// The form that keeps people's hours: people who relay prompts. It needs new accounts; old ones that sleep
/// are people.
pub static RELAYS: Hypothesis =
    Hypothesis { name: "relays", sleep: &[0.97], young: &[(0.985, 0.0)], ..QUEUE_FORM };

/// The form that hands some prompts out twice.
pub static TWICE: Hypothesis = Hypothesis { name: "queue with repeats", repeats: &[OFTEN], ..QUEUE_FORM };

/// The form that converses in sessions of several requests.
pub static CONVERSING: Hypothesis = Hypothesis {
    name: "conversing queue",
    talk: &[
        Share::new(0.1, 40.0),
        Share::new(0.25, 40.0),
        Share::new(0.5, 40.0),
        Share::new(0.75, 40.0),
        Share::new(0.88, 60.0),
    ],
    ..QUEUE_FORM
};
