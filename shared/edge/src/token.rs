//! Tokens: which are accepted, and what is read from them.
//!
//! The configuration decides on the algorithm: HS256 with one or more secrets, or RS256, ES256 and EdDSA with
//! the keys at a JWKS URL. The header of a token only selects among the keys, and has to fit the key.

mod jwks;
mod verifier;

use domain::{Profile, UserId};

pub use crate::http::bearer;
pub use verifier::Verifier;

/// The claims of a valid token.
#[derive(Clone, Debug)]
pub struct Claims {
    /// The user.
    pub user_id: UserId,
    /// The profile of the user.
    pub profile: Profile,
    /// When the token expires, in seconds since 1970.
    pub expires_at: u64,
}

/// The names in the authorizer context. A `$disconnect` may carry `PRINCIPAL_ID` only.
pub mod context {
    /// The user.
    pub const USER_ID: &str = "userId";
    /// The user, under the name that API Gateway gives to the principal.
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
