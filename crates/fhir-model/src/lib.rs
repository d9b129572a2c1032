//! fhirbolt's R4 model behind one non-generic function.
//!
//! Each generic entry point of fhirbolt is compiled again for every R4 type, which takes minutes.
//! Here it happens once, in a crate that is not rebuilt when Mjumbe changes.
//!
//! **Never** call fhirbolt anywhere else: it hangs on unknown array fields outside strict mode and
//! panics on empty arrays, so [`parse`] is strict and catches panics, and its callers check the
//! structure first.

use std::panic::{AssertUnwindSafe, catch_unwind};

pub use fhirbolt::model::r4::Resource;
use fhirbolt::serde::{DeserializationConfig, DeserializationMode};

/// Why the R4 model refused a resource. fhirbolt gives no location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelError(pub String);

impl std::fmt::Display for ModelError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ModelError {}

/// Reads a resource into the R4 model, strictly.
///
/// # Errors
/// [`ModelError`] with fhirbolt's message, or a fixed one where fhirbolt panicked.
pub fn parse(resource: serde_json::Value) -> Result<Box<Resource>, ModelError> {
    let config = DeserializationConfig { mode: DeserializationMode::Strict };
    let read = AssertUnwindSafe(|| fhirbolt::json::from_json_value::<Resource>(resource, Some(config)));
    match catch_unwind(read) {
        Ok(Ok(resource)) => Ok(Box::new(resource)),
        Ok(Err(error)) => Err(ModelError(error.to_string())),
        Err(_) => Err(ModelError("the R4 model cannot read this resource".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_a_patient_with_a_decimal_extension() {
        let patient = json!({
            "resourceType": "Patient",
            "extension": [{"url": "http://example.org/weight", "valueDecimal": 3.250}]
        });
        assert!(matches!(*parse(patient).unwrap(), Resource::Patient(_)));
    }

    #[test]
    fn a_panic_inside_the_model_is_an_error() {
        let patient = json!({"resourceType": "Patient", "name": []});
        assert!(parse(patient).is_err());
    }
}
