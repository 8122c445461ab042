//! Joins requests that a log writes in several records.

use super::request::{Piece, base64};
use std::collections::{BTreeMap, VecDeque};

/// Requests that wait for more records, at most. Beyond that the oldest is taken as it is.
pub const OPEN: usize = 1_024;
/// Bytes of their bodies, at most.
pub const OPEN_BYTES: usize = 64 << 20;

/// Requests that are not complete yet.
#[derive(Default)]
pub struct Join {
    open: BTreeMap<String, Part>,
    order: VecDeque<String>,
    bytes: usize,
}

struct Part {
    line: Vec<u8>,
    body: Vec<u8>,
}

impl Join {
    /// Takes a piece of the request `of`. A request that is complete then goes to `done`, as a line of a
    /// trace. False if the piece belongs to no request.
    pub fn take(&mut self, of: &str, piece: Piece, done: &mut Vec<Vec<u8>>) -> bool {
        match piece {
            Piece::Head(line) => {
                self.end(of, done);
                self.order.push_back(of.to_string());
                self.open.insert(of.to_string(), Part { line, body: Vec::new() });
            }
            Piece::Body(bytes) => {
                let Some(part) = self.open.get_mut(of) else { return false };
                self.bytes += bytes.len();
                part.body.extend(bytes);
            }
            // The answer's further segments end what has ended.
            Piece::End => self.end(of, done),
        }
        while self.open.len() > OPEN || self.bytes > OPEN_BYTES {
            let Some(oldest) = self.order.front().cloned() else { break };
            self.end(&oldest, done);
        }
        true
    }

    /// Ends the log: all requests that still wait go to `done` as they are.
    pub fn finish(&mut self, done: &mut Vec<Vec<u8>>) {
        while let Some(of) = self.order.front().cloned() {
            self.end(&of, done);
        }
    }

    fn end(&mut self, of: &str, done: &mut Vec<Vec<u8>>) {
        let Some(mut part) = self.open.remove(of) else { return };
        self.order.retain(|o| o != of);
        self.bytes -= part.body.len();
        part.line.pop();
        part.line.extend(format!(",\"body_base64\":\"{}\"}}", base64(&part.body)).into_bytes());
        done.push(part.line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_bounded_by_number_and_bytes() {
        let (mut join, mut done) = (Join::default(), Vec::new());
        for i in 0..OPEN + 7 {
            assert!(join.take(&i.to_string(), Piece::Head(b"{}".to_vec()), &mut done));
        }
        assert_eq!((done.len(), join.open.len()), (7, OPEN));
        for i in 7..47 {
            join.take(&i.to_string(), Piece::Body(vec![0; 2 << 20]), &mut done);
            assert!(join.bytes <= OPEN_BYTES);
        }
        assert!(!join.take("none", Piece::Body(vec![1]), &mut done));
        join.finish(&mut done);
        assert_eq!((done.len(), join.bytes, join.order.len()), (OPEN + 7, 0, 0));
    }
}
