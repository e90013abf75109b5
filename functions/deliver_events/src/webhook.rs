//! Posts events, signed as Standard Webhooks says (github.com/standard-webhooks/standard-webhooks).

use std::time::{Duration, SystemTime};

use aws::{SdkConfig, Secret, secrets};
use edge::url::https_url;
use environment::{EVENTS_URL, Misconfigured};
use protocol::webhook::CONTENT_TYPE;
use reqwest::header::CONTENT_TYPE as CONTENT_TYPE_HEADER;
use reqwest::redirect::Policy;
use reqwest::{Client, Url};

use crate::not_sent::NotSent;

/// The time limit of a post.
const TIMEOUT: Duration = Duration::from_secs(10);

const EVENTS_SECRET: &str = "EVENTS_SECRET";

/// The receiver of events.
#[derive(Debug)]
pub(crate) struct Webhook {
    client: Client,
    url: Url,
    secret: Secret,
}

impl Webhook {
    /// Reads `EVENTS_URL`, and `EVENTS_SECRET`: a secret, a JSON array of secrets, all of which sign, or the
    /// ARN of either. `None` if there is no URL.
    ///
    /// # Errors
    ///
    /// A value cannot be used.
    pub(crate) fn from_env(sdk: &SdkConfig) -> Result<Option<Self>, Misconfigured> {
        let Some(url) = environment::optional(EVENTS_URL) else { return Ok(None) };
        let url = https_url(&url).map_err(|error| Misconfigured::Invalid(EVENTS_URL, error))?;
        let secret = Secret::from_env(EVENTS_SECRET, sdk)?;
        secret.given().map(keys).transpose()?;
        let client = Client::builder()
            .timeout(TIMEOUT)
            .redirect(Policy::none())
            .user_agent("Switchboard")
            .build()
            .map_err(|error| Misconfigured::Invalid(EVENTS_URL, error.to_string()))?;
        Ok(Some(Self { client, url, secret }))
    }

    /// Posts an event.
    pub(crate) async fn post(&self, id: &str, body: String) -> Result<(), NotSent> {
        let value = self.secret.value().await?;
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let signature = signature(&keys(&value)?, id, seconds.cast_signed(), body.as_bytes());
        let _waiting = tracing::trace_span!(target: "measured", "receiver");
        let posted = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE_HEADER, CONTENT_TYPE)
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds.to_string())
            .header("webhook-signature", signature)
            .body(body)
            .send()
            .await;
        match posted {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(NotSent::Refused(answer.status().as_u16())),
            Err(error) if error.is_timeout() => Err(NotSent::TimedOut),
            // The URL may hold a secret.
            Err(error) => Err(NotSent::Unreachable(error.without_url())),
        }
    }
}

/// The keys in a value of `EVENTS_SECRET`.
fn keys(value: &str) -> Result<Vec<standardwebhooks::Webhook>, Misconfigured> {
    let invalid = |reason: &str| Misconfigured::Invalid(EVENTS_SECRET, reason.to_owned());
    let key = |secret: String| match secret.starts_with("whsec_") {
        true => standardwebhooks::Webhook::new(&secret).map_err(|_| invalid("is not Base64 after whsec_")),
        false => Err(invalid("must begin with whsec_")),
    };
    secrets(value).map_err(invalid)?.into_iter().map(key).collect()
}

/// A signature for each key, as the header has them.
fn signature(keys: &[standardwebhooks::Webhook], id: &str, seconds: i64, body: &[u8]) -> String {
    let signed = keys.iter().map(|key| key.sign(id, seconds, body).expect("the time is after 1970"));
    signed.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From the libraries of Standard Webhooks.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const SECONDS: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_published_vector_holds() {
        assert_eq!(signature(&keys(SECRET).unwrap(), ID, SECONDS, BODY), SIGNATURE);
    }

    #[test]
    fn all_of_several_secrets_sign() {
        let both = format!(r#"["{SECRET}", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"]"#);
        let signed = signature(&keys(&both).unwrap(), ID, SECONDS, BODY);
        let signed: Vec<_> = signed.split(' ').collect();
        assert_eq!((signed.len(), signed[0]), (2, SIGNATURE));
        assert!(signed[1].starts_with("v1,") && signed[1] != SIGNATURE);
    }

    #[test]
    fn other_secrets_are_refused() {
        for value in ["", "secret", "whsec_!", "[]", r#"["whsec_MfKQ", "MfKQ"]"#, r#"["whsec_MfKQ""#] {
            assert!(keys(value).is_err(), "{value}");
        }
    }
}
