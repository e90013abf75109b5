//! Says what is wrong with a frame that names no action. Has no effect, so it needs no dependency.

use edge::Error;
use protocol::AnyFrame;

pub(crate) fn handle(frame: AnyFrame) -> Error {
    Error::invalid_request(match frame.action {
        None => "action: missing",
        Some(_) => "action: unknown",
    })
}
