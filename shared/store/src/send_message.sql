-- Stores a message, or finds the one that an earlier try or an equal client_message_id has stored.
--
-- $1 id of the message          $2 conversation    $3 sender
-- $4 content                    $5 client_message_id or null
-- $6 messages that a sender may store in a minute; 0 for any number
-- $7 the most participants of a conversation whose participants are all told of a message
-- $8 id of the message that this one answers, or null    $9 metadata, or null
-- $10 whether to write an event
--
-- One statement is one round trip and one transaction, so an abort leaves no gap in seq. It always returns a
-- row; one without a message says why. Postgres takes as long to set up the parts of this statement as to run
-- them, so each part serves all that need it.
with
    -- The conversation, if the sender takes part in it.
    conversation as materialized (
        select conversations.id, conversations.participant_count, conversations.roster,
               conversations.last_seq, conversations.is_blocked, participants.first_seq,
               -- Whether one of two has blocked the other or is erased.
               conversations.first_user_id is not null
                   and (conversations.is_blocked or conversations.participant_count < 2) as is_closed,
               -- Whether the sender sees the message that this one answers.
               $8 is null or exists (
                   select
                   from messages
                   where id = $8 and conversation_id = $2 and seq >= participants.first_seq
               ) as may_reply,
               -- The other one in a conversation of two.
               case when conversations.first_user_id = $3 then conversations.second_user_id
                    else conversations.first_user_id end as other_id,
               (coalesce(last_message_at, created_at) at time zone 'UTC')::date as active_on
        from participants
        join conversations on conversations.id = participants.conversation_id
        where participants.conversation_id = $2 and participants.user_id = $3
    ),
    -- The message, if it is stored already: an equal client_message_id, or a try whose answer was lost.
    stored as materialized (
        select id, conversation_id, seq, content, client_message_id, created_at, reply_to, metadata,
               reactions, edited_at, deleted_at, change
        from messages
        where conversation_id = $2 and sender_id = $3 and client_message_id = $5
        union all
        select id, conversation_id, seq, content, client_message_id, created_at, reply_to, metadata,
               reactions, edited_at, deleted_at, change
        from messages
        where id = $1 and $5 is null
    ),
    -- Counts the message in the sender's running minute, unless it is stored already or the minute is full.
    -- The row stays locked until the commit, so the sends of one sender are counted one after the other.
    counted_in as (
        insert into rates (user_id, what, started_at, count)
        select $3, 'message', clock_timestamp(), 1
        from conversation
        where $6 > 0 and may_reply and not is_closed and not exists (select from stored)
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
    -- Takes the next seq. The row stays locked until the commit, so the sends of one conversation go one
    -- after the other. The time is clock_timestamp(), since now() is from before the wait for that lock.
    --
    -- Who was removed, added or blocked while this waited for the lock is not in the snapshot. The roster of
    -- the row then differs, and the statement aborts and runs again: so nothing of a sender is stored once
    -- their removal is committed, and everybody who takes part now is told.
    --
    -- The second of two equal client_message_ids at once waits here (or at counted_in) with a snapshot that
    -- does not show the first one's message. It then violates messages_client_message_id_key, aborts as a
    -- whole, and finds the message when it is repeated. "on conflict do nothing" would keep the seq it took.
    -- If the first was the last that the limit allows, the second is refused, and finds the message when the
    -- client repeats it.
    taken as (
        update conversations
        set last_seq = conversations.last_seq + 1, last_message_at = clock_timestamp()
        from conversation
        where conversations.id = conversation.id
          and conversation.may_reply and not conversation.is_closed
          and not exists (select from stored)
          and ($6 = 0 or exists (select from counted_in))
        returning conversations.id, conversations.last_seq, conversations.last_message_at,
                  (conversations.last_message_at at time zone 'UTC')::date as active_on,
                  case when conversations.roster <> conversation.roster then lost_race() end
    ),
    inserted as (
        insert into messages (
            id, conversation_id, seq, sender_id, content, client_message_id, created_at, reply_to, metadata
        )
        select $1, id, last_seq, $3, $4, $5, last_message_at, $8, $9 from taken
        returning id, conversation_id, seq, content, client_message_id, created_at,
                  case when $10 then record_event('message.created', conversation_id, id, null, null) end
    ),
    -- The sender has one message more, which is not unread.
    counted as (
        update participants
        set sent = sent + 1, active_on = taken.active_on
        from taken
        where participants.conversation_id = $2 and participants.user_id = $3
    ),
    -- Only the first message of a day moves the conversation in the lists of the others. On other days the id
    -- is null, and nothing is read.
    moved as (
        update participants
        set active_on = (select active_on from taken)
        where conversation_id = (
            select taken.id from taken join conversation on conversation.active_on <> taken.active_on
        )
          and user_id <> $3 and active_on <> (select active_on from taken)
    ),
    message as (
        select id, conversation_id, seq, content, client_message_id, created_at, reply_to, metadata,
               reactions, edited_at, deleted_at, change, 0 as new
        from stored
        union all
        select id, conversation_id, seq, content, client_message_id, created_at, $8, $9, null, null, null,
               null, 1
        from inserted
    ),
    -- The participants who see the message, unless they are too many, each with what they have not read up to
    -- it. Of a message that is stored already some may take part only since a later one.
    listeners as (
        select array_agg(participants.user_id) as user_ids,
               array_agg(
                   greatest(message.seq, conversation.last_seq) - participants.read_up_to
                       - (participants.sent - participants.sent_read)
                       - case when participants.user_id = $3 then message.new else 0 end
               ) as unread_counts
        from conversation
        cross join message
        join participants on participants.conversation_id = conversation.id
        where conversation.participant_count <= $7 and participants.first_seq <= message.seq
    )
select
    conversation.id is not null as takes_part,
    coalesce(conversation.may_reply, true) as may_reply, coalesce(conversation.is_closed, false) as is_closed,
    $6 > 0 and not exists (select from counted_in) as is_limited,
    -- The milliseconds until the running minute is over, if the limit refuses the message.
    case when message.id is null then (
        select ceil(extract(epoch from started_at + interval '1 minute' - clock_timestamp()) * 1000)::bigint
        from rates
        where user_id = $3 and what = 'message'
    ) end as retry_after_ms,
    message.id, message.conversation_id, message.seq, message.content, message.client_message_id,
    message.created_at, message.reply_to, message.metadata, message.reactions, message.edited_at,
    message.deleted_at, message.change,
    case when message.new = 0 then (
        select read_at
        from read_marks
        where not conversation.is_blocked
          and conversation_id = $2 and user_id = conversation.other_id and up_to_seq >= message.seq
        order by up_to_seq
        limit 1
    ) end as read_at,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url,
    conversation.participant_count > $7 as is_large, listeners.user_ids, listeners.unread_counts,
    message.seq >= conversation.last_seq as is_latest, message.seq >= conversation.first_seq as is_seen,
    -- Whether others have sent messages while this one waited: what they have sent is not in the snapshot.
    message.seq > conversation.last_seq + 1 as counts_are_outdated
from (values (true)) as always
left join conversation on true
left join message on conversation.id is not null
left join users as sender on sender.id = $3
left join listeners on true
