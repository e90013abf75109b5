//! The data that an application attaches to a message.

use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::Invalid;

/// The most bytes of UTF-8, and the most levels of objects and arrays inside each other.
const MAX_BYTES: usize = 4096;
const MAX_LEVELS: usize = 32;

/// A JSON object, kept as the text that was sent: at most 4096 bytes and 32 levels, without U+0000.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata(String);

impl Metadata {
    /// Checks a JSON text.
    ///
    /// # Errors
    ///
    /// The text is no JSON object, too long or too deep, or has a string that Postgres or a client cannot
    /// hold.
    pub fn parse(text: impl Into<String>) -> Result<Self, Invalid> {
        let text = text.into();
        if text.len() > MAX_BYTES {
            return Err(Invalid::TooManyBytes { limit: MAX_BYTES, actual: text.len() });
        }
        let value: &RawValue = serde_json::from_str(&text).map_err(|_| Invalid::NotAnObject)?;
        if !value.get().starts_with('{') {
            return Err(Invalid::NotAnObject);
        }
        check(value, MAX_LEVELS)?;
        Ok(Self(text))
    }

    /// A value that was checked before it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The JSON text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks the strings of a value, and that it has at most so many levels. Numbers are not read: any number
/// is allowed, also one that no type holds.
fn check(value: &RawValue, levels: usize) -> Result<(), Invalid> {
    let text = value.get();
    let inner = || levels.checked_sub(1).ok_or(Invalid::TooDeep { limit: MAX_LEVELS });
    match text.as_bytes().first() {
        Some(b'{') => {
            let levels = inner()?;
            let fields: Fields<'_> = serde_json::from_str(text).map_err(|_| Invalid::HalfSurrogate)?;
            fields.0.iter().try_for_each(|(name, value)| {
                without_nul(name)?;
                check(value, levels)
            })
        }
        Some(b'[') => {
            let levels = inner()?;
            let values: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| Invalid::HalfSurrogate)?;
            values.into_iter().try_for_each(|value| check(value, levels))
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(text).map_err(|_| Invalid::HalfSurrogate)?;
            without_nul(&text)
        }
        _ => Ok(()),
    }
}

fn without_nul(text: &str) -> Result<(), Invalid> {
    if text.contains('\0') { Err(Invalid::Nul) } else { Ok(()) }
}

/// The fields of a JSON object in their order, also those with equal names.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Fields<'de>;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(All)
    }
}

/// Writes the text as it is. Only `serde_json` can do that.
impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_str(&self.0).map_err(S::Error::custom)?;
        value.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(value.get()).map_err(D::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for Metadata {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Metadata".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "description": "Data of the application: at most 4096 bytes of JSON and 32 levels, without \
                U+0000 and halves of surrogate pairs.",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_object_is_kept_byte_for_byte() {
        for text in [
            "{}",
            r#"{ "a" : 1e131071,"a":-0.0, "b":[true,null,"\\u0000 \ud83d\ude00"]}"#,
            "{\n\t\"z\": {\"y\": []}\r\n}",
        ] {
            let metadata = Metadata::parse(text).unwrap();
            assert_eq!(serde_json::to_string(&metadata).unwrap(), text);
            assert_eq!(serde_json::from_str::<Metadata>(text).unwrap(), metadata);
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for text in ["", "null", "[]", r#""{}""#, "5", "{", "{}}", "{'a':1}", "{\"a\":\"\n\"}"] {
            assert_eq!(Metadata::parse(text), Err(Invalid::NotAnObject), "{text}");
        }
    }

    #[test]
    fn bytes_are_counted_as_sent() {
        let of = |bytes: usize| format!(r#"{{"é": "{}"}}"#, "a".repeat(bytes - 10));
        assert_eq!(of(4096).len(), 4096);
        assert!(Metadata::parse(of(4096)).is_ok());
        assert_eq!(Metadata::parse(of(4097)), Err(Invalid::TooManyBytes { limit: 4096, actual: 4097 }));
    }

    #[test]
    fn levels_are_counted_with_the_object_itself() {
        let objects = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        let arrays =
            |levels: usize| format!(r#"{{"a":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
        for of in [objects as fn(usize) -> String, arrays] {
            assert!(Metadata::parse(of(32)).is_ok());
            for levels in [33, 200, 600] {
                assert_eq!(Metadata::parse(of(levels)), Err(Invalid::TooDeep { limit: 32 }));
            }
        }
    }

    #[test]
    fn strings_that_nobody_can_hold_are_refused_wherever_they_are() {
        for (odd, invalid) in [(r"\u0000", Invalid::Nul), (r"\ud800", Invalid::HalfSurrogate)] {
            for text in [
                format!(r#"{{"a":"x{odd}"}}"#),
                format!(r#"{{"x{odd}":1}}"#),
                format!(r#"{{"a":"{odd}","a":"twice"}}"#),
                format!(r#"{{"a":[1,{{"b":["{odd}"]}}]}}"#),
            ] {
                assert_eq!(Metadata::parse(&*text), Err(invalid.clone()), "{text}");
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_read_as_it_was_written(text in ".*") {
            if let Ok(metadata) = Metadata::parse(&*text) {
                let written = serde_json::to_string(&metadata).unwrap();
                prop_assert_eq!(written.trim(), text.trim());
            }
        }
    }
}
