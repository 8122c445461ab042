//! Sorts requests by time within a window: exports have the newest first, log shippers mix files.

use crate::requests::batch::Request;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use weir::engine::Decision;
use weir::engine::edge::extract::VALUES;

/// Default number of requests in the window: 3 KiB each at most, so 192 MiB.
pub const USUAL: u32 = 65_536;

/// A request in the window.
pub struct Waiting {
    /// Its number in the order read.
    pub index: u64,
    pub early: Option<Decision>,
    pub request: Request,
    pub label: Option<String>,
    pub times: Vec<(String, u32)>,
}

impl Waiting {
    fn at(&self) -> (u64, u64) {
        (self.request.time.0, self.index)
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.at() == other.at()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The earliest request is the greatest, for a heap.
impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> Ordering {
        other.at().cmp(&self.at())
    }
}

/// The requests in the window.
pub struct Window {
    waiting: BinaryHeap<Waiting>,
    most: usize,
}

impl Window {
    pub fn new(most: u32) -> Window {
        Window { waiting: BinaryHeap::new(), most: most as usize }
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Adds a request. If the window is full, returns the earliest.
    pub fn take(&mut self, mut one: Waiting) -> Option<Waiting> {
        // Without room for more.
        one.request.x.values.shrink_to(VALUES);
        self.waiting.push(one);
        if self.waiting.len() > self.most { self.waiting.pop() } else { None }
    }

    /// Removes the earliest request.
    pub fn pop(&mut self) -> Option<Waiting> {
        self.waiting.pop()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir::engine::units::Nanos;

    fn one(index: u64, time: u64) -> Waiting {
        let request = Request { time: Nanos(time), ..Request::default() };
        Waiting { index, early: None, request, label: None, times: Vec::new() }
    }

    #[test]
    fn the_earliest_leaves_first_and_no_more_than_the_window_wait() {
        let mut window = Window::new(3);
        let mut out: Vec<(u64, u64)> = Vec::new();
        for (i, time) in [9, 8, 7, 6, 6, 20, 1].into_iter().enumerate() {
            out.extend(window.take(one(i as u64, time)).map(|w| (w.request.time.0, w.index)));
            assert!(window.waiting.len() <= 3);
        }
        out.extend(std::iter::from_fn(|| window.pop()).map(|w| (w.request.time.0, w.index)));
        assert_eq!(out, [(6, 3), (6, 4), (7, 2), (1, 6), (8, 1), (9, 0), (20, 5)]);
        assert!(window.is_empty());
    }

    #[test]
    fn what_waits_is_as_small_as_its_number_says() {
        let bytes = size_of::<Waiting>() + VALUES * 8;
        assert!(bytes <= 3 << 10, "{bytes}");
        assert_eq!(u64::from(USUAL) * (3 << 10), 192 << 20);
    }
}
