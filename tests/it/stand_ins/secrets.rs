//! A stand-in for Secrets Manager, with one call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use serde_json::{Value, json};

use super::StandIn;

/// The stand-in.
#[derive(Clone, Debug)]
pub(crate) struct SecretsManager {
    pub(crate) url: String,
    secrets: Arc<Mutex<HashMap<String, String>>>,
}

impl SecretsManager {
    /// Starts one without secrets.
    pub(crate) async fn start() -> Self {
        let stand_in = StandIn::bind().await;
        let manager = Self { url: stand_in.url(), secrets: Arc::default() };
        let serving = manager.clone();
        let answer = async move |headers: HeaderMap, body: String| serving.answer(&headers, &body);
        let routes = axum::Router::new().route("/", post(answer));
        stand_in.serves(routes);
        manager
    }

    /// Stores a secret with this name. Returns its ARN.
    pub(crate) fn keeps(&self, name: &str, value: &str) -> String {
        let arn = format!("arn:aws:secretsmanager:us-east-1:000000000000:secret:{name}-AbCdEf");
        self.secrets.lock().unwrap().insert(arn.clone(), value.to_owned());
        arn
    }

    fn answer(&self, headers: &HeaderMap, body: &str) -> Response {
        assert_eq!(headers["x-amz-target"], "secretsmanager.GetSecretValue");
        let body: Value = serde_json::from_str(body).unwrap();
        let arn = body["SecretId"].as_str().expect("it is asked for by name");
        match self.secrets.lock().unwrap().get(arn) {
            Some(secret) => Json(json!({ "ARN": arn, "SecretString": secret })).into_response(),
            None => {
                let refusal = json!({ "__type": "ResourceNotFoundException", "message": "no such secret" });
                (StatusCode::BAD_REQUEST, refusal.to_string()).into_response()
            }
        }
    }
}
