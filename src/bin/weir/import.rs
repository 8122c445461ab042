//! Logs of other systems, as traces. Each record is recognised by itself, whatever stands beside it in a
//! file. A format is one `Format` in a file of its own and a line in `FORMATS`.

mod batch_files;
mod bedrock_invocation;
mod cloudflare;
mod conversations;
mod envoy_access;
mod envoy_tap;
mod helicone;
pub mod join;
mod kong;
mod langfuse;
mod litellm;
mod load_traces;
mod otlp_genai;
mod portkey;
pub mod record;
pub mod request;
pub mod unfold;
mod vertex;
mod vllm_log;

use crate::skip::Skip;
use crate::trace::Line;
use record::Record;
use request::{Beside, Made, Paths, Sink};
use serde_json::value::RawValue;

/// A format of log records.
pub trait Format: Sync {
    /// Name on the command line and in reports.
    fn name(&self) -> &'static str;
    /// True if the record is of this format.
    fn is(&self, record: &Record<'_>) -> bool;
    /// Hands every request of the record to `out`; there may be none.
    ///
    /// # Errors
    /// The record is of this format and cannot be used.
    fn read(&self, record: &Record<'_>, out: &mut Sink<'_>) -> Result<(), Skip>;
}

/// All formats but the trace format itself. The first that recognises a record reads it.
pub static FORMATS: &[&dyn Format] = &[
    &envoy_tap::Buffered,
    &envoy_tap::Streamed,
    &envoy_access::Json,
    &envoy_access::Text,
    &litellm::Standard,
    &litellm::SpendLogs,
    &batch_files::OpenAi,
    &batch_files::Anthropic,
    &batch_files::Gemini,
    &batch_files::Bedrock,
    &bedrock_invocation::Invocation,
    &otlp_genai::Spans,
    &langfuse::Observations,
    &helicone::Requests,
    &cloudflare::Events,
    &kong::Log,
    &portkey::Logs,
    &vertex::BigQuery,
    &conversations::WildChat,
    &conversations::Lmsys,
    &conversations::ShareGpt,
    &load_traces::Mooncake,
    &load_traces::Azure,
    &load_traces::BurstGpt,
    &vllm_log::Received,
];

/// The name of the trace format.
pub const TRACE: &str = "trace";

/// Name of the format whose records are pieces of requests.
pub const STREAMED: &str = "envoy-tap-streamed";

/// Fields in which log shippers wrap a record.
const WRAPPERS: [&str; 7] = ["message", "log", "_source", "jsonPayload", "textPayload", "MESSAGE", "line"];
/// Nested wrappers, at most.
const DEPTH: usize = 3;

/// All names for `--format`.
pub fn names() -> Vec<&'static str> {
    std::iter::once(TRACE).chain(FORMATS.iter().map(|f| f.name())).collect()
}

/// The format of a name; `None` for the trace format.
pub fn named(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|f| f.name() == name)
}

/// Reads a record that is not a line of a trace. Returns the name of its format.
///
/// # Errors
/// `fault` (why it is no line of a trace) if it looks like one or is no record at all; otherwise that no
/// format recognises it.
pub fn read(
    text: &str,
    forced: Option<&'static dyn Format>,
    fault: Skip,
    out: &mut Sink<'_>,
) -> Result<&'static str, Skip> {
    if let Some(format) = forced {
        let record = if text.starts_with('{') {
            Record::object(text).map_err(|e| Skip::json(&e))?
        } else {
            Record::line(text)
        };
        return format.read(&record, out).map(|()| format.name());
    }
    match unwrap(text, 0, out) {
        Some(read) => read,
        None => match Record::object(text) {
            Ok(record) if record.get("t").is_none() && record.get("path").is_none() => {
                let names: Vec<&str> = record.names().take(12).collect();
                let why = format!("is in no format that is known; its fields are {:.200}", names.join(", "));
                Err(Skip::of(why, "is in no format that is known"))
            }
            _ => Err(fault),
        },
    }
}

/// Hands each request of a line, of a trace or of a known log, to `each`. `file_time`: time of requests that
/// have none.
///
/// # Errors
/// The line cannot be used, `each` has refused a request, or the line is a piece of a request.
pub fn requests(
    text: &[u8],
    file_time: &str,
    mut each: impl FnMut(&mut Line<'_>, &Beside) -> Result<(), Skip>,
) -> Result<(), Skip> {
    let fault = match Line::parse(text) {
        Ok(mut line) => return each(&mut line, &Beside::default()),
        Err(fault) => fault,
    };
    let Ok(text) = std::str::from_utf8(text) else { return Err(fault) };
    let mut sink = Sink { paths: &Paths::default(), file_time, made: Vec::new() };
    read(text, None, fault, &mut sink)?;
    for made in sink.made {
        match made {
            Made::Line(line, beside) => each(&mut Line::parse(&line)?, &beside)?,
            Made::Piece { .. } => {
                return Err(Skip::new("is a piece of a request: only weir replay joins them"));
            }
        }
    }
    Ok(())
}

/// Reads the text by the first format that recognises it, or what it wraps; `None` if none does.
fn unwrap(text: &str, depth: usize, out: &mut Sink<'_>) -> Option<Result<&'static str, Skip>> {
    let text = text.trim();
    if depth > 0 && Line::parse(text.as_bytes()).is_ok() {
        let mut beside = Beside::default();
        if let Ok(record) = Record::object(text) {
            out.paths.read(None, &record, &mut beside);
        }
        out.made.push(Made::Line(text.as_bytes().to_vec(), beside));
        return Some(Ok(TRACE));
    }
    let record = if text.starts_with('{') {
        match Record::object(text) {
            Ok(record) => record,
            Err(_) => return several(text, depth, out),
        }
    } else {
        Record::line(text)
    };
    if let Some(format) = FORMATS.iter().find(|f| f.is(&record)) {
        return Some(format.read(&record, out).map(|()| format.name()));
    }
    if depth >= DEPTH {
        return None;
    }
    WRAPPERS.iter().find_map(|wrapper| {
        let inner = record.json(wrapper).or_else(|| record.text(wrapper))?;
        unwrap(&inner, depth + 1, out)
    })
}

/// Reads several values on one line.
fn several(text: &str, depth: usize, out: &mut Sink<'_>) -> Option<Result<&'static str, Skip>> {
    let mut all = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let values: Vec<&RawValue> = all.by_ref().map_while(Result::ok).collect();
    if values.len() < 2
        || depth >= DEPTH
        || text.get(all.byte_offset()..).is_none_or(|rest| !rest.trim().is_empty())
    {
        return None;
    }
    let read: Vec<_> = values.iter().filter_map(|v| unwrap(v.get(), depth + 1, out)).collect();
    read.into_iter().reduce(|a, b| if a.is_err() { a } else { b })
}
