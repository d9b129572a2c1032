-- The store: resources and documents, their versions, the search index, changes, links, cursors, tokens.
--
-- Every key starts with the tenant, so that a tenant is a contiguous part of every index, can be dropped
-- on its own, and could one day be placed on a node of its own. There are no triggers, no sequences, no
-- foreign keys and no advisory locks: numbers come from the tenant's clock row, and what belongs together
-- is written in one transaction by one piece of code. The same tables exist on the other engine; what
-- differs is marked "SQLite:".
--
-- SQLite: tables whose rows are small are "without rowid": the primary key is the table. "version" is not,
-- because its rows are large.

-- One row a tenant, locked by each write group for as long as it writes. It gives the group its number,
-- its millisecond (which no other group has, so that nobody who pages by _lastUpdated misses anything:
-- a later millisecond cannot become visible before an earlier one) and the numbers of new resources.
create table clock (
    tenant    text not null primary key,
    commit_no bigint not null,
    at_ms     bigint not null,
    next_rid  bigint not null
) without rowid;

-- The current state of every resource (an R4 type) and document (a kind with a dot, such as rapidpro.run).
-- Everything else names it by rid: eight bytes instead of a type and an id, and new rows go to the end of
-- every index. A deleted one keeps its row, so that its version numbers go on. The partition of its changes
-- is that of its first subject, so that they stay in order whatever later versions say.
create table resource (
    tenant     text not null,
    rid        bigint not null,
    kind       text not null,
    id         text not null,
    version    bigint not null,
    updated_ms bigint not null,
    partition  bigint not null,
    deleted    boolean not null,
    primary key (tenant, rid)
) without rowid;
create unique index resource_by_id on resource (tenant, kind, id);
-- Searches without a sort run in rid order: stable while others write.
create index resource_by_kind on resource (tenant, kind, rid);
-- _lastUpdated, as a filter and as an order: every poller's loop.
create index resource_by_time on resource (tenant, kind, updated_ms, rid);

-- Every version, once; the current one too. Bodies lack id, versionId and lastUpdated, which are spliced in
-- on the way out. codec: 0 raw, 1 zstd; 2 and up are kept for bodies encrypted with a numbered key. A
-- deletion is a version without a body.
create table version (
    tenant     text not null,
    rid        bigint not null,
    version    bigint not null,
    commit_no  bigint not null,
    updated_ms bigint not null,
    method     text not null,
    origin     text not null,
    codec      bigint not null,
    body       blob,
    primary key (tenant, rid, version)
);

-- What mappings are fed: one row a version. The partition is a hash of the change's subject, so one
-- subject's changes stay in order; the position is the group's number times 65,536 plus the place in it.
create table change (
    tenant    text not null,
    partition bigint not null,
    position  bigint not null,
    rid       bigint not null,
    version   bigint not null,
    primary key (tenant, partition, position)
) without rowid;

-- The search index: one table for each search type of R4, holding the current versions only. The primary
-- key serves replacing and sorting (all values of one resource); the other indexes serve searching, each
-- led by the parameter, which is the hash of Type.code and so implies the type. Long values are shortened
-- to a prefix and a hash before they are stored and before they are looked for: PostgreSQL's index rows
-- hold at most 2,704 bytes.
create table index_token (
    tenant    text not null,
    rid       bigint not null,
    parameter bigint not null,
    ordinal   bigint not null,
    system    text not null,
    code      text not null,
    text      text not null,
    primary key (tenant, rid, parameter, ordinal)
) without rowid;
create index token_by_code on index_token (tenant, parameter, code, system, rid);
-- `system|`: any code of one system.
create index token_by_system on index_token (tenant, parameter, system, rid);
-- `:text`
create index token_by_text on index_token (tenant, parameter, text, rid) where text <> '';

create table index_text (
    tenant    text not null,
    rid       bigint not null,
    parameter bigint not null,
    ordinal   bigint not null,
    normal    text not null,
    exact     text not null,
    primary key (tenant, rid, parameter, ordinal)
) without rowid;
-- Starts with, contains, and sorting.
create index text_by_normal on index_text (tenant, parameter, normal, rid);
create index text_by_exact on index_text (tenant, parameter, exact, rid);

-- [low, high) in milliseconds.
create table index_date (
    tenant    text not null,
    rid       bigint not null,
    parameter bigint not null,
    ordinal   bigint not null,
    low       bigint not null,
    high      bigint not null,
    primary key (tenant, rid, parameter, ordinal)
) without rowid;
create index date_by_low on index_date (tenant, parameter, low, high, rid);
create index date_by_high on index_date (tenant, parameter, high, low, rid);

-- [low, high]: what the written precision allows.
create table index_number (
    tenant    text not null,
    rid       bigint not null,
    parameter bigint not null,
    ordinal   bigint not null,
    low       double precision not null,
    high      double precision not null,
    primary key (tenant, rid, parameter, ordinal)
) without rowid;
create index number_by_low on index_number (tenant, parameter, low, high, rid);
create index number_by_high on index_number (tenant, parameter, high, low, rid);

create table index_quantity (
    tenant    text not null,
    rid       bigint not null,
    parameter bigint not null,
    ordinal   bigint not null,
    low       double precision not null,
    high      double precision not null,
    system    text not null,
    code      text not null,
    primary key (tenant, rid, parameter, ordinal)
) without rowid;
create index quantity_by_low on index_quantity (tenant, parameter, low, high, rid);
create index quantity_by_high on index_quantity (tenant, parameter, high, low, rid);

-- A literal reference has kind and id, and a url only where it was absolute; a logical one an identifier.
create table index_reference (
    tenant     text not null,
    rid        bigint not null,
    parameter  bigint not null,
    ordinal    bigint not null,
    kind       text not null,
    id         text not null,
    url        text not null,
    identifier text not null,
    primary key (tenant, rid, parameter, ordinal)
) without rowid;
-- Forwards by value, and backwards for _revinclude.
create index reference_by_id on index_reference (tenant, parameter, id, kind, rid);
create index reference_by_url on index_reference (tenant, parameter, url, rid) where url <> '';
create index reference_by_identifier on index_reference (tenant, parameter, identifier, rid)
    where identifier <> '';

create table index_uri (
    tenant    text not null,
    rid       bigint not null,
    parameter bigint not null,
    ordinal   bigint not null,
    uri       text not null,
    primary key (tenant, rid, parameter, ordinal)
) without rowid;
create index uri_by_value on index_uri (tenant, parameter, uri, rid);

-- Both halves of one component belong together, so composites have rows of their own. Which columns of a
-- half are used depends on its search type, see fhir::index::Part.
create table index_composite (
    tenant        text not null,
    rid           bigint not null,
    parameter     bigint not null,
    ordinal       bigint not null,
    first_system  text not null,
    first_code    text not null,
    first_low     double precision not null,
    first_high    double precision not null,
    second_system text not null,
    second_code   text not null,
    second_low    double precision not null,
    second_high   double precision not null,
    primary key (tenant, rid, parameter, ordinal)
) without rowid;
-- The first half is a code in every composite that R4 defines, but for a few dates and references.
create index composite_by_code on index_composite (tenant, parameter, first_code, rid);

-- A remembered pair: this resource is that object at that destination. One resource has at most one object
-- of a remote kind at a destination; one object may be several resources (a Person and her Practitioner).
create table link (
    tenant      text not null,
    destination text not null,
    kind        text not null,
    id          text not null,
    remote_kind text not null,
    remote_id   text not null,
    updated_ms  bigint not null,
    primary key (tenant, destination, kind, id, remote_kind)
) without rowid;
create index link_by_remote on link (tenant, destination, remote_kind, remote_id);

-- Who may call. Only the SHA-256 of the token is kept, in hexadecimal. last_used_ms is coarse: written at
-- most once an hour.
create table token (
    tenant       text not null,
    hash         text not null,
    name         text not null,
    scope        text not null,
    created_ms   bigint not null,
    last_used_ms bigint,
    revoked_ms   bigint,
    primary key (tenant, hash)
) without rowid;
-- A name belongs to one living token.
create unique index token_by_name on token (tenant, name) where revoked_ms is null;

-- How far a poller has read, moved in the transaction that stores what it read.
create table cursor (
    tenant     text not null,
    name       text not null,
    value      text not null,
    updated_ms bigint not null,
    primary key (tenant, name)
) without rowid;

-- Things that a tenant must keep, such as the key that seals its page tokens.
create table setting (
    tenant text not null,
    name   text not null,
    value  blob not null,
    primary key (tenant, name)
) without rowid;
