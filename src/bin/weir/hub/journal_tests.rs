//! The journal on a real disk: incomplete, damaged, cut off, refused; what was acknowledged comes back.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use super::*;
use crate::dir::Dir;

const SEED: u32 = 7;

impl Dir {
    fn copy(&self, name: &str) -> Dir {
        let to = Dir::new(name);
        for f in names(&self.0).unwrap() {
            fs::copy(self.0.join(&f), to.0.join(&f)).unwrap();
        }
        to
    }
}

fn group(n: u64) -> Vec<u8> {
    (0..40 + n % 7).map(|i| (n * 31 + i) as u8).collect()
}

type Start = (Journal, Option<Vec<u8>>, Vec<Vec<u8>>, Vec<String>);

fn start(dir: &Path) -> Result<Start, Blocked> {
    let (mut j, found) = Journal::open(dir, SEED)?;
    let mut groups = Vec::new();
    let mut notes = found.notes;
    notes.extend(j.replay(|g| {
        groups.push(g.to_vec());
        true
    })?);
    Ok((j, found.checkpoint, groups, notes))
}

fn keep(j: &mut Journal, groups: std::ops::Range<u64>) {
    for n in groups {
        j.append(&group(n)).unwrap();
        j.sync().unwrap();
    }
}

fn all(groups: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    groups.map(group).collect()
}

#[test]
fn what_was_kept_comes_back_over_any_number_of_starts() {
    let dir = Dir::new("back");
    for n in 0..4 {
        let (mut j, checkpoint, groups, notes) = start(&dir.0).unwrap();
        assert_eq!((checkpoint, groups, notes), (None, all(0..n * 5), Vec::new()));
        keep(&mut j, n * 5..n * 5 + 5);
        assert_eq!(j.status().position, n * 5 + 5);
    }
}

#[test]
fn a_torn_end_is_cut_off_wherever_it_was_torn_and_told() {
    let dir = Dir::new("torn");
    let (mut j, ..) = start(&dir.0).unwrap();
    keep(&mut j, 0..3);
    let path = dir.0.join(segment_name(1));
    let before = fs::metadata(&path).unwrap().len();
    keep(&mut j, 3..4);
    drop(j);
    let whole = fs::read(&path).unwrap();
    for at in before..whole.len() as u64 {
        for fill in [None, Some(0), Some(0xaa)] {
            let mut bytes = whole[..at as usize].to_vec();
            if let Some(fill) = fill {
                // The length was written, and what stands there was not.
                bytes.resize(whole.len(), fill);
            }
            fs::write(&path, &bytes).unwrap();
            let (mut j, _, groups, notes) = start(&dir.0).unwrap();
            assert_eq!(groups, all(0..3), "torn at {at}");
            assert_eq!(notes.len(), usize::from(bytes.len() as u64 > before), "{notes:?}");
            assert_eq!(fs::metadata(&path).unwrap().len(), before);
            keep(&mut j, 3..5);
            drop(j);
            assert_eq!(start(&dir.0).unwrap().2, all(0..5));
            for n in 2..4 {
                let _ = fs::remove_file(dir.0.join(segment_name(n)));
            }
        }
    }
}

#[test]
fn damage_in_the_middle_stops_the_start_and_names_the_way_out() {
    let dir = Dir::new("damage");
    let (mut j, ..) = start(&dir.0).unwrap();
    keep(&mut j, 0..6);
    drop(j);
    let (mut j, ..) = start(&dir.0).unwrap();
    keep(&mut j, 6..9);
    drop(j);
    let path = dir.0.join(segment_name(1));
    let whole = fs::read(&path).unwrap();
    let second = HEADER as usize + AROUND + group(0).len();
    for at in (0..HEADER as usize).chain(second..second + AROUND + 5) {
        let mut bad = whole.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        let Err(why) = start(&dir.0) else { panic!("byte {at}") };
        let offset = if at < second { 0 } else { second };
        assert!(why.0.contains(&format!("segment-000000000001 at byte {offset}")), "{at}: {}", why.0);
        assert!(why.0.contains("The way out"), "{}", why.0);
    }
    // The way out leads out.
    fs::write(&path, &whole[..second]).unwrap();
    fs::remove_file(dir.0.join(segment_name(2))).unwrap();
    assert_eq!(start(&dir.0).unwrap().2, all(0..1));
    // A segment that is missing is not passed over.
    let dir = Dir::new("missing");
    for n in 0..3 {
        keep(&mut start(&dir.0).unwrap().0, n..n + 1);
    }
    fs::remove_file(dir.0.join(segment_name(2))).unwrap();
    let Err(why) = start(&dir.0) else { panic!("started") };
    assert!(why.0.contains("segment-000000000002 is missing"), "{}", why.0);
    // Nor is another seed's directory.
    let Err(why) = Journal::open(&dir.0, 8).and_then(|(mut j, _)| j.replay(|_| true)) else {
        panic!("started")
    };
    assert!(why.0.contains("another seed"), "{}", why.0);
}

#[test]
fn a_checkpoint_stands_for_what_came_before_whenever_the_crash_comes() {
    let dir = Dir::new("checkpoint");
    let (mut j, ..) = start(&dir.0).unwrap();
    keep(&mut j, 0..4);
    let write = j.begin().unwrap();
    // Groups go on while it is written.
    keep(&mut j, 4..6);
    let before = dir.copy("before");
    let done = write(&[b"four groups".to_vec()]).unwrap();
    let between = dir.copy("between");
    j.cut(&done).unwrap();
    keep(&mut j, 6..7);
    assert_eq!((j.status().checkpoint, j.status().parts), (4, 1));
    drop(j);
    assert_eq!(start(&before.0).unwrap().2, all(0..6), "before the rename");
    for (d, to) in [(&between, 6), (&dir, 7)] {
        let (j, checkpoint, groups, _) = start(&d.0).unwrap();
        assert_eq!((checkpoint.as_deref(), groups), (Some(&b"four groups"[..]), all(4..to)));
        drop(j);
        assert!(!d.0.join(segment_name(1)).exists(), "what it stands for is gone");
    }
    // The next one replaces it.
    let (mut j, ..) = start(&dir.0).unwrap();
    let done = j.begin().unwrap()(&[b"seven".to_vec()]).unwrap();
    j.cut(&done).unwrap();
    drop(j);
    assert_eq!(numbered(&dir.0, "checkpoint-").unwrap(), [7]);
    assert_eq!(start(&dir.0).unwrap().1.as_deref(), Some(&b"seven"[..]));
}

#[test]
fn the_newest_whole_checkpoint_is_taken_and_none_at_all_stops_the_start() {
    let dir = Dir::new("newest");
    let (mut j, ..) = start(&dir.0).unwrap();
    keep(&mut j, 0..2);
    let done = j.begin().unwrap()(&[b"two".to_vec()]).unwrap();
    j.cut(&done).unwrap();
    keep(&mut j, 2..5);
    // The crash comes before the old one is removed, and the disk spoils the new one.
    j.begin().unwrap()(&[b"five".to_vec()]).unwrap();
    drop(j);
    let path = dir.0.join(checkpoint_name(5));
    let whole = fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let (_, checkpoint, groups, notes) = start(&dir.0).unwrap();
        assert_eq!(
            (checkpoint.as_deref(), groups, notes.len()),
            (Some(&b"two"[..]), all(2..5), 1),
            "byte {at}"
        );
    }
    fs::remove_file(dir.0.join(checkpoint_name(2))).unwrap();
    let Err(why) = start(&dir.0) else { panic!("started") };
    assert!(why.0.contains("checkpoint-000000000005") && why.0.contains("The way out"), "{}", why.0);
}

#[test]
fn after_an_error_the_segment_is_not_trusted() {
    let dir = Dir::new("error");
    let (mut j, ..) = start(&dir.0).unwrap();
    keep(&mut j, 0..2);
    for n in 2..5 {
        // It stands on the disk, whole, and must not count: it was not acknowledged, and comes again.
        j.append(&group(90)).unwrap();
        j.fail_sync = true;
        assert_eq!(j.sync().unwrap_err().name(), "store_failed");
        keep(&mut j, n..n + 1);
    }
    assert_eq!((j.status().position, j.status().parts), (5, 4));
    drop(j);
    assert_eq!(start(&dir.0).unwrap().2, all(0..5));
    // Also where it could not be cut off.
    let path = dir.0.join(segment_name(2));
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(&[1, 2, 3]);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(start(&dir.0).unwrap().2, all(0..5));
}

#[test]
fn a_segment_that_was_torn_at_its_birth_is_removed() {
    let dir = Dir::new("birth");
    keep(&mut start(&dir.0).unwrap().0, 0..2);
    let header = fs::read(dir.0.join(segment_name(1))).unwrap();
    for n in 0..HEADER as usize {
        fs::write(dir.0.join(segment_name(2)), &header[..n]).unwrap();
        let (_, _, groups, notes) = start(&dir.0).unwrap();
        assert_eq!((groups, notes.len()), (all(0..2), 1));
        assert!(!dir.0.join(segment_name(2)).exists());
    }
}

#[test]
fn what_a_node_sends_is_never_taken_for_a_frame() {
    let dir = Dir::new("forged");
    let (mut j, ..) = start(&dir.0).unwrap();
    // Whole frames of all low salts, inside a group that is torn.
    let mut forged = Vec::new();
    for salt in 0..1_000 {
        forged.extend(frame_head(0, salt, b"x"));
        forged.push(b'x');
    }
    j.append(&forged).unwrap();
    j.sync().unwrap();
    drop(j);
    let path = dir.0.join(segment_name(1));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(start(&dir.0).unwrap().2.is_empty());
}

#[test]
fn long_segments_end_and_two_hubs_never_share_a_directory() {
    let dir = Dir::new("long");
    let (mut j, ..) = start(&dir.0).unwrap();
    let long = vec![5; GROUP_BYTES];
    for _ in 0..SEGMENT_BYTES as usize / GROUP_BYTES + 1 {
        j.append(&long).unwrap();
        j.sync().unwrap();
    }
    assert_eq!(j.status().parts, 2);
    assert!(j.append(&vec![0; GROUP_BYTES + 1]).is_err());
    let Err(why) = start(&dir.0) else { panic!("two of them") };
    assert!(why.0.contains(&format!("another hub (process {})", std::process::id())), "{}", why.0);
    drop(j);
    assert_eq!(start(&dir.0).unwrap().2.len(), 9);
}
