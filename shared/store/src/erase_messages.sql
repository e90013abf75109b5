-- Deletes messages that a user has sent to a conversation, as erasure asks for: what they said is gone, and
-- the name that their client gave to them. Looks at some messages. Returns the last seq of those, or null if
-- there was none.
--
-- $1 conversation    $2 user    $3 number of messages    $4 seq after which it looks
--
-- The row of the conversation is locked already.
with
    looked as materialized (
        select id, seq, sender_id, deleted_at, client_message_id
        from messages
        where conversation_id = $1 and seq > $4
        order by seq
        limit $3
    ),
    found as materialized (
        select id, deleted_at is null as says_something
        from looked
        where sender_id = $2 and (deleted_at is null or client_message_id is not null)
    ),
    numbered as (
        select id, case when says_something then
            row_number() over (partition by says_something order by id)
        end as number
        from found
    ),
    taken as (
        update conversations
        set last_change = last_change + (select count(*) from found where says_something)
        where id = $1
        returning last_change - (select count(*) from found where says_something) as before
    ),
    unreacted as (
        delete from reactions where message_id in (select id from found)
    ),
    untold as (
        -- But for those that are being sent: what follows them would overtake them.
        delete from events
        where message_id in (select id from found) and (claim is null or due_at < clock_timestamp())
    ),
    changed as (
        update messages
        set content = '', metadata = null, reactions = null, client_message_id = null,
            deleted_at = coalesce(deleted_at, clock_timestamp()),
            change = coalesce(taken.before + numbered.number, change)
        from numbered
        cross join taken
        where messages.id = numbered.id
    )
select max(seq) as last_seq from looked
