//! The names of the resources that SAM generates.

/// The stage of an API without a `StageName`.
pub(super) const DEFAULT_STAGE: &str = "default";

/// The logical id of a route of an `AWS::Serverless::WebSocketApi`.
pub(super) fn route_id(api: &str, key: &str) -> String {
    let key = key.trim_start_matches('$');
    // As Python's `capitalize`: only the first letter is a capital.
    let mut letters = key.chars();
    let capital = letters.next().map(|letter| letter.to_uppercase().to_string()).unwrap_or_default();
    format!("{api}{capital}{}Route", letters.as_str().to_lowercase())
}

/// The logical id of the stage.
pub(super) fn stage_id(api: &str, stage: &str) -> String {
    let stage = if stage == DEFAULT_STAGE { "Default" } else { stage };
    format!("{api}{stage}Stage")
}
