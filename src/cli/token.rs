//! `mjumbe token create|list|revoke`.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::failure::Failure;
use super::{block_on, output, stores};
use crate::auth::scope::Scopes;
use crate::auth::token::{self, Grant};
use crate::config::Config;
use crate::fhir;
use crate::fhir::client::Profile;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
    /// The tenant that the token is for.
    #[arg(long, global = true, default_value = "default")]
    tenant: String,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a token and print it: once, and nothing else, on stdout.
    Create {
        /// Who will send it; also the user where a client only knows Basic.
        name: String,
        /// What it may do: system/TYPE.cruds, several parted by spaces.
        #[arg(long, default_value = "system/*.cruds")]
        scope: String,
        /// The client's own ways, which are repaired or, for pdqm, followed: opensrp, ihris, cht, commcare, openmrs,
        /// pdqm.
        #[arg(long)]
        profile: Option<String>,
        /// With a profile: the types whose repeated POST updates the one with the same identifier, parted by commas,
        /// or `none`. Where it is left out, the profile says (cht: Patient,Practitioner).
        #[arg(long, requires = "profile", value_delimiter = ',')]
        upsert: Option<Vec<String>>,
    },
    /// List the living tokens.
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// End a token; whoever sends it is answered 401 from then on.
    Revoke { name: String },
}

pub fn run(config: &Config, arguments: Arguments) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.tenant)?.to_owned();
    block_on(async {
        match arguments.what {
            What::Create { name, scope, profile, upsert } => {
                let grant = grant(&scope, profile.as_deref(), upsert)?;
                create(config, &tenant, &name, grant).await
            }
            What::List { json } => list(config, &tenant, json).await,
            What::Revoke { name } => revoke(config, &tenant, &name).await,
        }
    })
}

fn is_type(kind: &str) -> bool {
    fhir::elements::table().kind(kind).is_some()
}

fn grant(scope: &str, profile: Option<&str>, upsert: Option<Vec<String>>) -> Result<Grant, Failure> {
    let scopes = Scopes::parse(scope, is_type).map_err(|error| Failure::new(error.to_string()))?;
    let Some(name) = profile else { return Ok(Grant::from(&scopes)) };
    let known = Profile::ALL.map(Profile::name);
    let profile = Profile::parse(name).ok_or_else(|| {
        let hint = match crate::config::problem::did_you_mean(name, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("one of {}", known.join(", ")),
        };
        Failure::new(format!("`{name}` is not a profile [unknown-profile]")).hint(hint)
    })?;
    let mut grant = Grant::to(profile, scopes);
    if let Some(kinds) = upsert {
        let kinds: Vec<String> = kinds.into_iter().filter(|kind| kind != "none").collect();
        if let Some(kind) = kinds.iter().find(|kind| !is_type(kind)) {
            let failure = Failure::new(format!("`{kind}` is not an R4 resource type [unknown-type]"));
            return Err(failure.hint("written as in R4, e.g. Patient,Practitioner; or none"));
        }
        grant.upserts = kinds;
    }
    Ok(grant)
}

async fn create(config: &Config, tenant: &str, name: &str, grant: Grant) -> Result<ExitCode, Failure> {
    let store = stores::open(config).await?;
    let made = token::create(&store, tenant, name, grant).await;
    store.close().await;
    out!("{}", made.map_err(|error| Failure::new(error.to_string()))?);
    if output::is_lost() {
        return Err(Failure::new("the token was made and could not be printed: nobody knows it")
            .hint(format!("mjumbe token revoke {name}, and make another")));
    }
    note!("This is the only time it is shown. Send it as `Authorization: Bearer TOKEN`.");
    note!("It opens the server whose store is {}.", stores::place(config));
    Ok(ExitCode::SUCCESS)
}

async fn list(config: &Config, tenant: &str, json: bool) -> Result<ExitCode, Failure> {
    let store = stores::open(config).await?;
    let rows = store.tokens(tenant).await;
    store.close().await;
    let rows: Vec<_> = rows?.into_iter().filter(|row| row.revoked_ms.is_none()).collect();
    if json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| {
                serde_json::json!({
                    "name": row.name, "scope": row.scope, "profile": shown(&row.profile),
                    "upserts": row.upserts.split_whitespace().collect::<Vec<_>>(),
                    "created": stores::shown(row.created_ms),
                    "lastUsed": row.last_used_ms.map(stores::shown),
                })
            })
            .collect();
        out!("{}", serde_json::Value::Array(rows));
        return Ok(ExitCode::SUCCESS);
    }
    if rows.is_empty() {
        note!("There are no tokens. `mjumbe token create NAME` makes one.");
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_header([
        "NAME",
        "SCOPE",
        "PROFILE",
        "UPSERTS",
        "CREATED",
        "LAST USED",
    ]);
    for row in rows {
        let used = row.last_used_ms.map_or_else(|| "never".to_owned(), stores::shown);
        table.add_row([row.name, row.scope, row.profile, row.upserts, stores::shown(row.created_ms), used]);
    }
    out!("{table}");
    Ok(ExitCode::SUCCESS)
}

/// Nothing where nothing is kept.
fn shown(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

async fn revoke(config: &Config, tenant: &str, name: &str) -> Result<ExitCode, Failure> {
    let store = stores::open(config).await?;
    let revoked = store.revoke_token(tenant, name).await;
    let known = store.tokens(tenant).await;
    store.close().await;
    if revoked? {
        out!("revoked {name}");
        return Ok(ExitCode::SUCCESS);
    }
    let known = known?;
    let names = known.iter().filter(|row| row.revoked_ms.is_none()).map(|row| row.name.as_str());
    let failure = Failure::new(format!("no living token is named `{name}` [unknown-token]"));
    Err(match crate::config::problem::did_you_mean(name, names) {
        Some(meant) => failure.hint(format!("did you mean `{meant}`?")),
        None => failure.hint("`mjumbe token list` shows them"),
    })
}
