//! Frames of every action, and bodies of the HTTP API.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::{
    AnyFrame, ChangeMessage, JoinConversation, LeaveConversation, MarkRead, Ping, SendMessage, Typing,
    read_frame, read_object,
};

fuzz_target!(|body: &str| {
    let _ = read_frame::<AnyFrame>(body);
    let _ = read_frame::<ChangeMessage>(body);
    let _ = read_frame::<JoinConversation>(body);
    let _ = read_frame::<LeaveConversation>(body);
    let _ = read_frame::<MarkRead>(body);
    let _ = read_frame::<Ping>(body);
    let _ = read_frame::<Typing>(body);
    let _ = read_object::<protocol::rest::FindOrCreateConversation>(body);
    let _ = read_object::<protocol::rest::CreateConversation>(body);
    let _ = read_object::<protocol::rest::ChangeConversation>(body);
    let _ = read_object::<protocol::rest::AddParticipants>(body);
    let _ = read_object::<protocol::rest::SetRole>(body);
    let (id, frame) = read_frame::<SendMessage>(body);
    assert!(id.is_none_or(|id| String::from(id).chars().count() <= 64));
    if let Ok(frame) = frame {
        let length = frame.content.as_str().chars().count();
        assert!((1..=2000).contains(&length) && !frame.content.as_str().contains('\0'));
        if let Some(metadata) = frame.metadata {
            let metadata = metadata.as_str();
            assert!(metadata.len() <= 4096 && body.contains(metadata), "it is kept as it was sent");
        }
    }
});
