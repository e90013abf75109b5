//! Tokens: which are accepted, and what is read from them.
//!
//! The configuration decides on the algorithm: HS256 with one or more secrets, or RS256, ES256 and EdDSA with
//! the keys at a JWKS URL. The header of a token only selects among the keys, and has to fit the key.
//!
//! A service token is one whose `scope` and `aud` both say so: an identity provider may hand out any scope to
//! anybody who asks. Only the service API takes it, and that takes nothing else.

mod jwks;
mod verifier;

use domain::{Identity, Profile};

use crate::Error;

pub use verifier::{ServiceVerifier, Verifier};

/// The claims of a valid token.
#[derive(Clone, Debug)]
pub struct Claims {
    /// Whom it names.
    pub identity: Identity,
    /// The profile of the user.
    pub profile: Profile,
    /// When the token expires, in seconds since 1970.
    pub expires_at: u64,
}

/// The token in the value of an `Authorization` header.
///
/// # Errors
///
/// There is no header, or it has another scheme.
pub fn bearer(authorization: Option<&str>) -> Result<&str, Error> {
    authorization
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("Bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(Error::token_missing)
}

/// Decides who may call an HTTP route.
pub trait Verify: Sync {
    /// What is known of the caller.
    type Claims: Send;

    /// What the token of a request says, if it is accepted; an error if there is none.
    fn verify(&self, token: Result<&str, Error>) -> impl Future<Output = Result<Self::Claims, Error>> + Send;
}

/// The names in the authorizer context. A `$disconnect` may carry `PRINCIPAL_ID` only.
pub mod context {
    /// The user.
    pub const USER_ID: &str = "userId";
    /// The user, under the name that API Gateway gives to the principal.
    pub const PRINCIPAL_ID: &str = "principalId";
    /// When the token expires, in seconds since 1970.
    pub const TOKEN_EXPIRES_AT: &str = "tokenExpiresAt";
    /// [`domain::Identity::issued_at`].
    pub const TOKEN_ISSUED_AT: &str = "tokenIssuedAt";
    /// [`domain::Profile::name`].
    pub const NAME: &str = "name";
    /// [`domain::Profile::display_name`].
    pub const DISPLAY_NAME: &str = "displayName";
    /// [`domain::Profile::avatar_url`].
    pub const AVATAR_URL: &str = "avatarUrl";
}
