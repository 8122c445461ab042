//! Gemini generateContent and streamGenerateContent.

use super::path::split_last;
use super::reply::put;
use super::{Dialect, Field, Reply, Row, common, row};

/// `…/models/NAME:generateContent` and the like.
#[derive(Debug)]
pub struct Generate;

impl Dialect for Generate {
    fn name(&self) -> &'static str {
        "gemini_generate"
    }
    fn claims(&self, path: &[u8]) -> bool {
        let (_, last) = split_last(path);
        last.ends_with(b":generatecontent") || last.ends_with(b":streamgeneratecontent")
    }
    fn fields(&self, of: Field) -> &'static [Row] {
        match of {
            Field::Root => {
                const {
                    &[
                        row("contents", Field::Messages),
                        row("systeminstruction", Field::Instructions),
                        row("system_instruction", Field::Instructions),
                        row("generationconfig", Field::Params),
                        row("generation_config", Field::Params),
                    ]
                }
            }
            Field::Message => const { &[row("role", Field::Role), row("parts", Field::Content)] },
            Field::Content => {
                const {
                    &[
                        row("text", Field::Content),
                        row("functionresponse", Field::ToolText),
                        row("function_response", Field::ToolText),
                        row("codeexecutionresult", Field::ToolText),
                        row("code_execution_result", Field::ToolText),
                        row("toolresponse", Field::ToolText),
                        row("tool_response", Field::ToolText),
                        row("executablecode", Field::ToolText),
                        row("executable_code", Field::ToolText),
                        row("functioncall", Field::ToolCall),
                        row("function_call", Field::ToolCall),
                        row("inlinedata", Field::Media),
                        row("inline_data", Field::Media),
                        row("filedata", Field::Media),
                        row("file_data", Field::Media),
                    ]
                }
            }
            Field::ToolText => {
                const {
                    &[
                        row("id", Field::Ignore),
                        row("name", Field::Ignore),
                        row("outcome", Field::Ignore),
                        row("inlinedata", Field::Media),
                        row("inline_data", Field::Media),
                        row("filedata", Field::Media),
                        row("file_data", Field::Media),
                        row("*", Field::ToolText),
                    ]
                }
            }
            other => common(other),
        }
    }
    fn streams(&self, path: &[u8]) -> bool {
        split_last(path).1.ends_with(b":streamgeneratecontent")
    }
    fn body(&self, reply: &Reply<'_>, out: &mut Vec<u8>) {
        let status = match reply.status {
            400 => "INVALID_ARGUMENT",
            403 => "PERMISSION_DENIED",
            _ => "RESOURCE_EXHAUSTED",
        };
        put(
            out,
            format_args!(
                r#"{{"error":{{"code":{},"message":"{}","status":"{status}""#,
                reply.status,
                reply.message()
            ),
        );
        if reply.status == 429 {
            put(
                out,
                format_args!(
                    r#","details":[{{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{{"quotaMetric":"requests","quotaId":"weir"}}]}}"#
                ),
            );
            if let Some(s) = reply.retry_after_s {
                put(
                    out,
                    format_args!(
                        r#",{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{s}s"}}"#
                    ),
                );
            }
            out.push(b']');
        }
        out.extend_from_slice(b"}}");
    }
}
