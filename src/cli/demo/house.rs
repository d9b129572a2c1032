//! A folder with everything that the server needs: configuration, mappings, store, log.
//!
//! It is removed in the end, unless something went wrong.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::process::Command;

use super::super::failure::Failure;
use crate::sandbox::dhis2::country::village_id;
use crate::sandbox::story::{Story, VILLAGES, ZONE};

const MAPPINGS: &[(&str, &str)] = &[
    ("village-monthly-report.yaml", include_str!("../../../mappings/village-monthly-report.yaml")),
    ("practitioner-contact.yaml", include_str!("../../../mappings/practitioner-contact.yaml")),
    ("patient-contact.yaml", include_str!("../../../mappings/patient-contact.yaml")),
    ("observation-counts.yaml", include_str!("../../../mappings/observation-counts.yaml")),
    ("case-report-event.yaml", include_str!("../../../mappings/case-report-event.yaml")),
    ("child-registration.yaml", include_str!("../../../mappings/child-registration.yaml")),
    ("immunization-tracker.yaml", include_str!("../../../mappings/immunization-tracker.yaml")),
    // Of the demo alone: in a registry, days pass before somebody is reminded.
    ("caregiver-contact.yaml", include_str!("mappings/caregiver-contact.yaml")),
    ("visit-reminder.yaml", include_str!("mappings/visit-reminder.yaml")),
    ("case-alert.yaml", include_str!("mappings/case-alert.yaml")),
];

/// Which store the server of the demo writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreAt {
    /// A file in the demo's folder.
    File,
    /// A database, which stays.
    Database(String),
}

/// The folder.
#[derive(Debug)]
pub struct House {
    folder: PathBuf,
    address: String,
    secret: String,
    store: StoreAt,
    kept: AtomicBool,
}

impl House {
    /// Makes the folder for a story with these simulated systems (address and token of each).
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn build(
        story: &Story,
        systems: ((&str, &str), (&str, &str)),
        store: StoreAt,
    ) -> Result<Self, Failure> {
        let unique = uuid::Uuid::new_v4().simple().to_string();
        let folder = std::env::temp_dir().join(format!("mjumbe-demo-{}", unique.get(..8).unwrap_or("0")));
        let failed = |error: std::io::Error| Failure::because("the demo's folder", error);
        std::fs::create_dir_all(folder.join("mappings")).map_err(failed)?;
        // Taken now and given back: the server keeps it over its restarts.
        let address =
            TcpListener::bind("127.0.0.1:0").and_then(|own| own.local_addr()).map_err(failed)?.to_string();
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let house = Self { folder, address, secret, store, kept: AtomicBool::new(false) };
        for (name, text) in MAPPINGS {
            std::fs::write(house.folder.join("mappings").join(name), text).map_err(failed)?;
        }
        let table = house.folder.join("mappings").join("supervisors.csv");
        std::fs::write(table, supervisors(story)).map_err(failed)?;
        std::fs::write(house.config_path(), house.config(systems.0, systems.1)).map_err(failed)?;
        Ok(house)
    }

    fn config(&self, rapidpro: (&str, &str), dhis2: (&str, &str)) -> String {
        let (address, secret) = (&self.address, &self.secret);
        let (store, mappings) = (self.store_url(), self.folder.join("mappings"));
        let (rapidpro_url, rapidpro_token) = rapidpro;
        let (dhis2_url, dhis2_token) = dhis2;
        format!(
            "mappings = {mappings:?}\n\n\
             [server]\nlisten = \"{address}\"\n\n\
             [store]\nurl = \"{store}\"\n\n\
             [tenant.default]\ntimezone = \"{ZONE}\"\n\n\
             [rapidpro.workspace]\nurl = \"{rapidpro_url}\"\ntoken = \"{rapidpro_token}\"\n\
             webhook_secret = \"{secret}\"\npoll_interval_s = 2\ncountry = \"RW\"\n\
             dangerous_accept_http = true\n\n\
             [dhis2.national]\nurl = \"{dhis2_url}\"\ntoken = \"{dhis2_token}\"\n\
             dangerous_accept_http = true\n"
        )
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.join("mjumbe.toml")
    }

    pub fn log_path(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    pub fn store_url(&self) -> String {
        match &self.store {
            StoreAt::File => format!("sqlite://{}", self.folder.join("mjumbe.db").display()),
            StoreAt::Database(url) => url.clone(),
        }
    }

    pub fn fhir_url(&self) -> String {
        format!("http://{}/fhir", self.address)
    }

    pub fn ready_url(&self) -> String {
        format!("http://{}/health", self.address)
    }

    pub fn webhook_url(&self) -> String {
        format!("http://{}/rapidpro/workspace/webhook", self.address)
    }

    /// What RapidPro's webhooks prove themselves with.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    pub fn log_hint(&self) -> String {
        self.kept.store(true, Ordering::Relaxed);
        format!("the server's own words are in {}", self.log_path().display())
    }

    /// Leaves the folder where it is; says where.
    pub fn keep(&self) -> String {
        self.kept.store(true, Ordering::Relaxed);
        format!("the store and the server's log are kept in {}", self.folder.display())
    }

    /// Makes a token, as an operator would.
    ///
    /// # Errors
    /// When the command fails.
    pub async fn token(&self) -> Result<String, Failure> {
        let own =
            std::env::current_exe().map_err(|error| Failure::because("this program was not found", error))?;
        let mut command = Command::new(own);
        command.arg("--config").arg(self.config_path()).args(["token", "create", "demo"]);
        let made =
            command.output().await.map_err(|error| Failure::because("`mjumbe token create`", error))?;
        if !made.status.success() {
            let text = String::from_utf8_lossy(&made.stderr).into_owned();
            return Err(Failure::new(format!("`mjumbe token create` failed: {text}")));
        }
        Ok(String::from_utf8_lossy(&made.stdout).trim().to_owned())
    }
}

/// Who is told of a death in each village.
fn supervisors(story: &Story) -> String {
    let lines = (0..VILLAGES).map(|at| format!("{},{}\n", village_id(at), story.supervisor(at)));
    format!("village,phone\n{}", lines.collect::<String>())
}

impl Drop for House {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed)
            && let Err(error) = std::fs::remove_dir_all(&self.folder)
        {
            tracing::debug!(%error, "the demo's folder stays");
        }
    }
}
