//! Reads an instance's metadata in few requests, page by page.

use serde_json::{Value, json};

use super::document::{Document, SYSTEM};
use crate::delivery::destination::{Failure, FailureKind, Reason};
use crate::dhis2::answer::{Meaning, Parsed, classify};
use crate::dhis2::client::{Client, Request};
use crate::dhis2::version::{Generation, Version};

/// What is asked for, with the size of a page. A data set names every organisation unit it is assigned
/// to, so its pages are small.
const LISTS: [(&str, &str, u32, &str); 4] = [
    (
        "dhis2.categoryCombo",
        "categoryCombos",
        50,
        "id,code,name,isDefault,dataDimensionType,\
         categoryOptionCombos[id,code,name,categoryOptions[id,code,name]]",
    ),
    ("dhis2.optionSet", "optionSets", 100, "id,code,name,valueType,options[id,code,name]"),
    (
        "dhis2.dataSet",
        "dataSets",
        20,
        "id,code,name,periodType,expiryDays,openFuturePeriods,dataInputPeriods[period[id]],\
         categoryCombo[id],dataSetElements[dataElement[id,code,name,valueType,zeroIsSignificant,\
         aggregationType,optionSet[id],categoryCombo[id]],categoryCombo[id]],organisationUnits[id]",
    ),
    (
        "dhis2.organisationUnit",
        "organisationUnits",
        1000,
        "id,code,name,shortName,level,path,parent[id],openingDate,closedDate,\
         attributeValues[value,attribute[id]]",
    ),
];

/// No list has more pages than this.
const PAGES_MAX: u32 = 2_000;

/// Everything that is mirrored.
///
/// # Errors
/// [`Failure`]: DHIS2 did not answer, or an answer is not what it gives. Nothing of a broken pull is kept.
pub async fn pull(client: &Client) -> Result<Vec<Document>, Failure> {
    let mut documents = vec![system(client).await?];
    for (kind, list, size, fields) in LISTS {
        let mut page = 1;
        loop {
            let query = vec![
                ("fields", fields.to_owned()),
                ("order", "id:asc".to_owned()),
                ("page", page.to_string()),
                ("pageSize", size.to_string()),
            ];
            let answer = get(client, list, query).await?;
            let objects = answer.get(list).and_then(Value::as_array).ok_or_else(|| strange(list))?;
            documents.extend(objects.iter().filter_map(|object| Document::of(kind, object.clone())));
            let pages = answer["pager"]["pageCount"].as_u64().unwrap_or(1);
            if u64::from(page) >= pages || objects.is_empty() || page >= PAGES_MAX {
                break;
            }
            page += 1;
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
