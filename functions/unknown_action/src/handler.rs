//! Refuses a frame without a known action. Needs no dependency.

use edge::Error;
use protocol::AnyFrame;

pub(crate) fn handle(frame: AnyFrame) -> Error {
    Error::invalid_request(match frame.action {
        None => "action: missing",
        Some(_) => "action: unknown",
    })
}
