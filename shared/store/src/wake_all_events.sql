-- Does what wake_events.sql does, for every conversation with events. Reads one event of each of them.
with recursive first as (
    (
        select conversation_id, number, due_at
        from events
        where set_aside_at is null and conversation_id is not null
        order by conversation_id, number
        limit 1
    )
    union all
    select next.conversation_id, next.number, next.due_at
    from first
    cross join lateral (
        select conversation_id, number, due_at
        from events
        where set_aside_at is null and conversation_id > first.conversation_id
        order by conversation_id, number
        limit 1
    ) as next
)
update events
set due_at = clock_timestamp()
where due_at is null and number in (select number from first where due_at is null)
