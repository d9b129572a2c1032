//! VALUE: a source, then its steps in the order of the language's table.

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::Held;
use super::lookups::Looked;
use super::run::Round;
use crate::mapping::expression::{Age, Escape, Expression, Operation, Piece, Source, Step, Template};
use crate::mapping::path::{Found, MAX_FOUND, Path};
use crate::mapping::steps::moment::{self, Completed};
use crate::mapping::steps::{self, Failure, MAX_TEXT, number, reduce};
use crate::mapping::trace::{Note, Outcome, Sighting, StepNote};

/// What the place of a VALUE can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// One text, number or boolean.
    Scalar,
    /// Any number of scalars.
    Scalars,
    /// One value of any kind, a Reference for instance.
    Anything,
}

/// What a VALUE gave.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Got {
    Nothing,
    One(Value),
    Several(Vec<Value>),
}

impl Got {
    pub(super) fn into_list(self) -> Vec<Value> {
        match self {
            Self::Nothing => Vec::new(),
            Self::One(value) => vec![value],
            Self::Several(values) => values,
        }
    }

    /// The single value of a VALUE that was wanted as one.
    pub(super) fn into_value(self) -> Option<Value> {
        match self {
            Self::One(value) => Some(value),
            Self::Nothing | Self::Several(_) => None,
        }
    }

    fn json(&self) -> Option<Value> {
        match self {
            Self::Nothing => None,
            Self::One(value) => Some(value.clone()),
            Self::Several(values) => Some(Value::Array(values.clone())),
        }
    }
}

impl From<Found> for Got {
    fn from(found: Found) -> Self {
        match found {
            Found::Nothing => Self::Nothing,
            Found::One(value) => Self::One(value),
            Found::Several(values) if values.is_empty() => Self::Nothing,
            Found::Several(values) => Self::Several(values),
        }
    }
}

/// The work on one VALUE: what is there now and, for the trace, why it is not.
struct Work {
    got: Got,
    why: String,
    note: Option<Note>,
}

impl Work {
    fn lose(&mut self, why: impl Into<String>) {
        self.got = Got::Nothing;
        self.why = why.into();
    }
}

impl Round<'_> {
    /// Evaluates a VALUE. Never fails: what goes wrong is an issue, and the value is absent.
    pub(super) fn value(&mut self, expression: &Expression, want: Want) -> Got {
        let mut work = Work { got: Got::Nothing, why: String::new(), note: self.note(expression.place) };
        self.source(expression, &mut work);
        for step in &expression.steps {
            if work.got == Got::Nothing {
                break;
            }
            self.step(step, expression, &mut work);
        }
        self.fit(expression, want, &mut work);
        self.fall_back(expression, want, &mut work);
        let Work { got, why, note } = work;
        self.keep(note, || got.json().map_or(Outcome::Nothing(why), Outcome::Value));
        got
    }

    fn source(&mut self, expression: &Expression, work: &mut Work) {
        match &expression.source {
            Source::Path(paths) => self.first_found(paths, work),
            Source::Constant(Value::Null) => work.lose("it is null in the file"),
            Source::Constant(Value::Array(values)) => work.got = Found::Several(values.clone()).into(),
            Source::Constant(value) => work.got = Got::One(value.clone()),
            Source::List(list) => {
                let mut values = Vec::new();
                for (index, one) in list.iter().enumerate() {
                    let entered = self.enter(&format!("list[{index}]"));
                    values.extend(self.value(one, Want::Scalars).into_list());
                    self.leave(entered);
                }
                values.truncate(MAX_FOUND);
                work.got = Found::Several(values).into();
                if work.got == Got::Nothing {
                    work.lose("nothing in the list gave a value");
                }
            }
            Source::Template(template) => self.template_source(expression, template, work),
            Source::Link(path) => self.link(path, work),
            Source::Pseudonym(path) => self.pseudonym(expression, path, work),
            Source::Age(age) => self.age(expression, age, work),
        }
    }

    fn first_found(&mut self, paths: &[Path], work: &mut Work) {
        for path in paths {
            work.got = self.sight(path, &mut work.note);
            if work.got != Got::Nothing {
                return;
            }
        }
        let names: Vec<String> = paths.iter().map(|path| format!("`{}`", path.text)).collect();
        work.lose(format!("{} found nothing", names.join(" and ")));
    }

    /// What a path finds, with a note of it.
    pub(super) fn sight(&mut self, path: &Path, note: &mut Option<Note>) -> Got {
        let got = Got::from(path.find(&self.scope));
        if let Some(note) = note {
            note.found.push(Sighting { path: path.text.clone(), value: got.json() });
        }
        got
    }

    fn template_source(&mut self, expression: &Expression, template: &Template, work: &mut Work) {
        match self.template(template, &mut work.note) {
            Ok(text) => work.got = Got::One(Value::String(text)),
            Err(Blank::Absent(path)) => work.lose(format!("`{path}` in the template found nothing")),
            Err(Blank::Failed(failure)) => {
                work.lose(failure.message.clone());
                self.failed(expression.place, &failure);
            }
        }
    }

    /// Fills a template; absent if a part is absent.
    pub(super) fn template(&mut self, template: &Template, note: &mut Option<Note>) -> Result<String, Blank> {
        let mut text = String::new();
        for piece in &template.parts {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Path(path) => text.push_str(&self.blank(path, template.escape, note)?),
            }
            if text.len() > MAX_TEXT {
                let message = format!("the text has more than {MAX_TEXT} bytes");
                return Err(Blank::Failed(Failure::new("text-too-long", message)));
            }
        }
        Ok(text)
    }

    fn blank(&mut self, path: &Path, escape: Escape, note: &mut Option<Note>) -> Result<String, Blank> {
        let text = match self.sight(path, note) {
            Got::Nothing => return Err(Blank::Absent(path.text.clone())),
            Got::Several(values) => return Err(Blank::Failed(several(values.len()))),
            Got::One(value) => {
                steps::text_of(&value).ok_or_else(|| Blank::Failed(steps::not_scalar(&value)))?
            }
        };
        Ok(match escape {
            Escape::None => text,
            Escape::Search => search_value(&text),
        })
    }

    /// `{ "$link": { "resource": "Patient/1" } }`: delivery puts the remote id there.
    fn link(&mut self, path: &Path, work: &mut Work) {
        let reference = match self.sight(path, &mut work.note) {
            Got::One(Value::String(text)) => Some(text),
            Got::One(value) => value.get("reference").and_then(Value::as_str).map(str::to_owned),
            Got::Nothing | Got::Several(_) => None,
        };
        match reference {
            Some(resource) => work.got = Got::One(json!({"$link": {"resource": resource}})),
            None => work.lose(format!("`{}` found no reference", path.text)),
        }
    }

    /// HMAC-SHA256 under the destination's key, 32 hexadecimal digits.
    fn pseudonym(&mut self, expression: &Expression, path: &Path, work: &mut Work) {
        let text = match self.sight(path, &mut work.note) {
            Got::One(value) => steps::text_of(&value),
            Got::Nothing | Got::Several(_) => None,
        };
        let Some(text) = text else {
            return work.lose(format!("`{}` found no single text", path.text));
        };
        let destination = self.destination.clone().unwrap_or_default();
        let key = self.input.pseudonym_keys.get(&destination).filter(|key| !key.is_empty());
        let hash = key.and_then(|key| Hmac::<Sha256>::new_from_slice(key).ok());
        let Some(mut hash) = hash else {
            let message = format!("there is no key for pseudonyms at the destination `{destination}`");
            work.lose(message.clone());
            return self.failed(expression.place, &Failure::new("pseudonym-key", message));
        };
        hash.update(text.as_bytes());
        let digest = hash.finalize().into_bytes();
        work.got = Got::One(Value::String(hex::encode(digest.get(..16).unwrap_or_default())));
    }

    fn age(&mut self, expression: &Expression, age: &Age, work: &mut Work) {
        let entered = self.enter("age.from");
        let from = self.value(&age.from, Want::Scalar).into_value();
        self.leave(entered);
        let entered = self.enter("age.at");
        let at = self.value(&age.at, Want::Scalar).into_value();
        self.leave(entered);
        let (Some(from), Some(at)) = (from, at) else {
            return work.lose("`from` or `at` of the age is absent");
        };
        let known = moment::age(&from, &at, age.unit, self.input.zone);
        match known.and_then(|completed| certain(completed, expression)) {
            Ok(completed) => work.got = Got::One(completed),
            Err(failure) => {
                work.lose(failure.message.clone());
                self.failed(expression.place, &failure);
            }
        }
    }

    fn step(&mut self, step: &Step, expression: &Expression, work: &mut Work) {
        let before = work.note.as_ref().and_then(|_| work.got.json());
        match &step.operation {
            Operation::When(condition) => {
                let entered = self.enter("when");
                if !self.condition(condition) {
                    work.lose("`when` does not hold");
                }
                self.leave(entered);
            }
            Operation::Split(separator) => self.split(step, separator, work),
            Operation::Reduce(how) => {
                let values = std::mem::replace(&mut work.got, Got::Nothing).into_list();
                let reduced = reduce::reduce(how, &values, self.input.zone);
                self.take(step, expression, reduced, work);
            }
            operation => match std::mem::replace(&mut work.got, Got::Nothing) {
                Got::One(value) => {
                    let result = steps::apply(operation, &value, self.locale());
                    self.take(step, expression, result, work);
                }
                Got::Several(values) => self.each_value(step, expression, values, work),
                Got::Nothing => {}
            },
        }
        if let (Some(note), Some(before)) = (&mut work.note, before) {
            let after = work.got.json();
            let because = after.is_none().then(|| work.why.clone());
            note.steps.push(StepNote { step: step.operation.name().to_owned(), before, after, because });
        }
    }

    /// A step on several values works on each; those that fail are left out, each with its issue.
    fn each_value(&mut self, step: &Step, expression: &Expression, values: Vec<Value>, work: &mut Work) {
        let mut kept = Vec::new();
        for value in values {
            let result = steps::apply(&step.operation, &value, self.locale());
            self.take(step, expression, result, work);
            kept.extend(std::mem::replace(&mut work.got, Got::Nothing).into_list());
        }
        work.got = Found::Several(kept).into();
    }

    fn take(
        &mut self,
        step: &Step,
        expression: &Expression,
        result: Result<Option<Value>, Failure>,
        work: &mut Work,
    ) {
        let name = step.operation.name();
        match result {
            Ok(Some(value)) => work.got = Got::One(value),
            Ok(None) => work.lose(format!("`{name}` gives nothing for it")),
            Err(failure) => {
                let unmatched = matches!(step.operation, Operation::Map(_) | Operation::Lookup { .. })
                    && failure.code.ends_with("-unmatched");
                match &expression.otherwise {
                    Some(otherwise) if unmatched => {
                        let entered = self.enter("otherwise");
                        work.got = self.value(otherwise, Want::Scalar);
                        self.leave(entered);
                        work.why = "`otherwise` gave nothing".to_owned();
                    }
                    _ => {
                        work.lose(format!("`{name}` failed: {}", failure.message));
                        self.failed(step.place, &failure);
                    }
                }
            }
        }
    }

    fn split(&mut self, step: &Step, separator: &str, work: &mut Work) {
        let mut parts = Vec::new();
        for value in std::mem::replace(&mut work.got, Got::Nothing).into_list() {
            match steps::text_of(&value) {
                Some(text) => parts.extend(
                    text.split(separator)
                        .map(str::trim)
                        .filter(|part| !part.is_empty())
                        .map(|part| Value::String(part.to_owned())),
                ),
                None => self.failed(step.place, &steps::not_scalar(&value)),
            }
        }
        if parts.len() > MAX_FOUND {
            parts.truncate(MAX_FOUND);
            let message = format!("`split` gives more than {MAX_FOUND} values; the rest is left out");
            self.failed(step.place, &Failure::new("too-many-values", message));
        }
        work.why = "`split` found no text".to_owned();
        work.got = Found::Several(parts).into();
    }

    /// What is there must fit the place: one value where one is wanted, scalars where scalars are.
    fn fit(&mut self, expression: &Expression, want: Want, work: &mut Work) {
        let is_link = matches!(expression.source, Source::Link(_));
        let failure = match &work.got {
            Got::Several(values) if want != Want::Scalars => match values.as_slice() {
                [only] if !only.is_array() => {
                    work.got = Got::One(only.clone());
                    return self.fit(expression, want, work);
                }
                all => Some(several(all.len())),
            },
            Got::One(value) if want != Want::Anything && !is_link && steps::text_of(value).is_none() => {
                Some(steps::not_scalar(value))
            }
            Got::Several(values) => {
                values.iter().find(|value| steps::text_of(value).is_none()).map(steps::not_scalar)
            }
            _ => None,
        };
        if let Some(failure) = failure {
            work.lose(failure.message.clone());
            self.failed(expression.place, &failure);
        }
    }

    /// Step 12.
    fn fall_back(&mut self, expression: &Expression, want: Want, work: &mut Work) {
        if work.got == Got::Nothing
            && let Some(default) = &expression.default
        {
            let entered = self.enter("default");
            let got = self.value(default, want);
            self.leave(entered);
            if let Some(note) = &mut work.note {
                note.steps.push(StepNote {
                    step: "default".to_owned(),
                    before: Value::Null,
                    after: got.json(),
                    because: Some(work.why.clone()),
                });
            }
            work.got = got;
        }
        if work.got == Got::Nothing && expression.required {
            let held = self.waits(expression, &work.why);
            self.hold(held);
        }
    }

    /// What a required VALUE waits for: the look-ups behind its paths that found nothing, or what its
    /// steps say.
    fn waits(&self, expression: &Expression, why: &str) -> Held {
        let mut lookups = Vec::new();
        for root in roots(expression) {
            self.absent_behind(root, &mut lookups);
        }
        let told: Vec<String> = self
            .looked
            .iter()
            .filter(|(name, _)| lookups.iter().any(|absent| absent == name))
            .map(|(name, looked)| match looked {
                Looked::Absent(what) => format!("{what} (look-up `{name}`)"),
                _ => format!("look-up `{name}`"),
            })
            .collect();
        let waits_for = if told.is_empty() { why.to_owned() } else { format!("{why}: {}", told.join(", ")) };
        Held { field: self.trail.clone(), waits_for, place: self.place(expression.place), lookups }
    }

    fn absent_behind(&self, name: &str, absent: &mut Vec<String>) {
        match self.looked.iter().find(|(known, _)| *known == name) {
            Some((_, Looked::Absent(_))) if !absent.iter().any(|one| one == name) => {
                absent.push(name.to_owned())
            }
            Some((_, Looked::NotAsked)) => {
                let lookup = self.program.with.iter().find(|lookup| lookup.name == name);
                for used in lookup.into_iter().flat_map(|lookup| &lookup.uses) {
                    if let Some(before) = self.program.with.get(*used) {
                        self.absent_behind(&before.name, absent);
                    }
                }
            }
            _ => {}
        }
    }
}

/// An age that is uncertain is certain enough when both its ends are in one band.
fn certain(completed: Completed, expression: &Expression) -> Result<Value, Failure> {
    let next =
        expression.steps.iter().map(|step| &step.operation).find(|one| !matches!(one, Operation::When(_)));
    let Some(Operation::Bands(bands)) = next else { return completed.exact() };
    let least = Value::from(completed.least);
    let same = number::band(bands, &least)? == number::band(bands, &Value::from(completed.most))?;
    if same { Ok(least) } else { completed.exact() }
}

/// Why a template has no text.
pub(super) enum Blank {
    Absent(String),
    Failed(Failure),
}

fn several(count: usize) -> Failure {
    Failure::new("several-values", format!("{count} values were found where one is wanted"))
        .hint("say which: `first: true`, `last: true`, `at: N`, `sum: true`, `join: \", \"` …")
}

/// The names after `$` that a VALUE looks at directly.
fn roots(expression: &Expression) -> Vec<&str> {
    match &expression.source {
        Source::Path(paths) => paths.iter().map(|path| path.root.as_str()).collect(),
        Source::Constant(_) => Vec::new(),
        Source::List(list) => list.iter().flat_map(roots).collect(),
        Source::Template(template) => template
            .parts
            .iter()
            .filter_map(|piece| match piece {
                Piece::Path(path) => Some(path.root.as_str()),
                Piece::Text(_) => None,
            })
            .collect(),
        Source::Link(path) | Source::Pseudonym(path) => vec![path.root.as_str()],
        Source::Age(age) => roots(&age.from).into_iter().chain(roots(&age.at)).collect(),
    }
}

/// A text as one value of a search parameter: nothing in it can end the value or begin another
/// parameter. <https://hl7.org/fhir/R4/search.html#escaping>
fn search_value(text: &str) -> String {
    let mut escaped = String::new();
    for sign in text.chars() {
        if matches!(sign, '\\' | ',' | '|' | '$') {
            escaped.push('\\');
        }
        escaped.push(sign);
    }
    percent_encoding::utf8_percent_encode(&escaped, SEARCH_VALUE).to_string()
}

/// Everything but RFC 3986's unreserved signs.
const SEARCH_VALUE: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
