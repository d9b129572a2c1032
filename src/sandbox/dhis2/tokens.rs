//! Personal access tokens as their owner sees them: never their text.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::super::http::{Answer, Request};
use super::super::time::millis;
use super::Version;
use super::fields::{self, Field};
use super::state::{User, World};
use super::summary::{coded, shown};

/// How long a token lives where nobody says otherwise.
const LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// `GET /api/apiToken`: the caller's own tokens.
pub(super) fn list(world: &World, request: &Request, user: &User) -> Answer {
    let fields = fields::parse(request.parameter("fields").unwrap_or("id"));
    let tokens: Vec<Value> =
        all(world, user).iter().map(|token| fields::show(&world.country, token, &fields)).collect();
    let mut body = Map::new();
    if request.parameter("paging") != Some("false") {
        let pager = json!({ "page": 1, "total": tokens.len(), "pageSize": 50, "pageCount": 1 });
        body.insert("pager".to_owned(), pager);
    }
    body.insert("apiToken".to_owned(), tokens.into());
    shown(&body.into())
}

/// `GET /api/apiToken/ID`
pub(super) fn one(world: &World, request: &Request, user: &User, id: &str) -> Answer {
    let fields = request.parameter("fields").map_or_else(|| vec![Field::All], fields::parse);
    match all(world, user).iter().find(|token| token["id"] == id) {
        Some(token) => shown(&fields::show(&world.country, token, &fields)),
        None => coded(404, &format!("ApiToken with id {id} could not be found."), "E1005"),
    }
}

fn all(world: &World, user: &User) -> Vec<Value> {
    let kind = match world.version {
        Version::V2_40 => "PERSONAL_ACCESS_TOKEN",
        Version::V2_43 => "PERSONAL_ACCESS_TOKEN_V2",
    };
    let owner = json!({ "id": user.id, "code": user.name, "name": user.name, "displayName": user.name,
        "username": user.name });
    let tokens = user.tokens.iter().enumerate();
    tokens
        .map(|(at, token)| {
            let expire = token.expire.as_millisecond();
            let created = millis(token.expire.checked_sub(LIFE).unwrap_or(Timestamp::UNIX_EPOCH));
            json!({ "id": format!("MjToken{at:04}"), "created": created, "lastUpdated": created,
                "createdBy": owner, "user": owner, "version": 2, "type": kind, "expire": expire,
                "attributes": [] })
        })
        .collect()
}

/// A token of an account.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub text: String,
    pub expire: Timestamp,
}

impl Token {
    /// A token that was made now.
    pub fn new(text: &str) -> Self {
        let now = Timestamp::now();
        Self { text: text.to_owned(), expire: now.checked_add(LIFE).unwrap_or(now) }
    }
}
