-- Users are erased and exported, and old messages removed.

-- Since when a user is being erased; null if that is done.
alter table users add column erasing_since timestamptz;
-- Finds erasures that do not finish.
create index users_erasing_idx on users (erasing_since) where erasing_since is not null;

-- The conversations that users were removed from: where else their messages may be.
create table departures (
    user_id text collate "C" not null,
    conversation_id uuid not null,

    -- Finds the conversations of a user.
    constraint departures_pkey primary key (user_id, conversation_id)
);
-- Finds the departures of a conversation that is deleted.
create index departures_conversation_id_idx on departures (conversation_id);

insert into departures (user_id, conversation_id)
select distinct messages.sender_id, messages.conversation_id
from messages
where not exists (
    select
    from participants
    where participants.conversation_id = messages.conversation_id
      and participants.user_id = messages.sender_id
);

-- Finds the reactions of a user.
create index reactions_user_id_idx on reactions (user_id);
