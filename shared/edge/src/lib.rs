//! Between Lambda events and handlers: an event in, a status or a frame out.
//!
//! The only crate that maps errors to statuses and frames, verifies tokens, and sets up the log.

mod error;
pub mod http;
mod start;
pub mod task;
pub mod telemetry;
pub mod token;
pub mod url;
pub mod websocket;

use mimalloc::MiMalloc;

pub use error::{Error, with_causes};
pub use start::warm_up;

/// An event is many small allocations, most of them the SDK's: with the default allocator they took a fifth
/// of the processor time of `send_message`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;
