-- What was made of the changes, and what must leave.
--
-- Every key begins with the tenant. There are no triggers, no sequences and no stored times of the
-- database's own: milliseconds since 1970 UTC are written by the program. The text is the same for both
-- engines.

-- A mapping acts on changes of commits after `active_from`: the commit at which it was first loaded.
create table mapping (
    tenant text not null,
    name text not null,
    version_hash text not null,
    active_from bigint not null,
    loaded_ms bigint not null,
    primary key (tenant, name)
);

-- 64 partitions of the changes. `position` is that of the last change that was mapped. The holder writes
-- only while its fence is the row's.
create table mapper_partition (
    tenant text not null,
    partition bigint not null,
    position bigint not null,
    owner text not null,
    fence bigint not null,
    until_ms bigint not null,
    primary key (tenant, partition)
);

-- Processes that map changes: partitions are spread over those that live.
create table mapper_worker (
    tenant text not null,
    owner text not null,
    until_ms bigint not null,
    primary key (tenant, owner)
);

-- The last time that a mapping was applied to a resource: `$.previous` and what `issues` a person may see.
create table evaluation (
    tenant text not null,
    mapping text not null,
    rid bigint not null,
    version bigint not null,
    mapping_version text not null,
    outcome text not null,
    issues text not null,
    at_ms bigint not null,
    primary key (tenant, mapping, rid)
);

-- What an evaluation looked up. `sources` is a JSON list of {kind, id, version}; empty: absent then.
create table lookup_read (
    tenant text not null,
    mapping text not null,
    rid bigint not null,
    query_key text not null,
    query text not null,
    name text not null,
    follow bigint not null,
    sources text not null,
    primary key (tenant, mapping, rid, query_key)
);

-- What absent and followed reads wait for: `Patient/1`, `Patient?identifier=urn:card|7` (hashed).
create table watch (
    tenant text not null,
    watched text not null,
    mapping text not null,
    rid bigint not null,
    partition bigint not null,
    primary key (tenant, watched, mapping, rid)
);
create index watch_source on watch (tenant, mapping, rid);

-- Evaluations to be made again by the holder of the source's partition. `requested` counts requests, so
-- that one that comes while another is worked on is not lost.
create table revisit (
    tenant text not null,
    partition bigint not null,
    mapping text not null,
    rid bigint not null,
    requested bigint not null,
    primary key (tenant, partition, mapping, rid)
);

-- Evaluations that wait for something, and say for what.
create table held (
    tenant text not null,
    mapping text not null,
    rid bigint not null,
    source text not null,
    version bigint not null,
    code text not null,
    message text not null,
    hint text not null,
    place text not null,
    waits_for text not null,
    since_ms bigint not null,
    primary key (tenant, mapping, rid)
);

-- One row for each intended effect. `destination` is SYSTEM.NAME.
create table delivery (
    tenant text not null,
    id text not null,
    destination text not null,
    mapping text not null,
    mapping_version text not null,
    target text not null,
    target_id text not null,
    nature text not null,
    rid bigint not null,
    source text not null,
    source_version bigint not null,
    output_key text not null,
    lane text not null,
    body text not null,
    needs text not null,
    withdraw text not null,
    withdrawn bigint not null,
    authored_ms bigint not null,
    link text not null,
    status text not null,
    order_no bigint not null,
    due_ms bigint not null,
    attempts bigint not null,
    first_failed_ms bigint not null,
    unclear bigint not null,
    failure text not null,
    batch_group text not null,
    lease_owner text not null,
    lease_fence bigint not null,
    lease_until_ms bigint not null,
    cause text not null,
    message text not null,
    hint text not null,
    created_ms bigint not null,
    updated_ms bigint not null,
    since_ms bigint not null,
    primary key (tenant, id)
);
create index delivery_due on delivery (tenant, destination, status, due_ms, order_no);
create index delivery_lane on delivery (tenant, destination, lane, status, order_no);
create index delivery_source on delivery (tenant, mapping, rid);
create index delivery_updated on delivery (tenant, status, updated_ms, id);
create index delivery_claimed on delivery (tenant, destination, lease_until_ms) where status = 'sending';

-- What one delivery wants at one place. `wanted` is canonical JSON; null: to be removed there. `dirty`:
-- a counted cell that is computed from its contributions when it is claimed.
create table part (
    tenant text not null,
    destination text not null,
    slot text not null,
    delivery_id text not null,
    wanted text,
    authored_ms bigint not null,
    last bigint not null,
    dirty bigint not null,
    status text not null,
    superseded_by text not null,
    cause text not null,
    message text not null,
    hint text not null,
    primary key (tenant, destination, slot, delivery_id)
);
create index part_delivery on part (tenant, delivery_id, slot);

-- What the far side is known to hold. `in_doubt`: something was sent and no answer proved what became of
-- it. The row's lock orders all who decide about the place.
create table slot (
    tenant text not null,
    destination text not null,
    slot text not null,
    sent text,
    sent_by text not null,
    in_doubt bigint not null,
    touched bigint not null,
    primary key (tenant, destination, slot)
);

-- What one source adds to one aggregate cell.
create table contribution (
    tenant text not null,
    delivery_id text not null,
    slot text not null,
    rid bigint not null,
    output_key text not null,
    ordinal bigint not null,
    mapping text not null,
    target_id text not null,
    cell text not null,
    aggregate text not null,
    amount text not null,
    distinct_key text not null,
    authored_ms bigint not null,
    primary key (tenant, delivery_id, slot, rid, output_key, ordinal)
);
create index contribution_source on contribution (tenant, mapping, rid);

-- One try to send one delivery; the HTTP exchanges of its batch are stored once and pointed at.
create table attempt (
    tenant text not null,
    delivery_id text not null,
    number bigint not null,
    at_ms bigint not null,
    outcome text not null,
    cause text not null,
    message text not null,
    batch text not null,
    primary key (tenant, delivery_id, number)
);
create index attempt_age on attempt (tenant, at_ms);

create table exchange (
    tenant text not null,
    batch text not null,
    ordinal bigint not null,
    at_ms bigint not null,
    method text not null,
    path text not null,
    status bigint not null,
    request text not null,
    response text not null,
    elapsed_ms bigint not null,
    primary key (tenant, batch, ordinal)
);
create index exchange_age on exchange (tenant, at_ms);

-- One process at a time sends to a destination; its circuit and what it used of the hour's budget.
create table destination (
    tenant text not null,
    name text not null,
    owner text not null,
    fence bigint not null,
    until_ms bigint not null,
    circuit text not null,
    circuit_until_ms bigint not null,
    failures bigint not null,
    hour bigint not null,
    used bigint not null,
    cause text not null,
    message text not null,
    hint text not null,
    primary key (tenant, name)
);
