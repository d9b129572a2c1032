//! `mjumbe init`: a folder to start from.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;
use crate::assist::scaffold::{self, Made, Wish};

#[derive(Debug, Args)]
pub struct Arguments {
    /// The folder; made where it is missing.
    folder: PathBuf,
    /// Address of your RapidPro (or TextIt) server.
    #[arg(long, value_name = "URL")]
    rapidpro: Option<String>,
    /// Address of your DHIS2 instance.
    #[arg(long, value_name = "URL")]
    dhis2: Option<String>,
    /// The time zone that reports are in: Africa/Kigali.
    #[arg(long, value_name = "ZONE")]
    timezone: Option<String>,
    /// Of phone numbers without a country code: RW.
    #[arg(long, value_name = "CODE")]
    country: Option<String>,
}

pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Arguments { folder, rapidpro, dhis2, timezone, country } = arguments;
    let connected = rapidpro.is_some() && dhis2.is_some();
    let wish = Wish { rapidpro, dhis2, timezone, country };
    let made = scaffold::create(&folder, &wish)
        .map_err(|error| Failure::new(error.to_string()).hint(error.hint()))?;
    for file in &made.files {
        out!("wrote {}", folder.join(file).display());
    }
    out!("wrote {} (only you may read it)", folder.join("secrets").display());
    next(&folder, &made, connected);
    Ok(ExitCode::SUCCESS)
}

fn next(folder: &std::path::Path, made: &Made, connected: bool) {
    out!("\nNext:");
    out!("  cd {}", folder.display());
    if !connected {
        out!("  in mjumbe.toml, take away the # before your systems' sections and write their addresses");
    }
    for secret in &made.secrets {
        out!("  put the token into {}", secret.display());
    }
    out!("  delete mappings/patient-contact.*, an example, if patients shall not become contacts");
    out!("  mjumbe doctor          # is everything reachable and allowed?");
    out!("  mjumbe flows list      # which flows are there to map?");
    out!("  mjumbe mapping new --flow FLOW --data-set DATA-SET");
}
