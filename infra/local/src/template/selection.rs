//! Route selection expressions: `$request.body.action`, or several in one text, as
//! `${request.body.service}/${request.body.action}`.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// A parsed expression, which selects the route key of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A path in the body.
    Body(Vec<Step>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Field(String),
    Element(usize),
}

const BODY: &str = "request.body.";

impl Selection {
    /// Parses an expression; `None` if its form is not supported.
    pub(super) fn parse(expression: &str) -> Option<Self> {
        if let Some(path) = expression.strip_prefix('$').and_then(|rest| rest.strip_prefix(BODY)) {
            return Some(Self(vec![Part::Body(steps(path)?)]));
        }
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = expression;
        while let Some(next) = rest.chars().next() {
            if let Some(escaped) = rest.strip_prefix("\\$") {
                text.push('$');
                rest = escaped;
            } else if let Some(reference) = rest.strip_prefix("${") {
                let (path, after) = reference.split_once('}')?;
                parts.push(Part::Text(std::mem::take(&mut text)));
                parts.push(Part::Body(steps(path.strip_prefix(BODY)?)?));
                rest = after;
            } else if next == '$' {
                return None;
            } else {
                text.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        parts.push(Part::Text(text));
        Some(Self(parts))
    }

    /// The route key of a message. A missing value is empty, and so is every value if the body is not JSON.
    /// Other parts of the body are not parsed: API Gateway accepts halves of surrogate pairs, numbers of any
    /// size and any nesting, which not every library does.
    pub(crate) fn key(&self, body: &str) -> String {
        let body: Option<&RawValue> = serde_json::from_str(body).ok();
        let parts = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Body(steps) => body.and_then(|body| find(body, steps)).map(text).unwrap_or_default(),
        });
        parts.collect()
    }
}

fn find<'a>(body: &'a RawValue, steps: &[Step]) -> Option<&'a RawValue> {
    steps.iter().try_fold(body, |value, step| match step {
        Step::Field(name) => Field(name).deserialize(value).ok()?,
        Step::Element(at) => serde_json::from_str::<Vec<&RawValue>>(value.get()).ok()?.get(*at).copied(),
    })
}

/// Finds the field with this name in an object; the last one if there are several.
struct Field<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Field<'_> {
    type Value = Option<&'de RawValue>;
    fn deserialize<D: Deserializer<'de>>(self, object: D) -> Result<Self::Value, D::Error> {
        object.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Field<'_> {
    type Value = Option<&'de RawValue>;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_it) = object.next_key_seed(Is(self.0))? {
            match is_it {
                true => found = Some(object.next_value()?),
                false => _ = object.next_value::<IgnoredAny>()?,
            }
        }
        Ok(found)
    }
}

/// Whether a name equals this one. Compared as bytes, since it may not be valid text.
struct Is<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<bool, D::Error> {
        name.deserialize_bytes(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;
    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }
    fn visit_bytes<E>(self, name: &[u8]) -> Result<bool, E> {
        Ok(name == self.0.as_bytes())
    }
}

/// Formats a value as API Gateway does: lists with a space after each comma.
fn text(value: &RawValue) -> String {
    fn of(value: &Value) -> String {
        match value {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            Value::Array(items) => format!("[{}]", items.iter().map(of).collect::<Vec<_>>().join(", ")),
            other => other.to_string(),
        }
    }
    serde_json::from_str(value.get()).map_or_else(|_| value.get().to_owned(), |value| of(&value))
}

/// Parses the steps of `a.b[0]`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let (name, elements) = match part.split_once('[') {
            Some((name, elements)) => (name, Some(elements)),
            None => (part, None),
        };
        let plain = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return None;
        }
        steps.push(Step::Field(name.to_owned()));
        if let Some(elements) = elements {
            for element in elements.strip_suffix(']')?.split("][") {
                steps.push(Step::Element(element.parse().ok()?));
            }
        }
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(expression: &str, body: &str) -> String {
        Selection::parse(expression).unwrap().key(body)
    }

    #[test]
    fn the_key_is_what_the_path_leads_to() {
        assert_eq!(key("$request.body.action", r#"{"action":"ping"}"#), "ping");
        assert_eq!(key("$request.body.action", r#"{"action":5}"#), "5");
        assert_eq!(key("$request.body.action", r#"{"action":["a",1]}"#), "[a, 1]");
        assert_eq!(key("$request.body.action", r#"{"other":1}"#), "");
        assert_eq!(key("$request.body.action", "[]"), "");
        assert_eq!(key("$request.body.action", "not JSON"), "");
        assert_eq!(key("$request.body.a.b[1][0].c", r#"{"a":{"b":[0,[{"c":"deep"}]]}}"#), "deep");
    }

    #[test]
    fn what_is_not_asked_for_is_not_read() {
        let nested = "[".repeat(100_000) + &"]".repeat(100_000);
        for odd in [r#""\ud83d""#, "1e400", nested.as_str()] {
            let body = format!(r#"{{"odd":{odd},"action":"ping","\ud83d":{odd}}}"#);
            assert_eq!(key("$request.body.action", &body), "ping");
            assert_eq!(key("$request.body.action", &format!(r#"{{"action":{odd}}}"#)), odd);
        }
        assert_eq!(key("$request.body.action", r#"{"action":"one","action":"two"}"#), "two");
        assert_eq!(key("$request.body.action", r#"{"action":"ping"} and more"#), "");
    }

    #[test]
    fn expressions_are_composed() {
        let composed = "${request.body.service}/${request.body.action}";
        assert_eq!(key(composed, r#"{"service":"doc","action":"sync"}"#), "doc/sync");
        assert_eq!(key(composed, "{}"), "/");
        assert_eq!(key("\\$default", "{}"), "$default");
        assert_eq!(key("constant", "{}"), "constant");
    }

    #[test]
    fn other_forms_are_not_understood() {
        for expression in
            ["$request.header.x", "$context.routeKey", "${request.body.a", "$request.body.", "$x", "${a}"]
        {
            assert_eq!(Selection::parse(expression), None, "{expression}");
        }
    }
}
