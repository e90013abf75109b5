-- A page of the reactions of a user. All of them to a message are on one page: there are few.
--
-- $1 user    $2 the last message of the page before    $3 the most messages
select message_id, reaction
from reactions
where
    user_id = $1
    and message_id in (
        select distinct message_id
        from reactions
        where user_id = $1 and message_id > $2
        order by message_id
        limit $3
    )
order by message_id, reaction
