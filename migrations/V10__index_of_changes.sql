-- The changed messages of a conversation in the order of their changes. A send writes no entry.
--
-- While this is built, messages can be read and not written. It has no entries yet, so it takes as long as to
-- read the table once.
create index messages_change_idx on messages (conversation_id, change) where change is not null;
