//! The DHIS2 client, metadata mirror, periods, value types and aggregate targets. Does not know RapidPro.
