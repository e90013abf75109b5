-- Stores a message, or finds the one that an earlier try or an equal client_message_id has stored.
--
-- $1 id of the message          $2 conversation    $3 sender
-- $4 content                    $5 client_message_id or null
-- $6 messages that a sender may store in a minute; 0 for any number
--
-- One statement is one round trip and one transaction, so an abort leaves no gap in seq. It always returns a
-- row; one without a message says why. Postgres takes as long to set up the parts of this statement as to run
-- them, so each part serves all that need it.
with
    -- The conversation, if the sender takes part in it.
    conversation as materialized (
        select id, first_user_id, second_user_id, last_seq
        from conversations
        where id = $2 and $3 in (first_user_id, second_user_id)
    ),
    -- The message, if it is stored already: an equal client_message_id, or a try whose answer was lost.
    stored as materialized (
        select id, conversation_id, seq, content, client_message_id, created_at, read_at
        from messages
        where conversation_id = $2 and sender_id = $3 and client_message_id = $5
        union all
        select id, conversation_id, seq, content, client_message_id, created_at, read_at
        from messages
        where id = $1 and $5 is null
    ),
    -- Counts the message in the sender's running minute, unless it is stored already or the minute is full.
    -- The row stays locked until the commit, so the sends of one sender are counted one after the other.
    counted_in as (
        insert into rates (user_id, what, started_at, count)
        select $3, 'message', clock_timestamp(), 1
        from conversation
        where $6 > 0 and not exists (select from stored)
        on conflict on constraint rates_pkey do update set
            started_at = case
                when rates.started_at > excluded.started_at - interval '1 minute' then rates.started_at
                else excluded.started_at
            end,
            count = case
                when rates.started_at > excluded.started_at - interval '1 minute' then rates.count + 1
                else 1
            end
        where rates.count < $6 or rates.started_at <= excluded.started_at - interval '1 minute'
        returning user_id
    ),
    -- Takes the next seq. The row stays locked until the commit, so the sends of one conversation go one after
    -- the other. The time is clock_timestamp(), since now() is from before the wait for that lock.
    --
    -- The second of two equal client_message_ids at once waits here (or at counted_in) with a snapshot that
    -- does not show the first one's message. It then violates messages_client_message_id_key, aborts as a
    -- whole, and finds the message when it is repeated. "on conflict do nothing" would keep the seq it took.
    -- If the first was the last that the limit allows, the second is refused, and finds the message when the
    -- client repeats it.
    taken as (
        update conversations
        set last_seq = last_seq + 1, last_message_at = clock_timestamp()
        where id = $2 and $3 in (first_user_id, second_user_id)
          and not exists (select from stored)
          and ($6 = 0 or exists (select from counted_in))
        returning id, last_seq, last_message_at
    ),
    inserted as (
        insert into messages (id, conversation_id, seq, sender_id, content, client_message_id, created_at)
        select $1, id, last_seq, $3, $4, $5, last_message_at from taken
        returning id, conversation_id, seq, content, client_message_id, created_at, read_at
    ),
    -- One more unread message for the other participant.
    counted as (
        update participants
        set unread_count = unread_count + 1
        from taken
        where participants.conversation_id = taken.id and participants.user_id <> $3
        returning unread_count
    ),
    message as (
        select id, conversation_id, seq, content, client_message_id, created_at, read_at from stored
        union all
        select id, conversation_id, seq, content, client_message_id, created_at, read_at from inserted
    )
select
    conversation.id is not null as takes_part,
    -- The milliseconds until the running minute is over, if the limit refuses the message.
    case when message.id is null then (
        select ceil(extract(epoch from started_at + interval '1 minute' - clock_timestamp()) * 1000)::bigint
        from rates
        where user_id = $3 and what = 'message'
    ) end as retry_after_ms,
    message.id, message.conversation_id, message.seq, message.content, message.client_message_id,
    message.created_at, message.read_at,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url,
    conversation.first_user_id, conversation.second_user_id,
    message.seq >= conversation.last_seq as is_latest,
    (
        select unread_count from participants where conversation_id = conversation.id and user_id = $3
    ) as senders_unread,
    coalesce(
        (select unread_count from counted),
        (select unread_count from participants where conversation_id = conversation.id and user_id <> $3)
    ) as others_unread
from (values (true)) as always
left join conversation on true
left join message on true
left join users as sender on sender.id = $3
