//! A request as a record describes it, and the line of a trace with the same content. Bodies are not parsed
//! here: the engine gets the API's path and the body as logged.

use super::record::Record;
use crate::skip::Skip;
use crate::trace::time_of;
use serde_json::json;
use std::borrow::Cow;

/// Text that is part of the record, or made from it.
pub type Str<'a> = Cow<'a, str>;

/// A request as a log describes it.
#[derive(Default)]
pub struct Found<'a> {
    /// Time: RFC 3339, or a number since the epoch, as in the trace format; without one the file's time is
    /// used.
    pub time: Option<Str<'a>>,
    /// A path, a URL or a request line.
    pub path: Str<'a>,
    pub method: Option<Str<'a>>,
    pub authority: Option<Str<'a>>,
    pub route: Option<Str<'a>>,
    /// Address of the client.
    pub source: Option<Str<'a>>,
    pub headers: Vec<(Str<'a>, Str<'a>)>,
    pub body: Body<'a>,
    /// Who sent it, if the headers do not show it.
    pub key: Option<Str<'a>>,
    /// True if `key` is the SHA-256 of the credential.
    pub key_is_hash: bool,
    pub tenant: Option<Str<'a>>,
    /// Status of the answer.
    pub status: Option<Str<'a>>,
}

/// The body of a request in a log.
#[derive(Default)]
pub enum Body<'a> {
    /// Not logged: the request teaches only ages and loads.
    #[default]
    Unknown,
    /// This JSON, or none was sent.
    Json(Str<'a>),
    Text(Str<'a>),
    Bytes(Vec<u8>),
}

impl<'a> Body<'a> {
    /// The JSON, if there is any.
    pub fn json(text: Option<Str<'a>>) -> Body<'a> {
        text.map_or(Body::Unknown, Body::Json)
    }
}

/// Facts that the trace format has no fields for.
#[derive(Default, Clone, Debug, PartialEq)]
pub struct Beside {
    /// The key, in place of what the headers show.
    pub key: Option<String>,
    /// True if `key` is the SHA-256 of a credential.
    pub key_is_hash: bool,
    pub tenant: Option<String>,
    /// Time when the key was made, or its age in seconds.
    pub made: Option<String>,
    pub label: Option<String>,
    /// True if the log does not hold the body.
    pub no_text: bool,
}

/// Fields of records that tell what a format does not know of, by path.
#[derive(clap::Args, Clone, Default, Debug)]
pub struct Paths {
    /// Field of the records that names the key, with dots between names: `metadata.user_id`
    #[arg(long, value_name = "FIELD")]
    pub key: Option<String>,
    /// That field is a hash of the credential: `sha256` in hexadecimal digits, as LiteLLM stores keys
    #[arg(long, value_name = "HASH", value_parser = ["sha256"], requires = "key")]
    pub key_hashed: Option<String>,
    /// Field that names the tenant
    #[arg(long, value_name = "FIELD")]
    pub tenant: Option<String>,
    /// Field with the time at which the key was made, or with its age in seconds
    #[arg(long, value_name = "FIELD")]
    pub age: Option<String>,
    /// Field with the label that the request is counted under
    #[arg(long, value_name = "FIELD")]
    pub label: Option<String>,
}

impl Paths {
    pub fn is_empty(&self) -> bool {
        [&self.key, &self.tenant, &self.age, &self.label].iter().all(|p| p.is_none())
    }

    /// Reads these fields of a record, or of the part of it that is the request.
    pub fn read(&self, part: Option<&Record<'_>>, whole: &Record<'_>, beside: &mut Beside) {
        let of = |path: &Option<String>| {
            let path = path.as_ref()?;
            let text = part.and_then(|r| r.text(path)).or_else(|| whole.text(path))?;
            Some(text.into_owned())
        };
        if let Some(key) = of(&self.key) {
            (beside.key, beside.key_is_hash) = (Some(key), self.key_hashed.is_some());
        }
        beside.tenant = of(&self.tenant).or(beside.tenant.take());
        beside.made = of(&self.age).or(beside.made.take());
        beside.label = of(&self.label).or(beside.label.take());
    }
}

/// A piece of a request that a log writes in several records.
#[derive(Debug)]
pub enum Piece {
    /// The head, as a line of a trace.
    Head(Vec<u8>),
    Body(Vec<u8>),
    /// The end: no more pieces of it will come.
    End,
}

/// What became of a record.
#[derive(Debug)]
pub enum Made {
    Line(Vec<u8>, Beside),
    Piece { of: String, piece: Piece },
}

/// Collects what a format finds in a record.
pub struct Sink<'s> {
    pub paths: &'s Paths,
    /// The time of requests that have none.
    pub file_time: &'s str,
    pub made: Vec<Made>,
}

impl Sink<'_> {
    /// Adds a request. `part`: the part of the record that is the request, if the record holds several.
    pub fn add(&mut self, whole: &Record<'_>, part: Option<&Record<'_>>, found: Found<'_>) {
        let mut beside = Beside {
            key: found.key.as_deref().map(str::to_string),
            key_is_hash: found.key_is_hash,
            tenant: found.tenant.as_deref().map(str::to_string),
            no_text: matches!(found.body, Body::Unknown),
            ..Beside::default()
        };
        self.paths.read(part, whole, &mut beside);
        self.made.push(Made::Line(self.line(&found), beside));
    }

    /// Adds a piece of the request `of`.
    pub fn piece(&mut self, of: &str, piece: Piece) {
        self.made.push(Made::Piece { of: of.to_string(), piece });
    }

    /// A request as a line of a trace.
    pub fn line(&self, found: &Found<'_>) -> Vec<u8> {
        let time = found.time.as_deref().unwrap_or(self.file_time);
        let mut head = json!({"t": time, "path": found.path, "headers": found.headers});
        let optional = [
            ("method", &found.method),
            ("authority", &found.authority),
            ("route", &found.route),
            ("source", &found.source),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                head[name] = json!(value);
            }
        }
        if let Some(status) = found.status.as_ref().and_then(|s| s.parse::<u16>().ok()) {
            head["response"] = json!({"status": status});
        }
        match &found.body {
            Body::Unknown => {}
            Body::Text(text) => head["body_text"] = json!(text),
            Body::Bytes(bytes) => head["body_base64"] = json!(base64(bytes)),
            Body::Json(text) => {
                // As it stood: a parser would drop what stands twice.
                let mut line = head.to_string().into_bytes();
                line.pop();
                line.extend([b",\"body\":", text.as_bytes(), b"}"].concat());
                return line;
            }
        }
        head.to_string().into_bytes()
    }
}

/// The time `millis` milliseconds after `start`, as the trace format writes it.
///
/// # Errors
/// `start` is no time.
pub fn after(start: &str, millis: u64) -> Result<String, Skip> {
    let at = time_of(&json!(start).to_string())?.millis().saturating_add(millis);
    Ok(format!("{}.{:03}", at / 1_000, at % 1_000))
}

/// Base64, as the trace format writes it.
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// Decodes base64.
///
/// # Errors
/// The text is not base64.
pub fn from_base64(text: &str) -> Result<Vec<u8>, Skip> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    bytes.map_err(|e| Skip::of(format!("body is not base64: {e}"), "body is not base64"))
}

/// A JSON object with these members, each JSON as it stands, and all members of the object `more`.
pub fn object(members: &[(&str, Option<Str<'_>>)], more: Option<Str<'_>>) -> String {
    let members =
        members.iter().filter_map(|(name, json)| Some(format!("{}:{}", json!(name), json.as_ref()?)));
    let more = more.as_deref().map(str::trim).and_then(|m| m.strip_prefix('{')?.strip_suffix('}'));
    let more = more.map(str::trim).filter(|m| !m.is_empty()).map(str::to_string);
    format!("{{{}}}", members.chain(more).collect::<Vec<_>>().join(","))
}

/// A text as a JSON string.
pub fn quoted(text: &str) -> Str<'static> {
    Cow::Owned(json!(text).to_string())
}

/// The path of the API that takes a body of this shape; `None` if that is not known.
pub fn path_of(body: &str) -> Option<&'static str> {
    let body = Record::object(body).ok()?;
    let has = |name| body.get(name).is_some();
    Some(match () {
        () if has("contents") => "/v1beta/models/m:generateContent",
        () if has("messages") && (has("system") || has("anthropic_version")) => "/v1/messages",
        () if has("messages") => "/v1/chat/completions",
        () if has("input") => "/v1/responses",
        () if has("prompt") => "/v1/completions",
        () => return None,
    })
}
