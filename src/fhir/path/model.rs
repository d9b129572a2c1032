//! R4's types for the FHIRPath engine, from the element table.
//!
//! **Never** waits, except for ever once an evaluation's time is over: that is how it is ended.

use std::cell::Cell;
use std::time::Instant;

use async_trait::async_trait;
use octofhir_fhir_model::provider::{ElementInfo, ModelProvider, TypeInfo};

use crate::fhir::elements::{Primitive, table};

thread_local! {
    /// When the evaluation that runs on this thread has to be over.
    static DEADLINE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Runs `work` with a deadline; nested ones are not prolonged.
pub(super) fn until<T>(deadline: Instant, work: impl FnOnce() -> T) -> T {
    let outer = Outer(DEADLINE.with(Cell::get));
    DEADLINE.with(|cell| cell.set(Some(outer.0.map_or(deadline, |outer| outer.min(deadline)))));
    work()
}

/// Puts the outer deadline back, also when the work panics.
struct Outer(Option<Instant>);

impl Drop for Outer {
    fn drop(&mut self) {
        DEADLINE.with(|cell| cell.set(self.0));
    }
}

fn over() -> bool {
    DEADLINE.with(Cell::get).is_some_and(|deadline| Instant::now() >= deadline)
}

/// The element table as the engine asks for it.
#[derive(Debug)]
pub(super) struct R4;

pub(super) fn type_info(name: &str) -> TypeInfo {
    TypeInfo {
        type_name: name.to_owned(),
        singleton: Some(true),
        is_empty: Some(false),
        namespace: Some("FHIR".to_owned()),
        name: Some(name.to_owned()),
    }
}

fn name_of(info: &TypeInfo) -> &str {
    info.name.as_deref().unwrap_or(&info.type_name)
}

/// Is `kind` a `base`? Both R4 names. <https://hl7.org/fhir/R4/datatypes.html>
pub(super) fn is_a(kind: &str, base: &str) -> bool {
    let (mut kind, mut steps) = (kind, 0);
    while kind != base && steps < 8 {
        kind = match kind {
            "code" | "id" | "markdown" => "string",
            "url" | "canonical" | "oid" | "uuid" => "uri",
            "positiveInt" | "unsignedInt" => "integer",
            "Element" | "Resource" => return false,
            other => match table().node(other) {
                Some(node) => node.base,
                None if Primitive::named(other).is_some() => "Element",
                None => return false,
            },
        };
        steps += 1;
    }
    kind == base
}

const SYSTEM: [&str; 8] = ["Boolean", "String", "Integer", "Long", "Decimal", "Date", "DateTime", "Time"];

#[async_trait]
impl ModelProvider for R4 {
    async fn get_type(&self, name: &str) -> octofhir_fhir_model::Result<Option<TypeInfo>> {
        let bare = name.strip_prefix("FHIR.").unwrap_or(name);
        if SYSTEM.contains(&name) || name.starts_with("System.") {
            let bare = name.strip_prefix("System.").unwrap_or(name);
            return Ok(Some(TypeInfo::system_type(bare.to_owned(), true)));
        }
        if table().node(bare).is_some() || Primitive::named(bare).is_some() {
            return Ok(Some(type_info(bare)));
        }
        // The ending of a choice: `valueInstant`.
        let mut letters = bare.chars();
        let lower: String = letters.next().iter().flat_map(|c| c.to_lowercase()).chain(letters).collect();
        Ok(Primitive::named(&lower).map(|_| type_info(&lower)))
    }

    async fn get_element_type(
        &self,
        parent: &TypeInfo,
        property: &str,
    ) -> octofhir_fhir_model::Result<Option<TypeInfo>> {
        if over() {
            std::future::pending::<()>().await;
        }
        let key = table().node(name_of(parent)).and_then(|node| node.keys.get(property));
        Ok(key.map(|key| type_info(key.kind)))
    }

    fn of_type(&self, info: &TypeInfo, target: &str) -> Option<TypeInfo> {
        is_a(name_of(info), target).then(|| info.clone())
    }

    fn get_element_names(&self, parent: &TypeInfo) -> Vec<String> {
        let node = table().node(name_of(parent));
        node.map(|node| node.elements.iter().map(|e| e.name.to_owned()).collect()).unwrap_or_default()
    }

    async fn get_children_type(&self, _: &TypeInfo) -> octofhir_fhir_model::Result<Option<TypeInfo>> {
        Ok(None)
    }

    async fn get_elements(&self, _: &str) -> octofhir_fhir_model::Result<Vec<ElementInfo>> {
        Ok(Vec::new())
    }

    async fn get_resource_types(&self) -> octofhir_fhir_model::Result<Vec<String>> {
        Ok(table().kinds().iter().map(|&kind| kind.to_owned()).collect())
    }

    async fn get_complex_types(&self) -> octofhir_fhir_model::Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn get_primitive_types(&self) -> octofhir_fhir_model::Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn resource_type_exists(&self, name: &str) -> octofhir_fhir_model::Result<bool> {
        Ok(table().kind(name).is_some())
    }

    fn is_type_derived_from(&self, derived: &str, base: &str) -> bool {
        let bare = |name: &str| name.strip_prefix("FHIR.").unwrap_or(name).to_owned();
        is_a(&bare(derived), &bare(base))
    }
}
