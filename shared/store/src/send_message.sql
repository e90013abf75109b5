-- Stores a message. Returns no row if its sender may not send it, or has sent it before with the same
-- client_message_id. If an earlier try or an equal send at the same time has stored it, it violates a unique
-- key, and nothing is done. In each case stored_or_refused.sql finds the message, or says why it is refused.
--
-- $1 id of the message          $2 conversation    $3 sender
-- $4 content                    $5 client_message_id or null
-- $6 messages that a sender may store in a minute; 0 for any number
-- $7 the most participants of a conversation whose participants are all told of a message
-- $8 id of the message that this one answers, or null    $9 metadata, or null
-- $10 whether to write an event
--
-- One statement is one round trip and one transaction, so an abort leaves no gap in seq. Postgres takes as
-- long to set up the parts of this statement as to run them, so what is rare has no part here.
with
    -- The conversation, if the sender may send this message to it.
    conversation as materialized (
        select conversations.id, conversations.participant_count, conversations.roster,
               conversations.last_seq,
               (coalesce(last_message_at, created_at) at time zone 'UTC')::date as active_on
        from participants
        join conversations on conversations.id = participants.conversation_id
        where participants.conversation_id = $2 and participants.user_id = $3
          -- Of two, one may have blocked the other, or be erased.
          and (
              conversations.first_user_id is null
              or not conversations.is_blocked and conversations.participant_count >= 2
          )
          -- A repeat.
          and (
              $5 is null or not exists (
                  select
                  from messages
                  where conversation_id = $2 and sender_id = $3 and client_message_id = $5
              )
          )
          -- The sender has to see the message that this one answers.
          and (
              $8 is null or exists (
                  select
                  from messages
                  where id = $8 and conversation_id = $2 and seq >= participants.first_seq
              )
          )
    ),
    -- Counts the message in the sender's running minute, unless the minute is full. The row stays locked
    -- until the commit, so the sends of one sender are counted one after the other.
    counted_in as (
        insert into rates (user_id, what, started_at, count)
        select $3, 'message', clock_timestamp(), 1
        from conversation
        where $6 > 0
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
    -- does not show the first one's message. It then violates messages_client_message_id_key, and aborts as a
    -- whole. "on conflict do nothing" would keep the seq it took.
    taken as (
        update conversations
        set last_seq = conversations.last_seq + 1, last_message_at = clock_timestamp()
        from conversation
        where conversations.id = conversation.id and ($6 = 0 or exists (select from counted_in))
        returning conversations.id, conversations.last_seq, conversations.last_message_at,
                  (conversations.last_message_at at time zone 'UTC')::date as active_on,
                  case when conversations.roster <> conversation.roster then lost_race() end
    ),
    inserted as (
        insert into messages (
            id, conversation_id, seq, sender_id, content, client_message_id, created_at, reply_to, metadata
        )
        select $1, id, last_seq, $3, $4, $5, last_message_at, $8, $9 from taken
        returning seq, created_at,
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
    -- The participants, unless they are too many, each with what they have not read up to the message. All of
    -- them see it: the next message is the first that somebody may see who is added.
    listeners as (
        select array_agg(participants.user_id) as user_ids,
               array_agg(
                   inserted.seq - participants.read_up_to - (participants.sent - participants.sent_read)
                       - case when participants.user_id = $3 then 1 else 0 end
               ) as unread_counts
        from inserted
        cross join conversation
        join participants on participants.conversation_id = conversation.id
        where conversation.participant_count <= $7
    )
select
    inserted.seq, inserted.created_at,
    sender.id as sender_id, sender.name as sender_name, sender.display_name as sender_display_name,
    sender.avatar_url as sender_avatar_url,
    conversation.participant_count > $7 as is_large, listeners.user_ids, listeners.unread_counts,
    -- Whether others have sent messages while this one waited: what they have sent is not in the snapshot.
    inserted.seq > conversation.last_seq + 1 as counts_are_outdated
from inserted
cross join conversation
cross join listeners
join users as sender on sender.id = $3
