//! A report as one HTML file: it loads nothing, has no script, adapts to light and dark, and can be printed.
//! `maud` escapes whatever comes from logs.

use super::chart;
use super::doc::{Block, Document, Table};
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// The page's policy: its own style, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:";

pub fn write(d: &Document) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="referrer" content="no-referrer";
                // Without one a browser asks the server for it.
                link rel="icon" href="data:,";
                title { (d.title) }
                style { (PreEscaped(include_str!("style.css"))) }
            }
            body {
                main {
                    h1 { (d.title) }
                    @for text in &d.lead { p { (prose(text)) } }
                    nav aria-label="Contents" { ul {
                        @for (i, s) in d.sections.iter().enumerate() { li { a href=(format!("#s{i}")) { (s.title) } } }
                    } }
                    @for (i, s) in d.sections.iter().enumerate() {
                        section aria-labelledby=(format!("s{i}")) {
                            h2 id=(format!("s{i}")) { (s.title) }
                            @for (j, b) in s.blocks.iter().enumerate() { (block(b, &format!("c{i}-{j}"))) }
                        }
                    }
                }
                footer { "Written by weir " (env!("CARGO_PKG_VERSION")) ". Hashes and counts only; times are UTC." }
            }
        }
    };
    page.into_string()
}

fn block(b: &Block, id: &str) -> Markup {
    html! {
        @match b {
            Block::Text(t) => p { (prose(t)) },
            Block::Note(t) => p.note role="note" { (prose(t)) },
            Block::Pairs(caption, rows) => table {
                caption { (caption) }
                tbody { @for (name, value) in rows { tr { th scope="row" { (name) } td { (value) } } } }
            },
            Block::Code(what, text) => { p { (prose(what)) } pre { code { (text) } } },
            Block::Chart(c) => (chart::svg(c, id)),
            Block::Table(t) if t.folded => details { summary { (t.caption) } (table(t)) },
            Block::Table(t) => (table(t)),
        }
    }
}

/// Renders prose: text between backticks is code.
fn prose(text: &str) -> Markup {
    html! { @for (i, part) in text.split('`').enumerate() { @if i % 2 == 1 { code { (part) } } @else { (part) } } }
}

fn table(t: &Table) -> Markup {
    let class = |figure: bool| figure.then_some("n");
    html! {
        div.wide { table {
            caption { (t.caption) }
            thead { tr { @for (head, figure) in &t.heads { th scope="col" class=[class(*figure)] { (head) } } } }
            tbody {
                @for row in &t.rows { tr {
                    @for (cell, (_, figure)) in row.iter().zip(&t.heads) { td class=[class(*figure)] { (cell) } }
                } }
            }
        } }
    }
}
