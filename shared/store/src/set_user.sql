-- Makes a user, or sets fields of their profile. The claims of tokens do not change a field that was set
-- here.
--
-- $1 user
-- $2 whether the name is set    $3 name, or null for none
-- $4, $5 the same for the display name    $6, $7 and for the avatar URL
insert into users (
    id, name, name_is_managed, display_name, display_name_is_managed, avatar_url, avatar_url_is_managed
)
values ($1, $3, $2, $5, $4, $7, $6)
on conflict on constraint users_pkey do update set
    name = case when $2 then $3 else users.name end,
    name_is_managed = users.name_is_managed or $2,
    display_name = case when $4 then $5 else users.display_name end,
    display_name_is_managed = users.display_name_is_managed or $4,
    avatar_url = case when $6 then $7 else users.avatar_url end,
    avatar_url_is_managed = users.avatar_url_is_managed or $6,
    erased_at = null, erasing_since = null
returning id, name, display_name, avatar_url
