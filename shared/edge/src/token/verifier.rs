//! The check of a token.

use std::collections::HashSet;

use aws::{SdkConfig, Secret};
use domain::{AvatarUrl, DisplayName, Invalid, Name, Profile, UserId};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation};
use serde::Deserialize;

use super::Claims;
use super::jwks::Jwks;
use crate::Error;
use crate::env::{self, Misconfigured};

/// How far the issuer's clock and ours may be apart, in seconds.
const LEEWAY: u64 = 30;

/// Verifies tokens; keeps the keys for as long as the process lives.
#[derive(Debug)]
pub struct Verifier {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
}

#[derive(Debug)]
enum Keys {
    Secret(Secret),
    Jwks(Box<Jwks>),
}

impl Verifier {
    /// Configured by `JWT_JWKS_URL` or else `JWT_SECRET`, and `JWT_ISSUER` and `JWT_AUDIENCE`, which are
    /// checked when set.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        let keys = match env::optional("JWT_JWKS_URL") {
            Some(url) => Keys::Jwks(Box::new(
                Jwks::new(&url).map_err(|error| Misconfigured::Invalid("JWT_JWKS_URL", error))?,
            )),
            None => Keys::Secret(env::secret("JWT_SECRET", sdk)?),
        };
        Ok(Self { keys, issuer: env::optional("JWT_ISSUER"), audience: env::optional("JWT_AUDIENCE") })
    }

    /// The claims of a valid token.
    pub async fn verify(&self, token: &str) -> Result<Claims, Error> {
        let header = jsonwebtoken::decode_header(token).map_err(refusal)?;
        let verified = match &self.keys {
            Keys::Secret(secret) => {
                let value = secret.value().await?;
                match self.decode(token, &value) {
                    Err(error) if *error.kind() == ErrorKind::InvalidSignature => {
                        match secret.replaced(&value).await {
                            Some(value) => self.decode(token, &value),
                            None => Err(error),
                        }
                    }
                    decoded => decoded,
                }
            }
            Keys::Jwks(jwks) => {
                let (key, algorithm) = jwks
                    .key(header.kid.as_deref())
                    .await?
                    .ok_or_else(|| Error::unauthenticated("the token is signed with an unknown key"))?;
                jsonwebtoken::decode::<RawClaims>(token, &key, &self.validation(algorithm))
            }
        };
        claims(verified.map_err(refusal)?.claims)
    }

    fn decode(&self, token: &str, secret: &str) -> jsonwebtoken::errors::Result<TokenData<RawClaims>> {
        let key = DecodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::decode(token, &key, &self.validation(Algorithm::HS256))
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        // A claim that is checked only if it is there is no check.
        let checked = [("iss", &self.issuer), ("aud", &self.audience)];
        validation.required_spec_claims = ["exp", "sub"]
            .into_iter()
            .chain(checked.into_iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name))
            .map(str::to_owned)
            .collect();
        validation.iss = self.issuer.clone().map(|issuer| HashSet::from([issuer]));
        validation.aud = self.audience.clone().map(|audience| HashSet::from([audience]));
        validation.validate_aud = self.audience.is_some();
        validation
    }
}

#[derive(Deserialize)]
struct RawClaims {
    sub: String,
    exp: f64,
    name: Option<String>,
    preferred_username: Option<String>,
    nickname: Option<String>,
    picture: Option<String>,
}

fn claims(raw: RawClaims) -> Result<Claims, Error> {
    // An identity provider may say "nothing" with an empty string.
    let said = |claim: Option<String>| claim.filter(|text| !text.is_empty());
    let invalid =
        |claim: &str, reason: Invalid| Error::unauthenticated(format!("the token's {claim} {reason}"));
    let display_name = said(raw.preferred_username).or(said(raw.nickname));
    Ok(Claims {
        user_id: UserId::parse(raw.sub).map_err(|reason| invalid("sub", reason))?,
        profile: Profile {
            name: said(raw.name).map(Name::parse).transpose().map_err(|reason| invalid("name", reason))?,
            display_name: display_name
                .map(DisplayName::parse)
                .transpose()
                .map_err(|reason| invalid("preferred_username or nickname", reason))?,
            avatar_url: said(raw.picture)
                .map(AvatarUrl::parse)
                .transpose()
                .map_err(|reason| invalid("picture", reason))?,
        },
        expires_at: expiry(raw.exp)?,
    })
}

/// In seconds since 1970, and a time that a connection can be held to.
fn expiry(exp: f64) -> Result<u64, Error> {
    const END_OF_9999: f64 = 253_402_300_799.0;
    match (0.0..=END_OF_9999).contains(&exp) {
        true => Ok(exp as u64),
        false => Err(Error::unauthenticated("the token's exp is not a time in seconds")),
    }
}

/// What is wrong with a token, without repeating any of it.
fn refusal(error: jsonwebtoken::errors::Error) -> Error {
    Error::unauthenticated(match error.kind() {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        ErrorKind::InvalidAlgorithm => "the token's algorithm is not accepted",
        ErrorKind::InvalidIssuer => "the token's iss is not accepted",
        ErrorKind::InvalidAudience => "the token's aud is not accepted",
        ErrorKind::MissingRequiredClaim(_) => "the token lacks one of the claims exp, sub, iss, aud",
        _ => "the token is malformed",
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::Code;

    use super::*;

    /// What becomes of a token that nobody signed.
    fn refused(token: &str) -> Error {
        let sdk = SdkConfig::builder().build();
        let keys = Keys::Secret(Secret::new(&sdk, "a secret of thirty-two bytes or more".to_owned()));
        let verifier = Verifier { keys, issuer: None, audience: None };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(verifier.verify(token)).expect_err(token)
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reading_of_tokens(text in any::<String>()) {
            prop_assert_eq!(refused(&text).code, Code::Unauthenticated);
        }

        #[test]
        fn nor_does_what_looks_like_one(parts in prop::collection::vec("[A-Za-z0-9_-]{0,80}", 1..5)) {
            // A header that promises more.
            let token = format!("eyJhbGciOiJIUzI1NiJ9.{}", parts.join("."));
            prop_assert_eq!(refused(&token).code, Code::Unauthenticated);
        }

        #[test]
        fn expiries_are_times(exp in any::<f64>()) {
            if let Ok(seconds) = expiry(exp) {
                prop_assert!(seconds <= 253_402_300_799);
            }
        }
    }
}
