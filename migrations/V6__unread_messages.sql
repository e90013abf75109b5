-- The unread messages of one side of a conversation, so that marking them as read looks at no others, however long the
-- conversation is. Holds only what is unread.
create index messages_unread_idx on messages (conversation_id, sender_id, seq) where read_at is null;
