//! Tokens: any text, and any claims under a good signature. `JWT_SECRET` is what they are verified with.
#![no_main]

use std::sync::LazyLock;

use aws::SdkConfig;
use edge::token::{Verifier, Verify as _};
use jsonwebtoken::{EncodingKey, Header};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("it needs nothing"));
static SECRET: LazyLock<String> = LazyLock::new(|| std::env::var("JWT_SECRET").expect("JWT_SECRET is set"));
static VERIFIER: LazyLock<Verifier> =
    LazyLock::new(|| Verifier::from_env(&SdkConfig::builder().build()).expect("JWT_SECRET is a secret"));

fuzz_target!(|text: &str| {
    let _ = RUNTIME.block_on(VERIFIER.verify(Ok(text)));
    let Ok(claims) = serde_json::from_str::<serde_json::Value>(text) else { return };
    let Ok(token) =
        jsonwebtoken::encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes()))
    else {
        return;
    };
    if let Ok(verified) = RUNTIME.block_on(VERIFIER.verify(Ok(&token))) {
        assert_eq!(Some(verified.identity.user_id.as_str()), claims["sub"].as_str());
    }
});
