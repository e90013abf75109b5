-- The users who share a conversation with a user, those with the latest activity first.
--
-- $1 user    $2 number of contacts
--
-- Each side of the pair is read from the front of its own index.
select contact
from (
    (
        select second_user_id as contact, coalesce(last_message_at, created_at) as activity
        from conversations
        where first_user_id = $1
        order by coalesce(last_message_at, created_at) desc, id desc
        limit $2
    )
    union all
    (
        select first_user_id, coalesce(last_message_at, created_at)
        from conversations
        where second_user_id = $1
        order by coalesce(last_message_at, created_at) desc, id desc
        limit $2
    )
) as sides
order by activity desc
limit $2
