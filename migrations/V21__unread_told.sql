-- As in V15.

-- The position up to which the participant was last told of what they have not read; null before the first
-- time.
alter table participants add column unread_told bigint;
