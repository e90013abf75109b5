-- A page of the participants of a conversation, by user id. Returns nothing to a user who does not take part.
--
-- $1 conversation    $2 user    $3 the last user of the page before, or ''    $4 number of participants
-- $5 when the token was issued
select page.role, page.joined_at, page.read_up_to, are_apart(page.user_id, $2) as is_apart,
       users.id, users.name, users.display_name, users.avatar_url
from (select from participants where conversation_id = $1 and user_id = $2) as own
left join lateral (
    select user_id, role, joined_at, read_up_to
    from participants
    where conversation_id = $1 and user_id > $3
    order by user_id
    limit $4
) as page on true
left join lateral (
    select id, name, display_name, avatar_url from users where users.id = page.user_id limit 1
) as users on true
where (select token_revoked() from revocations where user_id = $2 and revoked_at >= $5) is null
order by page.user_id
