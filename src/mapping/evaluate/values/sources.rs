//! Where a VALUE begins: paths, constants, templates, links, pseudonyms, ages.

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Got, Round, Want, Work, several};
use crate::mapping::diagnostic::Place;
use crate::mapping::expression::{Age, Escape, Expression, Operation, Piece, Source, Template};
use crate::mapping::path::{Found, MAX_FOUND, Path};
use crate::mapping::steps::moment::{self, Completed};
use crate::mapping::steps::{self, Failure, MAX_TEXT, number};
use crate::mapping::trace::{Note, Sighting};

impl Round<'_> {
    pub(super) fn source(&mut self, expression: &Expression, work: &mut Work) {
        match &expression.source {
            Source::Path(paths) => self.first_found(expression, paths, work),
            Source::Constant(Value::Null) => work.lose("it is null in the file"),
            Source::Constant(Value::Array(values)) => work.got = Found::Several(values.clone()).into(),
            Source::Constant(value) => work.got = Got::One(value.clone()),
            Source::List(list) => {
                let mut values = Vec::new();
                for (index, one) in list.iter().enumerate() {
                    let entered = self.enter_item("list", index);
                    values.extend(self.value(one, Want::Scalars).into_list());
                    self.leave(entered);
                }
                work.got = Found::Several(self.at_most("`list`", expression.place, values)).into();
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

    fn first_found(&mut self, expression: &Expression, paths: &[Path], work: &mut Work) {
        let &Expression { place, required, .. } = expression;
        for path in paths {
            work.got = match self.sight(path, &mut work.note) {
                Got::Nothing => continue,
                Got::One(value) => Got::One(value),
                Got::Several(values) => {
                    Got::Several(self.at_most(&format!("`{}`", path.text), place, values))
                }
            };
            return;
        }
        // Only the trace and what waits for the value tell why.
        if work.note.is_some() || required {
            let names: Vec<String> = paths.iter().map(|path| format!("`{}`", path.text)).collect();
            work.lose(format!("{} found nothing", names.join(" and ")));
        } else {
            work.got = Got::Nothing;
        }
    }

    /// Leaves out what is too much, and tells it.
    pub(super) fn at_most(&mut self, what: &str, place: Place, mut values: Vec<Value>) -> Vec<Value> {
        if values.len() > MAX_FOUND {
            values.truncate(MAX_FOUND);
            let message = format!("{what} gives more than {MAX_FOUND} values; the rest is left out");
            self.failed(place, &Failure::new("too-many-values", message));
        }
        values
    }

    /// What a path finds, with a note of it.
    pub(in crate::mapping::evaluate) fn sight(&mut self, path: &Path, note: &mut Option<Note>) -> Got {
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
    pub(in crate::mapping::evaluate) fn template(
        &mut self,
        template: &Template,
        note: &mut Option<Note>,
    ) -> Result<String, Blank> {
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
}

/// Why a template has no text.
pub(in crate::mapping::evaluate) enum Blank {
    Absent(String),
    Failed(Failure),
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
