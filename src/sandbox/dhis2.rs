//! A simulated DHIS2.
