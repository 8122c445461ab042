//! Bodies of refusals: a generic sentence and an opaque case id, never the signal.

use std::io::Write;

/// Content of a refusal, before a dialect formats it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    /// HTTP status: 429 or the configured one, or 400 for an unreadable body.
    pub status: u16,
    /// Case id, as text.
    pub case: &'a str,
    /// Seconds that the caller should wait, for throttles.
    pub retry_after_s: Option<u64>,
}

impl Reply<'_> {
    /// True if the body was unreadable, which is reported as the caller's error.
    pub fn is_bad_request(&self) -> bool {
        self.status == 400
    }
    /// The generic sentence, with the case id.
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
    /// An object with the message in one field, as several servers send it.
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

/// Appends formatted text. Writing to a `Vec` cannot fail.
pub fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let _ = out.write_fmt(text);
}
