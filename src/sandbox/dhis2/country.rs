//! Metadata of an invented country.
//!
//! Three districts, twenty facilities, and a village for each health worker; a monthly village report, a
//! monthly laboratory report by sex and age group, and a weekly set that nobody maps; case reports as
//! events and children who are immunized as tracked entities. The uids that the
//! shipped mappings name are those of these objects.

use jiff::civil::{Date, date};

// The country as the metadata API shows it.
mod objects;
// Programs as the metadata API shows them.
mod program_objects;
// Event and tracker programs.
pub mod programs;

/// An organisation unit.
#[derive(Debug, Clone)]
pub struct Unit {
    pub id: String,
    pub code: String,
    pub name: String,
    pub level: u32,
    /// `/root/…/self`
    pub path: String,
    pub opened: Date,
    pub closed: Option<Date>,
}

/// A data element.
#[derive(Debug, Clone)]
pub struct DataElement {
    pub id: String,
    pub name: String,
    pub value_type: String,
    pub option_set: Option<String>,
    pub zero_is_significant: bool,
    pub combo: String,
    /// `AGGREGATE` or `TRACKER`
    pub domain: &'static str,
}

/// A category combination.
#[derive(Debug, Clone)]
pub struct Combo {
    pub id: String,
    pub name: String,
    pub categories: Vec<String>,
}

/// A category option combination.
#[derive(Debug, Clone)]
pub struct OptionCombo {
    pub id: String,
    pub name: String,
    pub code: Option<String>,
    pub combo: String,
    pub options: Vec<String>,
}

/// A category and its options (id, code, name).
#[derive(Debug, Clone)]
pub struct Category {
    pub id: String,
    pub name: String,
    pub options: Vec<(String, String, String)>,
}

/// An option set and its options (id, code, name).
#[derive(Debug, Clone)]
pub struct OptionSet {
    pub id: String,
    pub code: String,
    pub name: String,
    pub options: Vec<(String, String, String)>,
}

/// A data set.
#[derive(Debug, Clone)]
pub struct DataSet {
    pub id: String,
    pub code: String,
    pub name: String,
    pub period_type: String,
    pub expiry_days: f64,
    pub open_future_periods: i32,
    pub combo: String,
    pub elements: Vec<String>,
    pub units: Vec<String>,
    /// Usernames that may not write, superusers aside.
    pub closed_to: Vec<String>,
}

/// All metadata.
#[derive(Debug, Clone)]
pub struct Country {
    pub units: Vec<Unit>,
    pub elements: Vec<DataElement>,
    pub combos: Vec<Combo>,
    pub option_combos: Vec<OptionCombo>,
    pub categories: Vec<Category>,
    pub option_sets: Vec<OptionSet>,
    pub data_sets: Vec<DataSet>,
    pub programs: Vec<programs::Program>,
    pub entity_types: Vec<programs::EntityType>,
    pub attributes: Vec<programs::Attribute>,
    pub relationship_types: Vec<programs::RelationshipType>,
}

/// The default category combination and its only category option combination.
pub const DEFAULT_COMBO: &str = "bjDvmb4bfuf";
/// What a value is filed under where no category option combination is named.
pub const DEFAULT_OPTION_COMBO: &str = "HllvX50cXC0";
/// The data set of the monthly village report.
pub const VILLAGE_REPORT: &str = "VEM58nY22sO";
/// The data set of the laboratory's counts.
pub const LABORATORY: &str = "MjLabCounts";
/// The country itself.
pub const ROOT: &str = "MjCountry01";

const SEX_AGE: &str = "MjSexAgeCbo";
const SEX: &str = "MjSexCombo1";

impl Country {
    /// The demo's country with so many villages.
    pub fn demo(villages: usize) -> Self {
        let mut country = Self {
            units: Vec::new(),
            elements: elements(),
            combos: combos(),
            option_combos: option_combos(),
            categories: categories(),
            option_sets: vec![OptionSet {
                id: "MjOptSetYN1".to_owned(),
                code: "YES_NO".to_owned(),
                name: "Yes or no".to_owned(),
                options: vec![triple("MjOptionYe1", "YES", "Yes"), triple("MjOptionNo1", "NO", "No")],
            }],
            data_sets: Vec::new(),
            programs: Vec::new(),
            entity_types: Vec::new(),
            attributes: Vec::new(),
            relationship_types: Vec::new(),
        };
        country.add_units(villages);
        let ids = |level: u32| {
            country.units.iter().filter(|unit| unit.level == level).map(|unit| unit.id.clone()).collect()
        };
        let (villages, facilities): (Vec<String>, Vec<String>) = (ids(4), ids(3));
        country.data_sets = data_sets(villages, facilities);
        country.add_programs();
        country
    }

    fn add_units(&mut self, villages: usize) {
        let mut add = |id: String, name: String, parent: &str, level: u32| {
            let path = format!("{parent}/{id}");
            let code = format!("OU_{}", self.units.len() + 100);
            let opened = date(2015, 1, 1);
            self.units.push(Unit { id, code, name, level, path: path.clone(), opened, closed: None });
            path
        };
        let root = add(ROOT.to_owned(), "Kanyara".to_owned(), "", 1);
        let districts: Vec<String> = ["Hills", "Lake", "River"]
            .iter()
            .enumerate()
            .map(|(at, name)| add(format!("MjDistrict{at}"), format!("{name} District"), &root, 2))
            .collect();
        let facilities: Vec<String> = (0..20)
            .map(|at| {
                let district = districts.get(at % districts.len()).map_or(root.as_str(), String::as_str);
                add(facility_id(at), format!("Health Centre {}", at + 1), district, 3)
            })
            .collect();
        for at in 0..villages {
            let facility = facilities.get(at % facilities.len()).map_or(root.as_str(), String::as_str);
            add(village_id(at), format!("Village {}", at + 1), facility, 4);
        }
    }

    pub fn unit(&self, id: &str) -> Option<&Unit> {
        self.units.iter().find(|unit| unit.id == id)
    }

    pub fn element(&self, id: &str) -> Option<&DataElement> {
        self.elements.iter().find(|element| element.id == id)
    }

    pub fn data_set(&self, id: &str) -> Option<&DataSet> {
        self.data_sets.iter().find(|set| set.id == id)
    }

    pub fn option_combo(&self, id: &str) -> Option<&OptionCombo> {
        self.option_combos.iter().find(|combo| combo.id == id)
    }

    /// The category option combination of a combo with exactly these option codes.
    pub fn option_combo_of(&self, combo: &str, codes: &[&str]) -> Option<&OptionCombo> {
        let code_of = |id: &String| {
            let options = self.categories.iter().flat_map(|category| &category.options);
            options.clone().find(|(option, ..)| option == id).map(|(_, code, _)| code.clone())
        };
        self.option_combos.iter().find(|candidate| {
            let found: Vec<String> = candidate.options.iter().filter_map(code_of).collect();
            candidate.combo == combo
                && found.len() == codes.len()
                && codes.iter().all(|code| found.iter().any(|own| own == code))
        })
    }

    /// The combo of a sex and an age group, by option codes.
    pub fn sex_and_age(&self, sex: &str, age: &str) -> Option<&OptionCombo> {
        self.option_combo_of(SEX_AGE, &[sex, age])
    }
}

/// The uid of the n-th facility, from 0.
pub fn facility_id(at: usize) -> String {
    format!("MjFacility{}", char::from(b'A' + u8::try_from(at % 26).unwrap_or(0)))
}

/// The uid of the n-th village, from 0.
pub fn village_id(at: usize) -> String {
    format!("MjVillag{at:03}")
}

fn triple(id: &str, code: &str, name: &str) -> (String, String, String) {
    (id.to_owned(), code.to_owned(), name.to_owned())
}

fn elements() -> Vec<DataElement> {
    let element = |id: &str, name: &str, value_type: &str, combo: &str| DataElement {
        id: id.to_owned(),
        name: name.to_owned(),
        value_type: value_type.to_owned(),
        option_set: None,
        zero_is_significant: true,
        combo: combo.to_owned(),
        domain: "AGGREGATE",
    };
    let mut all = vec![
        element("FTRrcoaog83", "Fever cases", "INTEGER_ZERO_OR_POSITIVE", DEFAULT_COMBO),
        element("MjMalariaP1", "Malaria positive", "INTEGER_ZERO_OR_POSITIVE", DEFAULT_COMBO),
        element("P3jJH5Tu5VC", "Deaths", "INTEGER_ZERO_OR_POSITIVE", SEX),
        element("MjStockOut1", "Stock-out of medicines", "BOOLEAN", DEFAULT_COMBO),
        element("MjTestsDone", "Malaria tests done", "INTEGER_ZERO_OR_POSITIVE", SEX_AGE),
        element("MjTestsPos1", "Malaria tests positive", "INTEGER_ZERO_OR_POSITIVE", SEX_AGE),
        element("MjRemarks01", "Remarks", "LONG_TEXT", DEFAULT_COMBO),
        element("MjSurvFever", "Fever cases of the week", "INTEGER_ZERO_OR_POSITIVE", DEFAULT_COMBO),
        element("MjSurvMalar", "Malaria cases of the week", "INTEGER_ZERO_OR_POSITIVE", DEFAULT_COMBO),
        element("MjSurvDeath", "Deaths of the week", "INTEGER_ZERO_OR_POSITIVE", DEFAULT_COMBO),
        element("MjInteger01", "A whole number", "INTEGER", DEFAULT_COMBO),
        element("MjNumber001", "A number", "NUMBER", DEFAULT_COMBO),
        element("MjPercent01", "A percentage", "PERCENTAGE", DEFAULT_COMBO),
        element("MjDate00001", "A date", "DATE", DEFAULT_COMBO),
        element("MjNoZero001", "Zero does not matter", "INTEGER", DEFAULT_COMBO),
        element("MjOption001", "Yes or no", "TEXT", DEFAULT_COMBO),
        element("MjOrphan001", "In no data set", "NUMBER", DEFAULT_COMBO),
    ];
    for one in &mut all {
        if one.id == "MjOption001" {
            one.option_set = Some("MjOptSetYN1".to_owned());
        }
        one.zero_is_significant = one.id != "MjNoZero001";
    }
    all
}

fn combos() -> Vec<Combo> {
    let combo = |id: &str, name: &str, categories: &[&str]| Combo {
        id: id.to_owned(),
        name: name.to_owned(),
        categories: categories.iter().map(|&id| id.to_owned()).collect(),
    };
    vec![
        combo(DEFAULT_COMBO, "default", &["GLevLNI9wkl"]),
        combo(SEX, "Sex", &["MjCategSex1"]),
        combo(SEX_AGE, "Sex and age group", &["MjCategSex1", "MjCategAge1"]),
    ]
}

fn categories() -> Vec<Category> {
    let category = |id: &str, name: &str, options: Vec<(String, String, String)>| Category {
        id: id.to_owned(),
        name: name.to_owned(),
        options,
    };
    vec![
        category("GLevLNI9wkl", "default", vec![triple("xYerKDKCefk", "default", "default")]),
        category(
            "MjCategSex1",
            "Sex",
            vec![triple("MjFemaleOp1", "SEX_F", "Female"), triple("MjMaleOptn1", "SEX_M", "Male")],
        ),
        category(
            "MjCategAge1",
            "Age group",
            vec![
                triple("MjAgeOptn00", "AGE_0_4", "0-4 years"),
                triple("MjAgeOptn05", "AGE_5_14", "5-14 years"),
                triple("MjAgeOptn15", "AGE_15", "15+ years"),
            ],
        ),
    ]
}

fn option_combos() -> Vec<OptionCombo> {
    let one = |id: &str, name: &str, code: Option<&str>, combo: &str, options: &[&str]| OptionCombo {
        id: id.to_owned(),
        name: name.to_owned(),
        code: code.map(str::to_owned),
        combo: combo.to_owned(),
        options: options.iter().map(|&id| id.to_owned()).collect(),
    };
    let mut all = vec![
        one(DEFAULT_OPTION_COMBO, "default", Some("default"), DEFAULT_COMBO, &["xYerKDKCefk"]),
        one("S34ULMcHMca", "Female", None, SEX, &["MjFemaleOp1"]),
        one("wHBMVthqIX4", "Male", None, SEX, &["MjMaleOptn1"]),
    ];
    for (sex, sex_name, letter) in [("MjFemaleOp1", "Female", 'F'), ("MjMaleOptn1", "Male", 'M')] {
        for (age, age_name, number) in [
            ("MjAgeOptn00", "0-4 years", "00"),
            ("MjAgeOptn05", "5-14 years", "05"),
            ("MjAgeOptn15", "15+ years", "15"),
        ] {
            let id = format!("MjSexAge{letter}{number}");
            all.push(one(&id, &format!("{sex_name}, {age_name}"), None, SEX_AGE, &[sex, age]));
        }
    }
    all
}

fn data_sets(villages: Vec<String>, facilities: Vec<String>) -> Vec<DataSet> {
    let set = |id: &str, code: &str, name: &str, elements: &[&str], units: Vec<String>| DataSet {
        id: id.to_owned(),
        code: code.to_owned(),
        name: name.to_owned(),
        period_type: "Monthly".to_owned(),
        expiry_days: 0.0,
        open_future_periods: 1,
        combo: DEFAULT_COMBO.to_owned(),
        elements: elements.iter().map(|&id| id.to_owned()).collect(),
        units,
        closed_to: Vec::new(),
    };
    let village = ["FTRrcoaog83", "MjMalariaP1", "P3jJH5Tu5VC", "MjStockOut1", "MjRemarks01"];
    let mixed = ["MjInteger01", "MjNumber001", "MjDate00001", "MjNoZero001", "MjOption001", "MjRemarks01"];
    let mut closed =
        set("MjClosedDS1", "CLOSED", "Closed after five days", &["MjInteger01"], facilities.clone());
    closed.expiry_days = 5.0;
    closed.open_future_periods = 0;
    let mut weekly = set("MjWeeklyDS1", "WEEKLY", "Weekly percentages", &["MjPercent01"], facilities.clone());
    "Weekly".clone_into(&mut weekly.period_type);
    let coded = ["MjSurvFever", "MjSurvMalar", "MjSurvDeath"];
    let mut surveillance =
        set("MjSurveySet", "SURVEILLANCE", "Weekly surveillance", &coded, villages.clone());
    "Weekly".clone_into(&mut surveillance.period_type);
    let mut own = set("MjPrivateD1", "PRIVATE", "Not for everybody", &["MjPercent01"], facilities.clone());
    own.closed_to = vec!["mjumbe".to_owned()];
    vec![
        set(VILLAGE_REPORT, "VILLAGE_REPORT", "Monthly village report", &village, villages),
        set(
            LABORATORY,
            "LABORATORY",
            "Laboratory counts",
            &["MjTestsDone", "MjTestsPos1"],
            facilities.clone(),
        ),
        set("MjMixedSet1", "MIXED", "Every type of value", &mixed, facilities),
        closed,
        weekly,
        surveillance,
        own,
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_uid_is_well_formed_and_unique() {
        let country = Country::demo(200);
        let mut seen = BTreeSet::new();
        let units = country.units.iter().map(|unit| &unit.id);
        let elements = country.elements.iter().map(|element| &element.id);
        let combos = country.option_combos.iter().map(|combo| &combo.id);
        let sets = country.data_sets.iter().map(|set| &set.id);
        let others = country.combos.iter().map(|c| &c.id).chain(country.categories.iter().map(|c| &c.id));
        let others = others.chain(country.programs.iter().map(|program| &program.id));
        let others = others.chain(country.programs.iter().flat_map(|p| p.stages.iter().map(|s| &s.id)));
        let others = others.chain(country.attributes.iter().map(|attribute| &attribute.id));
        let others = others.chain(country.entity_types.iter().map(|kind| &kind.id));
        let others = others.chain(country.relationship_types.iter().map(|kind| &kind.id));
        let others = others.chain(country.option_sets.iter().map(|set| &set.id));
        let others = others.chain(country.option_sets.iter().flat_map(|s| s.options.iter().map(|o| &o.0)));
        for id in units.chain(elements).chain(combos).chain(sets).chain(others) {
            assert!(id.len() == 11 && id.bytes().all(|b| b.is_ascii_alphanumeric()), "{id}");
            assert!(seen.insert(id.clone()), "{id} twice");
        }
        assert_eq!(country.sex_and_age("SEX_M", "AGE_15").unwrap().id, "MjSexAgeM15");
    }
}
