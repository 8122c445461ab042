//! A record of a log: its fields by path, and its text as written.

use crate::trace::Text;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// A JSON object; or a line of other text, which has no fields.
pub struct Record<'a> {
    /// The whole text.
    pub text: &'a str,
    fields: Fields<'a>,
}

#[derive(Default)]
struct Fields<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut out = Vec::with_capacity(16);
                while let Some(field) = map.next_entry()? {
                    out.push(field);
                }
                Ok(Fields(out))
            }
        }
        d.deserialize_map(V)
    }
}

impl<'a> Record<'a> {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// The text is none.
    pub fn object(text: &'a str) -> Result<Record<'a>, serde_json::Error> {
        Ok(Record { text, fields: serde_json::from_str(text)? })
    }

    /// A record of a line of text.
    pub fn line(text: &'a str) -> Record<'a> {
        Record { text, fields: Fields::default() }
    }

    /// OpenTelemetry's attributes, `[{"key": …, "value": {"stringValue": …}}, …]`, as a record with fields.
    pub fn attributes(list: &'a RawValue) -> Record<'a> {
        #[derive(Deserialize)]
        struct Attribute<'a> {
            #[serde(borrow)]
            key: Text<'a>,
            #[serde(borrow)]
            value: Fields<'a>,
        }
        let all: Vec<Attribute<'a>> = serde_json::from_str(list.get()).unwrap_or_default();
        let one = |a: Attribute<'a>| a.value.0.first().map(|(_, value)| (a.key, *value));
        Record { text: list.get(), fields: Fields(all.into_iter().filter_map(one).collect()) }
    }

    /// Names of its fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.0.iter().map(|(name, _)| name.as_ref())
    }

    /// Its fields with their JSON.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.fields.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// The value at a path: names separated by dots, numbers for positions in lists. A name may itself
    /// contain dots. `None` for null.
    pub fn get(&self, path: &str) -> Option<&'a RawValue> {
        let found = self.named(path).or_else(|| {
            let mut dots = path.match_indices('.');
            dots.find_map(|(at, _)| descend(self.named(&path[..at])?, &path[at + 1..]))
        });
        found.filter(|v| v.get() != "null")
    }

    fn named(&self, name: &str) -> Option<&'a RawValue> {
        self.fields.0.iter().find(|(n, _)| n.as_ref() == name).map(|(_, value)| *value)
    }

    /// True if there is a value at all of these paths.
    pub fn has(&self, paths: &[&str]) -> bool {
        paths.iter().all(|p| self.get(p).is_some())
    }

    /// The text at a path: the content of a string, or a number or word as written. `None` if empty.
    pub fn text(&self, path: &str) -> Option<Cow<'a, str>> {
        text_of(self.get(path)?)
    }

    /// The first text that is present at these paths.
    pub fn first(&self, paths: &[&str]) -> Option<Cow<'a, str>> {
        paths.iter().find_map(|p| self.text(p))
    }

    /// The JSON object or list at a path, as a value or inside a string. `None` if empty.
    pub fn json(&self, path: &str) -> Option<Cow<'a, str>> {
        let raw = self.get(path)?;
        let json = match raw.get().as_bytes().first()? {
            b'{' | b'[' => Cow::Borrowed(raw.get()),
            b'"' => text_of(raw).filter(|t| {
                t.trim_start().starts_with(['{', '[']) && serde_json::from_str::<IgnoredAny>(t).is_ok()
            })?,
            _ => return None,
        };
        let inner = json.trim();
        let is_empty = inner.get(1..inner.len() - 1).is_none_or(|members| members.trim().is_empty());
        (!is_empty).then_some(json)
    }

    /// The objects of the list at a path.
    pub fn list(&self, path: &str) -> Vec<Record<'a>> {
        let raw = self.get(path).map_or("[]", |v| v.get());
        let all: Vec<&'a RawValue> = serde_json::from_str(raw).unwrap_or_default();
        all.into_iter().filter_map(|v| Record::object(v.get()).ok()).collect()
    }
}

fn descend<'a>(value: &'a RawValue, path: &str) -> Option<&'a RawValue> {
    match value.get().as_bytes().first() {
        Some(b'{') => Record::object(value.get()).ok()?.get(path),
        Some(b'[') => {
            let (at, rest) = path.split_once('.').unwrap_or((path, ""));
            let all: Vec<&'a RawValue> = serde_json::from_str(value.get()).ok()?;
            let one = all.get(at.parse::<usize>().ok()?).copied()?;
            if rest.is_empty() { Some(one) } else { descend(one, rest) }
        }
        _ => None,
    }
}

/// The text of a value that is neither an object nor a list.
pub fn text_of(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = match raw.get().as_bytes().first()? {
        b'"' => match serde_json::from_str::<Text<'_>>(raw.get()).ok()? {
            Text(text) => text,
        },
        b'{' | b'[' => return None,
        _ if raw.get() == "null" => return None,
        _ => Cow::Borrowed(raw.get()),
    };
    (!text.trim().is_empty()).then_some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_through_objects_lists_and_names_with_dots() {
        let text = r#"{"a":{"b":[{"c":1},{"c.d":"x"}],"e.f":{"g":true}},"h":"{\"i\":[1]}","j":null,"k":"","l":"{","m":"{é","n":{},"o":[ ],"p":"[not json]","q":"{}"}"#;
        let record = Record::object(text).unwrap();
        let table = [
            ("a.b.0.c", Some("1")),
            ("a.b.1.c.d", Some("x")),
            ("a.e.f.g", Some("true")),
            ("a.b.2.c", None),
            ("a.b.x", None),
            ("a.b", None),
            ("j", None),
            ("k", None),
            ("", None),
            (".", None),
            ("a.", None),
            ("l", Some("{")),
        ];
        for (path, want) in table {
            assert_eq!(record.text(path).as_deref(), want, "{path}");
        }
        assert_eq!(record.json("h").as_deref(), Some(r#"{"i":[1]}"#));
        assert_eq!(record.json("a.e.f").as_deref(), Some(r#"{"g":true}"#));
        for none in ["j", "k", "l", "m", "n", "o", "p", "q", "a.b.0.c"] {
            assert_eq!(record.json(none), None, "{none}");
        }
        assert_eq!(record.list("a.b").len(), 2);
        for bad in ["", "[]", "{", "1", "{\"a\":}"] {
            assert!(Record::object(bad).is_err(), "{bad}");
        }
    }
}
