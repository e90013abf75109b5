-- The conversations of a user that have the latest activity, each with its last seq.
--
-- $1 user    $2 number of conversations
--
-- Each side of the pair is read from the front of its own index.
select id, last_seq
from (
    (
        select id, last_seq, coalesce(last_message_at, created_at) as activity
        from conversations
        where first_user_id = $1
        order by coalesce(last_message_at, created_at) desc, id desc
        limit $2
    )
    union all
    (
        select id, last_seq, coalesce(last_message_at, created_at)
        from conversations
        where second_user_id = $1
        order by coalesce(last_message_at, created_at) desc, id desc
        limit $2
    )
) as sides
order by activity desc, id desc
limit $2
