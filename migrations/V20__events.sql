-- What backends are told: the outbox.

create table events (
    -- The order in which the events of a conversation are sent: that of their commits, since each is written
    -- under the lock of the conversation's row.
    number bigint not null generated always as identity,
    -- By which a receiver recognises an event that is sent again.
    id uuid not null default gen_random_uuid(),
    -- 'message.created' and so on.
    type text not null,
    -- The conversation; null for an event of a user.
    conversation_id uuid,
    -- The message, or null.
    message_id uuid,
    -- The user whom it is for or about, or null.
    user_id text collate "C",
    -- Ids, roles and numbers that cannot be read later, as a JSON object; null if there are none.
    details text,
    created_at timestamptz not null default clock_timestamp(),
    -- How often it was about to be sent.
    attempts integer not null default 0,
    -- When it is sent next, or when the claim of whoever sends it ends. Null while an earlier event of the
    -- conversation is to be sent, or if it is set aside.
    due_at timestamptz,
    -- Who sends it.
    claim uuid,
    -- When it was given up.
    set_aside_at timestamptz,

    constraint events_pkey primary key (number)
);
-- Finds what is due.
create index events_due_idx on events (due_at) where due_at is not null;
-- Finds the first event of a conversation, and the next one.
create index events_conversation_idx on events (conversation_id, number) where set_aside_at is null;
-- Finds the events of a message, and those for or about a user, which go with them.
create index events_message_id_idx on events (message_id) where message_id is not null;
create index events_user_id_idx on events (user_id) where user_id is not null;
-- Finds what was set aside.
create index events_set_aside_idx on events (set_aside_at) where set_aside_at is not null;

-- Writes an event. It sees what was committed before this call, also in a statement that has waited.
create function record_event(
    of_type text, of_conversation uuid, of_message uuid, of_user text, with_details text
) returns void
language plpgsql as $$
begin
    insert into events (type, conversation_id, message_id, user_id, details, due_at)
    select of_type, of_conversation, of_message, of_user, with_details,
           case when not exists (
               select from events where conversation_id = of_conversation and set_aside_at is null
           ) then clock_timestamp() end;
end
$$;

-- How far work has got that goes through all messages.
create table progress (
    -- There is one row.
    single boolean not null default true,
    -- Messages up to then were looked at for those who have not read them.
    unread_until timestamptz not null default clock_timestamp(),

    constraint progress_pkey primary key (single),
    constraint progress_single check (single)
);
insert into progress default values;

-- The first id that a message of this time may have (UUIDv7).
create function uuid_at(at timestamptz) returns uuid language sql immutable as $$
    select rpad(lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0'), 32, '0')::uuid
$$;
