//! Development tokens, and the secret that they are signed with.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use uuid::Uuid;

use crate::file_error::{At, FileError};

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    Secret(#[from] FileError),
    #[error("the user must have 1 to 128 characters")]
    User,
    #[error("the service API is closed: set JWT_ISSUER and SERVICE_AUDIENCE, here and for `cargo dev`")]
    ServiceIsClosed,
    #[error(transparent)]
    Signing(#[from] jsonwebtoken::errors::Error),
}

/// The secret: `JWT_SECRET` if it is set, else one that is generated once and kept in the data directory.
pub(crate) fn secret(data_dir: &Path) -> Result<String, FileError> {
    if let Some(secret) = std::env::var("JWT_SECRET").ok().filter(|secret| !secret.is_empty()) {
        return Ok(secret);
    }
    let file = data_dir.join("jwt-secret");
    match fs::read_to_string(&file) {
        Ok(secret) => return Ok(secret.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).at(&file),
    }
    fs::create_dir_all(data_dir).at(data_dir)?;
    let secret = format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple());
    // Written completely under another name, then linked, and never over an existing one: another command may
    // do the same.
    let draft = data_dir.join(format!("jwt-secret.{}", std::process::id()));
    let mut draft_file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&draft).at(&draft)?;
    writeln!(draft_file, "{secret}").at(&draft)?;
    let linked = fs::hard_link(&draft, &file);
    fs::remove_file(&draft).at(&draft)?;
    match linked {
        Ok(()) => Ok(secret),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::read_to_string(&file).map(|secret| secret.trim().to_owned()).at(&file)
        }
        Err(error) => Err(error).at(&file),
    }
}

/// Whom a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    User,
    /// A backend.
    Service,
}

/// A token for `user`, signed with a secret or the first of a JSON array of them, that is valid for
/// `expires_in`.
pub(crate) fn issue(
    secret: &str,
    user: &str,
    name: Option<&str>,
    kind: Kind,
    expires_in: Duration,
) -> Result<String, TokenError> {
    #[derive(Serialize)]
    struct Claims<'a> {
        sub: &'a str,
        iat: u64,
        exp: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        iss: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        aud: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        preferred_username: Option<&'a str>,
    }
    if !(1..=128).contains(&user.chars().count()) {
        return Err(TokenError::User);
    }
    let configured = |variable| std::env::var(variable).ok().filter(|value| !value.is_empty());
    let (issuer, audience, scope) = match kind {
        Kind::User => (configured("JWT_ISSUER"), configured("JWT_AUDIENCE"), None),
        Kind::Service => {
            (configured("JWT_ISSUER"), configured("SERVICE_AUDIENCE"), Some("switchboard:service"))
        }
    };
    if kind == Kind::Service && (issuer.is_none() || audience.is_none()) {
        return Err(TokenError::ServiceIsClosed);
    }
    let seconds =
        |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let now = SystemTime::now();
    let claims = Claims {
        sub: user,
        iat: seconds(now),
        exp: seconds(now + expires_in),
        // The functions check these, if the environment sets them.
        iss: issuer,
        aud: audience,
        scope,
        name,
        preferred_username: name,
    };
    // The first of several secrets signs.
    let several = serde_json::from_str::<Vec<String>>(secret).unwrap_or_default();
    let key = EncodingKey::from_secret(several.first().map_or(secret, String::as_str).as_bytes());
    Ok(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
