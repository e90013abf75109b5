//! Tokens: what is accepted, and what is read from one.
//!
//! The algorithms are fixed by configuration: HS256 with a secret or one of several, or RS256, ES256 and
//! EdDSA with the keys at a JWKS URL. What a token's header says only picks among the keys, and has to fit
//! the key.

mod jwks;
mod verifier;

use domain::{Profile, UserId};

pub use crate::http::bearer;
pub use verifier::Verifier;

/// What a valid token says.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Who the caller is.
    pub user_id: UserId,
    /// What is known of them.
    pub profile: Profile,
    /// When the token expires, in seconds since 1970.
    pub expires_at: u64,
}

/// The names of what the authorizer hands on to every event of a connection.
pub mod context {
    /// The user.
    pub const USER_ID: &str = "userId";
    /// The user again, under the name that API Gateway gives it in every event.
    pub const PRINCIPAL_ID: &str = "principalId";
    /// When the token expires, in seconds since 1970.
    pub const TOKEN_EXPIRES_AT: &str = "tokenExpiresAt";
    /// [`domain::Profile::name`].
    pub const NAME: &str = "name";
    /// [`domain::Profile::display_name`].
    pub const DISPLAY_NAME: &str = "displayName";
    /// [`domain::Profile::avatar_url`].
    pub const AVATAR_URL: &str = "avatarUrl";
}
