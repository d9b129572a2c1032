//! `mjumbe sandbox`: the simulated RapidPro and DHIS2 alone, for authors and for tests of other systems.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde_json::json;

use super::failure::Failure;
use super::{block_on, ended};
use crate::sandbox::dhis2::{self, Dhis2};
use crate::sandbox::faults::Fault;
use crate::sandbox::http::{FarSide, Server};
use crate::sandbox::rapidpro::{self, RapidPro};
use crate::sandbox::story::Story;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Which DHIS2 is simulated; other versions of a generation answer alike.
    #[arg(long, value_enum, default_value_t = Dhis2Version::V2_43, value_name = "VERSION")]
    dhis2: Dhis2Version,
    /// Which RapidPro is simulated.
    #[arg(long, value_enum, default_value_t = RapidProVersion::V9, value_name = "VERSION")]
    rapidpro: RapidProVersion,
    /// Where RapidPro listens; DHIS2 listens one port higher. Port 0 takes free ones.
    #[arg(long, default_value = "127.0.0.1:8850", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// Decides the faults that have a probability.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Faults from the start: a JSON file with a list like
    /// `[{"system": "dhis2", "path": "/api/tracker", "times": 2, "effect": "drop-after"}]`.
    #[arg(long, value_name = "FILE")]
    faults: Option<PathBuf>,
    /// Print one JSON object with addresses and tokens.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Dhis2Version {
    #[value(name = "2.40")]
    V2_40,
    #[value(name = "2.43")]
    V2_43,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RapidProVersion {
    #[value(name = "9")]
    V9,
    #[value(name = "10")]
    V10,
    #[value(name = "26")]
    V26,
}

/// A fault of the file, and whose it is.
#[derive(Debug, Deserialize)]
struct Planned {
    system: System,
    #[serde(flatten)]
    fault: Fault,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum System {
    RapidPro,
    Dhis2,
}

pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    block_on(serve(arguments))
}

async fn serve(arguments: Arguments) -> Result<ExitCode, Failure> {
    let (rapidpro, dhis2) = (workspace(&arguments), national(&arguments));
    for planned in arguments.faults.as_deref().map(planned).transpose()?.unwrap_or_default() {
        match planned.system {
            System::RapidPro => rapidpro.fault(planned.fault),
            System::Dhis2 => dhis2.fault(planned.fault),
        };
    }
    let next = match arguments.listen.port() {
        0 => 0,
        port => port.checked_add(1).ok_or_else(|| Failure::new("no port is left for DHIS2"))?,
    };
    let first = listen(Arc::new(rapidpro.clone()), arguments.listen).await?;
    let second = listen(Arc::new(dhis2.clone()), (arguments.listen.ip(), next).into()).await?;
    if !arguments.listen.ip().is_loopback() {
        note!("warning: whoever reaches {} may change everything here", arguments.listen.ip());
    }
    if arguments.json {
        out!("{}", as_json((&first, &rapidpro), (&second, &dhis2)));
    } else {
        print((&first, &rapidpro), (&second, &dhis2));
    }
    ended::from_outside().await;
    Ok(ExitCode::SUCCESS)
}

/// The workspace of the demo without its people: groups, fields, flows.
fn workspace(arguments: &Arguments) -> RapidPro {
    let version = match arguments.rapidpro {
        RapidProVersion::V9 => 9,
        RapidProVersion::V10 => 10,
        RapidProVersion::V26 => 26,
    };
    let story = Story::new(arguments.seed).workspace();
    let rapidpro = RapidPro::new(rapidpro::Options { version, commit_delay_ms: 0, ..story });
    rapidpro.add_demo_flows(None);
    rapidpro
}

fn national(arguments: &Arguments) -> Dhis2 {
    let version = match arguments.dhis2 {
        Dhis2Version::V2_40 => dhis2::Version::V2_40,
        Dhis2Version::V2_43 => dhis2::Version::V2_43,
    };
    Dhis2::new(dhis2::Options { seed: arguments.seed, ..dhis2::Options::new(version) })
}

fn planned(file: &Path) -> Result<Vec<Planned>, Failure> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| Failure::because(&shown.to_string(), error))?;
    serde_json::from_str(&text).map_err(|error| {
        Failure::because(&shown.to_string(), error).hint(
            "a list of faults, each with `system` (rapidpro or dhis2) and `effect`; see docs/sandbox.md",
        )
    })
}

async fn listen(far: Arc<dyn FarSide>, at: SocketAddr) -> Result<Server, Failure> {
    Server::start(far, at).await.map_err(|error| {
        Failure::because(&format!("{at} cannot be listened to"), error)
            .hint("take another one with --listen; port 0 takes free ones")
    })
}

fn as_json(rapidpro: (&Server, &RapidPro), dhis2: (&Server, &Dhis2)) -> serde_json::Value {
    json!({ "rapidpro": { "url": rapidpro.0.url(), "token": rapidpro.1.token() },
        "dhis2": { "url": dhis2.0.url(), "token": dhis2.1.token(), "version": dhis2.1.version().text(),
            "user": "admin", "password": "district" } })
}

fn print((rapidpro, workspace): (&Server, &RapidPro), (dhis2, national): (&Server, &Dhis2)) {
    let (version, rapidpro, dhis2) = (national.version().text(), rapidpro.url(), dhis2.url());
    let (token, key) = (workspace.token(), national.token());
    out!("RapidPro        {rapidpro}\n  token         {token}");
    out!("DHIS2 {version:<9} {dhis2}\n  token         {key}\n  superuser     admin, district\n");
    out!("In mjumbe.toml:\n");
    out!(
        "  [rapidpro.sandbox]\n  url = \"{rapidpro}\"\n  token = \"{token}\"\n  dangerous_accept_http = true\n"
    );
    out!("  [dhis2.sandbox]\n  url = \"{dhis2}\"\n  token = \"{key}\"\n  dangerous_accept_http = true\n");
    out!("A contact, and what she answers:\n");
    out!("  curl -H 'Authorization: Token {token}' -H 'Content-Type: application/json' \\");
    out!(
        "    -d '{{\"name\": \"Aline\", \"urns\": [\"tel:+250788410001\"]}}' {rapidpro}/api/v2/contacts.json"
    );
    out!("  curl -d '{{\"contact\": \"tel:+250788410001\", \"flow\": \"Monthly village report\", \\");
    out!("    \"replies\": [\"12\", \"4\", \"0\", \"1\", \"no\"]}}' {rapidpro}/_sandbox/answer\n");
    out!("Faults, and what is there:\n");
    out!(
        "  curl -d '{{\"path\": \"/api/dataValueSets\", \"times\": 2, \"effect\": \"drop-after\"}}' {dhis2}/_sandbox/faults"
    );
    out!("  curl -X DELETE {dhis2}/_sandbox/faults");
    out!("  curl {dhis2}/_sandbox/state\n  curl {rapidpro}/_sandbox/acts\n");
    out!("docs/sandbox.md lists all of it. Ctrl-C ends it; nothing is kept.");
}
