//! What a record says of a request, and the line of a trace that says the same. Bodies are not read here: the engine gets the
//! path of the API and the body as it was.

use super::record::Record;
use crate::skip::Skip;
use crate::trace::time_of;
use serde_json::json;
use std::borrow::Cow;

/// Text of the record, or made of it.
pub type Str<'a> = Cow<'a, str>;

/// A request as a log has it.
#[derive(Default)]
pub struct Found<'a> {
    /// RFC 3339 or since the epoch, as the trace format reads it; without one the time of the file.
    pub time: Option<Str<'a>>,
    /// A path, a URL or a request line.
    pub path: Str<'a>,
    pub method: Option<Str<'a>>,
    pub authority: Option<Str<'a>>,
    pub route: Option<Str<'a>>,
    /// The client's address.
    pub source: Option<Str<'a>>,
    pub headers: Vec<(Str<'a>, Str<'a>)>,
    pub body: Body<'a>,
    /// Who sent it, where the headers do not say.
    pub key: Option<Str<'a>>,
    /// The log has the SHA-256 of the credential for its key.
    pub key_is_hash: bool,
    pub tenant: Option<Str<'a>>,
    /// Status of the answer.
    pub status: Option<Str<'a>>,
}

/// The body, as the log has it.
#[derive(Default)]
pub enum Body<'a> {
    /// The log has none: the request teaches ages and loads.
    #[default]
    Unknown,
    /// There was none, or this JSON.
    Json(Str<'a>),
    Text(Str<'a>),
    Bytes(Vec<u8>),
}

impl<'a> Body<'a> {
    /// JSON, if there is any.
    pub fn json(text: Option<Str<'a>>) -> Body<'a> {
        text.map_or(Body::Unknown, Body::Json)
    }
}

/// What the trace format has no words for.
#[derive(Default, Clone, Debug, PartialEq)]
pub struct Beside {
    /// Whose request it is, instead of what its headers say.
    pub key: Option<String>,
    /// That is the SHA-256 of a credential.
    pub key_is_hash: bool,
    pub tenant: Option<String>,
    /// When the key was made, or its age in seconds.
    pub made: Option<String>,
    pub label: Option<String>,
    /// The log does not hold the body.
    pub no_text: bool,
}

/// Fields of the records that say what a format does not know of, by path.
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

    /// What they say of a record, or of the part of it that is the request.
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

/// A piece of a request that a log tells in several records.
#[derive(Debug)]
pub enum Piece {
    /// Its head, as a line of a trace.
    Head(Vec<u8>),
    Body(Vec<u8>),
    /// Nothing more of it will come.
    End,
}

/// What a record became.
#[derive(Debug)]
pub enum Made {
    Line(Vec<u8>, Beside),
    Piece { of: String, piece: Piece },
}

/// Takes what a format finds in a record.
pub struct Sink<'s> {
    pub paths: &'s Paths,
    /// The time of requests that have none.
    pub file_time: &'s str,
    pub made: Vec<Made>,
}

impl Sink<'_> {
    /// A request; `part` is the part of the record that is the request, where it holds several.
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

    /// A piece of the request `of`.
    pub fn piece(&mut self, of: &str, piece: Piece) {
        self.made.push(Made::Piece { of: of.to_string(), piece });
    }

    /// A line of a trace.
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

/// The time so many milliseconds after another, as the trace format has it.
///
/// # Errors
/// The other one is no time.
pub fn after(start: &str, millis: u64) -> Result<String, Skip> {
    let at = time_of(&json!(start).to_string())?.millis().saturating_add(millis);
    Ok(format!("{}.{:03}", at / 1_000, at % 1_000))
}

/// As the trace format has it.
pub fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

/// # Errors
/// It is not base64.
pub fn from_base64(text: &str) -> Result<Vec<u8>, Skip> {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(text);
    bytes.map_err(|e| Skip::of(format!("body is not base64: {e}"), "body is not base64"))
}

/// An object of these members, each JSON as it stands, and of all members of `more`.
pub fn object(members: &[(&str, Option<Str<'_>>)], more: Option<Str<'_>>) -> String {
    let members =
        members.iter().filter_map(|(name, json)| Some(format!("{}:{}", json!(name), json.as_ref()?)));
    let more = more.as_deref().map(str::trim).and_then(|m| m.strip_prefix('{')?.strip_suffix('}'));
    let more = more.map(str::trim).filter(|m| !m.is_empty()).map(str::to_string);
    format!("{{{}}}", members.chain(more).collect::<Vec<_>>().join(","))
}

/// A string as JSON.
pub fn quoted(text: &str) -> Str<'static> {
    Cow::Owned(json!(text).to_string())
}

/// The path of the API that has a body of this shape; none is known for others.
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
