//! Random bodies of every wire format, written in random ways, in random chunks: what serde_json reads of them Weir sees, too.
//! `ITER=1000000 SEED=2 cargo test --test superset -- --nocapture` for more of it.
//!
//! A format is told by templates: `$` is a place for text. Bodies are made from them, and what a server reads is what serde_json
//! finds at the places of the templates, so the extraction shares nothing with Weir's tables.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests"
)]

#[path = "reading.rs"]
mod reading;

use reading::{engine, facts};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use weir::engine::dialect::DIALECTS;

struct Format {
    dialect: &'static str,
    path: &'static str,
    /// Key of the messages, and what one may hold beside its role.
    messages: Option<(&'static str, &'static [&'static str])>,
    /// Names of the roles: system, user, assistant, tool.
    roles: [&'static str; 4],
    above: &'static [&'static str],
    prompt: &'static [&'static str],
    beside: &'static [&'static str],
}

const ROLES: [&str; 4] = ["system", "user", "assistant", "tool"];
const CHAT: &[&str] = &[
    r#"{"content":"$"}"#,
    r#"{"content":["$","$"]}"#,
    r#"{"content":[{"type":"text","text":"$"}]}"#,
    r#"{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},{"type":"text","text":"$"},{"type":"refusal","refusal":"$"}]}"#,
    r#"{"content":[{"type":"thinking","thinking":"$"},{"type":"text","text":"$","x":{"text":[]}}]}"#,
];
const ANTHROPIC: &[&str] = &[
    r#"{"content":"$"}"#,
    r#"{"content":[{"type":"text","text":"$","cache_control":{"type":"ephemeral"}},{"type":"text","text":"$"}]}"#,
    r#"{"content":[{"type":"tool_result","tool_use_id":"1","content":"$"},{"type":"text","text":"$"}]}"#,
    r#"{"content":[{"type":"tool_result","tool_use_id":"1","is_error":false,"content":[{"type":"text","text":"$"},{"type":"image","source":{"type":"base64","data":"AAAA"}}]}]}"#,
    r#"{"content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"$"},"title":"$","context":"$"}]}"#,
    r#"{"content":[{"type":"document","source":{"type":"content","content":[{"type":"text","text":"$"}]}},{"type":"text","text":"$"}]}"#,
    r#"{"content":[{"type":"search_result","source":"u","title":"$","content":[{"type":"text","text":"$"}]}]}"#,
    r#"{"content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"text","text":"$"}]}"#,
];
const GEMINI: &[&str] = &[
    r#"{"parts":[{"text":"$"},{"text":"$","thought":false}]}"#,
    r#"{"parts":{"text":"$"}}"#,
    r#"{"parts":[{"inlineData":{"mimeType":"image/png","data":"AAAA"}},{"text":"$"}]}"#,
    r#"{"parts":[{"functionResponse":{"name":"f","response":{"a":"$","b":["$",{"c":"$"}]}}}]}"#,
    r#"{"parts":[{"code_execution_result":{"outcome":"OUTCOME_OK","output":"$"}}]}"#,
];
const CONVERSE: &[&str] = &[
    r#"{"content":[{"text":"$"},{"text":"$"},{"cachePoint":{"type":"default"}}]}"#,
    r#"{"content":[{"toolResult":{"toolUseId":"1","status":"success","content":[{"text":"$"},{"json":{"a":["$"]}}]}}]}"#,
    r#"{"content":[{"document":{"format":"txt","name":"$","source":{"text":"$"},"context":"$"}},{"text":"$"}]}"#,
    r#"{"content":[{"document":{"format":"txt","name":"n","source":{"content":[{"text":"$"}]}}}]}"#,
    r#"{"content":[{"guardContent":{"text":{"text":"$","qualifiers":["query"]}}},{"image":{"format":"png","source":{"bytes":"AAAA"}}}]}"#,
    r#"{"content":[{"searchResult":{"source":"u","title":"$","content":[{"text":"$"}],"citations":{"enabled":true}}}]}"#,
];
const RESPONSES: &[&str] = &[
    r#"{"type":"message","content":"$"}"#,
    r#"{"type":"message","content":[{"type":"input_text","text":"$"},{"type":"input_image","image_url":"data:AAAA"}]}"#,
    r#"{"content":[{"type":"output_text","text":"$","annotations":[]}]}"#,
];
const COHERE: &[&str] = &[
    r#"{"content":"$"}"#,
    r#"{"content":[{"type":"text","text":"$"}]}"#,
    r#"{"content":[{"type":"document","document":{"id":"1","data":{"a":"$","b":"$"}}}]}"#,
];
/// Formats of prompts, which the other formats' templates cover as to messages.
const fn prompts(
    dialect: &'static str,
    path: &'static str,
    prompt: &'static [&'static str],
    above: &'static [&'static str],
) -> Format {
    Format { dialect, path, messages: None, roles: ROLES, above, prompt, beside: &[] }
}
const fn chats(dialect: &'static str, path: &'static str, above: &'static [&'static str]) -> Format {
    Format {
        dialect,
        path,
        messages: Some(("messages", CHAT)),
        roles: ROLES,
        above,
        prompt: &[],
        beside: &[],
    }
}

const FORMATS: &[Format] = &[
    chats("watsonx", "/ml/v1/text/chat", &[]),
    prompts("watsonx", "/ml/v1/text/generation", &[r#"{"input":"$"}"#], &[]),
    prompts(
        "dashscope",
        "/api/v1/services/aigc/text-generation/generation",
        &[
            r#"{"input":{"prompt":"$"}}"#,
            r#"{"input":{"messages":[{"role":"user","content":[{"text":"$"}]}]}}"#,
        ],
        &[],
    ),
    chats("cloudflare", "/ai/run/@cf/m", &[]),
    prompts(
        "anthropic_batches",
        "/v1/messages/batches",
        &[
            r#"{"requests":[{"custom_id":"1","params":{"system":"$","messages":[{"role":"user","content":"$"}]}}]}"#,
        ],
        &[],
    ),
    prompts(
        "gemini_batch",
        "/v1beta/models/x:batchGenerateContent",
        &[
            r#"{"batch":{"input_config":{"requests":{"requests":[{"request":{"contents":[{"parts":[{"text":"$"}]}]}}]}}}}"#,
            r#"{"requests":[{"request":{"contents":{"parts":{"text":"$"}},"systemInstruction":{"parts":[{"text":"$"}]}}}]}"#,
        ],
        &[],
    ),
    prompts(
        "gemini_cached",
        "/v1beta/cachedContents",
        &[r#"{"contents":[{"role":"user","parts":[{"text":"$"}]}]}"#],
        &[r#"{"systemInstruction":{"parts":[{"text":"$"}]}}"#],
    ),
    prompts(
        "gemini_interactions",
        "/v1beta/interactions",
        &[r#"{"input":"$"}"#, r#"{"input":[{"type":"text","text":"$"}]}"#],
        &[r#"{"system_instruction":"$"}"#],
    ),
    chats("vertex_raw", "/x:rawPredict", &[r#"{"system":"$"}"#]),
    prompts("vertex_batch", "/x/batchPredictionJobs", &[r#"{"instances":[{"prompt":"$"}]}"#], &[]),
    prompts(
        "vertex_predict",
        "/x:predict",
        &[
            r#"{"instances":[{"prompt":"$"}]}"#,
            r#"{"instances":["$"]}"#,
            r#"{"instances":[{"context":"$","messages":[{"author":"user","content":"$"}]}]}"#,
        ],
        &[],
    ),
    prompts("bedrock_agents", "/retrieveAndGenerate", &[r#"{"input":{"text":"$"}}"#], &[]),
    prompts(
        "conversations",
        "/v1/conversations",
        &[r#"{"inputs":"$"}"#, r#"{"inputs":[{"role":"user","content":"$"}]}"#],
        &[r#"{"instructions":"$"}"#],
    ),
    chats("openai_assistants", "/v1/threads", &[]),
    prompts(
        "openai_evals",
        "/v1/evals/e/runs",
        &[
            r#"{"data_source":{"input_messages":{"template":[{"role":"user","content":"$"}]},"source":{"content":[{"item":{"a":"$"}}]}}}"#,
        ],
        &[],
    ),
    prompts(
        "openai_realtime",
        "/v1/realtime/sessions",
        &[r#"{"item":{"type":"message","role":"user","content":[{"type":"input_text","text":"$"}]}}"#],
        &[r#"{"session":{"instructions":"$"}}"#],
    ),
    prompts(
        "mistral_batch",
        "/v1/batch/jobs",
        &[r#"{"requests":[{"body":{"messages":[{"role":"user","content":"$"}]}}]}"#],
        &[],
    ),
    prompts("openai_media", "/v1/images/generations", &[r#"{"prompt":"$"}"#], &[]),
    prompts(
        "kserve_infer",
        "/v2/models/m/infer",
        &[r#"{"inputs":[{"name":"a","datatype":"BYTES","shape":[1,2],"data":["$","$"]}]}"#],
        &[],
    ),
    prompts(
        "tgi_generate",
        "/generate",
        &[r#"{"inputs":"$"}"#, r#"{"text":["$","$"]}"#, r#"{"text_input":"$"}"#, r#"{"prompt":"$"}"#],
        &[],
    ),
    chats("invocations", "/invocations", &[]),
    prompts(
        "invocations",
        "/invocations",
        &[r#"{"inputs":["$","$"]}"#, r#"{"inputs":{"prompt":"$"}}"#, r#"{"dataframe_records":[{"a":"$"}]}"#],
        &[],
    ),
    prompts("llamacpp_completion", "/infill", &[r#"{"prompt":"$"}"#], &[r#"{"system_prompt":"$"}"#]),
    prompts("anthropic_complete", "/v1/complete", &[r#"{"prompt":"$"}"#], &[]),
    prompts(
        "embed",
        "/v2/embed",
        &[
            r#"{"texts":["$","$"]}"#,
            r#"{"inputs":"$"}"#,
            r#"{"inputs":[{"content":[{"type":"text","text":"$"}]}]}"#,
        ],
        &[],
    ),
    prompts("rerank", "/rerank", &[r#"{"query":"$"}"#], &[r#"{"documents":["$",{"text":"$"}]}"#]),
    prompts(
        "oracle_chat",
        "/actions/chat",
        &[r#"{"chatRequest":{"message":"$","preambleOverride":"$"}}"#],
        &[],
    ),
    prompts(
        "replicate",
        "/v1/predictions",
        &[r#"{"input":{"prompt":"$","system_prompt":"$"}}"#, r#"{"input":"$"}"#],
        &[],
    ),
    prompts("huggingface", "/models/a/b", &[r#"{"inputs":"$"}"#], &[]),
    Format {
        dialect: "openai_chat",
        path: "/v1/chat/completions",
        messages: Some(("messages", CHAT)),
        roles: ROLES,
        above: &[],
        prompt: &[],
        beside: &[
            r#"{"documents":[{"title":"$","text":"$"}]}"#,
            r#"{"chat_template_kwargs":{"enable_thinking":false,"identity":"$","list":["$",1]}}"#,
            r#"{"guideline":"$"}"#,
        ],
    },
    Format {
        dialect: "openai_completions",
        path: "/v1/completions",
        messages: None,
        roles: ROLES,
        above: &[],
        prompt: &[r#"{"prompt":"$"}"#, r#"{"prompt":["$","$"]}"#, r#"{"prompt":{"prompt_string":"$"}}"#],
        beside: &[r#"{"suffix":"$"}"#],
    },
    Format {
        dialect: "openai_responses",
        path: "/v1/responses",
        messages: Some(("input", RESPONSES)),
        roles: ["developer", "user", "assistant", "tool"],
        above: &[r#"{"instructions":"$"}"#],
        prompt: &[],
        beside: &[r#"{"prompt":{"id":"p","variables":{"a":"$","b":{"type":"input_text","text":"$"}}}}"#],
    },
    Format {
        dialect: "openai_responses",
        path: "/v1/responses",
        messages: None,
        roles: ROLES,
        above: &[r#"{"instructions":"$"}"#],
        prompt: &[
            r#"{"input":"$"}"#,
            r#"{"input":[{"type":"function_call_output","call_id":"1","output":"$"}]}"#,
            r#"{"input":[{"type":"function_call_output","call_id":"1","output":[{"type":"input_text","text":"$"}]}]}"#,
        ],
        beside: &[],
    },
    Format {
        dialect: "openai_embeddings",
        path: "/v1/embeddings",
        messages: None,
        roles: ROLES,
        above: &[],
        prompt: &[r#"{"input":"$"}"#, r#"{"input":["$","$"]}"#],
        beside: &[],
    },
    Format {
        dialect: "anthropic_messages",
        path: "/v1/messages",
        messages: Some(("messages", ANTHROPIC)),
        roles: ROLES,
        above: &[
            r#"{"system":"$"}"#,
            r#"{"system":[{"type":"text","text":"$"},{"type":"text","text":"$"}]}"#,
        ],
        prompt: &[],
        beside: &[],
    },
    Format {
        dialect: "gemini_generate",
        path: "/v1beta/models/g:generateContent",
        messages: Some(("contents", GEMINI)),
        roles: ["user", "user", "model", "function"],
        above: &[
            r#"{"systemInstruction":{"parts":[{"text":"$"}]}}"#,
            r#"{"system_instruction":{"parts":[{"text":"$"},{"text":"$"}]}}"#,
        ],
        prompt: &[],
        beside: &[],
    },
    Format {
        dialect: "bedrock_converse",
        path: "/model/m/converse",
        messages: Some(("messages", CONVERSE)),
        roles: ["user", "user", "assistant", "user"],
        above: &[r#"{"system":[{"text":"$"},{"guardContent":{"text":{"text":"$"}}}]}"#],
        prompt: &[],
        beside: &[],
    },
    Format {
        dialect: "bedrock_invoke",
        path: "/model/m/invoke",
        messages: Some(("messages", ANTHROPIC)),
        roles: ["user", "user", "assistant", "user"],
        above: &[r#"{"system":"$"}"#, r#"{"system":[{"text":"$"}]}"#],
        prompt: &[],
        beside: &[],
    },
    Format {
        dialect: "bedrock_invoke",
        path: "/model/m/invoke",
        messages: Some(("chat_history", &[r#"{"message":"$"}"#])),
        roles: ["SYSTEM", "USER", "CHATBOT", "TOOL"],
        above: &[r#"{"preamble":"$"}"#],
        prompt: &[r#"{"message":"$"}"#],
        beside: &[r#"{"documents":[{"title":"$","snippet":"$"}]}"#],
    },
    Format {
        dialect: "bedrock_invoke",
        path: "/model/m/invoke",
        messages: None,
        roles: ROLES,
        above: &[],
        prompt: &[r#"{"prompt":"$"}"#, r#"{"inputText":"$"}"#, r#"{"texts":["$","$"]}"#],
        beside: &[],
    },
    Format {
        dialect: "cohere_chat",
        path: "/v1/chat",
        messages: Some(("chat_history", &[r#"{"message":"$"}"#])),
        roles: ["SYSTEM", "USER", "CHATBOT", "USER"],
        above: &[r#"{"preamble":"$"}"#],
        prompt: &[r#"{"message":"$"}"#],
        beside: &[
            r#"{"documents":[{"title":"$","snippet":"$"}]}"#,
            r#"{"tool_results":[{"call":{"name":"f"},"outputs":[{"a":"$","b":["$"]}]}]}"#,
        ],
    },
    Format {
        dialect: "cohere_chat",
        path: "/v2/chat",
        messages: Some(("messages", COHERE)),
        roles: ROLES,
        above: &[],
        prompt: &[],
        beside: &[r#"{"documents":["$",{"id":"1","data":{"a":"$"}}]}"#],
    },
    Format {
        dialect: "ollama_generate",
        path: "/api/generate",
        messages: None,
        roles: ROLES,
        above: &[r#"{"system":"$"}"#, r#"{"template":"$"}"#],
        prompt: &[r#"{"prompt":"$"}"#],
        beside: &[r#"{"suffix":"$"}"#],
    },
    Format {
        dialect: "ollama_chat",
        path: "/api/chat",
        messages: Some(("messages", &[r#"{"content":"$"}"#, r#"{"content":"$","images":["AAAA"]}"#])),
        roles: ROLES,
        above: &[],
        prompt: &[],
        beside: &[],
    },
];

struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
    /// A few words that stand nowhere else.
    fn text(&mut self) -> String {
        let words = 1 + self.below(4);
        let odd = ["", "é", "😀", "\"", "\\", "\n", "\u{0}", "ſ", "/", "+"];
        (0..words).map(|_| format!("w{:x}{} ", self.below(1 << 24), self.pick(&odd))).collect()
    }
    fn junk(&mut self, depth: usize) -> Value {
        match self.below(if depth > 3 { 4 } else { 6 }) {
            0 => Value::Null,
            1 => Value::Bool(self.one_in(2)),
            2 => Value::from(self.below(1 << 30)),
            3 => Value::String(self.text()),
            4 => (0..self.below(3)).map(|_| self.junk(depth + 1)).collect(),
            _ => Value::Object((0..self.below(3)).map(|i| (format!("k{i}"), self.junk(depth + 1))).collect()),
        }
    }
}

/// A template with texts in its places.
fn filled(template: &str, rng: &mut Rng) -> Value {
    fn fill(v: &mut Value, rng: &mut Rng) {
        match v {
            Value::String(s) if s == "$" => *s = rng.text(),
            Value::Array(a) => a.iter_mut().for_each(|v| fill(v, rng)),
            Value::Object(o) => o.values_mut().for_each(|v| fill(v, rng)),
            _ => {}
        }
    }
    let mut v = serde_json::from_str(template).unwrap();
    fill(&mut v, rng);
    v
}

/// The strings of `v` at the places of a template; any element of a list stands where any does in the template.
fn at_places(template: &Value, v: &Value, out: &mut Vec<String>) {
    match (template, v) {
        (Value::String(place), Value::String(s)) if place == "$" && !s.is_empty() => out.push(s.clone()),
        (Value::Array(t), Value::Array(a)) => {
            a.iter().for_each(|v| t.iter().for_each(|t| at_places(t, v, out)))
        }
        // A server reads an object by its type.
        (Value::Object(t), Value::Object(o))
            if t.get("type").is_none_or(|kind| o.get("type") == Some(kind)) =>
        {
            t.iter().for_each(|(k, t)| {
                if let Some(v) = o.get(k) {
                    at_places(t, v, out)
                }
            });
        }
        _ => {}
    }
}

fn found(templates: &[&str], v: &Value) -> Vec<String> {
    let mut out = Vec::new();
    templates.iter().for_each(|t| at_places(&serde_json::from_str(t).unwrap(), v, &mut out));
    out
}

impl Format {
    fn make(&self, rng: &mut Rng) -> Value {
        let mut body = Map::new();
        let add = |body: &mut Map<String, Value>, v: Value| {
            if let Value::Object(o) = v {
                body.extend(o);
            }
        };
        if !self.above.is_empty() && rng.one_in(2) {
            add(&mut body, filled(rng.pick(self.above), rng));
        }
        if !self.prompt.is_empty() {
            add(&mut body, filled(rng.pick(self.prompt), rng));
        }
        for b in self.beside {
            if rng.one_in(3) {
                add(&mut body, filled(b, rng));
            }
        }
        if let Some((key, templates)) = self.messages {
            let mut list = Vec::new();
            if rng.one_in(2) {
                list.push(self.message(0, templates, rng));
            }
            for _ in 0..rng.below(3) {
                list.push(self.message(1, templates, rng));
                list.push(self.message(2, templates, rng));
                if rng.one_in(4) {
                    list.push(self.message(3, templates, rng));
                }
            }
            if !rng.one_in(4) {
                list.push(self.message(1, templates, rng));
            }
            body.insert(key.to_string(), Value::Array(list));
        }
        for i in 0..rng.below(4) {
            body.insert(format!("junk{i}"), rng.junk(0));
        }
        for (key, v) in [
            ("model", "m".into()),
            ("stream", true.into()),
            ("temperature", 0.5.into()),
            ("tools", Value::Null),
        ] {
            if rng.one_in(2) {
                body.insert(key.to_string(), v);
            }
        }
        Value::Object(body)
    }

    fn message(&self, role: usize, templates: &[&str], rng: &mut Rng) -> Value {
        let mut m = filled(rng.pick(templates), rng);
        m["role"] = self.roles[role].into();
        if rng.one_in(5) {
            m["junk"] = rng.junk(1);
        }
        m
    }

    /// What a server puts in front of the model and Weir says it looks at; `None`: the server refuses the body.
    fn reads(&self, v: &Value) -> Option<Vec<String>> {
        let mut out = found(self.above, v);
        out.extend(found(self.beside, v));
        let prompt = found(self.prompt, v);
        let Some((key, templates)) = self.messages else {
            out.extend(prompt);
            return Some(out);
        };
        let (mut turns, mut fresh, mut start) = (Vec::<Vec<String>>::new(), true, Vec::new());
        for m in v.get(key)?.as_array()? {
            let role = m.as_object()?.get("role")?.as_str()?;
            let role = self.roles.iter().rposition(|r| *r == role)?;
            let texts = found(templates, m);
            match role {
                0 => out.extend(texts),
                2 => {
                    fresh = true;
                    start.extend(texts);
                }
                // Parts of no type that it knows.
                _ if texts.is_empty() => return None,
                _ => {
                    if std::mem::take(&mut fresh) {
                        turns.push(Vec::new());
                    }
                    turns.last_mut().unwrap().extend(texts);
                    start.clear();
                }
            }
        }
        out.extend(turns.first().cloned().unwrap_or_default());
        if prompt.is_empty() {
            out.extend(turns.pop().unwrap_or_default());
            out.extend(start);
        }
        out.extend(prompt);
        Some(out)
    }
}

/// Writes JSON as nobody would: keys in any order, some twice, escapes and white space anywhere.
fn write(v: &Value, rng: &mut Rng, out: &mut String) {
    let space = |rng: &mut Rng, out: &mut String| {
        if rng.one_in(12) {
            out.push_str(rng.pick(&[" ", "\n", "\t\r", "    "]));
        }
    };
    let string = |s: &str, rng: &mut Rng, out: &mut String| {
        out.push('"');
        let escape = 1 + rng.below(40);
        for c in s.chars() {
            if rng.one_in(escape) || c < ' ' || matches!(c, '"' | '\\') {
                let upper = rng.one_in(2);
                for u in c.encode_utf16(&mut [0; 2]) {
                    out.push_str(&if upper { format!("\\u{u:04X}") } else { format!("\\u{u:04x}") });
                }
            } else {
                out.push(c);
            }
        }
        out.push('"');
    };
    space(rng, out);
    match v {
        Value::String(s) => string(s, rng, out),
        Value::Array(a) => {
            out.push('[');
            for (i, v) in a.iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                write(v, rng, out);
            }
            out.push(']');
        }
        Value::Object(o) => {
            out.push('{');
            let mut pairs: Vec<(&String, &Value)> = o.iter().collect();
            for i in (1..pairs.len()).rev() {
                pairs.swap(i, rng.below(i + 1));
            }
            if rng.one_in(60) && !pairs.is_empty() {
                pairs.push((pairs[0].0, &Value::Null));
                let n = rng.below(pairs.len());
                pairs.push((pairs[n].0, pairs[rng.below(n + 1)].1));
            }
            for (i, (k, v)) in pairs.into_iter().enumerate() {
                out.push_str(if i > 0 { "," } else { "" });
                string(k, rng, out);
                space(rng, out);
                out.push(':');
                write(v, rng, out);
            }
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
    space(rng, out);
}

/// One byte changed, dropped or doubled.
fn damage(text: &mut Vec<u8>, rng: &mut Rng) {
    let at = rng.below(text.len());
    match rng.below(3) {
        0 => {
            text[at] = *rng
                .pick(&[b"\"", b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"x", b"0"])
                .first()
                .unwrap()
        }
        1 => drop(text.remove(at)),
        _ => text.insert(at, text[at]),
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

#[test]
fn weir_sees_what_serde_json_reads() {
    let engine = engine();
    let (iterations, seed) = (number("ITER", 60_000), number("SEED", 1));
    let mut rng = Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (mut read, mut texts_seen, mut refused, mut told) =
        (0u64, 0u64, 0u64, BTreeMap::<String, u64>::new());
    for i in 0..iterations {
        let format = &FORMATS[rng.below(FORMATS.len())];
        let mut text = String::new();
        write(&format.make(&mut rng), &mut rng, &mut text);
        let mut bytes = text.into_bytes();
        if rng.one_in(4) {
            damage(&mut bytes, &mut rng);
        }
        let reads = serde_json::from_slice::<Value>(&bytes).ok().and_then(|v| format.reads(&v));
        if rng.one_in(8)
            && let Ok(text) = std::str::from_utf8(&bytes)
        {
            bytes = match rng.below(3) {
                0 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
                1 => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
                _ => text.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
            };
        }
        let longest = if rng.one_in(2) { 9 } else { 4_000 };
        let chunk = 1 + rng.below(longest);
        let got = facts(&engine, format.path, &bytes, chunk);
        assert_eq!(got["dialect"], format.dialect);
        let Some(reads) = reads else {
            refused += 1;
            continue;
        };
        if let Some(kind) = got["unreadable"].as_str() {
            *told.entry(kind.to_string()).or_default() += 1;
            continue;
        }
        read += 1;
        let seen = ["instructions", "first_user", "user"].map(|k| got[k].as_str().unwrap()).join("\n");
        for text in &reads {
            texts_seen += 1;
            assert!(
                seen.contains(text),
                "case {i} of seed {seed}: {text:?} is not seen in\n{}\n{got}",
                String::from_utf8_lossy(&bytes)
            );
        }
    }
    println!(
        "{iterations} bodies (seed {seed}): {read} read with {texts_seen} texts, all seen; unreadable {told:?}; {refused} that a server refuses"
    );
    assert!(read > iterations / 2, "{read}");
}

#[test]
fn every_format_is_among_them_and_every_key_is_in_lower_case() {
    use weir::engine::dialect::Field;
    for d in DIALECTS {
        // Files of lines are compared in `paths.rs`: a document of more lines is none there.
        // And what is no JSON is compared with it by its fixtures.
        assert!(
            d.lines() || d.protobuf(b"").is_some() || FORMATS.iter().any(|f| f.dialect == d.name()),
            "{}",
            d.name()
        );
        let all = [
            Field::Root,
            Field::Message,
            Field::Content,
            Field::ToolText,
            Field::Media,
            Field::Instructions,
            Field::Prompt,
            Field::Params,
        ];
        for key in all.into_iter().flat_map(|f| d.fields(f)).map(|r| &r.name) {
            assert_eq!(*key, key.to_ascii_lowercase(), "{}", d.name());
        }
        // Bits from 59 on say that keys exclude each other; `text` is the first of a part.
        assert!(all.into_iter().all(|f| d.fields(f).len() < 59));
        assert!(d.fields(Field::Content).first().is_none_or(|r| r.name == "text"));
    }
}
