-- Deletes some messages that a user has sent to a conversation, as erasure asks for: what they said is gone,
-- and the name that their client gave to them. Returns how many.
--
-- $1 conversation    $2 user    $3 number of messages
--
-- The row of the conversation is locked already.
with
    -- Those with a name are found by one index, those without by another: each order is that of its index.
    found as materialized (
        (
            select id, deleted_at is null as says_something
            from messages
            where conversation_id = $1 and sender_id = $2 and client_message_id is not null
            order by client_message_id
            limit $3
        )
        union all
        (
            select id, true
            from messages
            where conversation_id = $1 and sender_id = $2 and client_message_id is null
              and deleted_at is null
            order by seq
            limit $3
        )
        limit $3
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
select count(*) as erased from found
