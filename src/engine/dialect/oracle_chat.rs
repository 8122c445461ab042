//! Oracle's generative AI, and Snowflake's agents: the request is nested under one key.
use super::tables::{Plain, any, ends_with_any};
use super::{Field, Row, row};

/// The dialect.
pub static ACTIONS: Plain = Plain {
    fields,
    one_call: |path| path.ends_with(b"/actions/embedtext"),
    ..Plain::new("oracle_chat", |path| {
        ends_with_any(
            path,
            &["/actions/chat", "/actions/generatetext", "/actions/embedtext", "/actions/summarizetext"],
        )
    })
};

fn fields(of: Field) -> &'static [Row] {
    match of {
        Field::Root => {
            const {
                &[
                    row("chatrequest", Field::Root),
                    row("inferencerequest", Field::Root),
                    row("messages", Field::Messages),
                    row("message", Field::Prompt),
                    row("prompt", Field::Prompt),
                    row("input", Field::Body),
                    row("inputs", Field::Body),
                    row("chathistory", Field::History),
                    row("preambleoverride", Field::Instructions),
                    row("instructions", Field::Instructions),
                    row("documents", Field::Context),
                    row("servingmode", Field::Root),
                    row("modelid", Field::Model),
                    row("model", Field::Model),
                    row("isstream", Field::Stream),
                    row("stream", Field::Stream),
                    row("temperature", Field::Param),
                    row("topp", Field::Param),
                    row("maxtokens", Field::Param),
                ]
            }
        }
        Field::Content => const { &[row("text", Field::Content), row("imageurl", Field::Media)] },
        other => any(other),
    }
}
