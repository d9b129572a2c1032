//! What several mappings must not do together: share a name, or own one place on the far side.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, Place};
use super::program::{self, Destination, Entry, Program};
use super::target::Registry;

/// Checks the mappings of one tenant against each other; the caller adds the lines of the files.
///
/// What an entry owns is told by its target ([`super::target::Target::owns`]): of a report the cells that
/// it names by constants. Two mappings that own one would overwrite each other for ever.
pub fn check(programs: &[Program], registry: &Registry) -> Vec<Diagnostic> {
    let mut told = names(programs);
    let mut owners: BTreeMap<String, (&Program, Place)> = BTreeMap::new();
    for program in programs {
        for (owned, place) in program.to.iter().flat_map(|entry| owned(entry, registry)) {
            match owners.get(&owned) {
                Some((owner, first)) if owner.name != program.name => {
                    told.push(doubled(program, place, owner, *first));
                }
                Some(_) => {}
                None => {
                    owners.insert(owned, (program, place));
                }
            }
        }
    }
    told
}

fn names(programs: &[Program]) -> Vec<Diagnostic> {
    let mut seen: BTreeMap<&str, &str> = BTreeMap::new();
    let mut told = Vec::new();
    for program in programs {
        if let Some(first) = seen.insert(&program.name, &program.file) {
            let message = format!("the name `{}` is also that of {first}", program.name);
            let one = Diagnostic::new("duplicate-name", program.name_place, message)
                .offending(&program.name)
                .hint("deliveries carry the name: each mapping needs its own");
            told.push(Diagnostic { file: program.file.clone(), ..one });
        }
    }
    told
}

fn doubled(program: &Program, place: Place, owner: &Program, first: Place) -> Diagnostic {
    let message =
        format!("the mapping `{}` owns this cell already ({})", owner.name, first.within(&owner.file));
    let one = Diagnostic::new("cell-doubled", place, message)
        .hint("let one mapping alone fill it; what several sources add up to is dhis2.count");
    Diagnostic { file: program.file.clone(), ..one }
}

fn owned(entry: &Entry, registry: &Registry) -> Vec<(String, Place)> {
    let (Destination::Fixed(destination), Some(target)) = (&entry.destination, registry.get(&entry.kind))
    else {
        return Vec::new();
    };
    let literals = program::literals(&entry.fields);
    let owned = target.owns(&literals).into_iter();
    owned
        .map(|owned| (format!("{destination}|{}", owned.place), program::place_of(entry, &owned.field)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::probe;

    fn mapping(name: &str, element: &str, combo: &str) -> Program {
        let cells = format!("    cells: [{{ element: {element}, combo: {combo}, value: 1 }}]\n");
        let text = format!("mapping: {name}\nfrom: {{ resource: Basic }}\nto:\n- probe.state:\n{cells}");
        let mut program = probe::load(&text).unwrap();
        program.file = format!("{name}.yaml");
        program
    }

    fn told(programs: &[Program]) -> Vec<(String, String)> {
        let told = check(programs, &probe::registry());
        told.into_iter().map(|one| (one.code.clone(), one.place.within(&one.file))).collect()
    }

    #[test]
    fn two_mappings_cannot_own_one_cell() {
        let one = mapping("one", "e1", "c1");
        assert_eq!(told(&[one.clone(), mapping("two", "e1", "c2")]), []);
        assert_eq!(told(&[one.clone(), mapping("two", "e2", "c1")]), []);
        // A combination that is computed could be any: it is judged when the reports meet.
        assert_eq!(told(&[one.clone(), mapping("two", "e1", "$.resource.c")]), []);
        let doubled = told(&[one, mapping("two", "e1", "c1")]);
        assert_eq!(doubled, [("cell-doubled".to_owned(), "two.yaml:5:13".to_owned())]);
    }

    #[test]
    fn two_mappings_cannot_share_a_name() {
        let told = told(&[mapping("one", "e1", "c1"), mapping("one", "e1", "c1")]);
        assert_eq!(told, [("duplicate-name".to_owned(), "one.yaml:1:10".to_owned())]);
    }
}
