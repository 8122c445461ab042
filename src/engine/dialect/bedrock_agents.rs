//! Bedrock agents, flows, retrieve-and-generate, and asynchronous invocations.
use super::tables::{Plain, always, any, bare_message, ends_with_any, holds, under};
use super::{Field, Row, row};

/// The dialect.
pub static AGENTS: Plain = Plain {
    fields,
    streams: |path| path.ends_with(b"stream"),
    errors: bare_message,
    empty: always,
    ..Plain::new("bedrock_agents", |path| {
        ends_with_any(path, &["/retrieveandgenerate", "/retrieveandgeneratestream", "/async-invoke"])
            || (path.ends_with(b"/text") && holds(path, "/agents/"))
            || (holds(path, "/flows/") && under(path, "aliases"))
            || (under(path, "agents") && !path.ends_with(b"/completions"))
    })
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("inputtext", Field::Prompt),
                    row("input", Field::Root),
                    row("inputs", Field::Items),
                    row("content", Field::Root),
                    row("document", Field::Body),
                    row("text", Field::Prompt),
                    row("modelinput", Field::Root),
                    row("prompt", Field::Prompt),
                    row("messages", Field::Messages),
                    row("system", Field::Instructions),
                    row("instruction", Field::Instructions),
                    row("sessionstate", Field::Root),
                    row("promptsessionattributes", Field::Context),
                    row("sessionattributes", Field::Context),
                    row("conversationhistory", Field::Root),
                    row("retrieveandgenerateconfiguration", Field::Root),
                    row("knowledgebaseconfiguration", Field::Root),
                    row("externalsourcesconfiguration", Field::Root),
                    row("generationconfiguration", Field::Root),
                    row("prompttemplate", Field::Root),
                    row("textprompttemplate", Field::Instructions),
                    row("modelid", Field::Model),
                ]
            }
        }
        other => any(other),
    }
}
