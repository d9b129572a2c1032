//! What a data set or a program asks for, from live metadata, for a person who writes a mapping.
//!
//! **Never** writes anything. One object is found by uid, code or name, then read whole; what comes out is in the
//! order in which DHIS2 lists it.

use serde_json::Value;

use super::client::Client;
use super::metadata::pull::get;
use crate::delivery::destination::Failure;

/// What can be asked for by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    DataSet,
    Program,
}

impl What {
    fn list(self) -> &'static str {
        match self {
            Self::DataSet => "dataSets",
            Self::Program => "programs",
        }
    }

    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::DataSet => "data set",
            Self::Program => "program",
        }
    }

    fn fields(self) -> &'static str {
        match self {
            Self::DataSet => DATA_SET,
            Self::Program => PROGRAM,
        }
    }
}

const DATA_SET: &str = "id,name,code,periodType,categoryCombo[id,name,isDefault,categoryOptionCombos[id,name]],\
     dataSetElements[dataElement[id,name,formName,valueType,optionSet[id,name,options[code,name]],\
     categoryCombo[id,name,isDefault,categoryOptionCombos[id,name]]],\
     categoryCombo[id,name,isDefault,categoryOptionCombos[id,name]]]";
const PROGRAM: &str = "id,name,code,programType,trackedEntityType[id,name],\
     programTrackedEntityAttributes[mandatory,trackedEntityAttribute[id,name,valueType,unique,\
     optionSet[id,name,options[code,name]]]],\
     programStages[id,name,repeatable,sortOrder,programStageDataElements[compulsory,sortOrder,\
     dataElement[id,name,formName,valueType,optionSet[id,name,options[code,name]]]]]";

/// A data set or a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    pub uid: String,
    pub name: String,
    pub kind: FormKind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormKind {
    DataSet {
        period_type: String,
        questions: Vec<Question>,
        /// Names and uids of the attribute option combinations, where there is more than the default one.
        attribute_combos: Vec<(String, String)>,
    },
    /// Without registration: its only stage.
    Events { stage: Stage },
    /// With registration.
    Tracker { entity_type: String, attributes: Vec<Question>, stages: Vec<Stage> },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    pub uid: String,
    pub name: String,
    pub is_repeatable: bool,
    pub questions: Vec<Question>,
}

/// One value that is asked for: a data element (of one category option combination), or an attribute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    pub uid: String,
    pub name: String,
    /// What data entry forms show instead of the name.
    pub form_name: Option<String>,
    /// `INTEGER_ZERO_OR_POSITIVE`
    pub value_type: String,
    /// Code and name of each option, where there is an option set.
    pub options: Option<Vec<(String, String)>>,
    /// Uid and name, where it is not the default one.
    pub combo: Option<(String, String)>,
    pub is_mandatory: bool,
    pub is_unique: bool,
}

/// Why there is no form.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{} [{}]", .0.reason.message, .0.reason.code)]
    Dhis2(Failure),
    #[error("no {word} has the uid, code or name `{named}` [unknown-{}]", word.replace(' ', "-"))]
    Unknown { word: &'static str, named: String, meant: Option<String> },
    #[error("several {word}s are called `{named}` [ambiguous-name]")]
    Several { word: &'static str, named: String },
    #[error("the {word} `{named}` has nothing to fill in [empty-form]")]
    Empty { word: &'static str, named: String },
}

impl Error {
    pub fn hint(&self) -> String {
        match self {
            Self::Dhis2(failure) => failure.reason.hint.clone(),
            Self::Unknown { meant: Some(meant), .. } => format!("did you mean `{meant}`?"),
            Self::Unknown { .. } => "is it shared with Mjumbe's account? `mjumbe doctor`".to_owned(),
            Self::Several { .. } => "name it by its uid".to_owned(),
            Self::Empty { .. } => "look at it in DHIS2's Maintenance app".to_owned(),
        }
    }
}

/// Reads one data set or program by uid, code or name (in any case).
///
/// # Errors
/// [`Error`]
pub async fn read(client: &Client, what: What, named: &str) -> Result<Form, Error> {
    let uid = find(client, what, named).await?;
    let path = format!("{}/{uid}", what.list());
    let object =
        get(client, &path, vec![("fields", what.fields().to_owned())]).await.map_err(Error::Dhis2)?;
    let form = match what {
        What::DataSet => Some(data_set(&object)),
        What::Program => program(&object),
    };
    form.ok_or_else(|| Error::Empty { word: what.word(), named: named.to_owned() })
}

async fn find(client: &Client, what: What, named: &str) -> Result<String, Error> {
    let query = vec![("fields", "id,code,name".to_owned()), ("paging", "false".to_owned())];
    let answer = get(client, what.list(), query).await.map_err(Error::Dhis2)?;
    let rows = array(&answer, what.list());
    let is = |row: &&Value, key: &str| text(row, key).to_lowercase() == named.trim().to_lowercase();
    for key in ["id", "code", "name"] {
        let mut found =
            rows.iter().filter(|row| is(row, key) && (key != "id" || text(row, "id") == named.trim()));
        match (found.next(), found.next()) {
            (Some(row), None) => return Ok(text(row, "id").to_owned()),
            (Some(_), Some(_)) => return Err(Error::Several { word: what.word(), named: named.to_owned() }),
            (None, _) => {}
        }
    }
    let meant = crate::config::problem::did_you_mean(named, rows.iter().map(|row| text(row, "name")));
    Err(Error::Unknown { word: what.word(), named: named.to_owned(), meant: meant.map(str::to_owned) })
}

fn data_set(set: &Value) -> Form {
    let mut questions = Vec::new();
    for member in array(set, "dataSetElements") {
        let element = &member["dataElement"];
        let own = member.get("categoryCombo").filter(|combo| combo.is_object());
        let combos = option_combos(own.unwrap_or(&element["categoryCombo"]));
        if combos.is_empty() {
            questions.push(question(element));
        }
        questions
            .extend(combos.into_iter().map(|combo| Question { combo: Some(combo), ..question(element) }));
    }
    let kind = FormKind::DataSet {
        period_type: text(set, "periodType").to_owned(),
        questions,
        attribute_combos: option_combos(&set["categoryCombo"]),
    };
    Form { uid: text(set, "id").to_owned(), name: text(set, "name").to_owned(), kind }
}

/// Uid and name of each, unless it is the default combination.
fn option_combos(combo: &Value) -> Vec<(String, String)> {
    if combo["isDefault"] == Value::Bool(true) || text(combo, "name") == "default" {
        return Vec::new();
    }
    let named = |one: &Value| (text(one, "id").to_owned(), text(one, "name").to_owned());
    array(combo, "categoryOptionCombos").iter().map(named).collect()
}

fn program(program: &Value) -> Option<Form> {
    let mut stages: Vec<&Value> = array(program, "programStages").iter().collect();
    stages.sort_by_key(|stage| stage["sortOrder"].as_i64().unwrap_or_default());
    let mut stages: Vec<Stage> = stages.into_iter().map(stage).collect();
    let kind =
        match program.get("trackedEntityType").map(|kind| text(kind, "id")).filter(|uid| !uid.is_empty()) {
            None if stages.is_empty() => return None,
            None => FormKind::Events { stage: stages.swap_remove(0) },
            Some(uid) => FormKind::Tracker {
                entity_type: uid.to_owned(),
                attributes: array(program, "programTrackedEntityAttributes").iter().map(attribute).collect(),
                stages,
            },
        };
    Some(Form { uid: text(program, "id").to_owned(), name: text(program, "name").to_owned(), kind })
}

fn attribute(member: &Value) -> Question {
    let attribute = &member["trackedEntityAttribute"];
    Question {
        is_mandatory: member["mandatory"] == Value::Bool(true),
        is_unique: attribute["unique"] == Value::Bool(true),
        ..question(attribute)
    }
}

fn stage(stage: &Value) -> Stage {
    let mut members: Vec<&Value> = array(stage, "programStageDataElements").iter().collect();
    members.sort_by_key(|member| member["sortOrder"].as_i64().unwrap_or_default());
    let asked = |member: &&Value| Question {
        is_mandatory: member["compulsory"] == Value::Bool(true),
        ..question(&member["dataElement"])
    };
    Stage {
        uid: text(stage, "id").to_owned(),
        name: text(stage, "name").to_owned(),
        is_repeatable: stage["repeatable"] == Value::Bool(true),
        questions: members.iter().map(asked).collect(),
    }
}

fn question(object: &Value) -> Question {
    let options = object.get("optionSet").filter(|set| set.is_object()).map(|set| {
        let option = |one: &Value| (text(one, "code").to_owned(), text(one, "name").to_owned());
        array(set, "options").iter().map(option).collect()
    });
    Question {
        uid: text(object, "id").to_owned(),
        name: text(object, "name").to_owned(),
        form_name: Some(text(object, "formName").to_owned()).filter(|name| !name.is_empty()),
        value_type: text(object, "valueType").to_owned(),
        options,
        ..Question::default()
    }
}

fn array<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}
