-- Finds the reactions of a user, in the order of an export. Reactions wait while it is built; messages do
-- not.
create index reactions_user_id_idx on reactions (user_id, message_id);
