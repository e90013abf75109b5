-- Messages that answer others, carry data of the application, and are edited, deleted and reacted to.

alter table messages
    -- The message that this one answers. No foreign key: all messages of a conversation stay as long as it
    -- does.
    add column reply_to uuid,
    -- A JSON object, as the text that was sent: jsonb refuses U+0000 and writes out exponents.
    add column metadata text,
    -- The reactions as clients get them, a JSON array: [{"reaction", "count", "userIds"}]; null if there are
    -- none. Made from the table of reactions by each change of it, so that reading a message reads one row.
    add column reactions text,
    add column edited_at timestamptz,
    -- A deleted message keeps its place, with an empty content.
    add column deleted_at timestamptz,
    -- The number that the latest change took in the conversation (conversations.last_change); null before the
    -- first.
    add column change bigint;

-- Who has reacted to which message.
create table reactions (
    message_id uuid not null,
    user_id text collate "C" not null,
    reaction text collate "C" not null,
    -- The change that added it, by which users are ordered.
    change bigint not null,
    -- The change since which the message has had this reaction from anybody, by which reactions are ordered.
    -- So none moves when the first who gave it takes it back.
    since bigint not null,

    -- Lets each user give a reaction once, and finds all reactions of a message.
    constraint reactions_pkey primary key (message_id, reaction, user_id),
    constraint reactions_message_id_fkey foreign key (message_id) references messages (id) on delete cascade,
    constraint reactions_user_id_fkey foreign key (user_id) references users (id)
);
