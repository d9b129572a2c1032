//! Holds what a mapping names by constants against a snapshot: unknown objects, objects that are not in what
//! they must belong to, constants that are no value of their type.
//!
//! Pure, so that it works offline, against metadata that was pulled before.

use super::Metadata;
use super::combo::{self, Problem};
use super::model::{CategoryCombo, DataSet};
use crate::dhis2::aggregate::slot::ComboName;
use crate::dhis2::value::{self, Rules, ValueType};
use crate::mapping::diagnostic::nearest;
use crate::mapping::target::Named;

/// What is wrong with one name, or with the constant beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Stable, kebab-case.
    pub code: &'static str,
    pub message: String,
    pub hint: Option<String>,
    pub did_you_mean: Option<String>,
    /// It is about [`Named::value`], not about the name.
    pub of_value: bool,
}

impl Fault {
    fn new(code: &'static str, message: String) -> Self {
        Self { code, message, hint: None, did_you_mean: None, of_value: false }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    fn meant<'k>(self, name: &str, known: impl IntoIterator<Item = (&'k String, &'k str)>) -> Self {
        let known: Vec<(&String, &str)> = known.into_iter().collect();
        let by_name = known.iter().find(|(_, label)| label.eq_ignore_ascii_case(name));
        let near = by_name.map(|(uid, _)| (*uid).clone());
        let near = near.or_else(|| nearest(name, known.iter().map(|(uid, _)| uid.as_str())));
        let label = near.as_ref().and_then(|uid| known.iter().find(|(known, _)| *known == uid));
        let hint = self.hint.clone().or_else(|| match label {
            Some((_, label)) if !label.is_empty() => Some(format!("that is {label}")),
            None if !known.is_empty() && known.len() <= 20 => Some(listed(&known)),
            _ => None,
        });
        Self { did_you_mean: near, hint, ..self }
    }
}

fn listed(known: &[(&String, &str)]) -> String {
    let all: Vec<String> = known.iter().map(|(uid, name)| format!("{uid} ({name})")).collect();
    format!("there are: {}", all.join(", "))
}

/// Judges one name. Nothing where nothing is wrong, or where its kind is not mirrored.
pub fn judge(named: &Named, metadata: &Metadata) -> Vec<Fault> {
    let fault = match named.kind {
        "dataSet" => {
            known(named, "data set", metadata.data_sets.iter().map(|(uid, it)| (uid, it.name.as_str())))
        }
        "program" => program(named, metadata),
        "trackedEntityType" => known(
            named,
            "tracked entity type",
            metadata.types.iter().map(|(uid, it)| (uid, it.name.as_str())),
        ),
        "relationshipType" => known(
            named,
            "relationship type",
            metadata.relationship_types.iter().map(|(uid, it)| (uid, it.name.as_str())),
        ),
        "orgUnit" => unit(named, metadata),
        "periodType" => period_type(named, metadata),
        "programStage" => stage(named, metadata),
        "dataElement" => element(named, metadata),
        "trackedEntityAttribute" => attribute(named, metadata),
        "categoryOptionCombo" | "attributeOptionCombo" => combination(named, metadata),
        _ => None,
    };
    fault.into_iter().chain(of_value(named, metadata)).collect()
}

fn within<'a>(named: &'a Named, kind: &str) -> Option<&'a str> {
    named.within.iter().find(|(of, _)| *of == kind).map(|(_, name)| name.as_str())
}

fn known<'k>(
    named: &Named,
    what: &str,
    all: impl Iterator<Item = (&'k String, &'k str)> + Clone,
) -> Option<Fault> {
    if all.clone().any(|(uid, _)| *uid == named.name) {
        return None;
    }
    let message = format!("there is no {what} `{}` in the metadata of this instance", named.name);
    Some(Fault::new("dhis2-unknown", message).meant(&named.name, all).or_pull())
}

impl Fault {
    /// Where there is nothing better to say.
    fn or_pull(self) -> Self {
        let pull = "see that it exists and is shared with the account; `mjumbe metadata pull` reads the metadata anew";
        if self.hint.is_some() || self.did_you_mean.is_some() { self } else { self.hint(pull) }
    }
}

fn set_of<'a>(named: &Named, metadata: &'a Metadata) -> Option<&'a DataSet> {
    metadata.data_sets.get(within(named, "dataSet")?)
}

fn program(named: &Named, metadata: &Metadata) -> Option<Fault> {
    let all = metadata.programs.iter().map(|(uid, it)| (uid, it.name.as_str()));
    if let Some(fault) = known(named, "program", all) {
        return Some(fault);
    }
    let program = metadata.programs.get(&named.name)?;
    let kind = within(named, "trackedEntityType")?;
    (program.is_tracker && program.entity_type != kind).then(|| {
        Fault::new(
            "dhis2-entity-type-differs",
            format!("the program {} is for another tracked entity type", program.name),
        )
        .hint(format!("type: {}", program.entity_type))
    })
}

fn unit(named: &Named, metadata: &Metadata) -> Option<Fault> {
    let all = metadata.units.iter().map(|(uid, it)| (uid, it.name.as_str()));
    if let Some(fault) = known(named, "organisation unit", all) {
        return Some(fault);
    }
    let set = set_of(named, metadata).map(|set| (&set.units, &set.name));
    let program = within(named, "program").and_then(|uid| metadata.programs.get(uid));
    let (units, name) = set.or_else(|| program.map(|program| (&program.units, &program.name)))?;
    (!units.contains(&named.name)).then(|| {
        let unit = metadata.units.get(&named.name).map_or("", |unit| unit.name.as_str());
        Fault::new("dhis2-unit-not-assigned", format!("{unit} is not assigned to {name}"))
            .hint("assign it in DHIS2 (Maintenance), or name another")
    })
}

fn period_type(named: &Named, metadata: &Metadata) -> Option<Fault> {
    let set = set_of(named, metadata)?;
    (set.period_type_name != named.name).then(|| {
        let message = format!("the data set {} takes {} periods", set.name, set.period_type_name);
        let near = Some(set.period_type_name.clone());
        Fault { did_you_mean: near, ..Fault::new("dhis2-period-type-wrong", message) }
    })
}

fn stage(named: &Named, metadata: &Metadata) -> Option<Fault> {
    let program = metadata.programs.get(within(named, "program")?)?;
    (!program.stages.contains_key(&named.name)).then(|| {
        let message = format!("the program {} has no stage `{}`", program.name, named.name);
        let all = program.stages.iter().map(|(uid, stage)| (uid, stage.name.as_str()));
        Fault::new("dhis2-stage-not-in-program", message).meant(&named.name, all)
    })
}

fn element(named: &Named, metadata: &Metadata) -> Option<Fault> {
    let (code, whole, members): (_, _, Vec<&String>) = if let Some(set) = set_of(named, metadata) {
        ("dhis2-element-not-in-set", format!("the data set {}", set.name), set.elements.keys().collect())
    } else {
        let program = metadata.programs.get(within(named, "program")?)?;
        let stage = match within(named, "programStage") {
            Some(uid) => program.stages.get(uid)?,
            None => program.stages.values().next()?,
        };
        ("dhis2-element-not-in-stage", format!("the stage {}", stage.name), stage.elements.keys().collect())
    };
    if members.contains(&&named.name) {
        return None;
    }
    let label = |uid: &String| metadata.elements.get(uid).map_or("", |it| it.name.as_str());
    let message = match metadata.elements.get(&named.name) {
        Some(known) => format!("the data element {} is not in {whole}", known.name),
        None => format!("there is no data element `{}` in {whole}", named.name),
    };
    let all: Vec<(&String, &str)> = members.into_iter().map(|uid| (uid, label(uid))).collect();
    Some(Fault::new(code, message).meant(&named.name, all))
}

fn attribute(named: &Named, metadata: &Metadata) -> Option<Fault> {
    let program = within(named, "program").and_then(|uid| metadata.programs.get(uid));
    let (code, whole, members): (_, _, Vec<&String>) = if let Some(program) = program {
        let whole = format!("the program {}", program.name);
        ("dhis2-attribute-not-in-program", whole, program.attributes.keys().collect())
    } else {
        let uid = within(named, "trackedEntityType")?;
        let kind = metadata.types.get(uid)?;
        // A tracked entity may also have the attributes of a program of its type.
        let of_programs = metadata.programs.values().filter(|program| program.entity_type == uid);
        let members = kind.attributes.keys().chain(of_programs.flat_map(|it| it.attributes.keys())).collect();
        ("dhis2-attribute-not-in-type", format!("the tracked entity type {}", kind.name), members)
    };
    if members.contains(&&named.name) {
        return None;
    }
    let label = |uid: &String| metadata.attributes.get(uid).map_or("", |it| it.name.as_str());
    let message = match metadata.attributes.get(&named.name) {
        Some(known) => format!("the attribute {} is not one of {whole}", known.name),
        None => format!("there is no attribute `{}` in {whole}", named.name),
    };
    let all: Vec<(&String, &str)> = members.into_iter().map(|uid| (uid, label(uid))).collect();
    Some(Fault::new(code, message).meant(&named.name, all))
}

fn combination(named: &Named, metadata: &Metadata) -> Option<Fault> {
    let set = set_of(named, metadata)?;
    let (combo, whose): (&CategoryCombo, String) = match within(named, "dataElement") {
        Some(element) => {
            let name = metadata.elements.get(element).map_or(element, |known| known.name.as_str());
            (metadata.combo_of(set, element)?, format!("the data element {name}"))
        }
        None if named.kind == "categoryOptionCombo" => return None,
        None => (metadata.combos.get(&set.combo)?, format!("the data set {}", set.name)),
    };
    match combo::resolve(&ComboName::Named(named.name.clone()), combo) {
        Err(Problem::NoSuch | Problem::Several) => {
            let message = format!("`{}` is no combination of {whose} ({})", named.name, combo.name);
            let all = combo.option_combos.iter().map(|one| (&one.uid, one.name.as_str()));
            Some(Fault::new("dhis2-combo-wrong", message).meant(&named.name, all))
        }
        _ => None,
    }
}

fn of_value(named: &Named, metadata: &Metadata) -> Option<Fault> {
    let (_, text) = named.value.as_ref()?;
    let (name, value_type, option_set) = match named.kind {
        "dataElement" => {
            metadata.elements.get(&named.name).map(|it| (&it.name, it.value_type, &it.option_set))
        }
        "trackedEntityAttribute" => {
            metadata.attributes.get(&named.name).map(|it| (&it.name, it.value_type, &it.option_set))
        }
        _ => None,
    }?;
    let options = option_set.as_ref().and_then(|set| metadata.option_sets.get(set));
    let rules = Rules { value_type, options };
    let refusal = value::normalise(text, rules).err()?;
    let near = options.and_then(|codes| nearest(text, codes.iter().map(String::as_str)));
    let choices = options.filter(|_| near.is_none()).map(|codes| {
        let first: Vec<&str> = codes.iter().take(20).map(String::as_str).collect();
        format!("its codes are: {}", first.join(", "))
    });
    let fault = Fault::new(refusal.code(), format!("{name}: {refusal}"));
    let plain = value_type != ValueType::Other;
    plain.then_some(Fault { did_you_mean: near, hint: choices, of_value: true, ..fault })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dhis2::tracker::check::tests::metadata;

    fn named(kind: &'static str, name: &str, within: &[(&'static str, &str)]) -> Named {
        Named {
            kind,
            name: name.to_owned(),
            within: within.iter().map(|(kind, name)| (*kind, (*name).to_owned())).collect(),
            ..Named::default()
        }
    }

    fn told(one: &Named) -> Vec<(&'static str, Option<String>)> {
        judge(one, &metadata()).into_iter().map(|fault| (fault.code, fault.did_you_mean)).collect()
    }

    #[test]
    fn what_fits_is_not_told() {
        let program = ("program", "f1AyMswryyQ");
        for one in [
            named("program", "f1AyMswryyQ", &[("trackedEntityType", "Q9GufDoplCL")]),
            named("programStage", "nlXNK4b7LVr", &[program]),
            named("dataElement", "BuZ5LGNfGEU", &[("programStage", "nlXNK4b7LVr"), program]),
            named("trackedEntityAttribute", "MjTeaUnique", &[program]),
            named("orgUnit", "O6uvpzGd5pu", &[program]),
            named("somethingElse", "x", &[]),
        ] {
            assert_eq!(told(&one), [], "{one:?}");
        }
    }

    #[test]
    fn a_name_that_is_wrong_is_told_with_the_near_one() {
        let program = ("program", "f1AyMswryyQ");
        let near = |uid: &str| Some(uid.to_owned());
        assert_eq!(told(&named("program", "f1AyMswryyX", &[])), [("dhis2-unknown", near("f1AyMswryyQ"))]);
        assert_eq!(told(&named("program", "case", &[])), [("dhis2-unknown", near("Zd2rkv8FsWq"))]);
        assert_eq!(
            told(&named("programStage", "Dose", &[program])),
            [("dhis2-stage-not-in-program", near("PaOOjwLVW23"))]
        );
        let elsewhere = named("dataElement", "ZrqtjjveTFc", &[("programStage", "nlXNK4b7LVr"), program]);
        assert_eq!(told(&elsewhere)[0].0, "dhis2-element-not-in-stage");
        assert_eq!(
            told(&named("trackedEntityAttribute", "dIVt4l5vIOa", &[program]))[0].0,
            "dhis2-attribute-not-in-program"
        );
        assert_eq!(told(&named("orgUnit", "YuQRtpLP10I", &[program]))[0].0, "dhis2-unit-not-assigned");
        let mut sex = named("trackedEntityAttribute", "MjTeaSexAtt", &[("trackedEntityType", "Q9GufDoplCL")]);
        sex.value = Some(("x".to_owned(), "f".to_owned()));
        assert_eq!(told(&sex), [("dhis2-value-option", near("F"))]);
    }
}
