//! Gemini generateContent and streamGenerateContent.

use super::path::split_last;
use super::reply::put;
use super::{Dialect, Field, Reply, common};

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
    fn fields(&self, of: Field) -> &'static [(&'static str, Field)] {
        match of {
            Field::Root => &[
                ("contents", Field::Messages),
                ("systeminstruction", Field::Instructions),
                ("system_instruction", Field::Instructions),
                ("generationconfig", Field::Params),
                ("generation_config", Field::Params),
            ],
            Field::Message => &[("role", Field::Role), ("parts", Field::Content)],
            Field::Content => &[
                ("text", Field::Content),
                ("functionresponse", Field::ToolText),
                ("function_response", Field::ToolText),
                ("codeexecutionresult", Field::ToolText),
                ("code_execution_result", Field::ToolText),
                ("toolresponse", Field::ToolText),
                ("tool_response", Field::ToolText),
                ("executablecode", Field::ToolText),
                ("executable_code", Field::ToolText),
                ("functioncall", Field::ToolCall),
                ("function_call", Field::ToolCall),
                ("inlinedata", Field::Media),
                ("inline_data", Field::Media),
                ("filedata", Field::Media),
                ("file_data", Field::Media),
            ],
            Field::ToolText => &[
                ("id", Field::Ignore),
                ("name", Field::Ignore),
                ("outcome", Field::Ignore),
                ("inlinedata", Field::Media),
                ("inline_data", Field::Media),
                ("filedata", Field::Media),
                ("file_data", Field::Media),
                ("*", Field::ToolText),
            ],
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
