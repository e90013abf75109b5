-- The conversations that users were removed from: where else their messages may be.
create table departures (
    user_id text collate "C" not null,
    conversation_id uuid not null,

    -- Finds the conversations of a user.
    constraint departures_pkey primary key (user_id, conversation_id)
);
-- Finds the departures of a conversation that is deleted.
create index departures_conversation_id_idx on departures (conversation_id);

-- A trigger, so that the release before, which still runs, leaves none out either.
create function record_departure() returns trigger language plpgsql as $$
begin
    insert into departures (user_id, conversation_id)
    values (old.user_id, old.conversation_id)
    on conflict on constraint departures_pkey do nothing;
    return null;
end
$$;
create trigger participants_departures after delete on participants
    for each row execute function record_departure();
