//! Rows R, V, C, U, P, D, H: one resource and its versions. <https://hl7.org/fhir/R4/http.html>
