//! Programs of the invented country: case reports, which are events, and child immunization, which tracks
//! children from birth through repeated doses.

use super::{Country, DEFAULT_COMBO, DataElement, OptionSet, triple};

/// An attribute of tracked entities.
#[derive(Debug, Clone)]
pub struct Attribute {
    pub id: String,
    pub code: String,
    pub name: String,
    pub value_type: String,
    pub unique: bool,
    pub option_set: Option<String>,
}

/// An attribute of a type or of a program.
#[derive(Debug, Clone)]
pub struct AttributeUse {
    pub attribute: String,
    pub mandatory: bool,
}

/// A type of tracked entities.
#[derive(Debug, Clone)]
pub struct EntityType {
    pub id: String,
    pub code: String,
    pub name: String,
    pub attributes: Vec<AttributeUse>,
    /// Usernames that may neither read nor write, superusers aside.
    pub closed_to: Vec<String>,
}

/// A data element of a program stage.
#[derive(Debug, Clone)]
pub struct StageElement {
    pub element: String,
    pub compulsory: bool,
}

/// A program stage.
#[derive(Debug, Clone)]
pub struct Stage {
    pub id: String,
    pub code: String,
    pub name: String,
    pub repeatable: bool,
    /// `NONE`, `POINT` or `POLYGON`
    pub feature_type: String,
    pub elements: Vec<StageElement>,
}

/// A program; without a type of tracked entities it is an event program.
#[derive(Debug, Clone)]
pub struct Program {
    pub id: String,
    pub code: String,
    pub name: String,
    pub entity_type: Option<String>,
    pub enrol_once: bool,
    /// Whether an enrolment needs `occurredAt`.
    pub incident_date: bool,
    pub attributes: Vec<AttributeUse>,
    pub stages: Vec<Stage>,
    pub units: Vec<String>,
    /// Usernames that may neither read nor write, superusers aside.
    pub closed_to: Vec<String>,
}

/// A type of relationships between two tracked entities.
#[derive(Debug, Clone)]
pub struct RelationshipType {
    pub id: String,
    pub name: String,
    pub from_type: String,
    pub to_type: String,
    pub bidirectional: bool,
}

/// The event program of case reports, and its only stage.
pub const CASE_REPORT: &str = "MjCaseRept1";
pub const CASE_STAGE: &str = "MjCaseStag1";
/// The tracker program of child immunization, its types and stages.
pub const IMMUNIZATION: &str = "MjImmunize1";
pub const CHILD: &str = "MjChildType";
pub const BIRTH_STAGE: &str = "MjBirthStg1";
pub const DOSE_STAGE: &str = "MjDoseStag1";
/// The attribute that no two children share.
pub const CHILD_NUMBER: &str = "MjChildNo01";
pub const SIBLINGS: &str = "MjSiblings1";

const SEX_OPTIONS: &str = "MjOptSetSex";
const DISEASES: &str = "MjOptSetDis";
const VACCINES: &str = "MjOptSetVac";

impl Country {
    pub fn program(&self, id: &str) -> Option<&Program> {
        self.programs.iter().find(|program| program.id == id)
    }

    /// A stage and the program that it belongs to.
    pub fn stage(&self, id: &str) -> Option<(&Program, &Stage)> {
        self.programs
            .iter()
            .find_map(|program| Some((program, program.stages.iter().find(|stage| stage.id == id)?)))
    }

    pub fn attribute(&self, id: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.id == id)
    }

    pub fn entity_type(&self, id: &str) -> Option<&EntityType> {
        self.entity_types.iter().find(|kind| kind.id == id)
    }

    pub fn relationship_type(&self, id: &str) -> Option<&RelationshipType> {
        self.relationship_types.iter().find(|kind| kind.id == id)
    }

    /// Adds the programs and what they are made of; villages and facilities report to them.
    pub(super) fn add_programs(&mut self) {
        let units: Vec<String> =
            self.units.iter().filter(|unit| unit.level >= 3).map(|unit| unit.id.clone()).collect();
        self.elements.extend(elements());
        self.option_sets.extend(option_sets());
        self.attributes = attributes();
        self.entity_types = vec![EntityType {
            id: CHILD.to_owned(),
            code: "CHILD".to_owned(),
            name: "Child".to_owned(),
            attributes: uses(&[
                (CHILD_NUMBER, true),
                ("MjChildNam1", false),
                ("MjChildBrn1", false),
                ("MjChildSex1", false),
            ]),
            closed_to: Vec::new(),
        }];
        self.relationship_types = vec![RelationshipType {
            id: SIBLINGS.to_owned(),
            name: "Siblings".to_owned(),
            from_type: CHILD.to_owned(),
            to_type: CHILD.to_owned(),
            bidirectional: true,
        }];
        self.programs = vec![case_report(units.clone()), immunization(units)];
    }
}

fn uses(list: &[(&str, bool)]) -> Vec<AttributeUse> {
    list.iter()
        .map(|&(attribute, mandatory)| AttributeUse { attribute: attribute.to_owned(), mandatory })
        .collect()
}

fn stage(id: &str, code: &str, name: &str, elements: &[(&str, bool)]) -> Stage {
    let elements = elements
        .iter()
        .map(|&(element, compulsory)| StageElement { element: element.to_owned(), compulsory })
        .collect();
    Stage {
        id: id.to_owned(),
        code: code.to_owned(),
        name: name.to_owned(),
        repeatable: false,
        feature_type: "NONE".to_owned(),
        elements,
    }
}

fn case_report(units: Vec<String>) -> Program {
    let elements = [
        ("MjCaseDise1", true),
        ("MjCaseAge01", false),
        ("MjCaseSex01", false),
        ("MjCaseOnst1", false),
        ("MjCaseDied1", false),
        ("MjCaseNote1", false),
    ];
    let mut only = stage(CASE_STAGE, "CASE_REPORT_STAGE", "Case report", &elements);
    "POINT".clone_into(&mut only.feature_type);
    Program {
        id: CASE_REPORT.to_owned(),
        code: "CASE_REPORT".to_owned(),
        name: "Case report".to_owned(),
        entity_type: None,
        enrol_once: false,
        incident_date: false,
        attributes: Vec::new(),
        stages: vec![only],
        units,
        closed_to: Vec::new(),
    }
}

fn immunization(units: Vec<String>) -> Program {
    let birth = [("MjBirthWgt1", false), ("MjBirthBcg1", false)];
    let dose =
        [("MjDoseVacc1", true), ("MjDoseNumb1", false), ("MjDoseBatch", false), ("MjDoseReac1", false)];
    let mut doses = stage(DOSE_STAGE, "DOSE", "Dose", &dose);
    doses.repeatable = true;
    Program {
        id: IMMUNIZATION.to_owned(),
        code: "CHILD_IMMUNIZATION".to_owned(),
        name: "Child immunization".to_owned(),
        entity_type: Some(CHILD.to_owned()),
        enrol_once: true,
        incident_date: true,
        attributes: uses(&[
            (CHILD_NUMBER, true),
            ("MjChildNam1", false),
            ("MjChildBrn1", false),
            ("MjChildSex1", false),
            ("MjMotherPh1", false),
        ]),
        stages: vec![stage(BIRTH_STAGE, "BIRTH", "Birth", &birth), doses],
        units,
        closed_to: Vec::new(),
    }
}

fn elements() -> Vec<DataElement> {
    let element = |id: &str, name: &str, value_type: &str, set: Option<&str>| DataElement {
        id: id.to_owned(),
        name: name.to_owned(),
        value_type: value_type.to_owned(),
        option_set: set.map(str::to_owned),
        zero_is_significant: false,
        combo: DEFAULT_COMBO.to_owned(),
        domain: "TRACKER",
    };
    vec![
        element("MjCaseDise1", "Disease", "TEXT", Some(DISEASES)),
        element("MjCaseAge01", "Age in years", "INTEGER_ZERO_OR_POSITIVE", None),
        element("MjCaseSex01", "Sex of the case", "TEXT", Some(SEX_OPTIONS)),
        element("MjCaseOnst1", "Date of onset", "DATE", None),
        element("MjCaseDied1", "Died", "BOOLEAN", None),
        element("MjCaseNote1", "Notes on the case", "LONG_TEXT", None),
        element("MjBirthWgt1", "Weight at birth in grams", "INTEGER_POSITIVE", None),
        element("MjBirthBcg1", "BCG given at birth", "BOOLEAN", None),
        element("MjDoseVacc1", "Vaccine", "TEXT", Some(VACCINES)),
        element("MjDoseNumb1", "Number of the dose", "INTEGER_POSITIVE", None),
        element("MjDoseBatch", "Batch", "TEXT", None),
        element("MjDoseReac1", "Reaction after the dose", "BOOLEAN", None),
    ]
}

fn attributes() -> Vec<Attribute> {
    let attribute = |id: &str, code: &str, name: &str, value_type: &str| Attribute {
        id: id.to_owned(),
        code: code.to_owned(),
        name: name.to_owned(),
        value_type: value_type.to_owned(),
        unique: id == CHILD_NUMBER,
        option_set: (id == "MjChildSex1").then(|| SEX_OPTIONS.to_owned()),
    };
    vec![
        attribute(CHILD_NUMBER, "CHILD_NUMBER", "Child number", "TEXT"),
        attribute("MjChildNam1", "CHILD_NAME", "Name of the child", "TEXT"),
        attribute("MjChildBrn1", "CHILD_BORN", "Date of birth", "DATE"),
        attribute("MjChildSex1", "CHILD_SEX", "Sex of the child", "TEXT"),
        attribute("MjMotherPh1", "MOTHER_PHONE", "Phone of the mother", "PHONE_NUMBER"),
    ]
}

fn option_sets() -> Vec<OptionSet> {
    let set = |id: &str, code: &str, name: &str, options: &[(&str, &str, &str)]| OptionSet {
        id: id.to_owned(),
        code: code.to_owned(),
        name: name.to_owned(),
        options: options.iter().map(|&(id, code, name)| triple(id, code, name)).collect(),
    };
    vec![
        set(
            SEX_OPTIONS,
            "SEX",
            "Sex",
            &[("MjOptionFem", "FEMALE", "Female"), ("MjOptionMal", "MALE", "Male")],
        ),
        set(
            DISEASES,
            "DISEASE",
            "Notifiable disease",
            &[
                ("MjOptionCho", "CHOLERA", "Cholera"),
                ("MjOptionMea", "MEASLES", "Measles"),
                ("MjOptionPol", "POLIO", "Acute flaccid paralysis"),
                ("MjOptionRab", "RABIES", "Rabies"),
            ],
        ),
        set(
            VACCINES,
            "VACCINE",
            "Vaccine",
            &[
                ("MjOptionBcg", "BCG", "BCG"),
                ("MjOptionPen", "PENTA", "Pentavalent"),
                ("MjOptionOpv", "OPV", "Oral polio"),
                ("MjOptionMcv", "MEASLES", "Measles"),
            ],
        ),
    ]
}
