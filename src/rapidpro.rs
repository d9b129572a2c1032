//! The RapidPro client, contacts, flows and runs. Does not know DHIS2.
