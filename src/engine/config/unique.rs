//! JSON in which a key that stands twice is a problem, told with its path: the second value would silently win.

use super::read::Problems;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads a document; keys that stand twice go to `problems`.
///
/// # Errors
/// The text is not JSON.
pub fn read(json: &str, problems: &mut Problems) -> Result<Value, serde_json::Error> {
    let mut d = serde_json::Deserializer::from_str(json);
    let value = Walk { path: String::new(), problems }.deserialize(&mut d)?;
    d.end()?;
    Ok(value)
}

struct Walk<'a> {
    path: String,
    problems: &'a mut Problems,
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
        d.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Value;
    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Number::from_f64(v).map_or(Value::Null, Value::Number))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_string()))
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut a: A) -> Result<Value, A::Error> {
        let mut out = Vec::new();
        loop {
            let path = format!("{}[{}]", self.path, out.len());
            match a.next_element_seed(Walk { path, problems: &mut *self.problems })? {
                Some(v) => out.push(v),
                None => return Ok(Value::Array(out)),
            }
        }
    }
    fn visit_map<A: MapAccess<'de>>(self, mut a: A) -> Result<Value, A::Error> {
        let mut out = Map::new();
        while let Some(key) = a.next_key::<String>()? {
            let path = super::read::join(&self.path, &key);
            if out.contains_key(&key) {
                self.problems.add(&path, "stands twice: keep one of the two");
            }
            let v = a.next_value_seed(Walk { path, problems: &mut *self.problems })?;
            out.insert(key, v);
        }
        Ok(Value::Object(out))
    }
}
