//! A user and what others see of them.

use crate::text::{bounded, text_newtype};
use crate::{Invalid, UserId};

/// The limits of the parts of a profile keep a whole one, as JSON, below the 8 KB that API Gateway lets an
/// authorizer hand on.
fn profile_text(text: String, limit: usize) -> Result<String, Invalid> {
    let text = bounded(text, limit)?;
    if text.chars().any(char::is_control) { Err(Invalid::Control) } else { Ok(text) }
}

text_newtype! {
    /// A full name, the token's `name`: 1 to 200 characters.
    Name, |text| profile_text(text, 200)
}
text_newtype! {
    /// A short name, the token's `preferred_username` or `nickname`: 1 to 200 characters.
    DisplayName, |text| profile_text(text, 200)
}
text_newtype! {
    /// Where a picture is, the token's `picture`: 1 to 1000 characters.
    AvatarUrl, |text| profile_text(text, 1000)
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
