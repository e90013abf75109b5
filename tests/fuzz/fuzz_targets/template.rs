//! The SAM template, as the local stack reads it.
#![no_main]
#![allow(dead_code, unused_imports, reason = "the local stack uses the rest")]

// It is a part of a program, which nothing can depend on.
#[path = "../../../infra/local/src"]
mod local {
    pub(crate) mod template;
}

use std::collections::BTreeMap;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use local::template;
use template::Values;

static VALUES: LazyLock<Values> = LazyLock::new(|| Values {
    region: "us-east-1".to_owned(),
    account: "000000000000".to_owned(),
    stack_name: "stack".to_owned(),
    base_url: "http://127.0.0.1:1".to_owned(),
    overrides: BTreeMap::new(),
    parameters: BTreeMap::from([("DatabaseSecret".to_owned(), "postgres://here".to_owned())]),
});

fuzz_target!(|text: &str| {
    let _ = template::read(text, std::path::Path::new("."), &VALUES);
});
