//! Headers in the shapes that logs write.

use super::Text;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::borrow::Cow;

/// Headers: `[["name", "value"], …]`, `{"name": "value"}`, `{"name": ["value", …]}`, `[{"name": …, "value":
/// …}, …]` (or `key` for `name`), `["name", "value", …]`, or null. A null value is no value; numbers and
/// words are read as text.
#[derive(Clone, Default)]
pub struct Headers<'a>(pub Vec<(Text<'a>, Text<'a>)>);

/// A value of a header: none, one or several.
enum Values<'a> {
    One(Text<'a>),
    Many(Vec<Text<'a>>),
}

/// An element of a list of headers: a pair, or a text of a flat list.
enum Element<'a> {
    Pair(Text<'a>, Values<'a>),
    Flat(Values<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for Values<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Values<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a header's value")
            }
            fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Values<'de>, E> {
                Ok(Values::One(Text(Cow::Borrowed(s))))
            }
            fn visit_str<E>(self, s: &str) -> Result<Values<'de>, E> {
                Ok(Values::One(Text(Cow::Owned(s.into()))))
            }
            fn visit_bool<E>(self, b: bool) -> Result<Values<'de>, E> {
                Ok(Values::One(Text(Cow::Owned(b.to_string()))))
            }
            fn visit_u64<E>(self, n: u64) -> Result<Values<'de>, E> {
                Ok(Values::One(Text(Cow::Owned(n.to_string()))))
            }
            fn visit_i64<E>(self, n: i64) -> Result<Values<'de>, E> {
                Ok(Values::One(Text(Cow::Owned(n.to_string()))))
            }
            fn visit_f64<E>(self, n: f64) -> Result<Values<'de>, E> {
                Ok(Values::One(Text(Cow::Owned(n.to_string()))))
            }
            fn visit_unit<E>(self) -> Result<Values<'de>, E> {
                Ok(Values::Many(Vec::new()))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(some) = seq.next_element::<Values<'de>>()? {
                    match some {
                        Values::One(v) => all.push(v),
                        Values::Many(some) => all.extend(some),
                    }
                }
                Ok(Values::Many(all))
            }
        }
        d.deserialize_any(V)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Element<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Element<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a header: [name, value] or {\"name\": …, \"value\": …}")
            }
            fn visit_borrowed_str<E>(self, s: &'de str) -> Result<Element<'de>, E> {
                Ok(Element::Flat(Values::One(Text(Cow::Borrowed(s)))))
            }
            fn visit_str<E>(self, s: &str) -> Result<Element<'de>, E> {
                Ok(Element::Flat(Values::One(Text(Cow::Owned(s.into())))))
            }
            fn visit_unit<E>(self) -> Result<Element<'de>, E> {
                Ok(Element::Flat(Values::Many(Vec::new())))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Element<'de>, A::Error> {
                use serde::de::Error;
                let pair = (seq.next_element()?, seq.next_element()?, seq.next_element::<IgnoredAny>()?);
                match pair {
                    (Some(name), Some(value), None) => Ok(Element::Pair(name, value)),
                    _ => Err(A::Error::custom("a header in a list must be [name, value]")),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element<'de>, A::Error> {
                use serde::de::Error;
                let (mut name, mut value) = (None, None);
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    match key.as_ref() {
                        "name" | "key" => name = Some(map.next_value()?),
                        "value" => value = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                let name = name.ok_or_else(|| A::Error::custom("a header without a name"))?;
                Ok(Element::Pair(name, value.unwrap_or(Values::Many(Vec::new()))))
            }
        }
        d.deserialize_any(V)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Headers<'a> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct V;
        impl<'de> Visitor<'de> for V {
            type Value = Headers<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("headers: a list or an object")
            }
            fn visit_unit<E>(self) -> Result<Headers<'de>, E> {
                Ok(Headers::default())
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Headers<'de>, A::Error> {
                use serde::de::Error;
                let mut out = Headers(Vec::with_capacity(8));
                let mut flat: Option<Values<'de>> = None;
                while let Some(element) = seq.next_element()? {
                    match (element, flat.take()) {
                        (Element::Pair(name, values), None) => out.add(&name, values),
                        (Element::Flat(name), None) => flat = Some(name),
                        (Element::Flat(value), Some(Values::One(name))) => out.add(&name, value),
                        _ => return Err(A::Error::custom("headers mix pairs and texts")),
                    }
                }
                match flat {
                    Some(_) => Err(A::Error::custom("a flat list of headers has an odd number of texts")),
                    None => Ok(out),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers<'de>, A::Error> {
                let mut out = Headers(Vec::with_capacity(8));
                while let Some((name, values)) = map.next_entry::<Text<'de>, Values<'de>>()? {
                    out.add(&name, values);
                }
                Ok(out)
            }
        }
        d.deserialize_any(V)
    }
}

impl<'a> Headers<'a> {
    fn add(&mut self, name: &Text<'a>, values: Values<'a>) {
        match values {
            Values::One(v) => self.0.push((name.clone(), v)),
            Values::Many(all) => self.0.extend(all.into_iter().map(|v| (name.clone(), v))),
        }
    }
    /// Removes a pseudo-header, as HTTP/2 and Envoy's tap write them, and returns its value.
    pub fn take(&mut self, name: &str) -> Option<Text<'a>> {
        let at = self.0.iter().position(|(n, _)| n.as_ref() == name)?;
        Some(self.0.remove(at).1)
    }
}
