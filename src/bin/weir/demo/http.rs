//! The little of HTTP/1.1 that both ends of the demo need.

use std::io::BufRead;

/// The head of a request or a response: its first line, and where its body ends.
#[derive(Debug, Default)]
pub struct Head {
    pub first: String,
    /// `content-length`, bytes; 0 if there is none.
    pub length: u64,
    pub chunked: bool,
    pub close: bool,
}

/// Reads a head; `None` if the other end has closed the connection.
pub fn head(reader: &mut impl BufRead) -> std::io::Result<Option<Head>> {
    let mut head = Head::default();
    if reader.read_line(&mut head.first)? == 0 {
        return Ok(None);
    }
    let mut line = String::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let lower = line.trim_end().to_ascii_lowercase();
        if lower.is_empty() {
            return Ok(Some(head));
        }
        if let Some(v) = lower.strip_prefix("content-length:") {
            head.length = v.trim().parse().unwrap_or(0);
        }
        head.chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
        head.close |= lower == "connection: close";
    }
}
