//! JSON objects name each member once. <https://hl7.org/fhir/R4/json.html>
//!
//! serde_json keeps the last of two members without a word, so that a part of what a client sent would be
//! lost. This reads the text once more, keeping nothing but names.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The FHIRPath of the first member that its object has twice. `None`: all are unique, or it is no JSON.
pub fn doubled(json: &[u8]) -> Option<String> {
    let mut path = Vec::new();
    let mut reader = serde_json::Deserializer::from_slice(json);
    let faulty = Members { path: &mut path }.deserialize(&mut reader).is_err();
    // The path is left as it was where reading stopped.
    (faulty && path.pop()? == Step::Doubled).then(|| shown(&path))
}

#[derive(Debug, PartialEq)]
enum Step {
    Name(String),
    Index(usize),
    /// The one before it is there twice.
    Doubled,
}

fn shown(path: &[Step]) -> String {
    let mut out = String::new();
    for step in path {
        match step {
            Step::Name(name) if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => break,
            Step::Name(name) if out.is_empty() => out.push_str(name),
            Step::Name(name) => out.push_str(&format!(".{name}")),
            Step::Index(index) => out.push_str(&format!("[{index}]")),
            Step::Doubled => {}
        }
    }
    out
}

struct Members<'p> {
    path: &'p mut Vec<Step>,
}

impl<'de> DeserializeSeed<'de> for Members<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let doubled = !seen.insert(name.clone());
            self.path.push(Step::Name(name));
            if doubled {
                self.path.push(Step::Doubled);
                return Err(A::Error::custom("a member is there twice"));
            }
            map.next_value_seed(Members { path: &mut *self.path })?;
            self.path.pop();
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for index in 0.. {
            self.path.push(Step::Index(index));
            let more = items.next_element_seed(Members { path: &mut *self.path })?.is_some();
            self.path.pop();
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_is_there_twice_is_found() {
        assert_eq!(doubled(br#"{"a":1.50,"b":[{"c":null},{"c":"x","c":true}]}"#).as_deref(), Some("b[1].c"));
        assert_eq!(doubled(br#"{"a":1e3,"b":[{"a":-2,"c":{"a":1}},false]}"#), None);
        assert_eq!(doubled(br#"{"a":"#), None);
        assert_eq!(doubled(br#"{"a":["#), None);
    }
}
