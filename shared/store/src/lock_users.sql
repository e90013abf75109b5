-- Locks the rows of two users, in the order of their ids. The caller is stored if they are not there yet.
--
-- $1 caller    $2 the other
with stored as (
    insert into users (id)
    values ($1)
    on conflict on constraint users_pkey do update set erased_at = null, erasing_since = null
    where users.erased_at is not null
)
select from users where id in ($1, $2) order by id for no key update
