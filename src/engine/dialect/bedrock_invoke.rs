//! Bedrock invoke and invoke-with-response-stream. The body is in the format of the model's family, so the
//! table is the union of all.

use super::bedrock_converse::{error_type, is_model_path};
use super::{COHERE_MESSAGE, COHERE_TOOL, DOCUMENT, Dialect, Field, Reply, Row, common, row};

/// `/model/ID/invoke`.
#[derive(Debug)]
pub struct Invoke;

impl Dialect for Invoke {
    fn name(&self) -> &'static str {
        "bedrock_invoke"
    }
    fn claims(&self, path: &[u8]) -> bool {
        is_model_path(path, &[b"invoke", b"invoke-with-response-stream"])
    }
    fn fields(&self, of: Field) -> &'static [Row] {
        match of {
            Field::Root => {
                const {
                    &[
                        row("messages", Field::Messages),
                        row("chat_history", Field::History),
                        row("system", Field::Instructions),
                        row("preamble", Field::Instructions),
                        row("prompt", Field::Prompt),
                        row("inputtext", Field::Prompt),
                        row("message", Field::Prompt),
                        row("texts", Field::Prompt),
                        row("inputprompt", Field::Prompt),
                        row("text_prompts", Field::Prompt),
                        row("texttoimageparams", Field::Prompt),
                        row("inpaintingparams", Field::Prompt),
                        row("outpaintingparams", Field::Prompt),
                        row("imagevariationparams", Field::Prompt),
                        row("colorguidedgenerationparams", Field::Prompt),
                        row("documents", Field::Context),
                        row("tool_results", Field::ToolText),
                        row("temperature", Field::Param),
                        row("top_p", Field::Param),
                        row("max_tokens", Field::Param),
                        row("n", Field::Count),
                        row("num_generations", Field::Count),
                        row("max_gen_len", Field::Param),
                        row("textgenerationconfig", Field::Params),
                        row("inferenceconfig", Field::Params),
                    ]
                }
            }
            Field::Message => COHERE_MESSAGE,
            Field::ToolText => COHERE_TOOL,
            Field::Media => DOCUMENT,
            other => common(other),
        }
    }
    fn streams(&self, path: &[u8]) -> bool {
        path.ends_with(b"-stream")
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        reply.bare("message", out);
    }
    fn headers(&self, reply: &Reply<'_>, out: &mut Vec<(&'static str, String)>) {
        error_type(reply, out);
    }
}
