-- As in V15.

-- Whether one of the two in a conversation of two has blocked the other.
alter table conversations add column is_blocked boolean not null default false;
