//! What was told so far, as the registers should hold it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Story;
use super::super::children::Child;
use super::super::truth::{ToldCase, ToldDose};
use super::{Registers, Wanted};

/// What happened to cases and children besides the answers in the flows.
#[derive(Debug, Clone, Default)]
pub struct Told {
    registered: bool,
    late: bool,
    /// Position of a case → the age that is right.
    pub amended: BTreeMap<usize, i64>,
    /// Positions of cases that were entered in error.
    pub taken_back: BTreeSet<usize>,
}

/// Whether a child is registered a second time.
pub(in super::super) fn is_twice(child: &Child) -> bool {
    let number = child.number.trim_start_matches(|c: char| !c.is_ascii_digit()).parse::<u32>().unwrap_or(0);
    !child.late && number % 8 == 1
}

/// The id of her second Patient.
pub(in super::super) fn again(id: &str) -> String {
    format!("{id}-again")
}

impl Told {
    /// The children are registered, the late ones aside.
    pub fn children(&mut self) {
        self.registered = true;
    }

    /// The late children are registered, and wrong names are corrected.
    pub fn late_children(&mut self) {
        self.late = true;
    }

    /// What the registers should hold now.
    pub fn wanted(&self, story: &Story, (cases, doses): (&[ToldCase], &[ToldDose])) -> Registers {
        let mut registers = Registers::default();
        for (at, told) in cases.iter().enumerate() {
            let key = (told.case.notes.clone(), told.village.clone());
            registers.cases.insert(key, self.case(story, (at, told)));
        }
        let known = story.children.iter().filter(|child| self.registered && (self.late || !child.late));
        registers.children = known.map(|child| (child.number.clone(), self.child(child))).collect();
        for told in doses {
            let Some(child) = story.children.get(told.child) else { continue };
            let (vaccine, number) = (told.dose.vaccine.2.to_owned(), told.dose.number.to_string());
            let entry = registers.doses.entry((child.number.clone(), vaccine, number)).or_default();
            // In the order of time: what was told last counts, but anything may be on its way.
            let mut sources = std::mem::take(&mut entry.sources);
            sources.push(format!("QuestionnaireResponse/{}", told.run));
            *entry = Wanted { sources, ..dose(told) };
        }
        registers
    }

    fn case(&self, story: &Story, (at, told): (usize, &ToldCase)) -> Wanted {
        let case = &told.case;
        let age = self.amended.get(&at).copied().unwrap_or(case.age);
        Wanted {
            sources: vec![format!("QuestionnaireResponse/{}", told.run)],
            unit: told.village.clone(),
            values: values([
                ("MjCaseDise1", case.disease.2.to_owned()),
                ("MjCaseAge01", age.to_string()),
                ("MjCaseSex01", case.sex.to_uppercase()),
                ("MjCaseOnst1", case.onset.to_string()),
                ("MjCaseDied1", case.died.to_string()),
                ("MjCaseNote1", case.notes.clone()),
            ]),
            refusable: story.refuses_cases(&told.village),
            gone: self.taken_back.contains(&at),
            ..Wanted::default()
        }
    }

    fn child(&self, child: &Child) -> Wanted {
        let mut sources = vec![format!("Patient/{}", child.id)];
        if is_twice(child) {
            sources.push(format!("Patient/{}", again(&child.id)));
        }
        let name = if self.late { &child.name } else { &child.first_name };
        Wanted {
            sources,
            unit: child.village.clone(),
            values: values([
                ("MjChildNo01", child.number.clone()),
                ("MjChildNam1", name.clone()),
                ("MjChildBrn1", child.born.to_string()),
                ("MjChildSex1", child.gender.to_uppercase()),
                ("MjMotherPh1", child.mother.clone()),
            ]),
            ..Wanted::default()
        }
    }
}

fn dose(told: &ToldDose) -> Wanted {
    Wanted {
        unit: told.village.clone(),
        day: told.dose.given.to_string(),
        values: values([
            ("MjDoseVacc1", told.dose.vaccine.2.to_owned()),
            ("MjDoseNumb1", told.dose.number.to_string()),
            ("MjDoseReac1", told.dose.reaction.to_string()),
        ]),
        ..Wanted::default()
    }
}

fn values<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(id, value)| (id.to_owned(), value)).collect()
}
