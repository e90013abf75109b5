-- Backends set profiles and erase users, and users block each other. Each table that is changed has a file of
-- its own, so that none is locked while another one is waited for.

alter table users
    -- Whether the service has set or cleared the field. The claims of tokens then do not change it.
    add column name_is_managed boolean not null default false,
    add column display_name_is_managed boolean not null default false,
    add column avatar_url_is_managed boolean not null default false,
    -- When the user was erased. The row stays, since messages refer to it. Null again once the user is back.
    add column erased_at timestamptz,
    -- Since when they are being erased; null if that is done, or if they are back.
    add column erasing_since timestamptz,
    -- Counted up when the user blocks somebody or is blocked. Who makes a conversation of two locks the row
    -- and compares this: so a conversation and a block that are made at once know of each other.
    add column block_changes bigint not null default 0;
