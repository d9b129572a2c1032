//! The DHIS2 destination against a scripted DHIS2 that gives recorded answers, for both importers.

/// What is relied on of any DHIS2, also a real one.
mod contract;
/// A scripted DHIS2.
mod fake;
/// Metadata pulled, stored, replaced.
mod mirror;
/// Both generations of the simulated DHIS2.
mod sandbox;
/// Batches and what becomes of their parts.
mod sending;
/// Events and tracked entities against the simulated DHIS2.
mod tracker;
/// A tracked entity through the whole engine, with kills.
mod tracker_engine;
