//! A user and what others see of them.

use crate::text::text_newtype;
use crate::{Invalid, UserId};

/// The limits of the parts of a profile keep a whole one, as JSON, below the 8 KB that API Gateway lets an
/// authorizer hand on.
fn printable(text: String) -> Result<String, Invalid> {
    if text.chars().any(char::is_control) { Err(Invalid::Control) } else { Ok(text) }
}

text_newtype! {
    /// A full name, the token's `name`: 1 to 200 characters.
    Name, 200, printable
}
text_newtype! {
    /// A short name, the token's `preferred_username` or `nickname`: 1 to 200 characters.
    DisplayName, 200, printable
}
text_newtype! {
    /// Where a picture is, the token's `picture`: 1 to 1000 characters.
    AvatarUrl, 1000, printable
}

/// What a token says about its user. Absent means that nothing is said, so what is stored stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The full name.
    pub name: Option<Name>,
    /// The short name.
    pub display_name: Option<DisplayName>,
    /// The picture.
    pub avatar_url: Option<AvatarUrl>,
}

/// A stored user.
#[derive(Clone, Debug)]
pub struct User {
    /// Who it is.
    pub id: UserId,
    /// The full name.
    pub name: Option<String>,
    /// The short name.
    pub display_name: Option<String>,
    /// The picture.
    pub avatar_url: Option<String>,
}
