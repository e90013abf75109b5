-- As in V11. The foreign keys check what a send has just read: the participant, whose row refers to both the
-- conversation and the user. A conversation is deleted after its messages, and users are never deleted.

-- In the order in which most statements lock them.
lock table conversations, messages, users in access exclusive mode;
alter table messages
    drop constraint messages_seq_positive,
    drop constraint messages_content_length,
    drop constraint messages_client_message_id_length,
    drop constraint messages_conversation_id_fkey,
    drop constraint messages_sender_id_fkey;
