-- Finds the group that a repeated request of the service has made: such a group has no creator.
create unique index conversations_service_client_conversation_id_key
    on conversations (client_conversation_id) where creator_id is null and client_conversation_id is not null;
