-- Ends the erasure of a user, and writes the event `user.erased`.
--
-- $1 user    $2 whether events are recorded
with
    -- A frame that was under way when the connection was closed may have written these.
    late_rates as (
        delete from rates where user_id = $1
    ),
    late_events as (
        delete from events where user_id = $1 and conversation_id is not null
    )
-- Finds no row if the erasure has ended already, so that the event is written once.
update users
set erasing_since = null
where id = $1 and erasing_since is not null
returning case when $2 then record_event('user.erased', null, null, id, null) end
