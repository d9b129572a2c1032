-- The ways of the client that sends a token (`opensrp`, `ihris`, `cht`, `commcare`, `openmrs`); empty: none.
alter table token add column profile text not null default '';
-- Types, parted by spaces: a repeated POST of one is an update of the one with the same identifier.
alter table token add column upserts text not null default '';
