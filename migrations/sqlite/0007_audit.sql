-- Who looked at people's data, when and why. `subject` holds no phone number and no name.
create table audit (
    tenant text not null,
    at_ms bigint not null,
    id text not null,
    actor text not null,
    action text not null,
    subject text not null,
    reason text not null,
    primary key (tenant, at_ms, id)
);
