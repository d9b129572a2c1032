//! What a configuration is refused for: key, value (never a secret's) and remedy.

use std::path::Path;

use mjumbe::config::{self, Config};
use secrecy::ExposeSecret;

const SECRET: &str = "canary-secret-4711";

fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mjumbe.toml");
    std::fs::write(&file, toml).unwrap();
    std::fs::write(folder.path().join("secret"), format!("{SECRET}\n")).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    config::load(Some(&file), variables).map_err(|error| error.to_string())
}

/// The refusal must hold all of `words` and must not hold the secret.
fn refused(toml: &str, variables: &[(&str, &str)], words: &[&str]) {
    let text = load(toml, variables).expect_err("must be refused");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in:\n{text}");
    }
    assert!(!text.contains(SECRET), "the secret is in:\n{text}");
}

#[test]
fn the_example_is_what_is_built_in() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("mjumbe.example.toml");
    let written = config::load(Some(&example), []).unwrap();
    let built_in = config::load(None, []).unwrap();
    assert_eq!(written.server.listen, built_in.server.listen);
    assert_eq!(written.server.body_limit_mb, built_in.server.body_limit_mb);
    assert_eq!(written.server.request_timeout_s, built_in.server.request_timeout_s);
    assert_eq!(written.server.concurrency, built_in.server.concurrency);
    assert_eq!(written.server.drain_timeout_s, built_in.server.drain_timeout_s);
    assert_eq!(written.store.url.expose_secret(), built_in.store.url.expose_secret());
    assert_eq!(written.store.connections, built_in.store.connections);
    assert_eq!(written.log.level, built_in.log.level);
    assert_eq!(written.tenant["default"].timezone, built_in.tenant["default"].timezone);
}

/// Every line of the example that is commented out is a setting that exists.
#[test]
fn the_example_is_right_where_it_is_commented_out() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("mjumbe.example.toml");
    let text = std::fs::read_to_string(example).unwrap();
    let uncommented: Vec<&str> = text
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(setting) if setting.starts_with('[') || is_assignment(setting) => setting,
            _ => line,
        })
        .map(|line| {
            let file = line.contains("_file =") || line.contains("_files =");
            if file && !line.starts_with('#') { "" } else { line }
        })
        .collect();
    let secrets = [("MJUMBE__RAPIDPRO__COUNTRY__TOKEN", "a"), ("MJUMBE__DHIS2__NATIONAL__TOKEN", "b")];
    let config = load(&uncommented.join("\n"), &secrets).unwrap();
    assert_eq!(config.rapidpro["country"].poll_interval_s, Some(30));
    assert_eq!(config.dhis2["national"].metadata_interval_s, Some(3600));
    assert_eq!(config.auth.jwt["keycloak"].profiles["fhir-core-client"], "opensrp");
    assert_eq!(config.fhir["shr"].headers.len(), 1);
    assert_eq!(config.http["alerts"].idempotent, Some(false));
}

#[test]
fn gateways_are_refused_what_does_not_fit() {
    let at = |lines: &str| format!("[auth.gateway.opensrp]\nscopes = \"system/*.rs\"\n{lines}");
    load(&at("addresses = [\"10.0.0.5\", \"10.1.0.0/16\", \"fd00::/8\"]"), &[]).unwrap();
    let key = "auth.gateway.opensrp.addresses";
    refused(&at("addresses = []"), &[], &[key, "missing-key"]);
    refused(&at("addresses = [\"gateway.local\"]"), &[], &[key, "is not an address"]);
    refused(&at("addresses = [\"0.0.0.0/0\"]"), &[], &[key, "is everybody"]);
    refused(
        &at("addresses = [\"10.0.0.5\"]\nprofile = \"opnsrp\""),
        &[],
        &["profile", "did you mean `opensrp`"],
    );
    refused(&at("addresses = [\"10.0.0.5\"]\ntenant = \"x\""), &[], &["unknown-tenant"]);
}

#[test]
fn identity_providers_are_refused_what_does_not_fit() {
    let at = |lines: &str| {
        format!(
            "[auth.jwt.sso]\nissuer = \"https://sso.example.org/realms/r\"\naudience = [\"mjumbe\"]\n\
             jwks_url = \"https://sso.example.org/certs\"\n{lines}"
        )
    };
    load(&at("profiles = { android = \"opensrp\" }"), &[]).unwrap();
    refused(&at("profiles = { android = \"opnsrp\" }"), &[], &["profiles.android", "did you mean `opensrp`"]);
    refused(&at("leeway_s = 301"), &[], &["auth.jwt.sso.leeway_s", "at most 300"]);
    refused(&at("keys_stale_s = 0"), &[], &["auth.jwt.sso.keys_stale_s"]);
    refused(&at("keys_stale_s = 9223372036854775807"), &[], &["auth.jwt.sso.keys_stale_s"]);
    refused(&at("keys_pause_s = 3601"), &[], &["auth.jwt.sso.keys_pause_s"]);
    refused(&at("tenant = \"x\""), &[], &["auth.jwt.sso.tenant", "unknown-tenant"]);
    refused(
        &at("").replace("https://sso.example.org/certs", "http://sso.example.org/certs"),
        &[],
        &["insecure-url"],
    );
    refused(&at("").replace("[\"mjumbe\"]", "[]"), &[], &["auth.jwt.sso.audience", "audience mapper"]);
    refused(&at("").replace("audience = [\"mjumbe\"]", ""), &[], &["auth.jwt.sso.audience", "missing-key"]);
    let twice = format!("{}{}", at(""), at("").replace("jwt.sso", "jwt.other"));
    refused(&twice, &[], &["auth.jwt.sso.issuer", "contradiction"]);
}

#[test]
fn other_servers_are_refused_what_does_not_fit() {
    let at = |lines: &str| format!("[fhir.a]\nurl = \"https://f.example.org\"\n{lines}");
    refused("[fhir.here]\nurl = \"https://f.example.org\"", &[], &["fhir.here", "stored in Mjumbe itself"]);
    refused("[http.a]\nurl = \"http://h.example.org\"", &[], &["http.a.url", "insecure-url"]);
    refused(&at("idempotent = true"), &[], &["fhir.a.idempotent", "http.NAME"]);
    refused(&at("secret = \"x\""), &[], &["fhir.a.secret", "unknown-key"]);
    refused(&at("username = \"u\""), &[], &["fhir.a.password", "missing-secret"]);
    refused(&at("tenant = \"x\""), &[], &["fhir.a.tenant", "unknown-tenant"]);
    let both = at(&format!("token = \"{SECRET}\"\nheaders = {{ Authorization = \"{SECRET}\" }}"));
    refused(&both, &[], &["fhir.a.headers.Authorization", "contradiction"]);
    refused(&at("headers = { Host = \"x\" }"), &[], &["fhir.a.headers.Host", "writes itself"]);
    let given = at("token_file = \"secret\"\nheader_files = { X-Key = \"secret\" }");
    let config = load(&given, &[("MJUMBE__FHIR__A__HEADERS__X_OTHER", "7")]).unwrap();
    let server = &config.fhir["a"];
    assert_eq!(server.token.as_ref().unwrap().expose_secret(), SECRET);
    assert_eq!(server.headers["X-Key"].expose_secret(), SECRET);
    assert_eq!(server.headers["x-other"].expose_secret(), "7");
}

fn is_assignment(text: &str) -> bool {
    text.split_once(" = ")
        .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || "_0123456789".contains(c)))
}

#[test]
fn the_environment_wins_and_keeps_its_types() {
    let config = load(
        "[server]\nlisten = \"127.0.0.1:1\"\n[rapidpro.a-b]\nurl = \"https://r.example.org\"",
        &[
            ("MJUMBE__SERVER__LISTEN", "127.0.0.1:2"),
            ("MJUMBE__SERVER__BODY_LIMIT_MB", "3"),
            ("MJUMBE__SERVER__DANGEROUS_DISABLE_AUTH", "true"),
            ("MJUMBE__RAPIDPRO__A_B__TOKEN", "0123"),
            ("MJUMBE__TENANT__DEFAULT__LANGUAGES", "kin, eng"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.port(), 2);
    assert_eq!(config.server.body_limit_mb, 3);
    assert!(config.server.dangerous_disable_auth);
    assert_eq!(config.rapidpro["a-b"].token.as_ref().unwrap().expose_secret(), "0123");
    assert_eq!(config.tenant["default"].languages, ["kin", "eng"]);
}

#[test]
fn languages_are_three_letters() {
    let toml = "[tenant.default]\nlanguages = [\"kin\", \"rw\"]";
    refused(toml, &[], &["tenant.default.languages", "`rw`", "ISO 639-3"]);
    refused("[tenant.default]\nlanguages = [\"ENG\"]", &[], &["tenant.default.languages", "`ENG`"]);
}

#[test]
fn secrets_come_from_files() {
    let config = load("[dhis2.d]\nurl = \"https://d.example.org\"\ntoken_file = \"secret\"", &[]).unwrap();
    assert_eq!(config.dhis2["d"].token.as_ref().unwrap().expose_secret(), SECRET);
    assert!(!format!("{config:?}").contains(SECRET));
}

#[test]
fn unknown_keys_are_refused_with_what_was_meant() {
    refused("[server]\nlisen = \"127.0.0.1:1\"", &[], &["server.lisen", "did you mean `listen`"]);
    refused("[dhis2.d]\nurl = \"https://d\"\ntokn = \"x\"", &[], &["dhis2.d.tokn", "did you mean `token`"]);
    refused("", &[("MJUMBE__STORE__URI", "x")], &["store.uri", "did you mean `url`"]);
}

#[test]
fn missing_secrets_are_refused_with_where_to_put_them() {
    refused(
        "[rapidpro.r]\nurl = \"https://r\"",
        &[],
        &["rapidpro.r.token", "MJUMBE__RAPIDPRO__R__TOKEN", "token_file"],
    );
    refused("[dhis2.d]\nurl = \"https://d\"\nusername = \"u\"", &[], &["dhis2.d.password"]);
    refused(
        "[dhis2.d]\nurl = \"https://d\"\ntoken_file = \"absent\"",
        &[],
        &["dhis2.d.token_file", "absent"],
    );
    refused("[dhis2.d]\ntoken = \"x\"", &[], &["dhis2.d.url", "MJUMBE__DHIS2__D__URL"]);
}

#[test]
fn contradictions_are_refused() {
    let open = "[server]\nlisten = \"0.0.0.0:80\"\ndangerous_disable_auth = true";
    refused(open, &[], &["server.dangerous_disable_auth", "0.0.0.0:80", "token create"]);
    let twice = format!("[dhis2.d]\nurl = \"https://d\"\ntoken = \"{SECRET}\"\ntoken_file = \"secret\"");
    refused(&twice, &[], &["dhis2.d.token", "twice"]);
    let both = format!("[dhis2.d]\nurl = \"https://d\"\ntoken = \"{SECRET}\"\nusername = \"u\"");
    refused(&both, &[], &["dhis2.d.token", "username"]);
    let plain = "[dhis2.d]\nurl = \"http://d.example.org\"\ntoken = \"x\"";
    refused(plain, &[], &["dhis2.d.url", "dangerous_accept_http"]);
    load(&format!("{plain}\ndangerous_accept_http = true"), &[]).unwrap();
    load("[dhis2.d]\nurl = \"http://127.0.0.1:9\"\ntoken = \"x\"", &[]).unwrap();
    refused("[log]\nlevel = \"info,hyper=trace\"", &[], &["log.level", "hyper=trace"]);
}

#[test]
fn wrong_values_are_refused() {
    refused("[server]\nlisten = \"here\"", &[], &["server.listen", "here"]);
    refused("[server]\nbody_limit_mb = \"many\"", &[], &["server.body_limit_mb", "many"]);
    refused("[tenant.default]\ntimezone = \"Africa/Kigalli\"", &[], &["Africa/Kigalli", "Africa/Kigali"]);
    refused("[tenant.Rwanda]\ntimezone = \"UTC\"", &[], &["tenant.Rwanda", "a-z"]);
    refused("[store]\nurl = \"mysql://u:canary-secret-4711@h\"", &[], &["store.url", "sqlite://"]);
    refused(&format!("[dhis2.d]\nurl = \"https://u:{SECRET}@d\"\ntoken = \"x\""), &[], &["dhis2.d.url"]);
    refused(
        "[rapidpro.r]\nurl = \"https://r\"\ntoken = \"x\"\ntenant = \"defalt\"",
        &[],
        &["did you mean `default`"],
    );
    refused(
        "[rapidpro.r]\nurl = \"https://r\"\ntoken = \"x\"\ncountry = \"Rwanda\"",
        &[],
        &["rapidpro.r.country"],
    );
}

#[test]
fn a_syntax_error_tells_its_place_and_not_its_line() {
    refused(&format!("[dhis2.d]\ntoken = \"{SECRET}"), &[], &["line 2", "mjumbe.toml"]);
    let number = format!("[dhis2.d]\nurl = \"https://d\"\ntoken = [\"{SECRET}\"]");
    refused(&number, &[], &["dhis2.d.token"]);
}
