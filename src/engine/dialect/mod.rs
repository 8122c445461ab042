//! Request wire formats. A dialect is a set of tables that steer the reader, the paths it claims, and its error bodies; it
//! never decides anything. To add one: a file, a line in `DIALECTS`, fixtures, a row in the README.

mod anthropic_messages;
mod bedrock_converse;
mod bedrock_invoke;
mod cohere_chat;
pub mod facts;
mod gemini_generate;
mod ollama_chat;
mod ollama_generate;
mod openai_chat;
mod openai_completions;
mod openai_embeddings;
mod openai_responses;
pub mod path;
pub mod reader;
pub mod reply;

pub use facts::{Facts, Unreadable, Window};
pub use reply::Reply;

/// What a value in a body is, to the reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Field {
    /// The document.
    Root,
    /// Of no interest.
    #[default]
    Ignore,
    /// The model's name.
    Model,
    /// `stream`.
    Stream,
    /// A sampling parameter: its value belongs to the request shape.
    Param,
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
    /// The messages before a prompt that stands beside them.
    History,
    /// One message.
    Message,
    /// Its role.
    Role,
    /// Its role, where servers ignore its case.
    Speaker,
    /// Its text: a string, or parts.
    Content,
    /// The answer of a tool: user text that makes the request a conversation.
    ToolText,
    /// A tool call of the model: makes the request a conversation.
    ToolCall,
    /// Images, audio, files: not looked at.
    Media,
    /// The content of a file: text is read, base64 is not.
    Data,
    /// What kind of `Data` or of part stands beside it.
    Kind,
    /// A stored prompt with `variables`.
    Template,
    /// Text beside the prompt: documents, titles, variables of a template. Strings, also in objects whose keys the caller
    /// chooses; read as far as the instructions leave room.
    Context,
}

/// A wire format.
pub trait Dialect: Sync + std::fmt::Debug {
    /// Name in reports, metrics and fixtures.
    fn name(&self) -> &'static str;
    /// Does it claim this path (normalised: see `path::Normal`)?
    fn claims(&self, path: &[u8]) -> bool;
    /// What the keys of an object are that is itself `of`. The name `*` stands for all keys that the table does not hold.
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)];
    /// The asker may want a stream that the path, not the body, asks for.
    fn streams(&self, _path: &[u8]) -> bool {
        false
    }
    /// Appends the error body.
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>);
    /// Appends headers of its own.
    fn headers(&self, _reply: &Reply<'_>, _out: &mut Vec<(&'static str, String)>) {}
}

/// All wire formats, most specific first.
pub static DIALECTS: &[&dyn Dialect] = &[
    &openai_chat::Chat,
    &openai_completions::Completions,
    &openai_responses::Responses,
    &openai_embeddings::Embeddings,
    &anthropic_messages::Messages,
    &gemini_generate::Generate,
    &bedrock_converse::Converse,
    &bedrock_invoke::Invoke,
    &cohere_chat::Chat,
    &ollama_generate::Generate,
    &ollama_chat::Chat,
];

/// The dialect that claims a path.
pub fn dialect_for(path: &path::Normal) -> Option<&'static dyn Dialect> {
    DIALECTS.iter().find(|d| d.claims(path.end())).copied()
}

/// Parts of a message that the chat formats share.
pub(crate) const PARTS: &[(&str, Field)] = &[
    ("text", Field::Content),
    ("type", Field::Kind),
    ("content", Field::ToolText),
    ("output", Field::ToolText),
    ("toolresult", Field::ToolText),
    // Kinds of parts that vLLM reads in the messages of any role.
    ("refusal", Field::Content),
    ("thinking", Field::Content),
    ("title", Field::Context),
    ("context", Field::Context),
    ("image_url", Field::Media),
    ("audio_url", Field::Media),
    ("video_url", Field::Media),
    ("image_embeds", Field::Media),
    ("audio_embeds", Field::Media),
    ("data", Field::Media),
    ("input_image", Field::Media),
    ("input_audio", Field::Media),
    ("input_file", Field::Media),
    ("source", Field::Media),
    ("image", Field::Media),
    ("document", Field::Media),
    ("video", Field::Media),
    ("file", Field::Media),
    ("file_data", Field::Media),
    ("file_id", Field::Media),
    ("file_url", Field::Media),
    ("tooluse", Field::ToolCall),
    ("tool_use_id", Field::ToolCall),
];

/// Parts of an answer of a tool.
pub(crate) const TOOL_PARTS: &[(&str, Field)] = &[
    ("text", Field::ToolText),
    ("content", Field::ToolText),
    ("output", Field::ToolText),
    ("json", Field::ToolText),
    ("logs", Field::ToolText),
    ("lines", Field::ToolText),
    ("stdout", Field::Context),
    ("stderr", Field::Context),
    ("title", Field::Context),
    ("context", Field::Context),
    ("image", Field::Media),
    ("image_url", Field::Media),
    ("file_data", Field::Media),
    ("source", Field::Media),
    ("document", Field::Media),
];

/// Sources of documents, which may be plain text.
pub(crate) const DOCUMENT: &[(&str, Field)] =
    &[("type", Field::Kind), ("media_type", Field::Kind), ("data", Field::Data), ("content", Field::Content)];

/// Parts of instructions.
pub(crate) const INSTRUCTION_PARTS: &[(&str, Field)] =
    &[("text", Field::Instructions), ("parts", Field::Instructions)];

/// Tables that most formats share.
pub(crate) fn common(of: Field) -> &'static [(&'static str, Field)] {
    match of {
        Field::Content => PARTS,
        Field::ToolText => TOOL_PARTS,
        Field::Instructions => INSTRUCTION_PARTS,
        // llama.cpp takes objects as prompts.
        Field::Prompt => &[
            ("text", Field::Prompt),
            ("prompt_string", Field::Prompt),
            ("multimodal_data", Field::Media),
            ("image", Field::Media),
        ],
        Field::Template => &[("variables", Field::Context)],
        Field::Context => &[("*", Field::Context)],
        Field::Params => &[
            ("temperature", Field::Param),
            ("topp", Field::Param),
            ("top_p", Field::Param),
            ("topk", Field::Param),
            ("candidatecount", Field::Param),
            ("maxoutputtokens", Field::Param),
            ("maxtokens", Field::Param),
            ("num_predict", Field::Param),
            ("seed", Field::Param),
            ("responselogprobs", Field::Param),
            ("logprobs", Field::Param),
            ("maxtokencount", Field::Param),
        ],
        _ => &[],
    }
}

/// A chat message of most formats. Only what the server reads: text under a key that it passes over would fill our window.
pub(crate) const CHAT_MESSAGE: &[(&str, Field)] = &[
    ("role", Field::Role),
    ("content", Field::Content),
    ("images", Field::Media),
    ("tool_calls", Field::ToolCall),
    ("tool_call_id", Field::ToolCall),
    ("function_call", Field::ToolCall),
];

/// A chat message of Cohere, whose first version says `message` for `content`.
pub(crate) const COHERE_MESSAGE: &[(&str, Field)] = &[
    ("role", Field::Speaker),
    ("content", Field::Content),
    ("message", Field::Content),
    ("tool_calls", Field::ToolCall),
    ("tool_call_id", Field::ToolCall),
    ("tool_results", Field::ToolText),
];

/// Parts of a message of Cohere.
pub(crate) const COHERE_PARTS: &[(&str, Field)] = &[
    ("text", Field::Content),
    ("type", Field::Kind),
    ("thinking", Field::Content),
    ("document", Field::ToolText),
    ("image_url", Field::Media),
];

/// Answers of tools of Cohere, under names that the caller chooses.
pub(crate) const COHERE_TOOL: &[(&str, Field)] = &[
    ("id", Field::Ignore),
    ("type", Field::Ignore),
    ("call", Field::Ignore),
    ("image_url", Field::Media),
    ("source", Field::Media),
    ("*", Field::ToolText),
];
