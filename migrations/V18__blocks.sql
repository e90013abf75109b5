-- Who has blocked whom.
create table blocks (
    user_id text collate "C" not null,
    blocked_id text collate "C" not null,

    -- Finds whom a user has blocked.
    constraint blocks_pkey primary key (user_id, blocked_id),
    constraint blocks_user_id_fkey foreign key (user_id) references users (id),
    constraint blocks_blocked_id_fkey foreign key (blocked_id) references users (id)
);
-- Finds who has blocked a user.
create index blocks_blocked_id_idx on blocks (blocked_id, user_id);

-- Whether one of two users has blocked the other.
create function are_apart(one text, other text) returns boolean language sql stable as $$
    select exists (select from blocks where user_id = one and blocked_id = other)
        or exists (select from blocks where user_id = other and blocked_id = one)
$$;
