-- Stores what a token says of its user, and returns the contacts of the user as contacts_of.sql does: a connect
-- needs both, and this is one round trip.
--
-- $1 user    $2 name    $3 display name    $4 avatar URL, each null if the token does not have it
-- $5 number of contacts
with
    said (id, name, display_name, avatar_url) as (
        values ($1, $2, $3, $4)
    ),
    -- Writes only what differs, so that most connects take no lock and leave no dead row. A claim that the
    -- token does not have keeps what is stored.
    upserted as (
        insert into users (id, name, display_name, avatar_url)
        select said.id, said.name, said.display_name, said.avatar_url
        from said
        left join users stored on stored.id = said.id
        where stored.id is null
           or (said.name is not null and said.name is distinct from stored.name)
           or (said.display_name is not null and said.display_name is distinct from stored.display_name)
           or (said.avatar_url is not null and said.avatar_url is distinct from stored.avatar_url)
        on conflict on constraint users_pkey do update set
            name = coalesce(excluded.name, users.name),
            display_name = coalesce(excluded.display_name, users.display_name),
            avatar_url = coalesce(excluded.avatar_url, users.avatar_url)
    )
select contact
from (
    (
        select second_user_id as contact, coalesce(last_message_at, created_at) as activity
        from conversations
        where first_user_id = $1
        order by coalesce(last_message_at, created_at) desc, id desc
        limit $5
    )
    union all
    (
        select first_user_id, coalesce(last_message_at, created_at)
        from conversations
        where second_user_id = $1
        order by coalesce(last_message_at, created_at) desc, id desc
        limit $5
    )
) as sides
order by activity desc
limit $5
