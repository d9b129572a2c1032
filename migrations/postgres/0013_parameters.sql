-- Search parameters of a tenant's own: one row for each type and code that its active SearchParameter resources
-- define. `source` is the id of that resource, `parameter` names the rows in the index tables.
--
-- state: `building` (its values are being collected), `active`, `removing` (its values are being taken away).
-- Whoever walks the type moves the cursor (updated_ms, rid) in the transaction that writes the values: the
-- values of every current version up to there are right.
create table search_parameter (
    tenant text not null,
    kind text not null,
    code text not null,
    parameter bigint not null,
    source text not null,
    url text not null,
    search_type text not null,
    targets text not null,
    expression text not null,
    state text not null,
    cursor_ms bigint not null,
    cursor_rid bigint not null,
    changed_ms bigint not null,
    primary key (tenant, kind, code)
);
