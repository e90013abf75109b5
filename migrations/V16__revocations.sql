-- Whose tokens are refused, whether or not the user is known.
create table revocations (
    user_id text collate "C" not null,
    -- In seconds since 1970, as the claim `iat`: tokens that were issued up to then are refused.
    revoked_at bigint not null,

    -- Finds the revocation of a caller.
    constraint revocations_pkey primary key (user_id)
);

-- Aborts the statement that calls it: the token of its caller is refused.
create function token_revoked() returns boolean language plpgsql as $$
begin
    raise exception 'the token is revoked' using errcode = 'SB401';
end
$$;
