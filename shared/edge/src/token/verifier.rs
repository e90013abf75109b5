//! Verifies tokens.
//!
//! What is done with each member that the standards define:
//!
//! | header (RFC 7515, section 4) | |
//! |---|---|
//! | `alg` | has to be HS256 with a secret, or the algorithm of a key at the JWKS URL; never `none` |
//! | `kid` | selects among the keys at the JWKS URL; without it all keys of the algorithm are tried |
//! | `crit` | refused: no extension is supported, nor is `b64` |
//! | `jku`, `jwk`, `x5u`, `x5c`, `x5t`, `x5t#S256` | ignored (RFC 8725, section 3.10); refused if malformed |
//! | `typ`, `cty` | ignored: providers differ. A nested token is refused, since it is no object of claims |
//! | others | ignored |
//!
//! | claim (RFC 7519, section 4) | |
//! |---|---|
//! | `exp` | required: a number of seconds up to the year 9999, with 30 s of leeway |
//! | `nbf` | optional: a number of seconds, with the same leeway |
//! | `iat` | optional: a number of seconds; compared with the revocation of the user's tokens only |
//! | `sub` | required: a string of 1 to 128 characters without U+0000 |
//! | `iss` | optional: a string; required and compared if `JWT_ISSUER` is set |
//! | `aud` | ignored, or required and compared if `JWT_AUDIENCE` is set: a string or a list of strings |
//! | `scope` | ignored, unless `aud` holds `SERVICE_AUDIENCE`: words with spaces between them |
//! | `jti` | ignored: a token may be used until it expires |
//! | `name`, `preferred_username`, `nickname`, `picture` | optional: strings within their limits |
//! | others | ignored |
//!
//! | key (RFC 7517, section 4) | |
//! |---|---|
//! | `kty`, `crv` | RSA, EC with P-256, or OKP with Ed25519; keys of other types are skipped |
//! | `use`, `key_ops`, `alg` | optional: have to allow signatures with the algorithm of that type |
//! | `kid` | together with the algorithm it names keys; several with one name are all tried |
//! | `n`, `x`, `y` | have to be of the right length: at least 2,048 bits for RSA, 256 for the others |
//! | `e` | any number |
//! | `x5u`, `x5c`, `x5t`, `x5t#S256` | ignored; a key with a malformed one is skipped |
//! | others | ignored |
//!
//! Each key is for one algorithm (RFC 8725, sections 3.1 and 3.2). Nothing is decompressed, nothing that a
//! token names is fetched, and a secret is never used where keys are configured. The length of a secret is
//! not checked (RFC 8725, section 3.5): infra/template.yaml says how long it should be.

use std::collections::HashSet;

use aws::{SdkConfig, Secret, secrets};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::{AvatarUrl, Dependency, DisplayName, Failure, Identity, Invalid, Name, Profile, UserId};
use environment::Misconfigured;
use jsonwebtoken::errors::{Error as TokenError, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::jwks::Jwks;
use super::{Claims, Verify};
use crate::Error;

/// The audience of service tokens.
const SERVICE_AUDIENCE: &str = "SERVICE_AUDIENCE";

/// The allowed difference between the issuer's clock and ours, in seconds.
const LEEWAY: u64 = 30;

/// The word in `scope` that makes a token with the audience of the service a service token.
const SERVICE_SCOPE: &str = "switchboard:service";

/// Verifies the tokens of users. Keeps the keys as long as the process lives.
#[derive(Debug)]
pub struct Verifier {
    keys: Keys,
    issuer: Option<String>,
    audience: Option<String>,
    service_audience: Option<String>,
}

/// Verifies the tokens of backends.
#[derive(Debug)]
pub struct ServiceVerifier {
    verifier: Verifier,
    /// Whether an issuer and the audience of the service are configured.
    is_open: bool,
}

#[derive(Debug)]
enum Keys {
    Secret(Secret),
    Jwks(Box<Jwks>),
}

impl Verifier {
    /// Reads `JWT_JWKS_URL` or else `JWT_SECRET` (a secret, a JSON array of secrets, or the ARN of either),
    /// and `JWT_ISSUER` and `JWT_AUDIENCE`, which are checked if they are set. A token with the audience and
    /// the scope of the service is refused, whatever else it has; `SERVICE_AUDIENCE` names that audience.
    ///
    /// # Errors
    ///
    /// No key is configured, or a value cannot be used.
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        let keys = match environment::optional("JWT_JWKS_URL") {
            Some(url) => Keys::Jwks(Box::new(
                Jwks::new(&url).map_err(|error| Misconfigured::Invalid("JWT_JWKS_URL", error))?,
            )),
            None => {
                let secret = Secret::from_env("JWT_SECRET", sdk)?;
                secret
                    .given()
                    .map_or(Ok(()), |value| secrets(value).map(drop))
                    .map_err(|error| Misconfigured::Invalid("JWT_SECRET", error.to_owned()))?;
                Keys::Secret(secret)
            }
        };
        let audience = environment::optional("JWT_AUDIENCE");
        let service_audience = environment::optional(SERVICE_AUDIENCE);
        if service_audience.is_some() && service_audience == audience {
            let equal = "is that of JWT_AUDIENCE: every token of a user would have it".to_owned();
            return Err(Misconfigured::Invalid(SERVICE_AUDIENCE, equal));
        }
        Ok(Self { keys, issuer: environment::optional("JWT_ISSUER"), audience, service_audience })
    }

    /// Fetches the keys, if they have to be fetched: see [`crate::warm_up`].
    ///
    /// # Errors
    ///
    /// The keys cannot be fetched.
    pub async fn warm_up(&self) -> Result<(), Failure> {
        match &self.keys {
            Keys::Secret(secret) => secret.value().await.map(drop),
            Keys::Jwks(jwks) => jwks.keys(None, Algorithm::RS256).await.map(drop),
        }
    }

    /// Whether it is a service token.
    fn is_of_service(&self, claims: &RawClaims) -> bool {
        let has_scope =
            || claims.scope.as_str().is_some_and(|all| all.split(' ').any(|one| one == SERVICE_SCOPE));
        let is_meant = |audience: &str| {
            claims.audience.as_str() == Some(audience)
                || claims
                    .audience
                    .as_array()
                    .is_some_and(|all| all.iter().any(|one| one.as_str() == Some(audience)))
        };
        self.service_audience.as_deref().is_some_and(is_meant) && has_scope()
    }

    /// The claims of a token whose signature, times, issuer and audience are as they should be.
    async fn read(&self, token: &str) -> Result<RawClaims, Error> {
        let header = jsonwebtoken::decode_header(token).map_err(refusal)?;
        if has_critical_extensions(token) {
            return Err(Error::unauthenticated(
                "the token's header has crit, and no extension is understood",
            ));
        }
        let verified = match &self.keys {
            Keys::Secret(secret) => {
                let value = secret.value().await?;
                match self.verify_with_secrets(token, &value)? {
                    Err(error) if *error.kind() == ErrorKind::InvalidSignature => {
                        match secret.replaced(&value).await {
                            Some(value) => self.verify_with_secrets(token, &value)?,
                            None => Err(error),
                        }
                    }
                    verified => verified,
                }
            }
            Keys::Jwks(jwks) => {
                let keys = jwks.keys(header.kid.as_deref(), header.alg).await?;
                if keys.is_empty() {
                    return Err(Error::unauthenticated("the token is signed with an unknown key"));
                }
                self.verify_with(token, keys.into_iter().map(|key| (key.decoding, key.algorithm)))
            }
        };
        verified.map_err(refusal)
    }

    /// The claims, if one of the secrets in a value of `JWT_SECRET` verifies the token.
    fn verify_with_secrets(
        &self,
        token: &str,
        value: &str,
    ) -> Result<Result<RawClaims, TokenError>, Failure> {
        let secrets =
            secrets(value).map_err(|error| Failure::unexpected(Dependency::SecretsManager, error))?;
        let keys = secrets.iter().map(|secret| DecodingKey::from_secret(secret.as_bytes()));
        Ok(self.verify_with(token, keys.map(|key| (key, Algorithm::HS256))))
    }

    /// The claims, if one of the keys verifies the token. There is at least one key.
    fn verify_with(
        &self,
        token: &str,
        keys: impl Iterator<Item = (DecodingKey, Algorithm)>,
    ) -> Result<RawClaims, TokenError> {
        let mut verified = Err(ErrorKind::InvalidSignature.into());
        for (key, algorithm) in keys {
            verified =
                jsonwebtoken::decode(token, &key, &self.validation(algorithm)).map(|token| token.claims);
            match &verified {
                Err(error) if *error.kind() == ErrorKind::InvalidSignature => {}
                _ => break,
            }
        }
        verified
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
        validation.validate_nbf = true;
        // A configured claim is required: otherwise a token without it would pass.
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

impl ServiceVerifier {
    /// Reads the variables of [`Verifier::from_env`]. Without `JWT_ISSUER` and `SERVICE_AUDIENCE` every token
    /// is refused.
    ///
    /// # Errors
    ///
    /// As [`Verifier::from_env`].
    pub fn from_env(sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        let verifier = Verifier::from_env(sdk)?;
        let is_open = verifier.issuer.is_some() && verifier.service_audience.is_some();
        // The audience of users is not that of the service.
        Ok(Self { verifier: Verifier { audience: None, ..verifier }, is_open })
    }

    /// As [`Verifier::warm_up`].
    ///
    /// # Errors
    ///
    /// The keys cannot be fetched.
    pub async fn warm_up(&self) -> Result<(), Failure> {
        if self.is_open { self.verifier.warm_up().await } else { Ok(()) }
    }
}

impl Verify for Verifier {
    type Claims = Claims;

    async fn verify(&self, token: Result<&str, Error>) -> Result<Claims, Error> {
        let claims = self.read(token?).await?;
        match self.is_of_service(&claims) {
            true => Err(Error::unauthenticated("a service token opens /service only")),
            false => user(claims),
        }
    }
}

impl Verify for ServiceVerifier {
    type Claims = ();

    async fn verify(&self, token: Result<&str, Error>) -> Result<(), Error> {
        if !self.is_open {
            return Err(Error::forbidden(
                "the service API is closed: JWT_ISSUER and SERVICE_AUDIENCE open it",
            ));
        }
        let claims = self.verifier.read(token?).await?;
        match self.verifier.is_of_service(&claims) {
            true => Ok(()),
            false => {
                Err(Error::forbidden("the token is not one of the service: its aud or its scope differs"))
            }
        }
    }
}

/// Reads a member that is present: null does not stand for an absent one.
fn there<'de, T: Deserialize<'de>, D: Deserializer<'de>>(value: D) -> Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// Whether the header of a token has `crit` (RFC 7515, section 4.1.11), even if it is null.
fn has_critical_extensions(token: &str) -> bool {
    #[derive(Deserialize)]
    struct Header {
        #[serde(default, deserialize_with = "there")]
        crit: Option<IgnoredAny>,
    }
    let header = token.split('.').next().unwrap_or_default();
    let header = BASE64_URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    // A header that cannot be read counts as having it, and is refused.
    serde_json::from_slice::<Header>(&header).map_or(true, |header| header.crit.is_some())
}

#[derive(Deserialize)]
struct RawClaims {
    sub: String,
    exp: f64,
    // Checked for their types only: `jsonwebtoken` accepts other types.
    #[serde(rename = "nbf", default, deserialize_with = "there")]
    _not_before: Option<f64>,
    #[serde(rename = "iat", default, deserialize_with = "there")]
    issued_at: Option<f64>,
    #[serde(rename = "iss", default, deserialize_with = "there")]
    _issuer: Option<String>,
    // Of any type: only those of a service token are read.
    #[serde(rename = "aud", default)]
    audience: Value,
    #[serde(default)]
    scope: Value,
    name: Option<String>,
    preferred_username: Option<String>,
    nickname: Option<String>,
    picture: Option<String>,
}

/// The claims of a user's token.
fn user(raw: RawClaims) -> Result<Claims, Error> {
    // Identity providers may send an empty string for an absent value.
    let said = |claim: Option<String>| claim.filter(|text| !text.is_empty());
    let invalid =
        |claim: &str, reason: Invalid| Error::unauthenticated(format!("the token's {claim} {reason}"));
    let display_name = said(raw.preferred_username).or(said(raw.nickname));
    Ok(Claims {
        identity: Identity {
            user_id: UserId::parse(raw.sub).map_err(|reason| invalid("sub", reason))?,
            // Saturates.
            issued_at: raw.issued_at.map(|seconds| seconds.floor() as i64),
        },
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

/// In seconds since 1970, and a time that can be represented.
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

    /// The error of a token that is not signed by us.
    fn refused(token: &str) -> Error {
        let sdk = SdkConfig::builder().build();
        let keys = Keys::Secret(Secret::new(&sdk, "a secret of thirty-two bytes or more".to_owned()));
        let verifier = Verifier { keys, issuer: None, audience: None, service_audience: None };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(verifier.verify(Ok(token))).expect_err(token)
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reading_of_tokens(text in any::<String>()) {
            prop_assert_eq!(refused(&text).code, Code::Unauthenticated);
        }

        #[test]
        fn nor_does_what_looks_like_one(parts in prop::collection::vec("[A-Za-z0-9_-]{0,80}", 1..5)) {
            // A header with more members.
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
