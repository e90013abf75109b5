-- Every message, for ever.
create table messages (
    -- UUIDv7, made by the function before it asks, so that a send whose commit is in doubt can be repeated.
    id uuid not null,
    conversation_id uuid not null,
    -- 1, 2, 3 and so on in its conversation.
    seq bigint not null,
    sender_id text collate "C" not null,
    content text not null,
    -- The client's own name for the message; null when it gave none.
    client_message_id text,
    created_at timestamptz not null,
    -- When the other side read it; null until then.
    read_at timestamptz,

    -- Finds a message by its id: a cursor of the history, a repeated send.
    constraint messages_pkey primary key (id),
    -- Reads the history of a conversation in order, and guards that no place is taken twice.
    constraint messages_conversation_id_seq_key unique (conversation_id, seq),
    -- Finds the message that a repeated send stored, and stops the second of two simultaneous ones.
    constraint messages_client_message_id_key unique (conversation_id, sender_id, client_message_id),
    constraint messages_seq_positive check (seq > 0),
    constraint messages_content_length check (char_length(content) between 1 and 2000),
    constraint messages_client_message_id_length check (char_length(client_message_id) between 1 and 64),
    constraint messages_conversation_id_fkey foreign key (conversation_id) references conversations (id),
    constraint messages_sender_id_fkey foreign key (sender_id) references users (id)
);
