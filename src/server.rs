//! HTTP: FHIR interactions, webhooks, health, metrics. No SQL.
