//! A simulated RapidPro and a simulated DHIS2 that behave as recorded, faults included.
