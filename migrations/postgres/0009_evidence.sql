-- What other acts did, for one whose outcome is not known: what the far side called theirs, and those of
-- which nobody knows either.
create index delivery_remote on delivery (tenant, destination, remote) where remote <> '';
create index delivery_open on delivery (tenant, destination) where begun_ms > 0 and remote = '';
