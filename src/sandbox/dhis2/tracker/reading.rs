//! Lists and single objects.
//!
//! 2.40 and 2.43 differ in the names of parameters, in paging, and in what they refuse. 2.43 ignores what
//! it does not know, so that an old name makes its answer wider than what was asked.

use serde_json::{Value, json};

use self::query::Scope;
use super::super::super::http::{Answer, Request};
use super::super::super::time;
use super::super::fields::{self, Field};
use super::super::state::{User, World};
use super::super::summary::{coded, message, shown, tomcat_page};
use super::incoming::is_uid;
use super::is_old;
use super::state::{Common, Kind};

// Parameters.
mod query;
// Which objects a list holds.
mod select;
// Objects as they are shown.
mod show;

/// Which list is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Entities,
    Enrollments,
    Events,
    Relationships,
    /// Since 2.43: only events of event programs, or only those of tracker programs.
    SingleEvents,
    TrackerEvents,
}

impl List {
    fn named(world: &World, name: &str) -> Option<Self> {
        Some(match name {
            "trackedEntities" => Self::Entities,
            "enrollments" => Self::Enrollments,
            "events" => Self::Events,
            "relationships" => Self::Relationships,
            "singleEvents" if !is_old(world.version) => Self::SingleEvents,
            "trackerEvents" if !is_old(world.version) => Self::TrackerEvents,
            _ => return None,
        })
    }

    fn kind(self) -> Kind {
        match self {
            Self::Entities => Kind::Entity,
            Self::Enrollments => Kind::Enrollment,
            Self::Events | Self::SingleEvents | Self::TrackerEvents => Kind::Event,
            Self::Relationships => Kind::Relationship,
        }
    }

    /// What is shown of an object where the request does not say.
    fn default_fields(self) -> &'static str {
        match self {
            Self::Entities => "*,!relationships,!enrollments,!events,!programOwners",
            Self::Enrollments => "*,!relationships,!events,!attributes",
            Self::Events | Self::SingleEvents | Self::TrackerEvents => "*,!relationships",
            Self::Relationships => "relationship,relationshipType,from,to",
        }
    }
}

/// `GET /api/tracker/…`
pub(super) fn read(world: &World, request: &Request, user: &User, parts: &[&str]) -> Answer {
    let found = parts.first().and_then(|name| Some((List::named(world, name)?, *name)));
    let Some((list, name)) = found else { return tomcat_page(world.version, 404) };
    if request.method != "GET" {
        let verb = if is_old(world.version) { "not supported" } else { "is not supported" };
        return message(405, &format!("Request method '{}' {verb}", request.method));
    }
    let answer = match parts {
        [_] => whole_list(world, request, user, (list, name)),
        [_, uid] => one(world, request, list, uid),
        [_, uid, "changeLogs"] if !is_old(world.version) && is_uid(uid) => {
            Ok(shown(&json!({ "pager": { "page": 1, "pageSize": 50 }, "changeLogs": [] })))
        }
        _ => Ok(tomcat_page(world.version, 404)),
    };
    answer.unwrap_or_else(|refusal| refusal)
}

fn one(world: &World, request: &Request, list: List, uid: &str) -> Result<Answer, Answer> {
    if !is_old(world.version) && !is_uid(uid) {
        let text = format!(
            "Value '{uid}' is not valid for path parameter uid. UID must be an alphanumeric string of 11 characters starting with a letter, but was: {uid}"
        );
        return Err(message(400, &text));
    }
    let own = match list {
        List::SingleEvents => world.tracker.events.get(uid).is_some_and(|own| own.enrollment.is_none()),
        List::TrackerEvents => world.tracker.events.get(uid).is_some_and(|own| own.enrollment.is_some()),
        _ => true,
    };
    if !own || !world.tracker.holds(list.kind(), uid) {
        let what = match list {
            List::Entities if is_old(world.version) => "TrackedEntityInstance",
            List::Entities => "TrackedEntity",
            List::Enrollments => "Enrollment",
            List::Relationships => "Relationship",
            _ => "Event",
        };
        return Err(coded(404, &format!("{what} with id {uid} could not be found."), "E1005"));
    }
    let object = show::object(world, list, uid, request.parameter("program"));
    Ok(shown(&fields::show(&world.country, &object, &wanted_fields(request, list))))
}

fn wanted_fields(request: &Request, list: List) -> Vec<Field> {
    fields::parse(request.parameter("fields").unwrap_or_else(|| list.default_fields()))
}

fn whole_list(
    world: &World,
    request: &Request,
    user: &User,
    (list, name): (List, &str),
) -> Result<Answer, Answer> {
    query::check(world, request, user, list)?;
    let scope = Scope::read(world, request, user, list)?;
    let mut uids = select::select(world, request, list, &scope)?;
    order(world, request, list, &mut uids)?;
    let fields = wanted_fields(request, list);
    let page = Page::read(world, request, uids.len());
    let shown_part: Vec<Value> = uids
        .iter()
        .skip(page.from)
        .take(page.size)
        .map(|uid| {
            let object = show::object(world, list, uid, request.parameter("program"));
            fields::show(&world.country, &object, &fields)
        })
        .collect();
    Ok(shown(&page.show(world, request, name, shown_part)))
}

/// Objects as the list orders them; of an unknown order the old server complains.
fn order(world: &World, request: &Request, list: List, uids: &mut [String]) -> Result<(), Answer> {
    let Some(common) = request.parameter("order") else {
        uids.sort_by_key(|uid| std::cmp::Reverse(default_order(world, list, uid)));
        if is_old(world.version) && matches!(list, List::Entities | List::Enrollments) {
            uids.reverse();
        }
        return Ok(());
    };
    let (name, direction) = common.split_once(':').unwrap_or((common, "asc"));
    let time_of = |uid: &String| {
        let common = common_of(world, list.kind(), uid);
        let at = match name {
            "createdAt" => common.map(|own| own.created),
            "occurredAt" => world.tracker.events.get(uid).and_then(|own| own.occurred),
            "enrolledAt" => world.tracker.enrollments.get(uid).and_then(|own| own.enrolled),
            _ => common.map(|own| own.updated),
        };
        (at, common.map(|own| own.number))
    };
    if !["createdAt", "updatedAt", "occurredAt", "enrolledAt"].contains(&name) {
        let text = format!(
            "order parameter is invalid. Cannot order by '{name}'. Supported are attribute UIDs and fields 'createdAt, createdAtClient, enrolledAt, inactive, trackedEntity, updatedAt, updatedAtClient'. All of which can at most be specified once."
        );
        return Err(coded(400, &text, "E1003"));
    }
    uids.sort_by_key(time_of);
    if direction.eq_ignore_ascii_case("desc") {
        uids.reverse();
    }
    Ok(())
}

/// By age; since 2.41 events by the day on which they occurred.
fn default_order(world: &World, list: List, uid: &str) -> (Option<jiff::Timestamp>, u64) {
    let occurred = match list.kind() {
        Kind::Event if !is_old(world.version) => world.tracker.events.get(uid).and_then(|own| own.occurred),
        _ => None,
    };
    (occurred, common_of(world, list.kind(), uid).map_or(0, |own| own.number))
}

fn common_of<'a>(world: &'a World, kind: Kind, uid: &str) -> Option<&'a Common> {
    match kind {
        Kind::Entity => world.tracker.entities.get(uid).map(|own| &own.common),
        Kind::Enrollment => world.tracker.enrollments.get(uid).map(|own| &own.common),
        Kind::Event => world.tracker.events.get(uid).map(|own| &own.common),
        Kind::Relationship => world.tracker.relationships.get(uid).map(|own| &own.common),
    }
}

/// A part of a list.
struct Page {
    from: usize,
    size: usize,
    number: usize,
    total: usize,
    /// `None` where everything is shown.
    paged: bool,
}

impl Page {
    fn read(world: &World, request: &Request, total: usize) -> Self {
        let number_of = |name: &str, otherwise: usize| {
            let given = request.parameter(name).and_then(|text| text.parse().ok());
            given.filter(|number| *number > 0).unwrap_or(otherwise)
        };
        let whole = if is_old(world.version) {
            request.flag("skipPaging")
        } else {
            request.parameter("paging") == Some("false")
        };
        if whole {
            return Self { from: 0, size: total, number: 1, total, paged: false };
        }
        let (number, size) = (number_of("page", 1), number_of("pageSize", 50));
        Self { from: (number - 1).saturating_mul(size), size, number, total, paged: true }
    }

    fn show(&self, world: &World, request: &Request, name: &str, part: Vec<Value>) -> Value {
        let pages = self.total.div_ceil(self.size.max(1));
        if is_old(world.version) {
            if !self.paged {
                return json!({ "instances": part });
            }
            if request.flag("totalPages") {
                return json!({ "page": self.number, "total": self.total, "pageCount": pages,
                    "pageSize": self.size, "instances": part });
            }
            return json!({ "page": self.number, "pageSize": self.size, "instances": part });
        }
        if !self.paged {
            return json!({ name: part });
        }
        let mut pager = json!({ "page": self.number, "pageSize": self.size });
        if request.flag("totalPages") {
            pager["total"] = self.total.into();
            pager["pageCount"] = pages.into();
        }
        if self.number > 1 {
            pager["prevPage"] = link(request, self.number - 1).into();
        }
        if self.number < pages {
            pager["nextPage"] = link(request, self.number + 1).into();
        }
        json!({ "pager": pager, name: part })
    }
}

fn link(request: &Request, page: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (key, value) in request.query.iter().filter(|(key, _)| key != "page") {
        query.append_pair(key, value);
    }
    query.append_pair("page", &page.to_string());
    format!("{}{}?{}", request.base, request.path, query.finish())
}

/// A parameter that is a moment; `None` where it is absent.
fn moment(request: &Request, name: &str) -> Result<Option<jiff::Timestamp>, Answer> {
    let Some(given) = request.parameter(name) else { return Ok(None) };
    time::parse(given).map(Some).ok_or_else(|| {
        let text = format!("Value '{given}' is not valid for parameter {name}. Invalid format: \"{given}\"");
        message(400, &text)
    })
}
