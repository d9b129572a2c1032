//! Lists and single objects of metadata.

use serde_json::{Map, Value, json};

use super::super::http::{Answer, Request};
use super::super::time::millis;
use super::fields::{self, BadFilter, Field, Filter};
use super::gate::query_error;
use super::state::World;
use super::summary::{coded, shown, tomcat_page};

/// `GET /api/COLLECTION`: fields, filters, order, paging.
pub(super) fn list(world: &World, request: &Request, collection: &str) -> Answer {
    let collection = collection.strip_suffix(".json").unwrap_or(collection);
    let Some(mut objects) = world.country.collection(collection) else {
        return tomcat_page(world.version, 404);
    };
    let filters: Vec<&str> = request.parameters("filter").collect();
    if let Err(answer) = keep(world, &mut objects, &filters, request.parameter("rootJunction")) {
        return answer;
    }
    order(&mut objects, request.parameter("order"));
    let fields = fields::parse(request.parameter("fields").unwrap_or("id,displayName"));
    let show = |objects: &[Value]| -> Vec<Value> {
        objects.iter().map(|object| fields::show(&world.country, object, &fields)).collect()
    };
    if request.parameter("paging") == Some("false") || request.flag("skipPaging") {
        return shown(&json!({ collection: show(&objects) }));
    }
    let number = |name: &str, otherwise: usize| {
        request
            .parameter(name)
            .and_then(|text| text.parse().ok())
            .filter(|number| *number > 0)
            .unwrap_or(otherwise)
    };
    let (size, wanted) = (number("pageSize", 50), number("page", 1));
    let pages = objects.len().div_ceil(size);
    let from = (wanted - 1).saturating_mul(size).min(objects.len());
    let part = objects.get(from..(from + size).min(objects.len())).unwrap_or(&[]);
    let page = wanted.min(pages.max(1));
    let mut pager = json!({ "page": page, "total": objects.len(), "pageSize": size });
    if page < pages {
        pager["nextPage"] = page_link(request, page + 1).into();
    }
    if page > 1 {
        pager["prevPage"] = page_link(request, page - 1).into();
    }
    pager["pageCount"] = pages.into();
    shown(&json!({ "pager": pager, collection: show(part) }))
}

fn page_link(request: &Request, page: usize) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("page", &page.to_string());
    for (key, value) in request.query.iter().filter(|(key, _)| key != "page") {
        query.append_pair(key, value);
    }
    format!("{}{}?{}", request.base, request.path, query.finish())
}

fn order(objects: &mut [Value], order: Option<&str>) {
    let (name, down) = match order.map(|order| order.split_once(':').unwrap_or((order, "asc"))) {
        Some((name, direction)) => (name, direction.ends_with("desc")),
        None => ("name", false),
    };
    objects.sort_by_cached_key(|object| object[name].as_str().unwrap_or("").to_lowercase());
    if down {
        objects.reverse();
    }
}

fn keep(
    world: &World,
    objects: &mut Vec<Value>,
    filters: &[&str],
    junction: Option<&str>,
) -> Result<(), Answer> {
    let mut read = Vec::new();
    for text in filters {
        match Filter::parse(text) {
            Ok(filter) => read.push(filter),
            Err(BadFilter::Property(name)) => {
                return Err(query_error(world.version, &format!("Unknown path property: {name}")));
            }
            Err(BadFilter::Operator(name)) => {
                return Err(query_error(world.version, &format!("`{name}` is not a valid operator.")));
            }
        }
    }
    let any = junction == Some("OR") && !read.is_empty();
    objects.retain(|object| {
        let mut tests = read.iter().map(|filter| filter.holds(&world.country, object));
        if any { tests.any(|holds| holds) } else { tests.all(|holds| holds) }
    });
    Ok(())
}

/// `GET /api/COLLECTION/ID`, organisation units with descendants.
pub(super) fn one(world: &World, request: &Request, collection: &str, id: &str) -> Answer {
    if world.country.collection(collection).is_none() {
        return tomcat_page(world.version, 404);
    }
    if collection == "organisationUnits" && request.flag("includeDescendants") {
        let fields = fields::parse(request.parameter("fields").unwrap_or("id,displayName"));
        let below: Vec<Value> = world
            .country
            .units
            .iter()
            .filter(|unit| unit.path.split('/').any(|part| part == id))
            .filter_map(|unit| world.country.object(&unit.id))
            .map(|unit| fields::show(&world.country, &unit, &fields))
            .collect();
        return shown(&json!({ "organisationUnits": below }));
    }
    let singular = collection.strip_suffix("ies").map(|stem| format!("{stem}y"));
    let singular = singular.unwrap_or_else(|| collection.strip_suffix('s').unwrap_or(collection).to_owned());
    single(world, request, &capital(&singular), id)
}

/// Any object by uid.
pub(super) fn single(world: &World, request: &Request, kind: &str, id: &str) -> Answer {
    match world.country.object(id) {
        Some(object) => shown(&fields_of(world, request, &object)),
        None => coded(404, &format!("{kind} with id {id} could not be found."), "E1005"),
    }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// An object with the fields that the request asks for; all of them where it does not say.
pub(super) fn fields_of(world: &World, request: &Request, object: &Value) -> Value {
    let fields = request.parameter("fields").map_or_else(|| vec![Field::All], fields::parse);
    fields::show(&world.country, object, &fields)
}

/// `GET /api/COLLECTION/gist`: no totals, and a next page even on the last one.
pub(super) fn gist(world: &World, request: &Request, collection: &str) -> Answer {
    let Some(mut objects) = world.country.collection(collection) else {
        return tomcat_page(world.version, 404);
    };
    let filters: Vec<&str> = request.parameters("filter").collect();
    if let Err(answer) = keep(world, &mut objects, &filters, None) {
        return answer;
    }
    let fields = fields::parse(request.parameter("fields").unwrap_or("id,name"));
    let size = request.parameter("pageSize").and_then(|text| text.parse().ok()).unwrap_or(50_usize).max(1);
    let page = request.parameter("page").and_then(|text| text.parse().ok()).unwrap_or(1_usize).max(1);
    let part: Vec<Value> = objects
        .iter()
        .skip((page - 1) * size)
        .take(size)
        .map(|object| fields::show(&world.country, object, &fields))
        .collect();
    let pager = json!({ "page": page, "pageSize": size, "nextPage": page_link(request, page + 1) });
    shown(&json!({ "pager": pager, collection: part }))
}

/// `GET /api/metadata?dataElements:fields=…&dataElements:filter=…`, or `dataElements=true&fields=…`.
pub(super) fn selective(world: &World, request: &Request) -> Answer {
    let mut answer = Map::new();
    let date = format!("{}+0000", millis(jiff::Timestamp::now()));
    let system = json!({ "id": "4823d760-c836-43d2-8b7e-4f0b040ca7ec", "rev": "sandbox",
        "version": world.version.text(), "date": date });
    answer.insert("system".to_owned(), system);
    let names = [
        "organisationUnits",
        "categoryOptions",
        "optionSets",
        "categories",
        "dataElements",
        "dataSets",
        "categoryOptionCombos",
        "categoryCombos",
        "organisationUnitLevels",
        "trackedEntityAttributes",
        "trackedEntityTypes",
        "relationshipTypes",
        "programStages",
        "programs",
        "options",
    ];
    for name in names {
        let own_fields = request.parameter(&format!("{name}:fields")).map(str::to_owned);
        let own_filter = format!("{name}:filter");
        let mut filters: Vec<&str> = request.parameters(&own_filter).collect();
        if own_fields.is_none() && filters.is_empty() && !request.flag(name) {
            continue;
        }
        filters.extend(request.parameters("filter"));
        let Some(mut objects) = world.country.collection(name) else { continue };
        if let Err(answer) = keep(world, &mut objects, &filters, None) {
            return answer;
        }
        let asked = own_fields.or_else(|| request.parameter("fields").map(str::to_owned));
        let fields = fields::parse(asked.as_deref().unwrap_or(":owner"));
        let shown: Vec<Value> =
            objects.iter().map(|object| fields::show(&world.country, object, &fields)).collect();
        if !shown.is_empty() {
            answer.insert(name.to_owned(), shown.into());
        }
    }
    shown(&answer.into())
}
