//! The public keys of an identity provider, fetched from its JWKS URL and kept.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::{Dependency, Failure};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use reqwest::redirect::Policy;
use reqwest::{Client, Url};
use tokio::sync::Mutex;

/// An unknown key id makes the keys be fetched again, but not more often than this, whoever invents key ids.
const REFETCH_AFTER: Duration = Duration::from_secs(60);

/// Keys are fetched again after this, so that one which the provider withdrew is not accepted for ever.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// A handshake waits for this.
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
    /// When it was last tried to fetch them, whatever came of it.
    tried_at: Instant,
    keys: HashMap<Option<String>, (DecodingKey, Algorithm)>,
}

impl Jwks {
    /// The keys at `url`: `https`, or `http` on this machine.
    pub(super) fn new(url: &str) -> Result<Self, String> {
        let url: Url = url.parse().map_err(|error| format!("is not a URL: {error}"))?;
        let loopback = match url.host_str() {
            Some("localhost") => true,
            Some(host) => {
                host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
            }
            None => false,
        };
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            return Err("must be an https URL".to_owned());
        }
        // A redirect could lead anywhere, also to where nothing is encrypted.
        let client = Client::builder()
            .timeout(FETCH_TIMEOUT)
            .redirect(Policy::none())
            .build()
            .map_err(|error| error.to_string())?;
        Ok(Self { client, url, cache: Mutex::new(None) })
    }

    /// The key called `id`. A token without a key id is checked with the only key there is, if it is the only
    /// one.
    pub(super) async fn key(&self, id: Option<&str>) -> Result<Option<(DecodingKey, Algorithm)>, Failure> {
        // Held during the fetch: who comes second waits for the first one's answer instead of asking again.
        let mut cache = self.cache.lock().await;
        let known = cache.as_ref().and_then(|fetched| fetched.find(id));
        if let Some(fetched) = &*cache {
            let fresh = known.is_some() && fetched.fetched_at.elapsed() < MAX_AGE;
            if fresh || fetched.tried_at.elapsed() < REFETCH_AFTER {
                return Ok(known);
            }
        }
        let now = Instant::now();
        match (self.fetch().await, &mut *cache) {
            (Ok(keys), cache) => Ok(cache.insert(Fetched { fetched_at: now, tried_at: now, keys }).find(id)),
            (Err(error), None) => Err(Failure::unavailable(Dependency::Jwks, error)),
            (Err(error), Some(fetched)) => {
                fetched.tried_at = now;
                // While the provider is down its keys stay good: it could not have said otherwise.
                known.map_or_else(|| Err(Failure::unavailable(Dependency::Jwks, error)), |key| Ok(Some(key)))
            }
        }
    }

    async fn fetch(&self) -> reqwest::Result<HashMap<Option<String>, (DecodingKey, Algorithm)>> {
        let answer = self.client.get(self.url.clone()).send().await?.error_for_status()?;
        let set: JwkSet = answer.json().await?;
        Ok(set.keys.iter().filter_map(usable).collect())
    }
}

impl Fetched {
    fn find(&self, id: Option<&str>) -> Option<(DecodingKey, Algorithm)> {
        match id {
            Some(id) => self.keys.get(&Some(id.to_owned())).cloned(),
            None if self.keys.len() == 1 => self.keys.values().next().cloned(),
            None => None,
        }
    }
}

/// A key that tokens may be signed with, and the one algorithm it is good for. A provider's other keys are
/// passed over.
fn usable(key: &Jwk) -> Option<(Option<String>, (DecodingKey, Algorithm))> {
    if key.common.public_key_use.as_ref().is_some_and(|used_for| *used_for != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match &key.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(curve) if curve.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(pair) if pair.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let named = key.common.key_algorithm.map(|algorithm| algorithm.to_string());
    if named.is_some_and(|named| named != format!("{algorithm:?}")) {
        return None;
    }
    Some((key.common.key_id.clone(), (DecodingKey::from_jwk(key).ok()?, algorithm)))
}
