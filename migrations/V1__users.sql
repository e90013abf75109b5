-- The people whom a token has named.
create table users (
    -- The token's `sub`. Compared byte by byte, so that the order of a pair is the same here and in code.
    id text collate "C" not null,
    -- The OIDC claims `name`, `preferred_username` or `nickname`, and `picture`; null as long as no token had them.
    name text,
    display_name text,
    avatar_url text,

    -- Finds a user's profile for a message, and makes the row of a user unique.
    constraint users_pkey primary key (id),
    constraint users_id_length check (char_length(id) between 1 and 128)
);
