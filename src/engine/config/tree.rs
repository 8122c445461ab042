//! A JSON document as a tree of `serde_json`'s values. Duplicate keys are reported, because the second value
//! would win in silence.

use super::problem::Problems;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};
use std::fmt::Write;

/// Reads a document. Duplicate keys are added to `problems`, with their paths.
///
/// # Errors
/// The text is not JSON: the parser's message, with line and column.
pub fn read(json: &str, problems: &mut Problems) -> serde_json::Result<Value> {
    let mut path = String::new();
    let mut text = serde_json::Deserializer::from_str(json);
    let value = Tree { path: &mut path, problems }.deserialize(&mut text)?;
    text.end()?;
    Ok(value)
}

/// Deserializes the value at `path`.
struct Tree<'a> {
    path: &'a mut String,
    problems: &'a mut Problems,
}

impl Tree<'_> {
    fn inner(&mut self) -> Tree<'_> {
        Tree { path: self.path, problems: self.problems }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(v.into())
    }
    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        let (mut out, path) = (Vec::new(), self.path.len());
        loop {
            // Writing to a string cannot fail.
            let _ = write!(self.path, "[{}]", out.len());
            let Some(value) = list.next_element_seed(self.inner())? else { break };
            out.push(value);
            self.path.truncate(path);
        }
        self.path.truncate(path);
        Ok(Value::Array(out))
    }
    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let (mut out, path) = (Map::new(), self.path.len());
        while let Some(key) = map.next_key::<String>()? {
            self.path.push_str(if path == 0 { "" } else { "." });
            self.path.push_str(&key);
            if out.contains_key(&key) {
                self.problems.add(self.path, "stands twice: keep one of the two");
            }
            let value = map.next_value_seed(self.inner())?;
            out.insert(key, value);
            self.path.truncate(path);
        }
        Ok(Value::Object(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str) {
        let mut problems = Problems::default();
        let ours = read(text, &mut problems).map_err(|e| e.to_string());
        let theirs = serde_json::from_str::<Value>(text).map_err(|e| e.to_string());
        assert_eq!(ours, theirs, "{text:?}");
    }

    #[test]
    fn depth_is_limited() {
        for n in [127, 128, 3_000] {
            check(&format!("{}1{}", "[".repeat(n), "]".repeat(n)));
        }
    }

    #[test]
    fn each_key_that_stands_twice_is_told_with_its_path() {
        let mut problems = Problems::default();
        let text = r#"{"a":1,"b":[{"c":{"d":1,"d":{"e":1,"e":2}}},{"d":0}],"a":2}"#;
        assert!(read(text, &mut problems).is_ok());
        let paths: Vec<_> = problems.0.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, ["b[0].c.d", "b[0].c.d.e", "a"]);
    }

    proptest! {
        #[test]
        fn the_tree_is_that_of_serde_json(text in "[\\[\\]{}\",:0-9eE.+\\-truefalsn \\\\u\\n]{0,24}") {
            check(&text);
        }
    }
}
