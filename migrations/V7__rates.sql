-- How much of something each user has done in the minute that is running, so that nobody does too much of it.
-- Unlogged: a crash costs one minute's counts, where logging them would double what a message writes to the log.
create unlogged table rates (
    user_id text collate "C" not null,
    -- What is counted: a 'message' sent, a 'conversation' made.
    what text not null,
    -- When the minute began.
    started_at timestamp with time zone not null,
    count integer not null,

    -- Finds the one row that a statement counts in.
    constraint rates_pkey primary key (user_id, what)
)
-- Room for the next version of a row on its own page, since every message makes one.
with (fillfactor = 50);
