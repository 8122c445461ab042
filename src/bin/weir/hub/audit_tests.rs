//! The audit log over several files and starts, and how changes of verdicts appear in it.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::super::acts::{Name, Verb};
use super::*;
use crate::audit::chain::{NONE, Verifier};
use crate::dir::Dir;

impl Dir {
    fn audit(&self) -> PathBuf {
        self.0.join("audit.jsonl")
    }
}

fn act(key: u64) -> Act {
    let name = Name::Key(key);
    Act { verb: Verb::Deny, name, since_s: 1, until_s: 2, reason: "r".into(), values: Vec::new() }
}

#[test]
fn files_that_are_renamed_and_starts_anew_make_one_chain() {
    let dir = Dir::new("chain");
    let mut n = 0;
    for _ in 0..4 {
        let mut a = Audit::open(&dir.audit(), Default::default()).unwrap();
        assert_eq!(a.head().n, n);
        a.most = 2_000;
        for key in 0..7 {
            a.act(&act(key)).unwrap();
            n += 1;
        }
    }
    let mut files = renamed(&dir.audit()).unwrap();
    assert!(files.len() >= 3, "{files:?}");
    // As after a crash between the renaming and the next line.
    fs::rename(dir.audit(), beside(&dir.audit(), &format!("-{n:012}"))).unwrap();
    files = renamed(&dir.audit()).unwrap();
    let mut a = Audit::open(&dir.audit(), Default::default()).unwrap();
    assert_eq!(a.head().n, n);
    a.not_taken("store_full");
    files.push(dir.audit());
    let mut v = Verifier::default();
    for (i, f) in files.iter().enumerate() {
        let text = fs::read_to_string(f).unwrap();
        (1..).zip(text.lines()).for_each(|(row, l)| v.line(i, row, l.as_bytes()));
    }
    let (findings, head) = v.end(Some(NONE), Some(&a.head().hash));
    assert_eq!((findings, head), (vec![], Some(a.head().clone())));
}

#[test]
fn what_cannot_be_written_leaves_no_half_line_and_is_counted() {
    let dir = Dir::new("full");
    let mut a = Audit::open(&dir.audit(), Default::default()).unwrap();
    a.act(&act(1)).unwrap();
    let (head, file) = (a.head().clone(), fs::read(dir.audit()).unwrap());
    a.file = File::open(dir.audit()).unwrap();
    assert!(a.act(&act(2)).is_err());
    a.not_taken("audit_failed");
    assert_eq!((a.failures(), a.head(), fs::read(dir.audit()).unwrap()), (2, &head, file));
    assert!(Audit::open(&dir.0, Default::default()).is_err());
}
