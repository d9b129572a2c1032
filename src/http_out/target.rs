//! `http.post` in mapping files.
//!
//! **Pure.** One part whose `wanted` is the request: path and body.

use serde_json::{Map, Value, json};

use crate::mapping::output::{Issue, Nature, Output, Part, Withdraw};
use crate::mapping::target::{Complaint, Evaluated, Field, Kind, Shape, Target};

/// The target's name.
pub const KIND: &str = "http.post";
const PATH_HINT: &str = "a path below the configured address, such as `alerts/new?kind=stock`";
const PATH_BYTES_MAX: usize = 2_000;

/// The target.
#[derive(Debug, Clone, Copy, Default)]
pub struct Post;

impl Target for Post {
    fn kind(&self) -> &'static str {
        KIND
    }

    fn doc(&self) -> &'static str {
        "Posts JSON to an HTTP endpoint, once, with the delivery's id as Idempotency-Key."
    }

    fn nature(&self) -> Nature {
        Nature::Act
    }

    fn shape(&self) -> Shape {
        let field = |name, doc, required, kind| Field { name, doc, required, kind };
        let body = "The body as JSON; `{ $value: VALUE }` stands for a value. What is absent vanishes.";
        Shape {
            fields: vec![
                field(
                    "path",
                    "Path below the endpoint's address; the address itself without it.",
                    false,
                    Kind::Value,
                ),
                field("body", body, true, Kind::Outline),
            ],
        }
    }

    fn withdraw(&self) -> Withdraw {
        Withdraw::Keep
    }

    fn check(&self, literals: &Value) -> Vec<Complaint> {
        let path = literals.get("path").and_then(Value::as_str);
        let wrong = path.and_then(|path| bad_path(path).err());
        let complaint = |message: &str| Complaint {
            field: "path".to_owned(),
            message: message.to_owned(),
            hint: Some(PATH_HINT.to_owned()),
        };
        wrong.map(complaint).into_iter().collect()
    }

    fn build(&self, entry: &Evaluated<'_>) -> Result<(Output, Vec<Issue>), Vec<Issue>> {
        let issue = |code: &str, message: &str, hint: &str| {
            vec![Issue::error(code, message, entry.context.place).with_hint(hint)]
        };
        if entry.faulty {
            let message = "a value of the request could not be computed: nothing is posted";
            return Err(issue("post-incomplete", message, "see the other issues of this entry"));
        }
        let path = match entry.fields.get("path") {
            None => String::new(),
            Some(Value::String(path)) => path.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(issue("post-without-path", "`path` gave nothing", PATH_HINT)),
        };
        bad_path(&path).map_err(|message| issue("post-path-invalid", message, PATH_HINT))?;
        let body = entry.fields.get("body").filter(|body| !body.is_null());
        let Some(body) = body else {
            return Err(issue("post-empty", "the body has nothing in it", "`when: …` leaves out such cases"));
        };
        Ok((output(entry, json!({ "path": path, "body": body })), Vec::new()))
    }

    fn preview(&self, output: &Output) -> Value {
        output.parts.first().map(|part| part.wanted.clone()).unwrap_or_default()
    }
}

fn output(entry: &Evaluated<'_>, wanted: Value) -> Output {
    Output {
        target: KIND.to_owned(),
        target_id: entry.target_id.to_owned(),
        destination: entry.destination.to_owned(),
        nature: Nature::Act,
        key: entry.key.to_owned(),
        // Posts because of one source come in their order.
        lane: entry.context.source.to_owned(),
        body: Value::Object(Map::new()),
        parts: vec![Part { slot: format!("act|{KIND}"), wanted, last: false }],
        contributions: Vec::new(),
        withdraw: entry.withdraw,
        needs: entry.needs.to_vec(),
        authored_ms: entry.context.authored_ms,
        link: None,
        write_back: false,
        act: None,
    }
}

/// A path that stays below the configured address, whatever the data.
fn bad_path(path: &str) -> Result<(), &'static str> {
    let bare = path.split(['?', '#']).next().unwrap_or_default();
    if path.len() > PATH_BYTES_MAX {
        return Err("the path is longer than 2,000 bytes");
    }
    if bare.contains("://") || bare.starts_with("//") || path.contains(['\\', '#']) {
        return Err("the path names another address, or has a sign that a path cannot have");
    }
    let dots = |part: &str| matches!(part.replace("%2e", ".").replace("%2E", ".").as_str(), "." | "..");
    if bare.split('/').any(dots) || path.chars().any(char::is_control) {
        return Err("the path has `.`, `..` or a control character in it");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_the_address() {
        for good in ["", "alerts", "/a/b?c=../d", "a/b.c/..d", "a:b"] {
            assert_eq!(bad_path(good), Ok(()), "{good}");
        }
        for bad in
            ["../admin", "a/../../b", "a/%2e%2E/b", "https://e.org", "//e.org/a", "a\\b", "a#b", "a\nb"]
        {
            assert!(bad_path(bad).is_err(), "{bad}");
        }
    }
}
