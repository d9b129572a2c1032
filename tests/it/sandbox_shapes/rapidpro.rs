//! The sandbox's RapidPro against recordings of RapidPro 9.0.0.

use std::sync::Arc;

use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::{Options, RapidPro, Reply, definition};
use serde_json::{Value, json};

use super::{Body, Row, ask, client, differences, recorded, recordings, row};

const CALLING: &str = "5a0e7a4e-70c5-4a54-9d1c-0c8d4d9d0001";
const ARCHIVED: &str = "5a0e7a4e-70c5-4a54-9d1c-0c8d4d9d0002";
const NOBODY: &str = "11111111-1111-4111-8111-111111111111";

/// A workspace with contacts, groups, fields, a flow and its runs.
struct Workspace {
    server: Server,
    auth: String,
    contact: String,
    deleted: String,
    blocked: String,
    mute: String,
    flow: String,
    run: String,
    group: String,
}

async fn workspace() -> Workspace {
    let field = |name: &str, kind: &str| (name.to_owned(), kind.to_owned());
    let options = Options {
        groups: vec!["CHWs".to_owned(), "Patients".to_owned(), "To delete".to_owned()],
        fields: vec![
            field("Age", "number"),
            field("Sex", "text"),
            field("EDD", "datetime"),
            field("District", "district"),
        ],
        ..Options::default()
    };
    let rapidpro = RapidPro::new(options);
    rapidpro.add_token("surveyor", "Surveyor");
    rapidpro.add_token("editor", "Editor");
    let resthook = definition::Webhook {
        url: String::new(),
        secret: String::new(),
        shape: mjumbe::sandbox::rapidpro::WebhookShape::Resthook,
    };
    let mut calling = definition::monthly_report(Some(&resthook));
    calling["uuid"] = CALLING.into();
    calling["name"] = "Calling".into();
    rapidpro.add_flow(calling);
    let flow = rapidpro.add_flow(definition::monthly_report(None));
    let mut archived = definition::monthly_report(None);
    archived["uuid"] = ARCHIVED.into();
    archived["name"] = "Start Notifications".into();
    rapidpro.add_flow(archived);
    assert!(rapidpro.archive_flow(ARCHIVED, true));
    assert!(rapidpro.add_keyword(&flow, "report"));
    let server = Server::start(Arc::new(rapidpro.clone()), ([127, 0, 0, 1], 0).into()).await.unwrap();
    let auth = format!("Token {}", rapidpro.token());
    let client = client();
    let create = async |body: Value| -> String {
        let row = row("", "POST", "/api/v2/contacts.json", Body::Json(body));
        ask(&client, &server.url(), &auth, &row).await.1["uuid"].as_str().unwrap().to_owned()
    };
    let contact = create(json!({ "name": "Uwase Marie", "language": "kin", "groups": ["CHWs"],
        "urns": ["tel:+250788383383", "ext:fhir-patient-123"], "fields": { "age": "34" } }))
    .await;
    let blocked = create(json!({ "name": "National", "urns": ["tel:+250788383384"] })).await;
    rapidpro.set_contact_status(&blocked, "blocked");
    let mute = create(json!({ "name": "No Phone", "urns": ["ext:no-phone-1"] })).await;
    let deleted = create(json!({ "name": "Delete Me", "urns": ["tel:+250788383420"] })).await;
    let gone = row("", "DELETE", format!("/api/v2/contacts.json?uuid={deleted}"), Body::None);
    assert_eq!(ask(&client, &server.url(), &auth, &gone).await.0, 204);
    let replies = ["12 people", "4", "1", "0", "yes"].map(Reply::text);
    let run = rapidpro.take_through(&contact, &flow, &replies).await.unwrap();
    let group = json!({ "uuid": "" });
    let listed = row("", "GET", "/api/v2/groups.json?name=to%20delete", Body::None);
    let (_, groups) = ask(&client, &server.url(), &auth, &listed).await;
    let group = groups["results"][0]["uuid"].as_str().or(group["uuid"].as_str()).unwrap().to_owned();
    let _ = rapidpro.take_through(&contact, CALLING, &["1", "1", "0", "0", "no"].map(Reply::text)).await;
    Workspace { server, auth, contact, deleted, blocked, mute, flow, run, group }
}

/// What RapidPro says about contacts.
fn contacts(it: &Workspace) -> Vec<Row> {
    let path = "/api/v2/contacts.json";
    let get = |name, query: &str| row(name, "GET", format!("{path}{query}"), Body::None);
    let post = |name, query: &str, body| row(name, "POST", format!("{path}{query}"), Body::Json(body));
    let (contact, deleted, blocked) = (&it.contact, &it.deleted, &it.blocked);
    let urn = |urn: &str| json!({ "name": "Bad", "urns": [urn] });
    vec![
        get("contacts_get_by_uuid", &format!("?uuid={contact}")),
        get("contacts_get_by_urn", "?urn=tel%3A%2B250788383383"),
        get("contacts_get_by_urn_national", "?urn=tel%3A0788383383"),
        get("contacts_get_by_urn_unencoded_plus", "?urn=tel:+250788383383"),
        get("contacts_get_by_urn_invalid", "?urn=12345"),
        get("contacts_get_by_urn_unknown", "?urn=tel%3A%2B250788999999"),
        get("contacts_get_by_uuid_malformed", "?uuid=abc"),
        get("contacts_get_by_group_name", "?group=CHWs"),
        get("contacts_get_by_group_unknown", "?group=Nope"),
        get("contacts_get_after_bad_date", "?after=yesterday"),
        get("contacts_get_after_date_only", "?after=2026-01-01"),
        get("contacts_get_after_unencoded_plus_offset", "?after=2026-01-01T00:00:00+00:00"),
        get("contacts_get_before_past", "?before=2000-01-01T00:00:00Z"),
        get("contacts_get_bad_cursor", "?cursor=garbage"),
        get("contacts_get_deleted", "?deleted=true"),
        get("contacts_get_deleted_normal_list", &format!("?uuid={deleted}")),
        get("contacts_get_blocked", &format!("?uuid={blocked}")),
        get("contacts_get_expand_urns", &format!("?expand_urns=true&uuid={contact}")),
        row("contacts_options", "OPTIONS", path, Body::None),
        row("contacts_delete_again", "DELETE", format!("{path}?uuid={deleted}"), Body::None),
        row("contacts_delete_unknown", "DELETE", format!("{path}?uuid={NOBODY}"), Body::None),
        row("contacts_delete_no_param", "DELETE", path, Body::None),
        post("contacts_post_create_minimal_empty", "", json!({})),
        post("contacts_post_duplicate_urn", "", json!({ "name": "Dup", "urns": ["tel:+250788383383"] })),
        post("contacts_post_same_urn_twice", "", json!({ "urns": ["tel:+250788383400", "tel:0788383400"] })),
        post("contacts_post_update_by_uuid", &format!("?uuid={contact}"), json!({ "name": "Uwase M." })),
        post("contacts_post_update_noop", &format!("?uuid={contact}"), json!({ "name": "Uwase M." })),
        post("contacts_post_update_unknown_uuid", &format!("?uuid={NOBODY}"), json!({ "name": "x" })),
        post("contacts_post_update_deleted", &format!("?uuid={deleted}"), json!({ "name": "Zombie" })),
        post(
            "contacts_post_update_by_urn",
            "?urn=tel%3A%2B250788383383",
            json!({ "fields": { "sex": "F" } }),
        ),
        post(
            "contacts_post_update_by_urn_with_urns_in_body",
            "?urn=tel%3A%2B250788383383",
            json!({ "urns": ["tel:+250788383383"] }),
        ),
        post("contacts_post_upsert_by_new_urn", "?urn=tel%3A%2B250788383410", json!({ "name": "Upserted" })),
        post("contacts_post_blocked_add_group", &format!("?uuid={blocked}"), json!({ "groups": ["CHWs"] })),
        post(
            "contacts_post_blocked_rename",
            &format!("?uuid={blocked}"),
            json!({ "name": "Blocked Renamed" }),
        ),
        post("contacts_post_urn_no_scheme", "", urn("+250788383390")),
        post("contacts_post_urn_unknown_scheme", "", urn("fhir:123")),
        post("contacts_post_invalid_phone_letters", "", urn("tel:abcdef")),
        post("contacts_post_urn_empty_string", "", urn("")),
        post("contacts_post_urn_null_in_list", "", json!({ "urns": [null] })),
        post("contacts_post_urns_not_list", "", json!({ "urns": "tel:+250788383401" })),
        post("contacts_post_urns_null", "", json!({ "urns": null })),
        post("contacts_post_group_as_object", "", json!({ "groups": [{ "name": "CHWs" }] })),
        post("contacts_post_group_missing", "", json!({ "groups": [NOBODY] })),
        post("contacts_post_group_by_name", "", json!({ "groups": ["chws"] })),
        post("contacts_post_field_unknown", "", json!({ "fields": { "nope": "1" } })),
        post("contacts_post_field_bool", "", json!({ "fields": { "age": true } })),
        post("contacts_post_fields_null", "", json!({ "fields": null })),
        post("contacts_post_name_blank", "", json!({ "name": "" })),
        post("contacts_post_name_too_long", "", json!({ "name": "x".repeat(65) })),
        post("contacts_post_language_2letter", "", json!({ "language": "en" })),
        post("contacts_post_language_invalid", "", json!({ "language": "xyz9" })),
        post("contacts_post_language_unknown3", "", json!({ "language": "zzz" })),
        post("contacts_post_unknown_top_level_key", "", json!({ "name": "Unk", "foo": "bar" })),
        row("bad_json_body", "POST", path, Body::Text("application/json", "{\"name\": \"x\",")),
        row("body_is_array", "POST", path, Body::Text("application/json", "[{\"name\":\"x\"}]")),
        row("body_wrong_content_type", "POST", path, Body::Text("text/plain", "name=x")),
        row(
            "body_form_encoded",
            "POST",
            path,
            Body::Text("application/x-www-form-urlencoded", "name=FormGuy&urns=tel:%2B250788000099"),
        ),
    ]
}

/// Everything else that is simulated.
fn others(it: &Workspace) -> Vec<Row> {
    let get = |name, path: &str| row(name, "GET", format!("/api/v2/{path}"), Body::None);
    let post = |name, path: &str, body| row(name, "POST", format!("/api/v2/{path}"), Body::Json(body));
    let with = |auth, row: Row| Row { auth: Some(auth), ..row };
    let (contact, flow, run) = (&it.contact, &it.flow, &it.run);
    vec![
        with("", get("auth_none", "contacts.json")),
        with("Bearer x", get("auth_bearer_scheme", "contacts.json")),
        with("Token 0000000000000000000000000000000000000000", get("auth_invalid_token", "contacts.json")),
        with("Token", get("auth_malformed_no_key", "contacts.json")),
        with("Basic YTpi", get("auth_basic_bad", "workspace.json")),
        with("Token surveyor", get("auth_surveyor_runs_get", "runs.json")),
        with(
            "Token surveyor",
            post("auth_surveyor_forbidden_contacts_post", "groups.json", json!({ "name": "X" })),
        ),
        get("get_without_json_suffix_accept_json", "contacts"),
        get("trailing_slash", "contacts.json/"),
        get("unknown_endpoint", "nope.json"),
        get("workspace_get", "workspace.json"),
        row("method_not_allowed_put", "PUT", "/api/v2/contacts.json", Body::None),
        post("method_not_allowed_post_flows", "flows.json", json!({ "name": "x" })),
        get("groups_get_all", "groups.json"),
        get("groups_get_by_name", "groups.json?name=chws"),
        get("groups_get_uuid_and_name", &format!("groups.json?name=x&uuid={NOBODY}")),
        post("groups_post_create", "groups.json", json!({ "name": "Community Health Workers" })),
        post("groups_post_duplicate_name", "groups.json", json!({ "name": "community health workers" })),
        post("groups_post_missing_name", "groups.json", json!({})),
        post("groups_post_bad_chars", "groups.json", json!({ "name": "\"Bad\" \\ name" })),
        post("groups_post_too_long", "groups.json", json!({ "name": "x".repeat(65) })),
        row("groups_delete", "DELETE", format!("/api/v2/groups.json?uuid={}", it.group), Body::None),
        row("groups_delete_unknown", "DELETE", format!("/api/v2/groups.json?uuid={NOBODY}"), Body::None),
        row("groups_delete_no_param", "DELETE", "/api/v2/groups.json", Body::None),
        get("fields_get_by_key", "fields.json?key=edd"),
        post("fields_post_create_number", "fields.json", json!({ "name": "Gravida", "type": "number" })),
        post("fields_post_duplicate", "fields.json", json!({ "name": "gravida", "type": "number" })),
        post("fields_post_bad_type", "fields.json", json!({ "name": "Bad", "type": "boolean" })),
        post("fields_post_bad_name", "fields.json", json!({ "name": "Bad@Name!", "type": "text" })),
        post("fields_post_missing_type", "fields.json", json!({ "name": "No Type" })),
        post("fields_post_reserved_name", "fields.json", json!({ "name": "UUID", "type": "text" })),
        post(
            "fields_post_update_unknown_key",
            "fields.json?key=nope",
            json!({ "name": "G", "type": "number" }),
        ),
        get("flows_get_by_uuid", &format!("flows.json?uuid={flow}")),
        get("flows_get_uuid_unknown", &format!("flows.json?uuid={NOBODY}")),
        get("definitions_get_one_flow_no_deps", &format!("definitions.json?dependencies=none&flow={flow}")),
        get("definitions_get_unknown_flow", &format!("definitions.json?flow={NOBODY}")),
        get("definitions_get_bad_dependencies", "definitions.json?dependencies=some"),
        get("runs_get_by_uuid", &format!("runs.json?uuid={run}")),
        get("runs_get_completed_by_contact", &format!("runs.json?contact={contact}")),
        get("runs_get_no_paths", &format!("runs.json?paths=false&contact={contact}")),
        get("runs_get_reverse", &format!("runs.json?paths=false&reverse=true&flow={flow}")),
        get("runs_get_by_flow_and_contact", &format!("runs.json?flow={flow}&contact={contact}")),
        get("runs_get_id_not_int", "runs.json?id=abc"),
        get("runs_get_uuid_malformed", "runs.json?uuid=abc"),
        get("runs_get_flow_malformed", "runs.json?flow=abc"),
        post(
            "contact_actions_add_to_group",
            "contact_actions.json",
            json!({ "contacts": [contact], "action": "add", "group": "CHWs" }),
        ),
        post(
            "contact_actions_bad_action",
            "contact_actions.json",
            json!({ "contacts": [contact], "action": "explode" }),
        ),
        post(
            "contact_actions_unknown_contact",
            "contact_actions.json",
            json!({ "contacts": [NOBODY], "action": "block" }),
        ),
        post(
            "contact_actions_missing_group",
            "contact_actions.json",
            json!({ "contacts": [contact], "action": "add" }),
        ),
        post(
            "contact_actions_add_blocked_to_group",
            "contact_actions.json",
            json!({ "contacts": [it.blocked], "action": "add", "group": "CHWs" }),
        ),
    ]
}

/// Flow starts.
fn starts(it: &Workspace) -> Vec<Row> {
    let path = "/api/v2/flow_starts.json";
    let get = |name, query: &str| row(name, "GET", format!("{path}{query}"), Body::None);
    let (contact, flow) = (&it.contact, &it.flow);
    let post = |name, rest: Value| {
        let mut body = json!({ "flow": flow });
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        row(name, "POST", path, Body::Json(body))
    };
    let many = |of: fn(usize) -> String| (0..101).map(of).collect::<Vec<String>>();
    vec![
        post(
            "flow_starts_post_contacts_params",
            json!({ "contacts": [contact], "params": { "task_id": "x" } }),
        ),
        post("flow_starts_post_contact_by_urn", json!({ "contacts": ["tel:+250788383383"] })),
        post("flow_starts_post_contact_unknown", json!({ "contacts": [NOBODY] })),
        post("flow_starts_post_urns_new_contact", json!({ "urns": ["tel:+250788111012"] })),
        post("flow_starts_post_extra_legacy", json!({ "contacts": [contact], "extra": { "x": "1" } })),
        post("flow_starts_post_group", json!({ "groups": ["CHWs"] })),
        post("flow_starts_post_group_unknown", json!({ "groups": ["Nope"] })),
        post("flow_starts_post_no_recipients", json!({})),
        post("flow_starts_post_urn_invalid", json!({ "urns": ["tel:12"] })),
        post("flow_starts_post_params_array", json!({ "contacts": [contact], "params": [1] })),
        post("flow_starts_post_params_not_object", json!({ "contacts": [contact], "params": "abc" })),
        post(
            "flow_starts_post_restart_participants_false",
            json!({ "contacts": [contact], "restart_participants": false }),
        ),
        post("flow_starts_post_exclude_active", json!({ "contacts": [contact], "exclude_active": true })),
        post("flow_starts_post_blocked_contact", json!({ "contacts": [it.blocked] })),
        post("flow_starts_post_archived_flow", json!({ "flow": ARCHIVED, "contacts": [contact] })),
        post(
            "flow_starts_post_too_many_contacts",
            json!({ "contacts": many(|at| format!("11111111-1111-4111-8111-{at:012}")) }),
        ),
        post(
            "flow_starts_post_too_many_urns",
            json!({ "urns": many(|at| format!("tel:+250788000{at:03}")) }),
        ),
        row("flow_starts_post_flow_missing", "POST", path, Body::Json(json!({ "contacts": [contact] }))),
        post("flow_starts_post_flow_unknown", json!({ "flow": NOBODY, "contacts": [contact] })),
        Row {
            auth: Some("Token editor"),
            ..post(
                "editor_flow_starts_post",
                json!({ "contacts": [contact], "params": { "visit_date": "q" } }),
            )
        },
        get("flow_starts_get_all", ""),
        get("flow_starts_get_by_id", "?id=1"),
        get("flow_starts_get_by_uuid_after", &format!("?uuid={NOBODY}")),
    ]
}

/// Broadcasts and messages.
fn texts(it: &Workspace) -> Vec<Row> {
    let get = |name, path: &str| row(name, "GET", format!("/api/v2/{path}"), Body::None);
    let post = |name, path: &str, body| row(name, "POST", format!("/api/v2/{path}.json"), Body::Json(body));
    let contact = &it.contact;
    let message = |name, to: &str, text: &str| post(name, "messages", json!({ "contact": to, "text": text }));
    let broadcast = |name, body| post(name, "broadcasts", body);
    vec![
        broadcast(
            "broadcasts_post_text_dict",
            json!({ "contacts": [contact], "urns": ["tel:+250788111010"], "base_language": "eng",
                "text": { "eng": "Hi @contact.name", "fra": "Bonjour @contact.name" } }),
        ),
        broadcast("broadcasts_post_text_string", json!({ "contacts": [contact], "text": "plain string" })),
        broadcast("broadcasts_post_group", json!({ "groups": ["CHWs"], "text": { "eng": "Group hello" } })),
        broadcast("broadcasts_post_no_recipients", json!({ "text": "x" })),
        broadcast("broadcasts_post_no_text", json!({ "contacts": [contact] })),
        broadcast("broadcasts_post_bad_urn", json!({ "urns": ["tel:1"], "text": "x" })),
        broadcast(
            "broadcasts_post_bad_language",
            json!({ "contacts": [contact], "text": { "english": "x" } }),
        ),
        broadcast(
            "broadcasts_post_base_language_missing",
            json!({ "contacts": [contact], "text": { "fra": "x" }, "base_language": "eng" }),
        ),
        get("broadcasts_get_all", "broadcasts.json"),
        get("broadcasts_get_by_id", "broadcasts.json?id=1"),
        message("messages_post_send", contact, "Hello @contact.name from the API"),
        message("messages_post_contact_by_urn", "tel:+250788383383", "by urn"),
        message("messages_post_blocked_contact", &it.blocked, "x"),
        message("messages_post_no_phone_contact", &it.mute, "x"),
        message("messages_post_too_long", contact, &"x".repeat(641)),
        message("messages_post_unknown_contact", NOBODY, "x"),
        message("messages_post_urn_new", "tel:+250788777123", "x"),
        post("messages_post_no_text", "messages", json!({ "contact": contact })),
        get("messages_get_all_page1", "messages.json"),
        get("messages_get_by_contact", &format!("messages.json?contact={contact}")),
        get("messages_get_contact_and_folder", &format!("messages.json?folder=inbox&contact={contact}")),
        get("messages_get_contact_without_sendable_urn", &format!("messages.json?contact={}", it.mute)),
        get("messages_get_folder_flows", "messages.json?folder=flows"),
        get("messages_get_folder_failed", "messages.json?folder=failed"),
        get("messages_get_folder_unknown", "messages.json?folder=nope"),
        get("messages_get_by_label", "messages.json?label=Follow%20Up"),
    ]
}

/// The workspace itself, and what roles may do in it.
fn workspace_rows(it: &Workspace) -> Vec<Row> {
    let get = |name, path: &str| row(name, "GET", format!("/api/v2/{path}"), Body::None);
    let post = |name, path: &str, body| row(name, "POST", format!("/api/v2/{path}"), Body::Json(body));
    let with = |auth, row: Row| Row { auth: Some(auth), ..row };
    let (flow, surveyor, editor) = (&it.flow, "Token surveyor", "Token editor");
    let ear = |url: &str, hook: &str| json!({ "resthook": hook, "target_url": url });
    let definition = format!("definitions.json?flow={flow}");
    vec![
        post("globals_post_create", "globals.json", json!({ "name": "FHIR Base URL", "value": "https://x" })),
        post("globals_post_dup", "globals.json", json!({ "name": "fhir base url", "value": "x" })),
        post("globals_post_no_name", "globals.json", json!({ "value": "x" })),
        post("globals_post_no_value", "globals.json", json!({ "name": "X" })),
        post("globals_post_update", "globals.json?key=fhir_base_url", json!({ "value": "https://y" })),
        post("globals_post_update_unknown", "globals.json?key=nope", json!({ "value": "x" })),
        get("globals_get", "globals.json"),
        get("globals_get_key", "globals.json?key=fhir_base_url"),
        get("users_get", "users.json"),
        get("channels_get", "channels.json"),
        get("channels_get_by_address", "channels.json?address=%2B250785551212"),
        get("org_get_deprecated_alias", "org.json"),
        get("resthooks_get", "resthooks.json"),
        get("resthook_events_get", "resthook_events.json"),
        get("resthook_events_get_by_resthook", "resthook_events.json?resthook=monthly-village-report"),
        post(
            "resthook_subscribers_post_create",
            "resthook_subscribers.json",
            ear("http://127.0.0.1:9/", "monthly-village-report"),
        ),
        post(
            "resthook_subscribers_post_duplicate",
            "resthook_subscribers.json",
            ear("http://127.0.0.1:9/", "monthly-village-report"),
        ),
        post(
            "resthook_subscribers_post_bad_url",
            "resthook_subscribers.json",
            ear("not a url", "monthly-village-report"),
        ),
        post(
            "resthook_subscribers_post_unknown_resthook",
            "resthook_subscribers.json",
            ear("http://x/", "nope"),
        ),
        get("resthook_subscribers_get", "resthook_subscribers.json?resthook=monthly-village-report"),
        get("definitions_get_one_flow_all_deps", &definition),
        get("definitions_get_none", "definitions.json"),
        get("definitions_get_malformed_uuid", "definitions.json?flow=abc"),
        get("flows_get_archived_true", "flows.json?archived=true"),
        get("flows_get_type_unknown", "flows.json?type=nope"),
        with(surveyor, get("surveyor_contacts_get", "contacts.json")),
        with(surveyor, get("surveyor_flows_get", "flows.json")),
        with(surveyor, get("surveyor_definitions_get", &definition)),
        with(surveyor, get("surveyor_workspace_get", "workspace.json")),
        with(editor, get("auth_editor_resthook_subscribers_get", "resthook_subscribers.json")),
        with(editor, get("editor_definitions_get", &format!("{definition}&dependencies=none"))),
        with(editor, post("editor_contacts_post", "contacts.json", json!({ "name": "By Editor" }))),
    ]
}

#[tokio::test]
async fn answers_have_the_recorded_shape() {
    let Some(folder) = recordings("rapidpro") else { return };
    let it = workspace().await;
    let client = client();
    let mut faults = Vec::new();
    let mut rows = contacts(&it);
    rows.extend(others(&it));
    rows.extend(starts(&it));
    rows.extend(texts(&it));
    rows.extend(workspace_rows(&it));
    assert!(rows.len() >= 185, "{}", rows.len());
    for row in &rows {
        let (status, body) = recorded(&folder, row.recording);
        let (own_status, own_body) = ask(&client, &it.server.url(), &it.auth, row).await;
        if status != own_status {
            faults.push(format!("{}: status {status}, here {own_status} {own_body}", row.recording));
            continue;
        }
        if status >= 400 && body.is_object() {
            faults.extend(same_error(row.recording, &body, &own_body));
        }
        // Fields, answers and flow parts are data; a results page may be empty in one of the two.
        let free = [
            ".fields",
            ".values",
            ".params",
            ".extra",
            ".flows[0]",
            ".errors",
            ".text",
            ".attachments",
            ".data.results",
        ];
        if status < 400 {
            let found = differences("", &body, &own_body, &free);
            faults.extend(found.into_iter().map(|text| format!("{}: {text}", row.recording)));
        }
    }
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), rows.len(), faults.join("\n"));
}

/// An error's keys and its text, with what is data left out.
fn same_error(name: &str, wanted: &Value, given: &Value) -> Option<String> {
    let plain = |value: &Value| {
        let text = value.to_string();
        let text = text.split("JSON parse error").next().unwrap_or("").to_owned();
        // Uuids are data.
        let words = text.split([' ', '"']).filter(|word| word.len() != 36);
        words.collect::<Vec<_>>().join(" ")
    };
    (plain(wanted) != plain(given)).then(|| format!("{name}: {wanted}, here {given}"))
}

#[tokio::test]
async fn a_result_has_the_recorded_shape() {
    let Some(folder) = recordings("rapidpro") else { return };
    let it = workspace().await;
    let row = row("", "GET", format!("/api/v2/runs.json?uuid={}", it.run), Body::None);
    let (_, body) = ask(&client(), &it.server.url(), &it.auth, &row).await;
    let (_, wanted) = recorded(&folder, "runs_get_completed_by_contact");
    let wanted = &wanted["results"][0]["values"]["patient_age"];
    let given = &body["results"][0]["values"]["fever_cases"];
    assert_eq!(differences("", wanted, given, &[]), Vec::<String>::new());
    assert_eq!((given["value"].as_str(), given["input"].as_str()), (Some("12"), Some("12 people")));
    assert_eq!(body["results"][0]["values"]["stock_out"]["category"], "Yes");
}
