//! Checks of text that comes from outside.

/// Why a text is refused. The message follows the name of the field: "content: must not be empty".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// It is empty.
    #[error("must not be empty")]
    Empty,
    /// It has only white space.
    #[error("must not be blank")]
    Blank,
    /// It has more Unicode scalar values than the limit.
    #[error("must be at most {limit} characters long, not {actual}")]
    TooLong {
        /// The limit.
        limit: usize,
        /// The number of Unicode scalar values that it has.
        actual: usize,
    },
    /// It has a U+0000, which Postgres cannot hold in text.
    #[error("must not contain U+0000")]
    Nul,
    /// It has a control character, which may take six bytes in JSON and has no use in a name.
    #[error("must not contain control characters")]
    Control,
    /// It is no JSON object.
    #[error("must be a JSON object")]
    NotAnObject,
    /// It has more bytes of UTF-8 than the limit.
    #[error("must be at most {limit} bytes of UTF-8, not {actual}")]
    TooManyBytes {
        /// The limit.
        limit: usize,
        /// The number of bytes that it has.
        actual: usize,
    },
    /// It has objects or arrays inside each other, more levels than the limit.
    #[error("must have at most {limit} levels of objects and arrays")]
    TooDeep {
        /// The limit.
        limit: usize,
    },
    /// It has half of a surrogate pair, which is no character.
    #[error("must not contain half of a surrogate pair")]
    HalfSurrogate,
    /// It is not a UUID.
    #[error("must be a UUID")]
    NotUuid,
}

/// Checks that `text` has 1 to `limit` Unicode scalar values and no U+0000.
pub(crate) fn bounded(text: String, limit: usize) -> Result<String, Invalid> {
    if text.is_empty() {
        return Err(Invalid::Empty);
    }
    let actual = text.chars().count();
    if actual > limit {
        return Err(Invalid::TooLong { limit, actual });
    }
    if text.contains('\0') {
        return Err(Invalid::Nul);
    }
    Ok(text)
}

/// Refuses control characters.
pub(crate) fn printable(text: String) -> Result<String, Invalid> {
    if text.chars().any(char::is_control) { Err(Invalid::Control) } else { Ok(text) }
}

/// Declares a newtype over `String` with a length limit. Values from outside are made by its `parse` only, in
/// code and by serde.
macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident, $limit:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// Checks a text.
            ///
            /// # Errors
            ///
            /// The text is empty, too long, contains U+0000, or fails the check of the type.
            pub fn parse(text: impl Into<String>) -> Result<Self, crate::Invalid> {
                let check: fn(String) -> Result<String, crate::Invalid> = $check;
                crate::text::bounded(text.into(), $limit).and_then(check).map(Self)
            }

            /// A value that was checked before it was stored.
            pub fn stored(text: String) -> Self {
                Self(text)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = crate::Invalid;
            fn try_from(text: String) -> Result<Self, crate::Invalid> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "minLength": 1, "maxLength": $limit })
            }
        }
    };
}
pub(crate) use text_newtype;
