-- Writes an event for each participant who has not read a message for some time, once until they read. Looks
-- at the messages of some seconds after those that were looked at before. Returns whether that was all.
--
-- $1 seconds without being read    $2 the most participants of a conversation
-- $3 the most seconds of messages
-- $4 the most seconds that are caught up on
with
    looked as (
        select greatest(unread_until, clock_timestamp() - make_interval(secs => $1 + $4)) as since
        from progress
        for update
    ),
    span as (
        select since, least(
            since + make_interval(secs => $3), clock_timestamp() - make_interval(secs => $1)
        ) as until
        from looked
    ),
    -- Ids are ordered by the clocks of the functions, which may differ. A message may be committed some
    -- seconds after its time.
    found as (
        select conversation_id, max(seq) as seq
        from messages, span
        where id >= uuid_at(span.since - interval '1 minute')
          and id < uuid_at(span.until + interval '1 minute')
          and created_at > span.since - interval '5 seconds' and created_at <= span.until
        group by conversation_id
    ),
    told as (
        update participants
        set unread_told = participants.read_up_to
        from found
        join conversations on conversations.id = found.conversation_id
        where participants.conversation_id = found.conversation_id
          and conversations.participant_count <= $2
          and participants.read_up_to < found.seq and participants.first_seq <= found.seq
          and participants.unread_told is distinct from participants.read_up_to
          and exists (
              select
              from messages
              where conversation_id = found.conversation_id and sender_id <> participants.user_id
                and seq > participants.read_up_to and seq >= participants.first_seq and seq <= found.seq
          )
        returning record_event(
            'message.unread', participants.conversation_id, null, participants.user_id,
            json_build_object('upToSeq', found.seq)::text
        )
    ),
    moved as (
        update progress set unread_until = greatest(span.until, span.since) from span
    )
select span.until < span.since + make_interval(secs => $3) as is_all, (select count(*) from told) as told
from span
