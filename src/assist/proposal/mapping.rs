//! The mapping file, line by line.

use super::guess::{Guess, guess};
use super::yaml::{comment, path, quoted};
use super::{Ask, UNIT_FIELD};
use crate::dhis2::form::{FormKind, Question, Stage};
use crate::dhis2::value::ValueType;

/// What was written.
pub(super) struct Written {
    pub text: String,
    pub guessed: usize,
    pub asked: usize,
}

pub(super) fn write(ask: &Ask<'_>) -> Written {
    let questions = all_questions(&ask.form.kind);
    let guesses = guess(ask.results, &questions);
    let mut pen = Pen { ask, guesses: &guesses, next: 0, text: String::new() };
    pen.head();
    match &ask.form.kind {
        FormKind::DataSet { period_type, questions, attribute_combos } => {
            pen.report(period_type, attribute_combos);
            pen.values(6, "values", "dataElement", questions);
        }
        FormKind::Events { stage } => pen.event(stage),
        FormKind::Tracker { entity_type, attributes, stages } => {
            pen.tracker(entity_type, attributes, stages);
        }
    }
    pen.unused();
    let guessed = guesses.iter().filter(|guess| matches!(guess, Guess::Found { .. })).count();
    Written { text: pen.text, guessed, asked: questions.len() }
}

/// In the order in which they are written.
fn all_questions(kind: &FormKind) -> Vec<&Question> {
    match kind {
        FormKind::DataSet { questions, .. } => questions.iter().collect(),
        FormKind::Events { stage } => stage.questions.iter().collect(),
        FormKind::Tracker { attributes, stages, .. } => {
            attributes.iter().chain(stages.iter().flat_map(|stage| &stage.questions)).collect()
        }
    }
}

struct Pen<'a> {
    ask: &'a Ask<'a>,
    /// Of all questions, in the order in which they are written.
    guesses: &'a [Guess],
    /// The guess of the question that comes next.
    next: usize,
    text: String,
}

impl Pen<'_> {
    fn line(&mut self, indent: usize, text: &str) {
        self.text.push_str(&" ".repeat(indent));
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn head(&mut self) {
        let ask = self.ask;
        let what = match ask.form.kind {
            FormKind::DataSet { .. } => "data set",
            FormKind::Events { .. } => "event program",
            FormKind::Tracker { .. } => "tracker program",
        };
        let (flow, form) = (comment(ask.flow), comment(&ask.form.name));
        self.line(0, &format!("mapping: {}", ask.name));
        let description = format!("Answers of the flow \"{flow}\" become the DHIS2 {what} \"{form}\"");
        self.line(0, &format!("description: {}", quoted(&description)));
        self.line(0, "# Guessed from names and types: read each line. What stands behind # is not sent.");
        self.line(0, "from:");
        self.line(2, "resource: QuestionnaireResponse");
        self.line(2, &format!("flow: {}", quoted(ask.flow)));
        self.line(2, "status: [completed]");
        self.line(0, "with:");
        self.line(2, "# Who answered.");
        self.line(2, "contact: { contact: $.resource.source }");
        self.line(2, "# Where: this field of the contact holds the uid of the organisation unit (or `by: code`, `by: name`).");
        let field = path("contact.fields", ask.unit_field);
        self.line(2, &format!("unit: {{ orgUnit: {field} }}"));
        self.line(0, "to:");
    }

    fn open(&mut self, target: &str) {
        self.line(2, &format!("- {target}:"));
        if let Some(name) = self.ask.destination {
            self.line(6, &format!("destination: {}", quoted(name)));
        }
    }

    fn unit(&mut self) {
        self.line(6, "# Without it the report waits, and `mjumbe deliveries list` says for what.");
        self.line(6, "orgUnit: { path: $.unit.id, required: true }");
    }

    fn report(&mut self, period_type: &str, attribute_combos: &[(String, String)]) {
        let form = self.ask.form;
        self.open("dhis2.report");
        self.line(6, &format!("dataSet: {} # {}", form.uid, comment(&form.name)));
        self.unit();
        let shift = if period_type == "Daily" { 0 } else { -1 };
        self.line(
            6,
            "# -1: people report about the period before the one in which they answer; 0: about the same.",
        );
        self.line(6, &format!("period: {{ type: {period_type}, at: $.resource.authored, shift: {shift} }}"));
        if !attribute_combos.is_empty() {
            self.line(
                6,
                "# The data set tells reports apart. Say which this flow reports for, and take the # away:",
            );
            for (uid, name) in attribute_combos.iter().take(12) {
                self.line(6, &format!("# attributeOptionCombo: {uid} # {}", comment(name)));
            }
        }
        self.line(6, "# Registered once every value below is accepted; `false` leaves that to people.");
        let any = self.guesses.iter().any(|guess| matches!(guess, Guess::Found { .. }));
        self.line(6, &format!("complete: {any}"));
    }

    fn event(&mut self, stage: &Stage) {
        let form = self.ask.form;
        self.open("dhis2.event");
        self.line(6, &format!("program: {} # {}", form.uid, comment(&form.name)));
        self.line(6, &format!("programStage: {} # {}", stage.uid, comment(&stage.name)));
        self.unit();
        self.line(6, "occurredAt: $.resource.authored");
        self.line(6, "status: COMPLETED");
        self.values(6, "dataValues", "dataElement", &stage.questions);
    }

    fn tracker(&mut self, entity_type: &str, attributes: &[Question], stages: &[Stage]) {
        let form = self.ask.form;
        self.open("dhis2.tracker");
        self.line(6, &format!("type: {entity_type}"));
        self.unit();
        self.find(attributes);
        self.line(6, "enrollments:");
        self.line(8, &format!("- program: {} # {}", form.uid, comment(&form.name)));
        self.line(10, "enrolledAt: $.resource.authored");
        self.values(10, "attributes", "attribute", attributes);
        self.line(10, "events:");
        let before = self.text.len();
        for stage in stages {
            self.stage(stage);
        }
        let written = self.text.get(before..).unwrap_or_default();
        if written.lines().all(|line| line.trim_start().starts_with('#')) {
            self.text.insert_str(before - 1, " []");
        }
    }

    /// Who it is: attributes that no two share.
    fn find(&mut self, attributes: &[Question]) {
        self.line(6, "# What tells one from all others: it is looked for before it is made.");
        let unique: Vec<usize> = (0..attributes.len()).filter(|at| is_unique(attributes, *at)).collect();
        let found = unique.iter().any(|at| matches!(self.guesses.get(*at), Some(Guess::Found { .. })));
        self.line(6, if found { "find:" } else { "find: []" });
        for at in &unique {
            if let Some(question) = attributes.get(*at) {
                self.entry(8, "attribute", question, *at);
            }
        }
        if unique.is_empty() {
            self.line(
                8,
                "# No attribute of the program is unique: name those that together tell people apart, e.g.",
            );
            self.line(8, "# - { attribute: UID, value: $.answers.RESULT, weight: 1 }");
        }
    }

    /// A stage of which nothing was guessed is commented out as a whole.
    fn stage(&mut self, stage: &Stage) {
        let before = self.text.len();
        let guesses = self.guesses.iter().skip(self.next).take(stage.questions.len());
        let any = guesses.into_iter().any(|guess| matches!(guess, Guess::Found { .. }));
        self.line(12, &format!("- programStage: {} # {}", stage.uid, comment(&stage.name)));
        if stage.is_repeatable {
            self.line(14, "# Tells the events of this repeatable stage apart, e.g. the number of the dose.");
            self.line(14, "key: { path: $.resource.id }");
        }
        self.line(14, "occurredAt: $.resource.authored");
        self.line(14, "status: COMPLETED");
        self.values(14, "dataValues", "dataElement", &stage.questions);
        if any {
            return;
        }
        let own = self.text.split_off(before);
        self.line(12, &format!("# Nothing was guessed for the stage \"{}\":", comment(&stage.name)));
        for line in own.lines() {
            let line = line.strip_prefix(&" ".repeat(12)).unwrap_or(line);
            let text = if line.trim_start().starts_with('#') { line.to_owned() } else { format!("# {line}") };
            self.line(12, &text);
        }
    }

    /// `values:` and an entry for each question.
    fn values(&mut self, indent: usize, list: &str, key: &str, questions: &[Question]) {
        let from = self.next;
        self.next += questions.len();
        let own = self.guesses.get(from..self.next).unwrap_or_default();
        let found = own.iter().any(|guess| matches!(guess, Guess::Found { .. }));
        if found {
            self.line(indent, &format!("{list}:"));
        } else {
            self.line(indent, "# Take the [] away with the first # below.");
            self.line(indent, &format!("{list}: []"));
        }
        for (at, question) in questions.iter().enumerate() {
            self.entry(indent + 2, key, question, from + at);
        }
    }

    /// One question and what was guessed for it.
    fn entry(&mut self, indent: usize, key: &str, question: &Question, at: usize) {
        let about = about(question);
        match self.guesses.get(at) {
            Some(Guess::Found { result, fit }) => {
                let from = self.ask.results.get(*result).map(|it| comment(&it.name)).unwrap_or_default();
                self.line(indent, &format!("# {about}: the answer \"{from}\""));
                self.found(indent, key, question, &fit.lines);
            }
            Some(Guess::Several(results)) => {
                let could: Vec<String> = results
                    .iter()
                    .filter_map(|at| Some(path("answers", &self.ask.results.get(*at)?.key)))
                    .collect();
                self.line(indent, &format!("# {about}: could be {}. Choose one:", could.join(" or ")));
                self.open_line(indent, key, question);
            }
            _ => {
                let wanted = if question.is_mandatory {
                    "no answer is called alike, and it is compulsory"
                } else {
                    "no answer is called alike"
                };
                self.line(indent, &format!("# {about}: {wanted}. Name one for RESULT:"));
                self.open_line(indent, key, question);
            }
        }
    }

    fn found(&mut self, indent: usize, key: &str, question: &Question, lines: &[String]) {
        let first = lines.first().map(String::as_str).unwrap_or_default();
        if question.combo.is_none() && lines.len() == 1 {
            return self.line(indent, &format!("- {{ {key}: {}, value: {first} }}", question.uid));
        }
        self.line(indent, &format!("- {key}: {}", question.uid));
        if let Some((uid, name)) = &question.combo {
            self.line(indent + 2, &format!("categoryOptionCombo: {uid} # {}", comment(name)));
        }
        self.line(indent + 2, format!("value: {first}").trim_end());
        for line in lines.iter().skip(1) {
            self.line(indent + 4, line);
        }
    }

    /// The line to be filled in, behind a #.
    fn open_line(&mut self, indent: usize, key: &str, question: &Question) {
        let combo = question
            .combo
            .as_ref()
            .map(|(uid, _)| format!("categoryOptionCombo: {uid}, "))
            .unwrap_or_default();
        let value = example_value(question);
        self.line(indent, &format!("# - {{ {key}: {}, {combo}value: {value} }}", question.uid));
    }

    /// Results that nothing was made of.
    fn unused(&mut self) {
        let used = |at: usize| {
            self.guesses.iter().any(|guess| matches!(guess, Guess::Found { result, .. } if *result == at))
        };
        let results = self.ask.results.iter().enumerate();
        let left: Vec<String> = results
            .filter(|(at, result)| result.kind != "none" && !used(*at))
            .map(|(_, result)| format!("# {} ({})", path("answers", &result.key), result.kind))
            .collect();
        if !left.is_empty() {
            self.line(0, "# Answers of the flow that nothing above is made of:");
            left.iter().for_each(|line| self.line(0, line));
        }
        if self.ask.unit_field == UNIT_FIELD {
            self.line(0, "# `mjumbe setup rapidpro` makes the contact field if it is not there.");
        }
    }
}

fn is_unique(attributes: &[Question], at: usize) -> bool {
    attributes.get(at).is_some_and(|attribute| attribute.is_unique)
}

/// `Deaths, Female (INTEGER_ZERO_OR_POSITIVE; one of YES, NO)`
fn about(question: &Question) -> String {
    let name = question.form_name.as_deref().unwrap_or(&question.name);
    let combo = question.combo.as_ref().map(|(_, name)| format!(", {name}")).unwrap_or_default();
    let options = question.options.as_ref().map(|options| {
        let codes: Vec<&str> = options.iter().take(12).map(|(code, _)| code.as_str()).collect();
        format!("; one of {}{}", codes.join(", "), if options.len() > 12 { ", …" } else { "" })
    });
    comment(&format!("{name}{combo} ({}{})", question.value_type, options.unwrap_or_default()))
}

/// What is filled in, by value type.
fn example_value(question: &Question) -> String {
    const RESULT: &str = "$.answers.RESULT";
    if let Some(options) = &question.options {
        let code = options.first().map(|(code, _)| quoted(code)).unwrap_or_default();
        return format!("{{ path: {RESULT}, map: {{ CATEGORY: {code} }} }}");
    }
    match ValueType::named(&question.value_type) {
        ValueType::Integer
        | ValueType::IntegerPositive
        | ValueType::IntegerNegative
        | ValueType::IntegerZeroOrPositive => format!("{{ path: {RESULT}, type: integer }}"),
        ValueType::Number | ValueType::Percentage | ValueType::UnitInterval => {
            format!("{{ path: {RESULT}, type: number }}")
        }
        ValueType::Date => format!("{{ path: {RESULT}, type: date }}"),
        ValueType::Boolean | ValueType::TrueOnly => format!("{{ path: {RESULT}, type: boolean }}"),
        _ => RESULT.to_owned(),
    }
}
