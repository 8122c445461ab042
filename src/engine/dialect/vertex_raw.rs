//! Partner models on Vertex: the body is in the vendor's own format.
use super::tables::{Plain, ends_with_any};

/// The dialect.
pub static RAW: Plain = Plain {
    streams: |path| path.ends_with(b":streamrawpredict"),
    ..Plain::new("vertex_raw", |path| ends_with_any(path, &[":rawpredict", ":streamrawpredict"]))
};
