//! Logs, spans and metrics. No body, name, phone number or token, at any level.
