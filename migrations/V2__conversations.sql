-- One row for each pair of users who talk.
create table conversations (
    -- UUIDv7, made by the function that asks for it.
    id uuid not null,
    -- The two participants in canonical order, so that a pair is one row whoever asks first.
    first_user_id text collate "C" not null,
    second_user_id text collate "C" not null,
    -- The `seq` of the latest message, 0 before the first. A send locks this row, which is what makes `seq` gapless.
    last_seq bigint not null default 0,
    -- When the latest message was stored; null before the first.
    last_message_at timestamptz,
    -- A conversation without messages sorts by this.
    created_at timestamptz not null default clock_timestamp(),

    -- Finds the conversation of a send or a join.
    constraint conversations_pkey primary key (id),
    -- Finds the conversation of a pair, and lets only one of two simultaneous find-or-creates make it.
    constraint conversations_pair_key unique (first_user_id, second_user_id),
    constraint conversations_pair_order check (first_user_id < second_user_id),
    constraint conversations_first_user_id_fkey foreign key (first_user_id) references users (id),
    constraint conversations_second_user_id_fkey foreign key (second_user_id) references users (id)
);
