//! Rows O: operations. <https://hl7.org/fhir/R4/operations.html>
