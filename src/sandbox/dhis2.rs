//! A simulated DHIS2: metadata, data values by both importer generations, completion, tracker.
//!
//! It answers `/api/` as 2.40.12 or as 2.43.1 does. Data values are never added up or corrected: what a
//! client sends is what is stored, mistakes included, as on a real server.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use self::country::Country;
use self::state::{Clash, User, World};
use super::faults::{Effect, Fault, Faults};
use super::http::{Answer, FarSide, Request};

// Completion of data sets.
mod completion;
// Metadata of an invented country.
pub mod country;
// Which of an object's properties are shown, and which objects.
mod fields;
// Who asks, and for which path.
mod gate;
// The importer since 2.43: E8xxx.
mod importer_new;
// The importer up to 2.42: E76xx.
mod importer_old;
// A data value set as it came in.
mod incoming;
// Lists and single objects of metadata.
mod metadata;
// ISO periods.
pub mod periods;
// Reading data values.
mod reading;
// All that the server holds.
mod state;
// Import summaries and other envelopes.
mod summary;
// Personal access tokens.
mod tokens;
// Tracked entities, enrolments and events.
mod tracker;
// Value types.
mod values;

/// Which DHIS2 is simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V2_40,
    V2_43,
}

impl Version {
    /// `2.40.12` or `2.43.1`.
    pub fn text(self) -> &'static str {
        match self {
            Self::V2_40 => "2.40.12",
            Self::V2_43 => "2.43.1",
        }
    }
}

/// What the simulated server is like.
#[derive(Debug, Clone)]
pub struct Options {
    pub version: Version,
    pub country: Country,
    /// A superuser: `admin` with this password.
    pub password: String,
    /// A personal access token of `mjumbe`, who may write data values and tracker data in the whole
    /// country and has no other authority.
    pub token: String,
    /// What an import takes at least; two that overlap in time can collide.
    pub import_ms: u64,
    /// Decides the faults that have a probability.
    pub seed: u64,
}

impl Options {
    /// A server of some version with the demo's country.
    pub fn new(version: Version) -> Self {
        let token = match version {
            Version::V2_40 => "d2pat_5xVA12xyUbWNedQxy4ohH77WlxRGVvZZ1151814092",
            Version::V2_43 => "d2p_5xVA12xyUbWNedQxy4ohH77WlxRGVvZZ5xVA12xyUbWNedQx0aB3dZ",
        };
        Self {
            version,
            country: Country::demo(200),
            password: "district".to_owned(),
            token: token.to_owned(),
            import_ms: 3,
            seed: 1,
        }
    }
}

/// The simulated server. Clones share it.
#[derive(Debug, Clone)]
pub struct Dhis2 {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    world: Mutex<World>,
    faults: Faults,
    options: Options,
}

impl Dhis2 {
    /// A server without data values.
    pub fn new(options: Options) -> Self {
        let faults = Faults::new(options.seed);
        let world = Mutex::new(World::new(&options));
        Self { shared: Arc::new(Shared { world, faults, options }) }
    }

    /// The personal access token of the account `mjumbe`.
    pub fn token(&self) -> &str {
        &self.shared.options.token
    }

    pub fn version(&self) -> Version {
        self.shared.options.version
    }

    pub fn country(&self) -> &Country {
        &self.shared.options.country
    }

    /// Makes something go wrong; the number lifts it again.
    pub fn fault(&self, fault: Fault) -> u64 {
        self.shared.faults.add(fault)
    }

    /// Ends one fault.
    pub fn lift(&self, fault: u64) {
        self.shared.faults.lift(fault);
    }

    /// Another account: its password, its authorities, the organisation units it may write below.
    pub fn add_user(&self, name: &str, password: &str, authorities: &[&str], units: &[&str]) {
        self.world().users.push(User::new(name, password, authorities, units));
    }

    /// Lets the tokens of an account end at a moment.
    pub fn end_tokens(&self, name: &str, at: jiff::Timestamp) {
        for user in self.world().users.iter_mut().filter(|user| user.name == name) {
            user.tokens.iter_mut().for_each(|token| token.expire = at);
        }
    }

    /// Changes metadata while the server runs.
    pub fn edit_country(&self, edit: impl FnOnce(&mut Country)) {
        edit(&mut self.world().country);
    }

    /// The stored value of a cell; the default combo where one is empty.
    pub fn value(&self, cell: &state::CellKey) -> Option<String> {
        self.world().cells.get(cell).filter(|stored| !stored.deleted).and_then(|stored| stored.value.clone())
    }

    /// All that the server holds.
    pub fn state(&self) -> Value {
        self.world().show()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The database is away: right passwords are refused, tokens break the server, `ping` goes on.
    async fn without_database(&self, request: &Request, after_ms: u64) -> Answer {
        if request.path == "/api/ping" {
            return Answer::empty(200);
        }
        tokio::time::sleep(Duration::from_millis(after_ms)).await;
        if request.header("authorization").starts_with("ApiToken") {
            return summary::tomcat_page(self.version(), 500);
        }
        summary::message(401, "Unauthorized")
    }
}

pub use state::CellKey;
pub use tracker::Kind;

#[async_trait]
impl FarSide for Dhis2 {
    async fn answer(&self, request: Request) -> Answer {
        let down = request.effects.iter().find_map(|effect| match effect {
            Effect::DatabaseDown { answer_after_ms } => Some(*answer_after_ms),
            _ => None,
        });
        if let Some(after_ms) = down {
            return self.without_database(&request, after_ms).await;
        }
        if tracker::is_import(&request) {
            return tracker::import(self, &request).await;
        }
        let import = request.method == "POST" && request.path.ends_with("/dataValueSets");
        let ticket = import.then(|| self.world().begin_import(&request.body));
        if ticket.is_some() && self.shared.options.import_ms > 0 {
            tokio::time::sleep(Duration::from_millis(self.shared.options.import_ms)).await;
        }
        let mut world = self.world();
        let clash = ticket.map_or(Clash::None, |ticket| world.end_import(ticket));
        gate::answer(&mut world, &request, &clash)
    }

    fn refuse(&self, status: u16, request: &Request) -> Answer {
        match status {
            500 if request.header("authorization").starts_with("ApiToken") => {
                summary::tomcat_page(self.version(), 500)
            }
            502..=504 => Answer::text(status, "text/html", "<html><body><h1>Bad Gateway</h1></body></html>"),
            401 => summary::message(401, "Unauthorized"),
            500 => summary::message(500, "Internal Server Error"),
            _ => summary::message(status, "Refused."),
        }
    }

    fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    fn state(&self) -> Value {
        self.world().show()
    }

    async fn act(&self, _action: &str, _body: Value) -> Option<Value> {
        Some(json!({ "version": self.version().text() })).filter(|_| _action == "version")
    }
}
