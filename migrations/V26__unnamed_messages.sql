-- Finds what a user has said without a client_message_id; messages_client_message_id_key finds the rest. So
-- an erasure looks at no message twice.
--
-- While this is built, messages can be read and not written. It has few entries, so it takes as long as to
-- read the table once.
create index messages_unnamed_idx on messages (conversation_id, sender_id, seq)
    where client_message_id is null and deleted_at is null;
