//! An identity provider, which signs tokens and serves its public keys.

use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::StandIn;

/// The provider.
#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    keys: Vec<Value>,
    answers: Answers,
    asked: usize,
}

/// How the provider answers.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    AtOnce,
    Never,
    WithAnError,
}

/// A key pair.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: String,
    algorithm: Algorithm,
    private: EncodingKey,
}

impl Provider {
    /// Starts a provider with these keys.
    pub(crate) async fn start(keys: &[&Key]) -> Self {
        let stand_in = StandIn::bind().await;
        let url = format!("{}/jwks.json", stand_in.url());
        let state = State { keys: Vec::new(), answers: Answers::AtOnce, asked: 0 };
        let provider = Self { url, state: Arc::new(Mutex::new(state)) };
        provider.has_keys(keys);
        let serving = provider.clone();
        let routes = Router::new().route("/jwks.json", get(async move || serving.answer().await));
        stand_in.serves(routes);
        provider
    }

    /// Serves these keys from now on.
    pub(crate) fn has_keys(&self, keys: &[&Key]) {
        let keys = keys.iter().map(|key| serde_json::to_value(key.public()).unwrap()).collect();
        self.state.lock().unwrap().keys = keys;
    }

    /// Serves these entries before its keys from now on.
    pub(crate) fn begins_with(&self, entries: &[Value]) {
        self.state.lock().unwrap().keys.splice(..0, entries.iter().cloned());
    }

    /// Answers like this from now on.
    pub(crate) fn answers(&self, answers: Answers) {
        self.state.lock().unwrap().answers = answers;
    }

    /// How often its keys were fetched.
    pub(crate) fn was_asked(&self) -> usize {
        self.state.lock().unwrap().asked
    }

    async fn answer(&self) -> Response {
        let (keys, answers) = {
            let mut state = self.state.lock().unwrap();
            state.asked += 1;
            (state.keys.clone(), state.answers)
        };
        match answers {
            Answers::AtOnce => Json(json!({ "keys": keys })).into_response(),
            Answers::WithAnError => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Answers::Never => std::future::pending().await,
        }
    }
}

impl Key {
    pub(crate) fn rs256(id: &str) -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", {
            BASE64_STANDARD.encode(pair.as_der().unwrap().as_ref())
        });
        Self::new(id, Algorithm::RS256, EncodingKey::from_rsa_pem(pem.as_bytes()).unwrap())
    }

    pub(crate) fn es256(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self::new(id, Algorithm::ES256, EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()))
    }

    pub(crate) fn eddsa(id: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        Self::new(id, Algorithm::EdDSA, EncodingKey::from_ed_der(pair.to_pkcs8v1().unwrap().as_ref()))
    }

    fn new(id: &str, algorithm: Algorithm, private: EncodingKey) -> Self {
        Self { id: id.to_owned(), algorithm, private }
    }

    /// A token that is signed with this key, and names it.
    pub(crate) fn signs(&self, claims: &Value) -> String {
        self.signs_as(&self.id, claims)
    }

    /// A token that is signed with this key, and names another one.
    pub(crate) fn signs_as(&self, id: &str, claims: &Value) -> String {
        self.encode(Some(id.to_owned()), claims)
    }

    /// A token that is signed with this key, and names none.
    pub(crate) fn signs_anonymously(&self, claims: &Value) -> String {
        self.encode(None, claims)
    }

    fn encode(&self, kid: Option<String>, claims: &Value) -> String {
        let header = Header { kid, ..Header::new(self.algorithm) };
        jsonwebtoken::encode(&header, claims, &self.private).unwrap()
    }

    /// The public key.
    pub(crate) fn public(&self) -> Jwk {
        let mut key = Jwk::from_encoding_key(&self.private, self.algorithm).unwrap();
        key.common.key_id = Some(self.id.clone());
        key
    }
}
