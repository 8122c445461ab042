//! Bodies of refusals: a generic text and an opaque case id, never the signal.

use std::io::Write;

/// The content of a refusal, before a dialect gives it its form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// HTTP status: 429, a configured one, or 400 for an unreadable body.
    pub status: u16,
    /// Opaque case id.
    pub case: &'a str,
    /// Seconds the caller should wait, for throttles.
    pub retry_after_s: Option<u64>,
}

impl Reply<'_> {
    /// Is the refusal due to an unreadable body? It is reported as the caller's error.
    pub fn is_bad_request(&self) -> bool {
        self.status == 400
    }
    /// The generic sentence.
    pub fn message(&self) -> String {
        let what = match self.status {
            400 => "The request body could not be read.",
            404 => "This path is not served.",
            _ => "Request limit reached.",
        };
        format!("{what} Case {}.", self.case)
    }
    /// OpenAI's error object.
    pub fn openai(&self, out: &mut Vec<u8>) {
        let (kind, code) = match self.status {
            400 => ("invalid_request_error", "invalid_request"),
            403 => ("permission_error", "permission_denied"),
            _ => ("requests", "rate_limit_exceeded"),
        };
        put(
            out,
            format_args!(
                r#"{{"error":{{"message":"{}","type":"{kind}","param":null,"code":"{code}"}}}}"#,
                self.message()
            ),
        );
    }
    /// A bare message, as several servers send it.
    pub fn bare(&self, field: &str, out: &mut Vec<u8>) {
        put(out, format_args!(r#"{{"{field}":"{}"}}"#, self.message()));
    }
    /// Problem details (RFC 9457), for callers whose `accept` asks for them.
    pub fn problem(&self, out: &mut Vec<u8>) {
        put(
            out,
            format_args!(
                r#"{{"type":"https://iana.org/assignments/http-problem-types#abnormal-usage-detected","title":"{}","status":{},"violated-policies":["weir"]}}"#,
                self.message(),
                self.status
            ),
        );
    }
}

/// Appends formatted text. A `Vec` cannot fail to take it.
pub fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}
