//! Users and their profiles.
//!
//! The limits keep the JSON of a whole profile under the 8 KB that API Gateway allows for the context of an
//! authorizer.

use crate::UserId;
use crate::text::{printable, text_newtype};

text_newtype! {
    /// A full name, from the claim `name`: 1 to 200 characters.
    Name, 200, printable
}
text_newtype! {
    /// A short name, from the claim `preferred_username` or `nickname`: 1 to 200 characters.
    DisplayName, 200, printable
}
text_newtype! {
    /// The URL of a picture, from the claim `picture`: 1 to 1000 characters.
    AvatarUrl, 1000, printable
}

/// The profile of a user: as a token has it (`None`: no such claim, so the stored value stays), or as it is
/// stored (`None`: no value).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The full name.
    pub name: Option<Name>,
    /// The short name.
    pub display_name: Option<DisplayName>,
    /// The URL of the picture.
    pub avatar_url: Option<AvatarUrl>,
}

/// Whom a token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// When the token was issued, in seconds since 1970. A revocation refuses a token that does not say so.
    pub issued_at: Option<i64>,
}

/// The users who are told of a user's presence.
#[derive(Clone, Debug, Default)]
pub struct Contacts {
    /// Those who share a conversation of up to [`crate::MAX_NOTIFIED`] participants with the user, at most
    /// the 500 with the latest activity.
    pub users: Vec<UserId>,
    /// Those who have blocked the user or are blocked by them: they are not told, contacts or not.
    pub apart: Vec<UserId>,
}

/// A stored user.
#[derive(Clone, Debug)]
pub struct User {
    /// The id.
    pub id: UserId,
    /// Their profile.
    pub profile: Profile,
}
