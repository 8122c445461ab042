//! Embeddings beside OpenAI's: TEI, Cohere, Ollama, llama.cpp, vLLM, Voyage.
use super::tables::{Plain, always, ends_with_any};

/// The dialect.
pub static EMBED: Plain = Plain {
    one_call: always,
    ..Plain::new("embed", |path| {
        ends_with_any(
            path,
            &[
                "/embed",
                "/embedding",
                "/embed_all",
                "/embed_sparse",
                "/pooling",
                "/encode",
                "/multimodalembeddings",
                "/api/embeddings",
            ],
        )
    })
};
