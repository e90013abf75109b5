//! Tokens of an identity provider with a JWKS URL.

use std::sync::Arc;

use harness::{Database, Stack, StackOptions, seconds_from_now};
use jsonwebtoken::jwk::AlgorithmParameters;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::people::Client;
use crate::stand_ins::jwks::{Answers, Key, Provider};

/// A stack with one process per function, since each process keeps the keys for itself.
async fn stack_that_trusts(provider: &Provider, more: &[(&str, &str)]) -> (Arc<Stack>, Database) {
    let env = [&[("JWT_JWKS_URL", provider.url.as_str())], more].concat();
    let database = Database::create().await;
    let options = StackOptions {
        args: &["--max-instances", "1"],
        env: &env,
        database_url: Some(&database.url),
        ..StackOptions::default()
    };
    (Arc::new(Stack::start(&options)), database)
}

fn claims(user: &str) -> Value {
    json!({ "sub": user, "exp": seconds_from_now(600), "name": "Alice" })
}

async fn status(stack: &Stack, token: &str) -> u16 {
    match Client::connect(stack, token).await {
        Ok(client) => {
            client.closes().await;
            101
        }
        Err(status) => status,
    }
}

#[tokio::test]
async fn every_kind_of_key_opens_a_connection_and_nothing_else_does() {
    let keys = [Key::rs256("rsa"), Key::es256("ec"), Key::eddsa("ed")];
    let provider = Provider::start(&keys.each_ref()).await;
    let (stack, _database) = stack_that_trusts(&provider, &[]).await;
    assert_eq!(status(&stack, &keys[0].signs(&claims("alice"))).await, 101);
    let asked = provider.was_asked();
    for key in &keys {
        assert_eq!(status(&stack, &key.signs(&claims("alice"))).await, 101, "signed with {}", key.id);
    }
    assert_eq!(provider.was_asked(), asked, "the keys are kept");

    let [rsa, ec, _] = &keys;
    assert_eq!(status(&stack, &rsa.signs_as("ec", &claims("alice"))).await, 401, "not with that key");
    assert_eq!(
        status(&stack, &Key::es256("ec").signs(&claims("alice"))).await,
        401,
        "a key of the same name"
    );
    assert_eq!(
        status(&stack, &ec.signs(&json!({ "sub": "alice", "exp": seconds_from_now(-31) }))).await,
        401
    );

    // The public key is not a secret: used as one, it must not verify a signature.
    let AlgorithmParameters::RSA(public) = rsa.public().algorithm else { panic!("it is an RSA key") };
    for secret in [public.n.as_bytes(), stack.secret.as_bytes()] {
        let header = Header { kid: Some("rsa".to_owned()), ..Header::new(Algorithm::HS256) };
        let token =
            jsonwebtoken::encode(&header, &claims("alice"), &EncodingKey::from_secret(secret)).unwrap();
        assert_eq!(status(&stack, &token).await, 401, "the secret is not used with a JWKS URL");
    }
}

#[tokio::test]
async fn issuer_and_audience_are_checked_when_set() {
    let key = Key::es256("only");
    let provider = Provider::start(&[&key]).await;
    let settings = [("JWT_ISSUER", "https://issuer.example"), ("JWT_AUDIENCE", "switchboard")];
    let (stack, _database) = stack_that_trusts(&provider, &settings).await;
    let token = |issuer: Value, audience: Value| {
        let mut claims = claims("alice");
        for (name, value) in [("iss", issuer), ("aud", audience)] {
            if !value.is_null() {
                claims[name] = value;
            }
        }
        key.signs(&claims)
    };
    let (issuer, audience) = (json!("https://issuer.example"), json!("switchboard"));
    assert_eq!(status(&stack, &token(issuer.clone(), audience.clone())).await, 101);
    assert_eq!(
        status(&stack, &token(issuer.clone(), json!(["other", "switchboard"]))).await,
        101,
        "one of several"
    );
    for (issuer, audience) in [
        (json!("https://other.example"), audience.clone()),
        // One string is required, even if the right one is in the array.
        (json!(["https://issuer.example"]), audience.clone()),
        (issuer.clone(), json!("other")),
        (Value::Null, audience),
        (issuer, Value::Null),
    ] {
        assert_eq!(status(&stack, &token(issuer, audience)).await, 401);
    }
}

#[tokio::test]
async fn a_token_that_names_no_key_is_checked_with_the_only_one() {
    let (only, other) = (Key::es256("only"), Key::es256("other"));
    let provider = Provider::start(&[&only]).await;
    let (stack, _database) = stack_that_trusts(&provider, &[]).await;
    assert_eq!(status(&stack, &only.signs_anonymously(&claims("alice"))).await, 101);
    assert_eq!(status(&stack, &other.signs_anonymously(&claims("alice"))).await, 401);
}

#[tokio::test]
async fn what_is_wrong_with_one_key_spoils_no_other() {
    let key = Key::es256("good");
    let provider = Provider::start(&[&key]).await;
    let unusable = |change: Value| {
        let mut entry = serde_json::to_value(key.public()).unwrap();
        entry.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        entry
    };
    provider.begins_with(&[
        json!(null),
        json!("text"),
        json!({}),
        unusable(json!({ "kid": 5 })),
        unusable(json!({ "x5c": "text" })),
        unusable(json!({ "use": "enc" })),
        unusable(json!({ "x": "no Base64!" })),
    ]);
    let (stack, _database) = stack_that_trusts(&provider, &[]).await;
    assert_eq!(status(&stack, &key.signs(&claims("alice"))).await, 101);
}

#[tokio::test]
async fn keys_of_one_name_and_keys_without_one_are_told_apart() {
    let same = [Key::rs256("same"), Key::es256("same"), Key::es256("same")];
    let nameless = [Key::rs256("none"), Key::es256("none")];
    let provider = Provider::start(&same.each_ref()).await;
    let entries = nameless.each_ref().map(|key| {
        let mut entry = serde_json::to_value(key.public()).unwrap();
        entry.as_object_mut().unwrap().remove("kid");
        entry
    });
    provider.begins_with(&entries);
    let (stack, _database) = stack_that_trusts(&provider, &[]).await;
    for key in &same {
        assert_eq!(status(&stack, &key.signs(&claims("alice"))).await, 101);
        assert_eq!(status(&stack, &key.signs_anonymously(&claims("alice"))).await, 101);
    }
    for key in &nameless {
        assert_eq!(status(&stack, &key.signs_anonymously(&claims("alice"))).await, 101);
        assert_eq!(status(&stack, &key.signs_as("same", &claims("alice"))).await, 401, "it is not called so");
    }
    assert_eq!(status(&stack, &Key::es256("same").signs(&claims("alice"))).await, 401);
}

#[tokio::test]
async fn a_new_key_is_fetched_once_and_invented_ones_are_not_asked_for() {
    let (old, new) = (Key::es256("old"), Key::es256("new"));
    let provider = Provider::start(&[&old]).await;
    let (stack, _database) = stack_that_trusts(&provider, &[]).await;
    assert_eq!(status(&stack, &old.signs(&claims("alice"))).await, 101);
    // Each process asks when it starts.
    let asked = provider.was_asked();

    // In the minute after a fetch no unknown key causes another one.
    provider.has_keys(&[&old, &new]);
    for _ in 0..3 {
        assert_eq!(status(&stack, &new.signs(&claims("alice"))).await, 401);
    }
    assert_eq!(provider.was_asked(), asked);
    assert_eq!(status(&stack, &old.signs(&claims("alice"))).await, 101);

    // A minute later it does.
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    assert_eq!(status(&stack, &new.signs(&claims("alice"))).await, 101);
    assert_eq!(provider.was_asked(), asked + 1);
}

#[tokio::test]
async fn a_provider_that_is_down_keeps_nobody_out_whose_key_is_known() {
    let (known, unknown) = (Key::es256("known"), Key::es256("unknown"));
    let provider = Provider::start(&[&known]).await;
    let (stack, _database) = stack_that_trusts(&provider, &[]).await;
    provider.answers(Answers::WithAnError);
    let token = known.signs(&claims("alice"));
    assert_eq!(status(&stack, &token).await, 500, "nothing is known yet, and it is not the token's fault");
    provider.answers(Answers::Never);
    assert_eq!(status(&stack, &token).await, 500, "nobody waits for ever");
    provider.answers(Answers::AtOnce);
    assert_eq!(status(&stack, &token).await, 101, "it is asked again as soon as it is back");

    provider.answers(Answers::WithAnError);
    assert_eq!(status(&stack, &token).await, 101);
    assert_eq!(status(&stack, &unknown.signs(&claims("alice"))).await, 401);

    let answer = reqwest::Client::new()
        .get(stack.http("/api/conversations"))
        .bearer_auth(&token)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 503, "another process, which knows no key yet");
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"]["code"], "unavailable");
}
