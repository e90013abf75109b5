//! A secret that may change while the process lives.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::config::Builder;
use domain::{Dependency, Failure};
use environment::Misconfigured;
use tokio::sync::Mutex;

use crate::failure;

/// Somebody who is refused asks whether the secret has changed, but not more often than this, whoever makes
/// up tokens. A rotation changes the password a moment before the secret, so it is not much.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// A secret is looked up again after this, so that one which was withdrawn is not good for ever.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// What one call to Secrets Manager may take, and all tries together: a client waits for them.
const ATTEMPT_TIMEOUT: Duration = Duration::from_millis(800);
const CALL_TIMEOUT: Duration = Duration::from_millis(1800);

/// A secret: given as it is, or kept by Secrets Manager, which is asked when the secret is needed first.
#[derive(Clone)]
pub struct Secret(Arc<Source>);

enum Source {
    Given(Arc<str>),
    Kept { client: Client, arn: String, latest: Mutex<Option<Fetched>> },
}

struct Fetched {
    value: Arc<str>,
    asked_at: Instant,
}

impl Secret {
    /// The secret that a variable holds, or whose ARN it holds.
    ///
    /// # Errors
    ///
    /// The variable is not set.
    pub fn from_env(variable: &'static str, sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        Ok(Self::new(sdk, environment::required(variable)?))
    }

    /// The secret with this ARN, if it is the ARN of one; else the value itself.
    pub fn new(sdk: &SdkConfig, value_or_arn: String) -> Self {
        Self(Arc::new(if is_arn(&value_or_arn) {
            let timeouts = TimeoutConfig::builder()
                .connect_timeout(ATTEMPT_TIMEOUT)
                .operation_attempt_timeout(ATTEMPT_TIMEOUT)
                .operation_timeout(CALL_TIMEOUT)
                .build();
            let retries = RetryConfig::standard().with_max_attempts(2);
            let config = Builder::from(sdk)
                .timeout_config(timeouts)
                .retry_config(retries.with_initial_backoff(Duration::from_millis(50)));
            Source::Kept {
                client: Client::from_conf(config.build()),
                arn: value_or_arn,
                latest: Mutex::new(None),
            }
        } else {
            Source::Given(value_or_arn.into())
        }))
    }

    /// The value, if it is known without asking anybody because it was given.
    pub fn given(&self) -> Option<&str> {
        match &*self.0 {
            Source::Given(value) => Some(value),
            Source::Kept { .. } => None,
        }
    }

    /// The value, as it was when it was last asked for.
    pub async fn value(&self) -> Result<Arc<str>, Failure> {
        match &*self.0 {
            Source::Given(value) => Ok(value.clone()),
            Source::Kept { client, arn, latest } => {
                // Held while it is asked for: who comes second waits for the first one's answer.
                let mut latest = latest.lock().await;
                if let Some(fetched) = &mut *latest {
                    if fetched.asked_at.elapsed() > MAX_AGE {
                        fetched.ask_again(client, arn).await;
                    }
                    return Ok(fetched.value.clone());
                }
                let value = fetch(client, arn).await?;
                Ok(latest.insert(Fetched { value, asked_at: Instant::now() }).value.clone())
            }
        }
    }

    /// The value by which `refused`, which does not work any more, was replaced; `None` if it was not, or if
    /// that was looked up a moment ago.
    pub async fn replaced(&self, refused: &str) -> Option<Arc<str>> {
        let Source::Kept { client, arn, latest } = &*self.0 else { return None };
        let mut latest = latest.lock().await;
        if let Some(fetched) = &mut *latest
            && &*fetched.value == refused
        {
            if fetched.asked_at.elapsed() < ASK_AGAIN_AFTER {
                return None;
            }
            fetched.ask_again(client, arn).await;
        }
        latest.as_ref().map(|fetched| fetched.value.clone()).filter(|value| &**value != refused)
    }
}

impl Fetched {
    /// Looks whether the secret has changed; while that cannot be told, it has not.
    async fn ask_again(&mut self, client: &Client, arn: &str) {
        match fetch(client, arn).await {
            Ok(value) => self.value = value,
            Err(failure) => {
                let cause = &failure.cause;
                tracing::warn!(%cause, "whether a secret has changed cannot be told: {failure}");
            }
        }
        // After the answer: if the caller gives up before it, the next one is to ask.
        self.asked_at = Instant::now();
    }
}

/// Its value is nobody's business.
impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match *self.0 {
            Source::Given(_) => "Secret(given)",
            Source::Kept { .. } => "Secret(kept)",
        })
    }
}

async fn fetch(client: &Client, arn: &str) -> Result<Arc<str>, Failure> {
    let asked = client.get_secret_value().secret_id(arn).send().await;
    let answer = asked.map_err(|error| failure(Dependency::SecretsManager, &error))?;
    // Whoever wrote it with an editor or `echo` ended it with a line break.
    let text = answer.secret_string().map(str::trim).filter(|text| !text.is_empty());
    text.map(Arc::from)
        .ok_or_else(|| Failure::unexpected(Dependency::SecretsManager, "the secret holds no text".to_owned()))
}

/// Of any partition: `arn:aws-cn:secretsmanager:…`.
fn is_arn(text: &str) -> bool {
    let mut parts = text.splitn(4, ':');
    parts.next() == Some("arn") && parts.nth(1) == Some("secretsmanager")
}

#[cfg(test)]
mod tests {
    use super::is_arn;

    #[test]
    fn arns_are_told_from_values() {
        assert!(is_arn("arn:aws:secretsmanager:eu-central-1:123456789012:secret:database-AbCdEf"));
        assert!(is_arn("arn:aws-cn:secretsmanager:cn-north-1:123456789012:secret:database-AbCdEf"));
        for value in
            ["postgres://arn:aws@secretsmanager:5432/db", "arn:aws:ssm:eu-central-1:1:parameter/x", ""]
        {
            assert!(!is_arn(value), "{value}");
        }
    }
}
