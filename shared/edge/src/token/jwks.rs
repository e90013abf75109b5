//! The public keys of an identity provider, fetched from its JWKS URL.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use domain::{Dependency, Failure};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::Mutex;

use crate::url::https_url;

/// A token with an unknown key id causes a fetch, but not more often than this, however many ids are
/// invented.
const REFETCH_AFTER: Duration = Duration::from_secs(60);

/// Keys are fetched again after this, so that a withdrawn key is not accepted for ever.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// The time limit of a fetch: a handshake waits for it.
const FETCH_TIMEOUT: Duration = Duration::from_secs(3);

#[derive(Debug)]
pub(super) struct Jwks {
    client: Client,
    url: Url,
    cache: Mutex<Option<Fetched>>,
}

#[derive(Debug)]
struct Fetched {
    fetched_at: Instant,
    /// When the last fetch began, whether or not it succeeded.
    tried_at: Instant,
    keys: Vec<Key>,
}

/// A key that verifies tokens, and the one algorithm that it is for.
#[derive(Clone, Debug)]
pub(super) struct Key {
    id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

impl Jwks {
    /// The keys at `url`, which is `https`, or `http` on this machine.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let url = https_url(url)?;
        // A redirect could lead to an unencrypted URL.
        let client = Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, url, cache: Mutex::new(None) })
    }

    /// The keys that may have signed a token with this header: those with its `kid` and `alg`, or all with
    /// its `alg` if it has no `kid`.
    pub(super) async fn keys(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Vec<Key>, Failure> {
        // Held during the fetch: a concurrent call waits for its result instead of fetching again.
        let mut cache = self.cache.lock().await;
        let known = cache.as_ref().map(|fetched| fetched.find(id, algorithm)).unwrap_or_default();
        if let Some(fetched) = &*cache {
            let fresh = !known.is_empty() && fetched.fetched_at.elapsed() < MAX_AGE;
            if fresh || fetched.tried_at.elapsed() < REFETCH_AFTER {
                return Ok(known);
            }
        }
        let now = Instant::now();
        match (self.fetch().await, &mut *cache) {
            (Ok(keys), cache) => {
                Ok(cache.insert(Fetched { fetched_at: now, tried_at: now, keys }).find(id, algorithm))
            }
            (Err(error), None) => Err(Failure::unavailable(Dependency::Jwks, error)),
            (Err(error), Some(fetched)) => {
                fetched.tried_at = now;
                // While the provider is down, its last known keys stay valid.
                match known.is_empty() {
                    true => Err(Failure::unavailable(Dependency::Jwks, error)),
                    false => Ok(known),
                }
            }
        }
    }

    async fn fetch(&self) -> reqwest::Result<Vec<Key>> {
        let answer = self.client.get(self.url.clone()).send().await?.error_for_status()?;
        let set: Set = answer.json().await?;
        Ok(set.keys.iter().filter_map(|key| usable(key)).collect())
    }
}

/// A JWK Set, whose keys are read one by one: a key that cannot be used does not affect the others (RFC 7517,
/// section 5).
#[derive(Deserialize)]
struct Set {
    keys: Vec<Box<RawValue>>,
}

impl Fetched {
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Vec<Key> {
        let fits = |key: &&Key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id);
        self.keys.iter().filter(fits).cloned().collect()
    }
}

/// The key, if it verifies RS256, ES256 or EdDSA signatures; keys of other kinds are skipped.
fn usable(key: &RawValue) -> Option<Key> {
    let key: Jwk = serde_json::from_str(key.get()).ok()?;
    if key.common.public_key_use.as_ref().is_some_and(|used_for| *used_for != PublicKeyUse::Signature) {
        return None;
    }
    if key.common.key_operations.as_ref().is_some_and(|allowed| !allowed.contains(&KeyOperations::Verify)) {
        return None;
    }
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let long_enough = match &key.algorithm {
        AlgorithmParameters::RSA(rsa) => bytes(&rsa.n) >= 2048 / 8,
        AlgorithmParameters::EllipticCurve(point) => bytes(&point.x) == 32 && bytes(&point.y) == 32,
        AlgorithmParameters::OctetKeyPair(pair) => bytes(&pair.x) == 32,
        _ => false,
    };
    if !long_enough {
        return None;
    }
    let named = key.common.key_algorithm.map(|algorithm| algorithm.to_string());
    if named.is_some_and(|named| named != format!("{algorithm:?}")) {
        return None;
    }
    Some(Key { id: key.common.key_id.clone(), algorithm, decoding: DecodingKey::from_jwk(&key).ok()? })
}

/// The length in bytes of a number or a coordinate; 0 if it is not one.
fn bytes(base64: &str) -> usize {
    BASE64_URL_SAFE_NO_PAD.decode(base64).map_or(0, |bytes| bytes.len())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(key: &Value) -> Option<(Option<String>, Algorithm)> {
        let set: Set = serde_json::from_str(&json!({ "keys": [key] }).to_string()).unwrap();
        usable(&set.keys[0]).map(|key| (key.id, key.algorithm))
    }

    /// An Ed25519 key (RFC 8037, appendix A.2), and the changes to it.
    fn key(change: &[(&str, Value)]) -> Value {
        let mut key =
            json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
        for (name, value) in change {
            key[*name] = value.clone();
        }
        key
    }

    #[test]
    fn keys_that_are_for_signatures_are_used() {
        for change in [
            &[][..],
            &[("use", json!("sig"))],
            &[("key_ops", json!(["verify"]))],
            &[("alg", json!("EdDSA"))],
            &[("unknown", json!({ "deep": [1e300] }))],
        ] {
            assert_eq!(read(&key(change)), Some((None, Algorithm::EdDSA)), "{change:?}");
        }
        assert_eq!(read(&key(&[("kid", json!("a"))])), Some((Some("a".to_owned()), Algorithm::EdDSA)));
    }

    #[test]
    fn what_cannot_be_used_is_passed_over() {
        for entry in [
            json!(null),
            json!(5),
            json!("text"),
            json!([]),
            json!({}),
            key(&[("kid", json!(5))]),
            key(&[("x5c", json!("text"))]),
            key(&[("x5t", json!([]))]),
            key(&[("use", json!("enc"))]),
            key(&[("key_ops", json!(["encrypt"]))]),
            key(&[("key_ops", json!("verify"))]),
            key(&[("alg", json!("ES256"))]),
            key(&[("alg", json!("HS256"))]),
            key(&[("kty", json!("oct")), ("k", json!("c2VjcmV0"))]),
            key(&[("crv", json!("X25519"))]),
            key(&[("x", json!("no Base64!"))]),
            key(&[("x", json!(5))]),
            key(&[("x", json!("AAAA"))]),
            json!({ "kty": "RSA", "n": "AAAA", "e": "AQAB" }),
            json!({ "kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA" }),
        ] {
            assert_eq!(read(&entry), None, "{entry}");
        }
    }
}
