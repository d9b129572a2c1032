//! What a required but absent VALUE waits for.

use super::super::Held;
use super::super::lookups::Looked;
use super::Round;
use crate::mapping::expression::{Expression, Piece, Source};

impl Round<'_> {
    /// What a required VALUE waits for: the look-ups behind its paths that found nothing, or what its
    /// steps say.
    pub(super) fn waits(&self, expression: &Expression, why: &str) -> Held {
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
