//! Request wire formats. A dialect is a set of tables that steer the reader, the paths it claims, and its
//! error bodies; it decides nothing. To add one: a file, a line in `DIALECTS`, fixtures, rows in
//! `envoy/README.md`.

mod anthropic_batches;
mod anthropic_complete;
mod anthropic_messages;
mod bedrock_agents;
mod bedrock_converse;
mod bedrock_invoke;
mod cloudflare;
mod cohere_chat;
mod conversations;
mod dashscope;
mod embed;
pub mod facts;
mod gemini_batch;
mod gemini_cached;
mod gemini_generate;
pub mod gemini_grpc;
mod gemini_interactions;
mod huggingface;
mod invocations;
mod kserve_infer;
mod llamacpp_completion;
mod mistral_batch;
mod ollama_chat;
mod ollama_generate;
mod openai_assistants;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod openai_evals;
mod openai_files;
mod openai_media;
mod openai_realtime;
mod openai_responses;
mod oracle_chat;
pub mod path;
pub mod reader;
mod replicate;
pub mod reply;
mod rerank;
pub mod sampler;
mod tables;
mod tgi_generate;
mod vertex_batch;
mod vertex_predict;
mod vertex_raw;
mod watsonx;

pub use crate::engine::json::unreadable::Unreadable;
pub use facts::{Facts, Window};
pub use reply::Reply;

/// What the value of a JSON key means to the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field {
    /// The whole document.
    Root,
    /// Ignored.
    #[default]
    Ignore,
    /// The model's name.
    Model,
    /// `stream`.
    Stream,
    /// A sampling parameter: its value belongs to the request shape.
    Param,
    /// The number of answers asked for; also part of the request shape.
    Count,
    /// An object of sampling parameters.
    Params,
    /// System or developer text: a string, or parts.
    Instructions,
    /// User text outside of messages: a string, strings, or token ids.
    Prompt,
    /// Either a prompt string or a list of messages.
    Input,
    /// A list of messages.
    Messages,
    /// The messages before a prompt that is a field of its own.
    History,
    /// One message.
    Message,
    /// The role of a message.
    Role,
    /// The same where servers ignore its case.
    Speaker,
    /// The text of a message: a string, or parts.
    Content,
    /// The result of a tool: user text that makes the request a conversation.
    ToolText,
    /// A tool call by the model: makes the request a conversation.
    ToolCall,
    /// Images, audio, files: strings that decode from base64 to text are read, others are skipped.
    Media,
    /// The content of a file: text, or base64 as in `Media`.
    Data,
    /// The type of the `Data` beside it, or of the part that it stands in.
    Kind,
    /// The media type of a message or part that is a file itself.
    MediaType,
    /// A prompt string, a list of messages, or a whole document.
    Body,
    /// A list of requests: each a whole document, or a prompt.
    Items,
    /// A reference to a stored prompt, with `variables`.
    Template,
    /// Text beside the prompt: documents, titles, variables of a template. Strings, also in objects whose
    /// keys the caller chooses. Read as far as the instructions leave room.
    Context,
    /// Text beside the messages that is only sampled, at any depth: tools, arguments of calls, schemas.
    Other,
}

/// Meaning of one JSON key. The first four bytes of its name are kept as a number, for a quick search. There
/// are about 600 rows of 16 bytes.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Name of the key, in lower case.
    pub name: &'static str,
    /// First four bytes of the name.
    pub start: u32,
    /// Meaning of the value.
    pub field: Field,
}

/// A row of a table.
pub(crate) const fn row(name: &'static str, field: Field) -> Row {
    let (mut start, mut shift, mut rest) = (0u32, 0u32, name.as_bytes());
    while let [b, after @ ..] = rest {
        if shift == 32 {
            break;
        }
        start |= (*b as u32) << shift;
        shift = shift.wrapping_add(8);
        rest = after;
    }
    Row { name, start, field }
}

/// A dialect: one wire format of requests.
pub trait Dialect: Sync {
    /// Name in reports, metrics and fixtures.
    fn name(&self) -> &'static str;
    /// True if it claims this path (normalised: `path::Normal`).
    fn claims(&self, path: &[u8]) -> bool;
    /// The table of keys of an object whose own meaning is `of`. A row named `*` stands for all keys that
    /// have none.
    fn fields(&self, of: Field) -> &'static [Row];
    /// True if each prompt of a list is charged like a request of its own on this path. False if a list is
    /// one call: texts to embed, or to rank.
    fn charges_items(&self, _path: &[u8]) -> bool {
        true
    }
    /// True if the path itself asks for a stream.
    fn streams(&self, _path: &[u8]) -> bool {
        false
    }
    /// True if bodies may be JSON lines, also within a multipart form. Each line is a document.
    fn lines(&self) -> bool {
        false
    }
    /// The fields of the message, if bodies are protobuf in a gRPC frame.
    fn protobuf(&self, _path: &[u8]) -> Option<&'static [gemini_grpc::Entry]> {
        None
    }
    /// True if a body without a prompt is valid on this path: it creates an object that later prompts refer
    /// to, or names a file.
    fn may_be_empty(&self, _path: &[u8]) -> bool {
        false
    }
    /// The dialect of WebSocket messages on its paths. Realtime, Responses and Gemini Live share one.
    fn frames(&self) -> &'static dyn Dialect {
        &openai_realtime::REALTIME
    }
    /// Appends the body of an error reply.
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>);
    /// Appends headers of an error reply.
    fn headers(&self, _reply: &Reply<'_>, _out: &mut Vec<(&'static str, String)>) {}
}

// Not of each format: its code would be in the module, and nobody prints one there.
impl std::fmt::Debug for dyn Dialect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// All dialects, the most specific first.
pub static DIALECTS: &[&dyn Dialect] = &[
    &openai_chat::Chat,
    &openai_completions::Completions,
    &openai_responses::Responses,
    &openai_embeddings::Embeddings,
    &anthropic_messages::Messages,
    &gemini_generate::Generate,
    &gemini_grpc::Grpc,
    &bedrock_converse::Converse,
    &bedrock_invoke::Invoke,
    &cohere_chat::Chat,
    &ollama_generate::Generate,
    &ollama_chat::Chat,
    &watsonx::TEXT,
    &dashscope::SERVICES,
    &cloudflare::RUN,
    &anthropic_batches::BATCHES,
    &gemini_batch::BATCH,
    &gemini_cached::CACHED,
    &gemini_interactions::INTERACTIONS,
    &vertex_raw::RAW,
    &vertex_batch::JOBS,
    &vertex_predict::PREDICT,
    &bedrock_agents::AGENTS,
    &conversations::CONVERSATIONS,
    &openai_assistants::THREADS,
    &openai_evals::EVALS,
    &openai_realtime::REALTIME,
    &mistral_batch::JOBS,
    &openai_files::FILES,
    &openai_media::MEDIA,
    &kserve_infer::INFER,
    &tgi_generate::GENERATE,
    &invocations::INVOCATIONS,
    &llamacpp_completion::COMPLETION,
    &anthropic_complete::COMPLETE,
    &embed::EMBED,
    &rerank::RERANK,
    &oracle_chat::ACTIONS,
    &replicate::PREDICTIONS,
    &huggingface::MODELS,
];

/// The dialect that claims a path.
pub fn dialect_for(path: &path::Normal) -> Option<&'static dyn Dialect> {
    DIALECTS.iter().find(|d| d.claims(path.end())).copied()
}

/// Parts of a message that the chat formats share.
pub(crate) const PARTS: &[Row] = &[
    row("text", Field::Content),
    row("type", Field::Kind),
    row("content", Field::ToolText),
    row("output", Field::ToolText),
    row("toolresult", Field::ToolText),
    // Kinds of parts that vLLM reads in the messages of any role.
    row("refusal", Field::Content),
    row("thinking", Field::Content),
    row("title", Field::Context),
    row("context", Field::Context),
    row("image_url", Field::Media),
    row("audio_url", Field::Media),
    row("video_url", Field::Media),
    row("image_embeds", Field::Media),
    row("audio_embeds", Field::Media),
    row("data", Field::Media),
    row("mime_type", Field::MediaType),
    row("input_image", Field::Media),
    row("input_audio", Field::Media),
    row("input_file", Field::Media),
    row("source", Field::Media),
    row("image", Field::Media),
    row("document", Field::Media),
    row("video", Field::Media),
    row("file", Field::Media),
    row("file_data", Field::Media),
    row("file_id", Field::Media),
    row("file_url", Field::Media),
    row("tooluse", Field::ToolCall),
    row("tool_use_id", Field::ToolCall),
];

/// Parts of the result of a tool.
pub(crate) const TOOL_PARTS: &[Row] = &[
    row("text", Field::ToolText),
    row("content", Field::ToolText),
    row("output", Field::ToolText),
    row("json", Field::ToolText),
    row("logs", Field::ToolText),
    row("lines", Field::ToolText),
    row("stdout", Field::Context),
    row("stderr", Field::Context),
    row("title", Field::Context),
    row("context", Field::Context),
    row("image", Field::Media),
    row("image_url", Field::Media),
    row("file_data", Field::Media),
    row("source", Field::Media),
    row("document", Field::Media),
];

/// Keys beside a file: its type and name. Any other key may hold the file itself.
pub(crate) const MEDIA: &[Row] = &[
    row("type", Field::Kind),
    row("format", Field::Kind),
    row("media_type", Field::Kind),
    row("mimetype", Field::Kind),
    row("mime_type", Field::Kind),
    row("name", Field::Kind),
    row("filename", Field::Kind),
    row("file_name", Field::Kind),
    row("displayname", Field::Kind),
    row("display_name", Field::Kind),
    row("id", Field::Ignore),
    row("file_id", Field::Ignore),
    row("detail", Field::Ignore),
];

/// Sources of documents, which may be plain text.
pub(crate) const DOCUMENT: &[Row] = &[
    row("type", Field::Kind),
    row("media_type", Field::Kind),
    row("mime_type", Field::Kind),
    row("format", Field::Kind),
    row("filename", Field::Kind),
    row("file_id", Field::Ignore),
    row("data", Field::Data),
    row("content", Field::Content),
];

/// Parts of instructions.
pub(crate) const INSTRUCTION_PARTS: &[Row] =
    &[row("text", Field::Instructions), row("parts", Field::Instructions)];

/// Tables that most formats share.
#[inline(never)]
pub(crate) fn common(of: Field) -> &'static [Row] {
    match of {
        Field::Content => PARTS,
        Field::ToolText => TOOL_PARTS,
        Field::Instructions => INSTRUCTION_PARTS,
        Field::Media => MEDIA,
        // llama.cpp takes objects as prompts.
        Field::Prompt => {
            const {
                &[
                    row("text", Field::Prompt),
                    row("prompt_string", Field::Prompt),
                    row("multimodal_data", Field::Media),
                    row("image", Field::Media),
                ]
            }
        }
        Field::Template => const { &[row("variables", Field::Context)] },
        Field::Context => const { &[row("*", Field::Context)] },
        Field::Params => {
            const {
                &[
                    row("temperature", Field::Param),
                    row("topp", Field::Param),
                    row("top_p", Field::Param),
                    row("topk", Field::Param),
                    row("candidatecount", Field::Count),
                    row("candidate_count", Field::Count),
                    row("maxoutputtokens", Field::Param),
                    row("maxtokens", Field::Param),
                    row("num_predict", Field::Param),
                    row("seed", Field::Param),
                    row("responselogprobs", Field::Param),
                    row("logprobs", Field::Param),
                    row("maxtokencount", Field::Param),
                ]
            }
        }
        _ => &[],
    }
}

/// A chat message of most formats. It lists only keys that servers read: text under an ignored key would
/// displace the prompt from the window.
pub(crate) const CHAT_MESSAGE: &[Row] = &[
    row("role", Field::Role),
    row("content", Field::Content),
    row("images", Field::Media),
    row("tool_calls", Field::ToolCall),
    row("tool_call_id", Field::ToolCall),
    row("function_call", Field::ToolCall),
];

/// A chat message of Cohere, whose first version names the content `message`.
pub(crate) const COHERE_MESSAGE: &[Row] = &[
    row("role", Field::Speaker),
    row("content", Field::Content),
    row("message", Field::Content),
    row("tool_calls", Field::ToolCall),
    row("tool_call_id", Field::ToolCall),
    row("tool_results", Field::ToolText),
];

/// Parts of a message of Cohere.
pub(crate) const COHERE_PARTS: &[Row] = &[
    row("text", Field::Content),
    row("type", Field::Kind),
    row("thinking", Field::Content),
    row("document", Field::ToolText),
    row("image_url", Field::Media),
];

/// Results of tools of Cohere, under names that the caller chooses.
pub(crate) const COHERE_TOOL: &[Row] = &[
    row("id", Field::Ignore),
    row("type", Field::Ignore),
    row("call", Field::Ignore),
    row("image_url", Field::Media),
    row("source", Field::Media),
    row("*", Field::ToolText),
];
