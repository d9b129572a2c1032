-- Of an act: outside of which hours it does not go out, and of which zone they are: `08:00-18:00 Africa/Kigali`.
-- Empty: it goes at any hour.
alter table delivery add column hours text not null default '';
