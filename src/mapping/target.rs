//! What a system's room tells the engine about one of its targets.
//!
//! The engine knows VALUEs, conditions, look-ups and lists; a [`Target`] declares which fields it has
//! ([`Shape`]) and turns their evaluated values into an [`Output`]. `check`, the JSON Schema, `explain`
//! and the editor's completion are all derived from the shape.

use serde_json::Value;

use super::output::{Issue, Nature, Output, Withdraw};

/// The fields of an object in a mapping file.
#[derive(Debug, Clone)]
pub struct Shape {
    pub fields: Vec<Field>,
}

#[derive(Debug, Clone)]
pub struct Field {
    pub name: &'static str,
    /// One sentence for the JSON Schema and for errors.
    pub doc: &'static str,
    pub required: bool,
    pub kind: Kind,
}

/// What may stand in a field, and what [`Target::build`] sees for it.
#[derive(Debug, Clone)]
pub enum Kind {
    /// A VALUE; evaluated to a scalar, `{ "$link": { "resource": "Patient/1" } }` or null.
    Value,
    /// A VALUE that may give a list.
    Values,
    /// A list of VALUEs; those that are absent are left out.
    List,
    /// A map from names to VALUEs; an absent VALUE leaves its name out.
    Map,
    /// A text written in the file, one of these (any text where empty).
    Word(&'static [&'static str]),
    /// An integer written in the file.
    Integer,
    /// `true` or `false` written in the file.
    Flag,
    /// A nested object.
    Object(Shape),
    /// A list of nested objects.
    Objects(Shape),
    /// JSON in which `{ $value: VALUE }` stands for a value of any kind; absent values vanish, and what becomes
    /// empty with them. Among literals a computed value is `{ "$value": null }`.
    Outline,
    /// A VALUE, or a nested object that has none of VALUE's keys (`{ options: [VALUE, VALUE] }`); as soon
    /// as a part of that object is absent, all of it is null.
    ValueOr(Shape),
    /// A VALUE of any kind: a Reference, a mirrored contact.
    Anything,
    /// A VALUE, or a map from names of three letters (languages) to VALUEs, of which absent ones leave
    /// their name out.
    ValueOrLanguages,
}

/// An entry of `to` after evaluation, before its target has seen it.
#[derive(Debug, Clone)]
pub struct Evaluated<'a> {
    /// The entry's `id`, or its kind.
    pub target_id: &'a str,
    pub destination: &'a str,
    pub key: &'a str,
    pub withdraw: Withdraw,
    pub needs: &'a [String],
    /// Evaluated fields, in the shape declared. A field that the file does not name is left out; one
    /// that it names and whose value is absent is **null**, so that a target can tell "the default
    /// combo" from "a combo that is not known". Lists and maps leave absent members out. A list of
    /// objects keeps every object that `when` did not remove.
    pub fields: &'a Value,
    /// A field, or a part of one, is absent or stood in for by its `default` because a step failed (an
    /// issue of severity `Error` says which), not because the source is silent about it.
    pub faulty: bool,
    pub context: &'a Context<'a>,
}

/// What a target may know besides its fields.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    pub tenant: &'a str,
    pub zone: &'a jiff::tz::TimeZone,
    pub mapping: &'a str,
    /// `Type/id` of the source.
    pub source: &'a str,
    /// Event time of the source: `authored`, `effective`, `issued`, else its lastUpdated.
    pub authored_ms: i64,
    /// `file:line:column` of the entry.
    pub place: &'a str,
    /// Default country of phone numbers, ISO 3166-1 alpha-2, where the tenant names one.
    pub country: Option<&'a str>,
}

/// A kind of target, implemented by its system's room.
pub trait Target: Send + Sync {
    /// The name in mapping files: `dhis2.report`.
    fn kind(&self) -> &'static str;
    /// One sentence for the JSON Schema.
    fn doc(&self) -> &'static str;
    fn nature(&self) -> Nature;
    fn shape(&self) -> Shape;
    /// Where an entry goes that names no destination, whatever is configured. `None`: to the only one of its
    /// system.
    fn home(&self) -> Option<&'static str> {
        None
    }
    /// Whether what it makes of a resource has an id of its own over there, which `writeBack` can write into the
    /// resource.
    fn writes_back(&self) -> bool {
        false
    }
    /// What happens on withdrawal where the file does not say.
    fn withdraw(&self) -> Withdraw;
    /// What is wrong with an entry whatever the data (a period type that does not exist): told at load
    /// time with the field's path, e.g. `period.type`. `literals` holds the fields written as constants.
    fn check(&self, literals: &Value) -> Vec<Complaint>;
    /// The places on the far side that an entry owns whatever the data, so that two mappings which own
    /// the same are refused. `literals` is as for [`Target::check`], but a field whose value is computed
    /// is null.
    fn owns(&self, literals: &Value) -> Vec<Owned> {
        let _ = literals;
        Vec::new()
    }
    /// The objects of the far side that an entry names by constants, so that `check` can hold them against
    /// mirrored metadata and `metadata pull` knows what to fetch. `literals` is as for [`Target::owns`].
    fn names(&self, literals: &Value) -> Vec<Named> {
        let _ = literals;
        Vec::new()
    }
    /// Turns evaluated fields into an output. An issue of severity `Error` beside an output means that a
    /// part of it was left out.
    ///
    /// # Errors
    /// The issues that left no output at all.
    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>>;
    /// The request body that this output alone would cause, for `run` and for tests of mappings.
    fn preview(&self, output: &Output) -> Value;
}

/// Something wrong in a field of a mapping file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Path of the field within the entry: `values[2].dataElement`, `period.type`.
    pub field: String,
    pub message: String,
    pub hint: Option<String>,
}

/// A place on the far side that one mapping alone may fill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owned {
    /// Unique within a destination: data set, data element, combos.
    pub place: String,
    /// Path of the field that names it: `values[2]`.
    pub field: String,
}

/// An object of the far side that an entry names by a constant.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// What it is, in its system's own word: `dataSet`, `dataElement`, `programStage`; `periodType` for the
    /// word in `period.type`.
    pub kind: &'static str,
    /// As the file writes it: a uid, for some kinds also a code.
    pub name: String,
    /// Path of the field that names it: `values[2].dataElement`.
    pub field: String,
    /// Kind and name of the object that it must belong to: the data set of a data element. Nearest first.
    pub within: Vec<(&'static str, String)>,
    /// Where the entry gives it a constant value: the path of that field, and the value as text.
    pub value: Option<(String, String)>,
}

/// The targets that mapping files may use.
#[derive(Default, Clone)]
pub struct Registry {
    targets: Vec<std::sync::Arc<dyn Target>>,
}

impl Registry {
    pub fn with(mut self, target: std::sync::Arc<dyn Target>) -> Self {
        self.targets.push(target);
        self
    }

    pub fn get(&self, kind: &str) -> Option<&std::sync::Arc<dyn Target>> {
        self.targets.iter().find(|target| target.kind() == kind)
    }

    pub fn iter(&self) -> impl Iterator<Item = &std::sync::Arc<dyn Target>> {
        self.targets.iter()
    }
}
