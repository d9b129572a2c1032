//! Mapping files' programs as the mapper's [`Evaluator`]s.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::evaluator::{Asked, Evaluated, Evaluator, Hold, Round, Rounds, Subject};
use crate::mapping::evaluate::{Answers, Change, Evaluation, Input, Question, Step, Tracing};
use crate::mapping::lookup::Answer;
use crate::mapping::program::Program;
use crate::mapping::target::Registry;

/// What all programs of one tenant share.
#[derive(Clone)]
pub struct Tenancy {
    pub tenant: String,
    pub zone: TimeZone,
    /// ISO 3166-1 alpha-2, for phone numbers without a country code.
    pub country: Option<String>,
    /// Secret keys of pseudonyms, by destination as `SYSTEM.NAME`.
    pub pseudonym_keys: BTreeMap<String, Vec<u8>>,
    pub registry: Registry,
}

/// One program of one tenant.
pub struct ProgramEvaluator {
    program: Arc<Program>,
    tenancy: Arc<Tenancy>,
}

/// The evaluators of these programs, for [`super::mapper::Mapper::start`].
pub fn evaluators(programs: &[Arc<Program>], tenancy: Tenancy) -> Vec<Arc<dyn Evaluator>> {
    let tenancy = Arc::new(tenancy);
    let of = |program: &Arc<Program>| {
        let evaluator = ProgramEvaluator { program: Arc::clone(program), tenancy: Arc::clone(&tenancy) };
        Arc::new(evaluator) as Arc<dyn Evaluator>
    };
    programs.iter().map(of).collect()
}

impl Evaluator for ProgramEvaluator {
    fn name(&self) -> &str {
        &self.program.name
    }

    fn version(&self) -> &str {
        &self.program.version
    }

    fn takes(&self, kind: &str) -> bool {
        self.program.from.kind == kind
    }

    fn evaluate(&self, subject: &Subject<'_>, answers: &[(Asked, Answer)]) -> Round {
        self.rounds(*subject)(answers)
    }

    /// What `from` says of the change is worked out in the first round only.
    fn rounds<'a>(&'a self, subject: Subject<'a>) -> Rounds<'a> {
        let (mut begun, mut known, mut seen) = (None, Answers::default(), 0);
        Box::new(move |answers| {
            for (asked, answer) in answers.iter().skip(seen) {
                let Asked { name, query, follow } = asked.clone();
                known.insert(Question { name, query, follow }, answer.clone());
            }
            seen = answers.len();
            let input = self.input(&subject, &known);
            let begun = begun.get_or_insert_with(|| self.program.begin(&input));
            round(self.program.go_on(begun, &input))
        })
    }
}

impl ProgramEvaluator {
    fn input<'a>(&'a self, subject: &Subject<'a>, answers: &'a Answers) -> Input<'a> {
        Input {
            tenant: &self.tenancy.tenant,
            zone: &self.tenancy.zone,
            country: self.tenancy.country.as_deref(),
            change: Change {
                kind: subject.kind,
                id: subject.id,
                resource: subject.resource,
                previous: subject.previous,
                recorded_ms: subject.recorded_ms,
            },
            answers,
            pseudonym_keys: &self.tenancy.pseudonym_keys,
            registry: &self.tenancy.registry,
            tracing: Tracing::Off,
        }
    }
}

fn round(step: Step) -> Round {
    match step {
        Step::Needs(questions) => {
            let asked = questions.into_iter().map(|question| Asked {
                name: question.name,
                query: question.query,
                follow: question.follow,
            });
            Round::Needs(asked.collect())
        }
        Step::Done(evaluation) => Round::Done(Box::new(evaluated(*evaluation))),
    }
}

fn evaluated(evaluation: Evaluation) -> Evaluated {
    let held = evaluation.held.map(|held| Hold {
        message: format!("`{}` is required and absent", held.field),
        waits_for: held.waits_for,
        place: held.place,
    });
    Evaluated {
        matched: evaluation.matched,
        outputs: evaluation.outputs,
        reads: evaluation.reads,
        issues: evaluation.issues,
        held,
    }
}
