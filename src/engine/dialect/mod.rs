//! Request wire formats. A dialect turns scanner events into `Facts`; it never decides anything.

pub mod facts;

pub use facts::{Facts, Unreadable, Window};
