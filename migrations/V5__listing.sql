-- The conversations of a user, newest activity first: one index for each side of the pair, read in order and merged.
-- A conversation without messages sorts by its creation.
create index conversations_first_user_activity_idx
    on conversations (first_user_id, coalesce(last_message_at, created_at) desc, id desc);
create index conversations_second_user_activity_idx
    on conversations (second_user_id, coalesce(last_message_at, created_at) desc, id desc);
