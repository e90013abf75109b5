-- Deletes some messages of a conversation that has no participants any more, and the conversation once it has
-- none. Repeated until it has deleted no message: one statement for all could take longer than a statement
-- may.
--
-- $1 conversation    $2 number of messages
with
    batch as materialized (
        select messages.id
        from messages
        join conversations on conversations.id = messages.conversation_id
        where messages.conversation_id = $1 and conversations.participant_count = 0
        order by messages.seq
        limit $2
    ),
    deleted as (
        delete from messages where id in (select id from batch)
    ),
    forgotten as (
        delete from departures
        where conversation_id = $1 and not exists (select from batch)
          and exists (select from conversations where id = $1 and participant_count = 0)
    ),
    ended as (
        delete from conversations where id = $1 and participant_count = 0 and not exists (select from batch)
    )
select count(*) as deleted from batch
