-- The tables of schema.prisma, by hand: Prisma's own migrations need a program that npm does not have.
create table users (
    id text primary key,
    name text,
    display_name text,
    avatar_url text
);
create table conversations (
    id uuid primary key,
    first_user_id text not null references users (id),
    second_user_id text not null references users (id),
    last_message_at timestamptz,
    created_at timestamptz not null default current_timestamp
);
create unique index on conversations (first_user_id, second_user_id);
create index on conversations (first_user_id, last_message_at);
create index on conversations (second_user_id, last_message_at);
create table messages (
    id uuid primary key,
    conversation_id uuid not null references conversations (id),
    sender_id text not null references users (id),
    content text not null,
    created_at timestamptz not null default current_timestamp,
    read_at timestamptz
);
create index on messages (conversation_id, created_at, id);
create index on messages (conversation_id, sender_id) where read_at is null;
