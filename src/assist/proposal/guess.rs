//! Which result of a flow answers which question of DHIS2. Pure.
//!
//! Every pair that fits by type is scored by its names; the best pairs are taken first, each result and each
//! question once. Two results that would do equally well are no guess.

use super::fit::{Fit, fit};
use super::words::{alike, stems};
use crate::dhis2::form::Question;
use crate::rapidpro::catalogue::Shown;

/// Below it names have too little in common.
const ALIKE: f64 = 0.6;
/// Nearer than this, two results do equally well.
const APART: f64 = 0.05;

/// What was found for one question.
#[derive(Debug, Clone, PartialEq)]
pub enum Guess {
    /// The place of the result in the flow, and how it becomes the value.
    Found {
        result: usize,
        fit: Fit,
    },
    /// These do equally well.
    Several(Vec<usize>),
    Nothing,
}

/// One guess for each question, in their order.
pub fn guess(results: &[Shown], questions: &[&Question]) -> Vec<Guess> {
    let mut pairs = pairs(results, questions);
    pairs.sort_by(|one, two| two.score.total_cmp(&one.score).then(one.question.cmp(&two.question)));
    let mut guesses = vec![Guess::Nothing; questions.len()];
    let mut used = vec![false; results.len()];
    for pair in &pairs {
        let open = guesses.get(pair.question).is_some_and(|guess| *guess == Guess::Nothing);
        if !open || used.get(pair.result).copied().unwrap_or(true) {
            continue;
        }
        let rivals = rivals(pair, &pairs, &used);
        if let Some(guess) = guesses.get_mut(pair.question) {
            *guess = if rivals.len() > 1 {
                Guess::Several(rivals)
            } else {
                if let Some(used) = used.get_mut(pair.result) {
                    *used = true;
                }
                Guess::Found { result: pair.result, fit: pair.fit.clone() }
            };
        }
    }
    guesses
}

struct Pair {
    question: usize,
    result: usize,
    score: f64,
    fit: Fit,
}

fn pairs(results: &[Shown], questions: &[&Question]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (question, asked) in questions.iter().enumerate() {
        for (result, shown) in results.iter().enumerate() {
            let Some(fit) = fit(shown, asked) else { continue };
            let score = names_alike(shown, asked) * fit.weight;
            if score >= ALIKE {
                pairs.push(Pair { question, result, score, fit });
            }
        }
    }
    pairs
}

/// By key or name of the result, by name or form name of the question, with its category options.
fn names_alike(result: &Shown, question: &Question) -> f64 {
    let combo = question.combo.as_ref().map(|(_, name)| name.as_str()).unwrap_or_default();
    let asked = [Some(&question.name), question.form_name.as_ref()];
    let mut best = 0.0_f64;
    for name in asked.into_iter().flatten() {
        let wanted = stems(&format!("{name} {combo}"));
        for own in [&result.name, &result.key] {
            best = best.max(alike(&stems(own), &wanted));
        }
    }
    best
}

/// The results, this one among them, that are still free and do as well.
fn rivals(pair: &Pair, pairs: &[Pair], used: &[bool]) -> Vec<usize> {
    let is_rival = |other: &&Pair| {
        other.question == pair.question
            && pair.score - other.score < APART
            && !used.get(other.result).copied().unwrap_or(true)
    };
    pairs.iter().filter(is_rival).map(|other| other.result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(key: &str) -> Shown {
        Shown { key: key.to_owned(), name: key.to_owned(), kind: "number", categories: Vec::new() }
    }

    fn asked(name: &str, combo: Option<&str>) -> Question {
        Question {
            uid: "uid".to_owned(),
            name: name.to_owned(),
            value_type: "INTEGER".to_owned(),
            combo: combo.map(|name| ("combo".to_owned(), name.to_owned())),
            ..Question::default()
        }
    }

    fn found(guesses: &[Guess]) -> Vec<Option<usize>> {
        let result = |guess: &Guess| match guess {
            Guess::Found { result, .. } => Some(*result),
            _ => None,
        };
        guesses.iter().map(result).collect()
    }

    #[test]
    fn the_category_options_tell_cells_of_one_element_apart() {
        let results = [number("deaths_male"), number("deaths_female")];
        let questions = [asked("Deaths", Some("Female")), asked("Deaths", Some("Male"))];
        let guesses = guess(&results, &questions.iter().collect::<Vec<_>>());
        assert_eq!(found(&guesses), [Some(1), Some(0)]);
    }

    #[test]
    fn a_result_is_used_once_and_a_tie_is_no_guess() {
        let results = [number("fever_cases"), number("cases_fever")];
        let question = asked("Fever cases", None);
        let guesses = guess(&results, &[&question]);
        assert_eq!(guesses, [Guess::Several(vec![0, 1])]);
        let guesses = guess(&results[..1], &[&question, &question]);
        assert_eq!(found(&guesses), [Some(0), None]);
    }
}
