//! A secret that may change while the process lives.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::SdkConfig;
use aws_sdk_secretsmanager::Client;
use domain::{Dependency, Failure};
use environment::Misconfigured;
use tokio::sync::Mutex;

use crate::config::with_limits;
use crate::failure;

/// The minimum time between two lookups of a refused secret, so that invalid tokens cannot cause many. It is
/// short, since a rotation changes the password a moment before the secret.
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(10);

/// A secret is looked up again after this, so that a withdrawn one is not used for ever.
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// A secret: a value, or the ARN of a secret in Secrets Manager, which is fetched when it is first needed.
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
    /// Reads a variable that holds a secret or its ARN.
    ///
    /// # Errors
    ///
    /// The variable is not set.
    pub fn from_env(variable: &'static str, sdk: &SdkConfig) -> Result<Self, Misconfigured> {
        Ok(Self::new(sdk, environment::required(variable)?))
    }

    /// The secret with this ARN, if it is an ARN; else the value itself.
    pub fn new(sdk: &SdkConfig, value_or_arn: String) -> Self {
        Self(Arc::new(if is_arn(&value_or_arn) {
            Source::Kept {
                client: Client::new(&with_limits(sdk)),
                arn: value_or_arn,
                latest: Mutex::new(None),
            }
        } else {
            Source::Given(value_or_arn.into())
        }))
    }

    /// The value, if it was given and does not have to be fetched.
    pub fn given(&self) -> Option<&str> {
        match &*self.0 {
            Source::Given(value) => Some(value),
            Source::Kept { .. } => None,
        }
    }

    /// The value. A fetched one is fetched again after [`MAX_AGE`].
    ///
    /// # Errors
    ///
    /// Secrets Manager did not answer, or not as it should.
    pub async fn value(&self) -> Result<Arc<str>, Failure> {
        match &*self.0 {
            Source::Given(value) => Ok(value.clone()),
            Source::Kept { client, arn, latest } => {
                // Held during the fetch: a concurrent call waits for its result.
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

    /// The value that replaced `refused`. `None` if the secret was given, has not changed, could not be
    /// looked up, or was looked up a moment ago.
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
    /// Looks up whether the secret has changed. If that fails, the known value stays.
    async fn ask_again(&mut self, client: &Client, arn: &str) {
        match fetch(client, arn).await {
            Ok(value) => self.value = value,
            Err(failure) => {
                let cause = &failure.cause;
                tracing::warn!(%cause, "whether a secret has changed cannot be told: {failure}");
            }
        }
        // Set after the answer: if the caller gives up before it, the next caller tries again.
        self.asked_at = Instant::now();
    }
}

/// Does not show the value.
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
    // An editor or `echo` may have added a line break.
    let text = answer.secret_string().map(str::trim).filter(|text| !text.is_empty());
    text.map(Arc::from)
        .ok_or_else(|| Failure::unexpected(Dependency::SecretsManager, "the secret holds no text".to_owned()))
}

/// Whether a text is the ARN of a secret, in any partition: `arn:aws-cn:secretsmanager:…`.
fn is_arn(text: &str) -> bool {
    let mut parts = text.splitn(4, ':');
    parts.next() == Some("arn") && parts.nth(1) == Some("secretsmanager")
}

/// The secrets in a value: the value itself, or the strings of a JSON array.
///
/// # Errors
///
/// It begins like an array, and is not one of secrets.
pub fn secrets(value: &str) -> Result<Vec<String>, &'static str> {
    let Ok(list) = serde_json::from_str::<Vec<serde_json::Value>>(value) else {
        // A value that begins with a bracket and a quote is meant as an array.
        let rest = value.trim_start().strip_prefix('[').map(str::trim_start);
        return match rest.is_some_and(|rest| rest.starts_with('"')) {
            true => Err("begins like a JSON array, and is none"),
            false => Ok(vec![value.to_owned()]),
        };
    };
    let secret =
        |entry: &serde_json::Value| entry.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let secrets: Option<Vec<_>> = list.iter().map(secret).collect();
    secrets
        .filter(|secrets| !secrets.is_empty())
        .ok_or("is a JSON array, which must hold one or more secrets, none of them empty")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{is_arn, secrets};

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

    #[test]
    fn a_secret_may_be_a_list() {
        assert_eq!(secrets(r#"["new", "old"]"#), Ok(vec!["new".to_owned(), "old".to_owned()]));
        assert_eq!(secrets("[no JSON"), Ok(vec!["[no JSON".to_owned()]));
        for broken in ["[]", r#"["a", ""]"#, r#"["a", 5]"#, "[null]", r#"["a", "b",]"#, r#"["a"#] {
            assert!(secrets(broken).is_err(), "{broken}");
        }
    }

    proptest! {
        #[test]
        fn a_value_of_the_secret_is_one_or_several(value in any::<String>()) {
            let is_list = value.trim_start().starts_with('[');
            prop_assert!(is_list || secrets(&value) == Ok(vec![value]));
        }
    }
}
