use super::*;
use crate::dir::Dir;
use std::io::Write;

impl Dir {
    fn path(&self) -> PathBuf {
        self.0.join("access.log")
    }
    fn append(&self, text: &str) {
        let mut f = File::options().append(true).create(true).open(self.path()).unwrap();
        f.write_all(text.as_bytes()).unwrap();
    }
}

/// Everything that can be read now.
fn drained(log: &mut Log) -> String {
    let mut out = String::new();
    log.look().unwrap();
    for part in &mut log.parts {
        while let Some(piece) = part.read().unwrap() {
            out += std::str::from_utf8(&piece.text).unwrap();
            part.at = piece.end;
        }
    }
    out
}

#[test]
fn lines_come_once_through_rotation_truncation_and_a_late_writer() {
    let dir = Dir::new("rotation");
    let mut log = Log::new(&dir.path());
    assert_eq!(drained(&mut log), "", "it is not there yet");
    dir.append("on");
    assert_eq!(drained(&mut log), "");
    dir.append("e\ntwo\nthr");
    assert_eq!(drained(&mut log), "one\ntwo\n");
    // The writer still has it open when it is renamed.
    let mut late = File::options().append(true).open(dir.path()).unwrap();
    std::fs::rename(dir.path(), dir.0.join("access.log.1")).unwrap();
    dir.append("four\n");
    assert_eq!(drained(&mut log), "four\n");
    late.write_all(b"ee\nlate\n").unwrap();
    assert_eq!(drained(&mut log), "three\nlate\n");
    assert_eq!(log.parts.len(), 2);
    // Copied and truncated, and longer than before at once.
    std::fs::copy(dir.path(), dir.0.join("access.log.2")).unwrap();
    std::fs::write(dir.path(), "a new first line that is longer\n").unwrap();
    assert_eq!(drained(&mut log), "a new first line that is longer\n");
    // Truncated to nothing, then shorter.
    std::fs::write(dir.path(), "").unwrap();
    assert_eq!(drained(&mut log), "");
    dir.append("x\n");
    assert_eq!(drained(&mut log), "x\n");
    // Gone, and there again.
    std::fs::remove_file(dir.path()).unwrap();
    assert_eq!(drained(&mut log), "");
    dir.append("y\n");
    assert_eq!(drained(&mut log), "y\n");
    assert_eq!(drained(&mut log), "");
}

#[test]
fn what_was_rotated_away_ends_when_it_is_silent_and_its_last_line_needs_no_end() {
    let dir = Dir::new("end");
    let mut log = Log::new(&dir.path());
    dir.append("one\ntwo");
    assert_eq!(drained(&mut log), "one\n");
    std::fs::rename(dir.path(), dir.0.join("access.log.1")).unwrap();
    assert_eq!(drained(&mut log), "");
    log.parts[0].grew = Instant::now() - LINGER;
    assert_eq!(drained(&mut log), "two");
    log.look().unwrap();
    assert!(log.parts.is_empty());
}

#[test]
fn a_part_is_known_by_its_name_and_first_line() {
    let dir = Dir::new("id");
    dir.append("first\nsecond\n");
    let id = |name: &Path, at: &Path| Part::open(name, at).unwrap().unwrap().id;
    let before = id(&dir.path(), &dir.path());
    std::fs::rename(dir.path(), dir.0.join("access.log-20261129")).unwrap();
    std::fs::write(dir.0.join("access.log.2.gz"), "first\n").unwrap();
    dir.append("another\n");
    let rotated = Log::new(&dir.path()).rotated();
    assert_eq!(rotated.iter().map(|p| p.id).collect::<Vec<_>>(), [before]);
    assert_ne!(id(&dir.path(), &dir.path()), before);
    assert_ne!(id(Path::new("other.log"), &dir.0.join("access.log-20261129")), before);
}

#[test]
fn in_the_middle_of_a_line_it_goes_on_with_the_next_one() {
    let dir = Dir::new("middle");
    dir.append("first\nsecond\nthird\n");
    let part = || Part::open(&dir.path(), &dir.path()).unwrap().unwrap();
    for (at, want) in [(0, "first\nsecond\nthird\n"), (6, "second\nthird\n"), (8, "third\n"), (19, "")] {
        let mut p = part();
        p.go_to(at).unwrap();
        assert_eq!(p.read().unwrap().map_or(Vec::new(), |p| p.text), want.as_bytes(), "{at}");
    }
}

#[test]
fn a_line_that_is_too_long_is_passed_over_and_the_next_one_read() {
    let dir = Dir::new("long");
    dir.append("first\n");
    dir.append(&"x".repeat(MAX_LINE + 2 * PIECE));
    let mut log = Log::new(&dir.path());
    assert_eq!(drained(&mut log), "first\n");
    dir.append("\nnext\n");
    assert_eq!(drained(&mut log), "next\n");
}
