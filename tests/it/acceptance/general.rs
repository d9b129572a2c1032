//! Rows G: what holds for every request. <https://hl7.org/fhir/R4/http.html#general>
