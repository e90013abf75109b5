//! The names that SAM gives to what it generates.

/// SAM's name for the stage of an API that names none.
pub(super) const DEFAULT_STAGE: &str = "default";

/// The logical id that SAM gives to a route of an `AWS::Serverless::WebSocketApi`.
pub(super) fn route_id(api: &str, key: &str) -> String {
    let key = key.trim_start_matches('$');
    // As Python capitalises: the first letter, and only that one.
    let mut letters = key.chars();
    let capital = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{api}{capital}{}Route", letters.as_str().to_lowercase())
}

/// And to its stage.
pub(super) fn stage_id(api: &str, stage: &str) -> String {
    let stage = if stage == DEFAULT_STAGE { "Default" } else { stage };
    format!("{api}{stage}Stage")
}
