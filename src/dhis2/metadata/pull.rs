//! Reads an instance's metadata in few requests, page by page.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::document::{Document, SYSTEM};
use super::scope::Scope;
use crate::delivery::destination::{Failure, FailureKind, Reason};
use crate::dhis2::answer::{Meaning, Parsed, classify};
use crate::dhis2::client::{Client, Request};
use crate::dhis2::version::{Generation, Version};

/// What is asked of each kind: kind, list, size of a page, fields. A data set and a program name every
/// organisation unit they are assigned to, so their pages are small.
type List = (&'static str, &'static str, u32, &'static str);

const COMBOS: List = (
    "dhis2.categoryCombo",
    "categoryCombos",
    50,
    "id,code,name,isDefault,dataDimensionType,\
     categoryOptionCombos[id,code,name,categoryOptions[id,code,name]]",
);
const OPTION_SETS: List =
    ("dhis2.optionSet", "optionSets", 100, "id,code,name,valueType,options[id,code,name]");
const DATA_SETS: List = (
    "dhis2.dataSet",
    "dataSets",
    20,
    "id,code,name,periodType,expiryDays,openFuturePeriods,dataInputPeriods[period[id]],\
     categoryCombo[id],dataSetElements[dataElement[id,code,name,valueType,zeroIsSignificant,\
     aggregationType,optionSet[id],categoryCombo[id]],categoryCombo[id]],organisationUnits[id]",
);
const UNITS: List = (
    "dhis2.organisationUnit",
    "organisationUnits",
    1000,
    "id,code,name,shortName,level,path,parent[id],openingDate,closedDate,\
     attributeValues[value,attribute[id]]",
);
const PROGRAMS: List = (
    "dhis2.program",
    "programs",
    10,
    "id,code,name,programType,trackedEntityType[id],onlyEnrollOnce,displayIncidentDate,\
     selectEnrollmentDatesInFuture,selectIncidentDatesInFuture,expiryDays,categoryCombo[id],\
     organisationUnits[id],programTrackedEntityAttributes[mandatory,trackedEntityAttribute[id,code,name,\
     valueType,unique,generated,pattern,optionSet[id]]],programStages[id,code,name,repeatable,\
     programStageDataElements[compulsory,dataElement[id,code,name,valueType,zeroIsSignificant,\
     optionSet[id],categoryCombo[id]]]]",
);
const TYPES: List = (
    "dhis2.trackedEntityType",
    "trackedEntityTypes",
    50,
    "id,code,name,trackedEntityTypeAttributes[mandatory,trackedEntityAttribute[id,code,name,valueType,\
     unique,generated,pattern,optionSet[id]]]",
);
const RELATIONSHIP_TYPES: List = (
    "dhis2.relationshipType",
    "relationshipTypes",
    50,
    "id,code,name,bidirectional,fromConstraint[relationshipEntity],toConstraint[relationshipEntity]",
);

/// No list has more pages than this.
const PAGES_MAX: u32 = 2_000;
/// Uids in one question, so that its address stays short.
const UIDS: usize = 50;

/// Everything that is mirrored: data sets and organisation units, the programs and types in `scope`, and
/// the option sets and combos that these use.
///
/// # Errors
/// [`Failure`]: DHIS2 did not answer, or an answer is not what it gives. Nothing of a broken pull is kept.
pub async fn pull(client: &Client, scope: &Scope) -> Result<Vec<Document>, Failure> {
    let mut documents = vec![system(client).await?];
    documents.extend(pages(client, DATA_SETS, None).await?);
    documents.extend(pages(client, UNITS, None).await?);
    let programs = named(client, PROGRAMS, &scope.programs).await?;
    let mut types = scope.types.clone();
    types.extend(
        programs.iter().filter_map(|one| one.body["trackedEntityType"]["id"].as_str()).map(str::to_owned),
    );
    documents.extend(programs);
    documents.extend(named(client, TYPES, &types).await?);
    documents.extend(named(client, RELATIONSHIP_TYPES, &scope.relationship_types).await?);
    let (mut option_sets, mut combos) = (BTreeSet::new(), BTreeSet::new());
    for document in &documents {
        collect(&document.body, "optionSet", &mut option_sets);
        collect(&document.body, "categoryCombo", &mut combos);
    }
    documents.extend(named(client, OPTION_SETS, &option_sets).await?);
    documents.extend(named(client, COMBOS, &combos).await?);
    Ok(documents)
}

/// The uids under a key at any depth.
fn collect(json: &Value, key: &str, uids: &mut BTreeSet<String>) {
    match json {
        Value::Object(fields) => {
            if let Some(uid) = fields.get(key).and_then(|it| it["id"].as_str()) {
                uids.insert(uid.to_owned());
            }
            fields.values().for_each(|value| collect(value, key, uids));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, key, uids)),
        _ => {}
    }
}

/// The objects with these uids, as far as the account may see them.
async fn named(client: &Client, list: List, uids: &BTreeSet<String>) -> Result<Vec<Document>, Failure> {
    let uids: Vec<&str> = uids.iter().map(String::as_str).collect();
    let mut documents = Vec::new();
    for uids in uids.chunks(UIDS) {
        let filter = format!("id:in:[{}]", uids.join(","));
        documents.extend(pages(client, list, Some(filter)).await?);
    }
    Ok(documents)
}

async fn pages(
    client: &Client,
    (kind, list, size, fields): List,
    filter: Option<String>,
) -> Result<Vec<Document>, Failure> {
    let mut documents = Vec::new();
    for page in 1..=PAGES_MAX {
        let mut query = vec![
            ("fields", fields.to_owned()),
            ("order", "id:asc".to_owned()),
            ("page", page.to_string()),
            ("pageSize", size.to_string()),
        ];
        query.extend(filter.clone().map(|filter| ("filter", filter)));
        let answer = get(client, list, query).await?;
        let objects = answer.get(list).and_then(Value::as_array).ok_or_else(|| strange(list))?;
        documents.extend(objects.iter().filter_map(|object| Document::of(kind, object.clone())));
        let pages = answer["pager"]["pageCount"].as_u64().unwrap_or(1);
        if u64::from(page) >= pages || objects.is_empty() {
            break;
        }
    }
    Ok(documents)
}

/// Version, calendar, zone, and what the account may do.
async fn system(client: &Client) -> Result<Document, Failure> {
    let info = get(client, "system/info", Vec::new()).await?;
    if info["version"].as_str().and_then(Version::parse).is_none() {
        return Err(strange("system/info"));
    }
    let account = get(client, "me", vec![("fields", "id,authorities".to_owned())]).await?;
    let body = json!({
        "version": info["version"],
        "calendar": info["calendar"],
        "serverTimeZoneId": info["serverTimeZoneId"],
        "systemId": info["systemId"],
        "authorities": account["authorities"],
    });
    Ok(Document { kind: "dhis2.system", uid: SYSTEM.to_owned(), body })
}

/// A read that must give JSON.
///
/// # Errors
/// [`Failure`], as the table of answers has it.
pub async fn get(client: &Client, path: &str, query: Vec<(&str, String)>) -> Result<Value, Failure> {
    let (response, _) = client.send(Request::get(path, query)).await;
    let response = response?;
    if response.status == 200
        && let Ok(json @ Value::Object(_)) = serde_json::from_str(&response.body)
    {
        return Ok(json);
    }
    let row = classify(&Parsed::of(&response), Generation::Classic);
    let kind = match row.meaning {
        Meaning::Failed { kind, .. } => kind,
        _ => FailureKind::Unavailable,
    };
    Err(Failure { kind, reason: row.reason(), unclear: false, retry_after: response.retry_after })
}

fn strange(path: &str) -> Failure {
    Failure {
        kind: FailureKind::Unavailable,
        reason: Reason::new(
            "dhis2-metadata-unreadable",
            format!("/api/{path} does not answer as DHIS2 does"),
            "the url must be the one of a DHIS2 instance, without /api",
        ),
        unclear: false,
        retry_after: None,
    }
}
