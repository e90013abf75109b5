-- What a conversation is to one of its two users.
create table participants (
    conversation_id uuid not null,
    user_id text collate "C" not null,
    -- Messages of the other side that this user has not read. Moved by arithmetic, in the statements that insert and mark.
    unread_count bigint not null default 0,

    -- Finds both participants of a conversation for a send.
    constraint participants_pkey primary key (conversation_id, user_id),
    constraint participants_unread_count_not_negative check (unread_count >= 0),
    constraint participants_conversation_id_fkey foreign key (conversation_id) references conversations (id),
    constraint participants_user_id_fkey foreign key (user_id) references users (id)
);
