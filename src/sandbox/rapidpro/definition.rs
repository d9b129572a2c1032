//! Flow definitions by hand: the monthly village report, the community case report, the immunization
//! follow-up, and a reminder that waits for no answer.
//!
//! Where a webhook is wanted, a node behind the last question calls it, as the flow editor builds it.

use serde_json::{Value, json};
use uuid::Uuid;

use self::form::{Form, Kind, Question};
use super::engine::WebhookShape;

// Builds definitions as the flow editor does.
mod form;

/// Five questions about a village's month.
pub const MONTHLY_REPORT: &str = "Monthly village report";
/// One case of a notifiable disease.
pub const CASE_REPORT: &str = "Community case report";
/// One dose that a child was given.
pub const IMMUNIZATION: &str = "Immunization follow-up";
/// Tells a caregiver when her child is due; asks nothing.
pub const REMINDER: &str = "Visit reminder";

/// A webhook at the end of the flow.
#[derive(Debug, Clone)]
pub struct Webhook {
    pub url: String,
    /// Sent as `Authorization: Bearer …`.
    pub secret: String,
    pub shape: WebhookShape,
}

const YES_NO: &[(&str, &str, &str)] = &[("yes", "Yes", "yes y oui yego"), ("no", "No", "no n non oya")];

const fn number(key: &'static str, name: &'static str, text: &'static str) -> Question {
    Question { key, name, text, kind: Kind::Number }
}

const fn choice(
    (key, name): (&'static str, &'static str),
    text: &'static str,
    options: &'static [(&'static str, &'static str, &'static str)],
) -> Question {
    Question { key, name, text, kind: Kind::Choice { options, waits_s: None } }
}

const MONTHLY: Form = Form {
    slug: "monthly-village-report",
    name: MONTHLY_REPORT,
    questions: &[
        number("fever_cases", "Fever cases", "How many people had fever last month?"),
        number("malaria_positive", "Malaria positive", "How many of them had a positive rapid test?"),
        number("deaths_female", "Deaths female", "How many women and girls died?"),
        number("deaths_male", "Deaths male", "How many men and boys died?"),
        Question {
            key: "stock_out",
            name: "Stock out",
            text: "Was any medicine out of stock?",
            kind: Kind::Choice { options: YES_NO, waits_s: Some(600) },
        },
    ],
    bye: "Thank you.",
};

const CASE: Form = Form {
    slug: "community-case-report",
    name: CASE_REPORT,
    questions: &[
        choice(
            ("disease", "Disease"),
            "Which disease: cholera, measles, polio or rabies?",
            &[
                ("cholera", "Cholera", "cholera kolera"),
                ("measles", "Measles", "measles rougeole iseru"),
                ("polio", "Polio", "polio paralysis paralysie"),
                ("rabies", "Rabies", "rabies rage"),
            ],
        ),
        number("age", "Age", "How old is the person, in years?"),
        choice(
            ("sex", "Sex"),
            "Female or male?",
            &[("female", "Female", "female f femme gore"), ("male", "Male", "male m homme gabo")],
        ),
        Question { key: "onset", name: "Onset", text: "When did it begin? (2026-11-20)", kind: Kind::Date },
        choice(("died", "Died"), "Did the person die?", YES_NO),
        Question {
            key: "notes",
            name: "Notes",
            text: "Anything else that we should know?",
            kind: Kind::Text,
        },
    ],
    bye: "Thank you, somebody will call you.",
};

const DOSE: Form = Form {
    slug: "immunization-follow-up",
    name: IMMUNIZATION,
    questions: &[
        Question {
            key: "child",
            name: "Child number",
            text: "What is the number on the card?",
            kind: Kind::Text,
        },
        choice(
            ("vaccine", "Vaccine"),
            "Which vaccine: BCG, penta, polio or measles?",
            &[
                ("bcg", "BCG", "bcg"),
                ("penta", "Pentavalent", "penta pentavalent"),
                ("opv", "Oral polio", "opv polio"),
                ("measles", "Measles", "measles rougeole iseru"),
            ],
        ),
        number("dose", "Dose", "Which dose is it: 1, 2 or 3?"),
        Question { key: "given", name: "Given on", text: "On which day was it given?", kind: Kind::Date },
        choice(("reaction", "Reaction"), "Was there a reaction?", YES_NO),
    ],
    bye: "Thank you.",
};

/// The monthly village report, spec 13.2.
pub fn monthly_report(webhook: Option<&Webhook>) -> Value {
    MONTHLY.definition(webhook)
}

/// The community case report.
pub fn case_report(webhook: Option<&Webhook>) -> Value {
    CASE.definition(webhook)
}

/// The immunization follow-up: one dose a run.
pub fn immunization(webhook: Option<&Webhook>) -> Value {
    DOSE.definition(webhook)
}

/// A reminder in three languages; a start gives it `visit_date`.
pub fn reminder() -> Value {
    let id =
        |of: &str| Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("visit-reminder/{of}").as_bytes()).to_string();
    let text = |text: &str| json!({ id("message"): { "text": [text] } });
    json!({ "_ui": { "nodes": {}, "stickies": {} }, "expire_after_minutes": 10080, "language": "eng",
        "localization": {
            "fra": text("Bonjour @contact.name, la visite est prévue le @trigger.params.visit_date."),
            "kin": text("Muraho @contact.name, muzaze ku itariki @trigger.params.visit_date.") },
        "metadata": {}, "name": REMINDER, "spec_version": "13.2.0", "type": "messaging", "uuid": id("flow"),
        "revision": 1,
        "nodes": [{ "uuid": id("node"),
            "actions": [{ "type": "send_msg", "uuid": id("message"), "attachments": [], "quick_replies": [],
                "text": "Hello @contact.name, the visit is due on @trigger.params.visit_date." }],
            "exits": [{ "uuid": id("exit"), "destination_uuid": null }] }] })
}
