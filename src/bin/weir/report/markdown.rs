//! A report as Markdown. A chart becomes its description and the table beside it.

use super::doc::{Block, Document, Table};

pub fn write(d: &Document) -> String {
    let mut out = format!("# {}\n", escaped(&d.title));
    for text in &d.lead {
        out.push_str(&format!("\n{}\n", escaped(text)));
    }
    for s in &d.sections {
        out.push_str(&format!("\n## {}\n", escaped(&s.title)));
        for b in &s.blocks {
            out.push('\n');
            match b {
                Block::Text(t) => out.push_str(&format!("{}\n", escaped(t))),
                Block::Note(t) => out.push_str(&format!("> {}\n", escaped(t))),
                Block::Pairs(caption, rows) => {
                    let rows = rows.iter().map(|(n, v)| vec![n.clone(), v.clone()]).collect();
                    let heads = vec![("what", false), ("is", false)];
                    table(&Table { caption: caption.clone(), heads, rows, folded: false }, &mut out);
                }
                Block::Table(t) => table(t, &mut out),
                Block::Code(what, text) => {
                    let indented: Vec<String> = text.lines().map(|l| format!("    {l}")).collect();
                    out.push_str(&format!("{}\n\n{}\n", escaped(what), indented.join("\n")));
                }
                Block::Chart(c) => out.push_str(&format!("*{}.* {}\n", escaped(&c.title), escaped(&c.says))),
            }
        }
    }
    out
}

fn table(t: &Table, out: &mut String) {
    out.push_str(&format!("**{}**\n\n|", escaped(&t.caption)));
    t.heads.iter().for_each(|h| out.push_str(&format!(" {} |", escaped(h.0))));
    out.push_str("\n|");
    t.heads.iter().for_each(|h| out.push_str(if h.1 { "---:|" } else { "---|" }));
    out.push('\n');
    for row in &t.rows {
        out.push('|');
        row.iter().for_each(|c| out.push_str(&format!(" {} |", escaped(c))));
        out.push('\n');
    }
}

/// Escapes a text, so that Markdown takes it as text: HTML and links, too. Backticks stay, as what stands
/// between them is text.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' => out.push(' '),
            '\\' | '*' | '[' | ']' | '|' | '#' | '!' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}
