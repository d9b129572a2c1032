//! Other machines: resources sent to another FHIR server, JSON posted to an endpoint, remote ids written back.

mod posts;
mod servers;
mod write_backs;
