//! Cursors of lists, and ids in paths and queries.
#![no_main]

use domain::{ActivityCursor, ConnectionId, ConversationId, MessageId, UserId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(cursor) = text.parse::<ActivityCursor>() {
        let again = cursor.to_string().parse::<ActivityCursor>().expect("what we write we read");
        assert_eq!((again.activity, again.id), (cursor.activity, cursor.id));
    }
    let _ = ConversationId::parse(text);
    let _ = MessageId::parse(text);
    let _ = ConnectionId::parse(text);
    let _ = UserId::parse(text);
});
