-- Finds the message that an earlier try or an equal client_message_id has stored, or says why a message is
-- refused. Always returns a row. If the reason for a refusal is gone, the row has neither.
--
-- $1 id of the message    $2 conversation    $3 sender    $4 client_message_id or null
-- $5 messages that a sender may store in a minute; 0 for any number
-- $6 the most participants of a conversation whose participants are all told of a message
-- $7 id of the message that this one answers, or null
with
    -- The conversation, if the sender takes part in it.
    conversation as materialized (
        select conversations.id, conversations.participant_count, conversations.last_seq,
               conversations.is_blocked, participants.first_seq,
               -- Whether one of two has blocked the other or is erased.
               conversations.first_user_id is not null
                   and (conversations.is_blocked or conversations.participant_count < 2) as is_closed,
               -- Whether the sender sees the message that this one answers.
               $7 is null or exists (
                   select
                   from messages
                   where id = $7 and conversation_id = $2 and seq >= participants.first_seq
               ) as may_reply,
               -- The other one in a conversation of two.
               case when conversations.first_user_id = $3 then conversations.second_user_id
                    else conversations.first_user_id end as other_id
        from participants
        join conversations on conversations.id = participants.conversation_id
        where participants.conversation_id = $2 and participants.user_id = $3
    ),
    message as materialized (
        select id, conversation_id, seq, content, client_message_id, created_at, reply_to, metadata,
               reactions, edited_at, deleted_at, change
        from messages
        where conversation_id = $2 and sender_id = $3 and client_message_id = $4
        union all
        select id, conversation_id, seq, content, client_message_id, created_at, reply_to, metadata,
               reactions, edited_at, deleted_at, change
        from messages
        where id = $1 and $4 is null
    ),
    -- The participants who see the message, unless they are too many, each with what they have not read. Some
    -- may take part only since a later message.
    listeners as (
        select array_agg(participants.user_id) as user_ids,
               array_agg(
                   conversation.last_seq - participants.read_up_to
                       - (participants.sent - participants.sent_read)
               ) as unread_counts
        from conversation
        cross join message
        join participants on participants.conversation_id = conversation.id
        where conversation.participant_count <= $6 and participants.first_seq <= message.seq
    )
select
    conversation.id is not null as takes_part, conversation.may_reply, conversation.is_closed,
    -- The milliseconds until the sender's running minute is over, if it is full.
    (
        select ceil(extract(epoch from started_at + interval '1 minute' - clock_timestamp()) * 1000)::bigint
        from rates
        where user_id = $3 and what = 'message' and $5 > 0 and count >= $5
          and started_at > clock_timestamp() - interval '1 minute'
    ) as retry_after_ms,
    message.id, message.conversation_id, message.seq, message.content, message.client_message_id,
    message.created_at, message.reply_to, message.metadata, message.reactions, message.edited_at,
    message.deleted_at, message.change,
    (
        select read_at
        from read_marks
        where not conversation.is_blocked
          and conversation_id = $2 and user_id = conversation.other_id and up_to_seq >= message.seq
        order by up_to_seq
        limit 1
    ) as read_at,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url,
    conversation.participant_count > $6 as is_large, listeners.user_ids, listeners.unread_counts,
    message.seq = conversation.last_seq as is_latest, message.seq >= conversation.first_seq as is_seen
from (values (true)) as always
left join conversation on true
left join message on conversation.id is not null
left join users as sender on sender.id = $3
left join listeners on true
