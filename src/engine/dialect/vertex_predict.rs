//! Prediction: Vertex, KServe's first protocol, TensorFlow Serving.
use super::tables::{Plain, ends_with_any};

/// The dialect.
pub static PREDICT: Plain = Plain::new("vertex_predict", |path| {
    ends_with_any(path, &[":predict", ":predictlongrunning", ":serverstreamingpredict", ":explain"])
});
