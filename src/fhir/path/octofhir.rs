//! octofhir-fhirpath behind [`Engine`].
//!
//! The crate is async and never waits: a future is polled once, and one that is not ready then has been
//! stopped by its deadline (`model`). Its numbers are 64-bit floats on the way in, so whatever only selects
//! is read from the resource itself (`places`).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use futures::FutureExt;
use octofhir_fhirpath::core::node::FhirNode;
use octofhir_fhirpath::{
    Collection, CompiledPlan, EvaluationContext, ExpressionNode, FhirPathEngine, FhirPathValue,
};
use serde_json::Value;

use super::model::{R4, type_info, until};
use super::places::{Spot, select};
use super::{Engine, Focus, Found, MAX_RESULTS, MAX_TIME, PathError, Place, Program, Subject, limits};
use crate::fhir::elements::{Primitive, table};

/// Parsing recurses; its stack is its own.
const PARSER_STACK: usize = 16 << 20;

/// The engine, or why there is none (it cannot fail today).
pub(super) struct Octofhir {
    engine: Result<Arc<FhirPathEngine>, PathError>,
}

impl Octofhir {
    pub(super) fn new() -> Self {
        let registry = Arc::new(octofhir_fhirpath::create_function_registry());
        let engine = FhirPathEngine::new(registry, Arc::new(R4)).now_or_never();
        let failed = PathError::Refused("the FHIRPath engine did not start".into());
        Self { engine: engine.and_then(Result::ok).map(Arc::new).ok_or(failed) }
    }
}

impl Engine for Octofhir {
    fn compile(&self, expression: &str) -> Result<Arc<dyn Program>, PathError> {
        limits::text(expression)?;
        let engine = self.engine.clone()?;
        let written = delimited(expression);
        let compiled = std::thread::scope(|scope| {
            let work = || parse(&engine, &written);
            let thread = std::thread::Builder::new().stack_size(PARSER_STACK).spawn_scoped(scope, work);
            thread.ok().and_then(|thread| thread.join().ok())
        });
        let plan = compiled.unwrap_or_else(|| Err(PathError::Syntax("the parser gave up".into())))?;
        Ok(Arc::new(Compiled { engine, plan, text: expression.to_owned() }))
    }
}

fn parse(engine: &FhirPathEngine, expression: &str) -> Result<Arc<CompiledPlan>, PathError> {
    let tree = octofhir_fhirpath::parse_ast(expression).map_err(|error| syntax(&error.to_string()))?;
    limits::tree(&tree)?;
    engine.compile_plan(expression).map_err(|error| syntax(&error.to_string()))
}

/// The parser takes `note` for `not e`: a name at the beginning of a path that begins so is delimited.
fn delimited(expression: &str) -> String {
    let name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let (mut out, mut rest) = (String::with_capacity(expression.len()), expression);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' | '`' => quoted(rest, first),
            _ if name(first) => rest.find(|letter| !name(letter)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        if token.len() > 3 && token.starts_with("not") && !out.trim_end().ends_with(['.', '%', '$']) {
            out.extend(["`", token, "`"]);
        } else {
            out.push_str(token);
        }
        rest = after;
    }
    out
}

/// The length of the quoted text at the beginning.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, letter) in text.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            letter if letter == quote => return at + letter.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

/// The first line of what the parser says, without colours.
fn syntax(text: &str) -> PathError {
    let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("");
    PathError::Syntax(line.chars().filter(|c| !c.is_control()).take(200).collect())
}

struct Compiled {
    engine: Arc<FhirPathEngine>,
    plan: Arc<CompiledPlan>,
    text: String,
}

impl Program for Compiled {
    fn text(&self) -> &str {
        &self.text
    }

    fn values(&self, subject: &Subject) -> Result<Vec<Found>, PathError> {
        if let Some(spots) = self.spots(subject)? {
            return Ok(spots
                .into_iter()
                .map(|spot| Found { value: spot.value.clone(), kind: spot.kind })
                .collect());
        }
        let found = self.run(subject, &Focus::ROOT)?;
        Ok(found
            .iter()
            .map(|value| Found { value: json(value), kind: kind_of(value) })
            .filter(|found| !found.value.is_null())
            .collect())
    }

    fn places(&self, subject: &Subject) -> Result<Option<Vec<Place>>, PathError> {
        let spots = self.spots(subject)?;
        Ok(spots.map(|spots| {
            spots.into_iter().map(|spot| Place { pointer: spot.pointer, kind: spot.kind }).collect()
        }))
    }

    fn truth(&self, subject: &Subject, focus: &Focus) -> Result<Option<bool>, PathError> {
        truth_of(&self.run(subject, focus)?)
    }
}

impl Compiled {
    fn spots<'a>(&self, subject: &Subject<'a>) -> Result<Option<Vec<Spot<'a>>>, PathError> {
        let resource = subject.resource();
        let kind = resource.get("resourceType").and_then(Value::as_str).and_then(|kind| table().kind(kind));
        let start = Spot { value: resource, pointer: String::new(), kind };
        let condition = |node: &ExpressionNode, focus: &Focus| {
            let context = context(subject, focus)?;
            truth_of(&bounded(|| self.engine.evaluate_ast(node, &context).now_or_never())?)
        };
        until(deadline(), || select(self.plan.ast(), &start, &condition))
    }

    fn run(&self, subject: &Subject, focus: &Focus) -> Result<Collection, PathError> {
        let context = context(subject, focus)?;
        bounded(|| self.engine.evaluate_plan(&self.plan, &context).now_or_never())
    }
}

fn deadline() -> Instant {
    Instant::now() + MAX_TIME
}

type Polled = Option<octofhir_fhirpath::Result<octofhir_fhirpath::EvaluationResult>>;

/// One poll within the time, panics caught.
fn bounded(poll: impl FnOnce() -> Polled) -> Result<Collection, PathError> {
    let polled = until(deadline(), || catch_unwind(AssertUnwindSafe(poll)));
    let result = polled.map_err(|_| PathError::Evaluation)?.ok_or(PathError::TooLong)?;
    let found = result.map_err(|_| PathError::Evaluation)?.value;
    if found.len() > MAX_RESULTS { Err(PathError::TooMany) } else { Ok(found) }
}

/// The scope of the resource, then of the place in it.
fn context(subject: &Subject, focus: &Focus) -> Result<EvaluationContext, PathError> {
    let prepared = subject.prepared.get_or_init(|| Box::new(root(subject.resource())));
    let Some((node, context)) = prepared.downcast_ref::<(FhirNode, EvaluationContext)>() else {
        return Err(PathError::Evaluation);
    };
    if focus.pointer.is_empty() {
        return Ok(context.nest());
    }
    let node = node.pointer(focus.pointer).ok_or(PathError::Evaluation)?;
    let found = Collection::single(typed(node, focus.kind));
    let context = context.create_child_context(found.clone());
    if let Some(this) = found.first() {
        context.set_this(this.clone());
    }
    Ok(context)
}

fn root(resource: &Value) -> (FhirNode, EvaluationContext) {
    let node = FhirNode::from_json(resource);
    let kind = resource.get("resourceType").and_then(Value::as_str);
    let value = typed(&node, kind);
    let context = EvaluationContext::new(Collection::single(value.clone()), Arc::new(R4), None, None, None);
    context.set_variable("rootResource".into(), value.clone());
    context.set_variable("%rootResource".into(), value);
    (node, context)
}

/// A node as the engine has it after navigating there.
fn typed(node: &FhirNode, kind: Option<&str>) -> FhirPathValue {
    let kind = node.get("resourceType").and_then(FhirNode::as_str).or(kind).unwrap_or("Element");
    let info = Arc::new(type_info(kind));
    if node.is_object() {
        return FhirPathValue::Resource(node.clone(), info, None);
    }
    use octofhir_fhirpath::core::{PrecisionDate, PrecisionDateTime, PrecisionTime};
    let moment = node.as_str().and_then(|text| match kind {
        "dateTime" | "instant" => {
            // A dateTime may be a date, even a year.
            let date = || PrecisionDate::parse(text).map(|date| PrecisionDateTime::from_date(&date));
            let at = PrecisionDateTime::parse(text).or_else(date);
            at.map(|at| FhirPathValue::DateTime(at, info.clone(), None))
        }
        "date" => PrecisionDate::parse(text).map(|at| FhirPathValue::Date(at, info.clone(), None)),
        "time" => PrecisionTime::parse(text).map(|at| FhirPathValue::Time(at, info.clone(), None)),
        _ => None,
    });
    moment.unwrap_or_else(|| {
        let value = octofhir_fhirpath::core::value_utils::json_to_fhirpath_value(node.to_json());
        value.with_type_info(info)
    })
}

/// Empty is nothing; one boolean is itself; one of anything else is true; several have no truth.
fn truth_of(found: &Collection) -> Result<Option<bool>, PathError> {
    let mut values = found.iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(FhirPathValue::Boolean(truth, _, _)), None) => Ok(Some(*truth)),
        (Some(_), None) => Ok(Some(true)),
        _ => Err(PathError::Evaluation),
    }
}

fn json(value: &FhirPathValue) -> Value {
    match value {
        // As the literal is written, without the `T` that FHIRPath puts before it.
        FhirPathValue::Time(time, _, _) => time.to_string().trim_start_matches('T').into(),
        FhirPathValue::Decimal(number, _, _) => {
            let digits = number.normalize().to_string();
            serde_json::from_str(&digits).unwrap_or_else(|_| value.to_json_value())
        }
        other => other.to_json_value(),
    }
}

/// The R4 name of a result's type.
fn kind_of(value: &FhirPathValue) -> Option<&'static str> {
    let info = value.type_info();
    let name = info.name.as_deref().unwrap_or(&info.type_name);
    if let Some(node) = table().node(name) {
        return Some(node.name);
    }
    // `Boolean` of FHIRPath, `datetime` of a choice.
    Primitive::NAMES.iter().find(|known| known.eq_ignore_ascii_case(name)).copied()
}
