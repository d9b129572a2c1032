//! A random history against the whole server: creations, corrections, deletions, late patients, tests that
//! turn out to be another patient's, moved health workers, outages, refused cells and killed servers. At the
//! end DHIS2's cells must equal a recount: counts with the patients as they are now (the look-up is followed;
//! whose patient was deleted is not counted), reports at the facility of their time (theirs is not).
//!
//! `MJUMBE_HISTORY_SEEDS=1,2,3` tells other stories.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::ToSpan;
use jiff::civil::{Date, date};
use mjumbe::config::{Config, Dhis2 as Dhis2Config, RapidPro as RapidProConfig};
use mjumbe::delivery::desk;
use mjumbe::delivery::signal::now_ms;
use mjumbe::sandbox::dhis2::country::{Country, DEFAULT_OPTION_COMBO, facility_id, village_id};
use mjumbe::sandbox::dhis2::{Dhis2, Options, Version};
use mjumbe::sandbox::faults::{Because, Cells as RefusedCells, Effect, Fault};
use mjumbe::sandbox::http::Server;
use mjumbe::sandbox::rapidpro::{self, RapidPro};
use mjumbe::store::Store;
use mjumbe::store::deliveries::Status;
use mjumbe::store::deliveries::list::{self, Filter};
use mjumbe::store::testing::each_database;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::server::TestServer;

const PATIENTS: usize = 12;
const OBSERVATIONS: usize = 40;
const WORKERS: usize = 5;
const REPORTS: usize = 20;
const STEPS: usize = 180;
/// Everything must have arrived by then.
const PATIENCE: Duration = Duration::from_secs(120);

/// (period, organisation unit, data element, category option combo) → value
type Cells = BTreeMap<(String, String, String, String), String>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cells_equal_a_recount_after_a_random_history() {
    let seeds = std::env::var("MJUMBE_HISTORY_SEEDS").unwrap_or_else(|_| "1,2".to_owned());
    for seed in seeds.split(',').map(|seed| seed.parse::<u64>().unwrap()) {
        each_database(|url| tell(url, seed)).await;
    }
}

async fn tell(url: String, seed: u64) {
    let mut story = Story::begin(url, seed).await;
    for step in 0..STEPS {
        story.step().await;
        if step % 60 == 59 {
            story = story.with_killed_server().await;
        }
    }
    story.end().await;
}

#[derive(Debug, Clone)]
struct Patient {
    gender: &'static str,
    born: Date,
    facility: String,
}

#[derive(Debug, Clone)]
struct Observation {
    patient: usize,
    on: Date,
    positive: bool,
    status: &'static str,
}

#[derive(Debug, Clone)]
struct Report {
    worker: usize,
    /// Where she worked when it was first sent.
    village: String,
    authored: jiff::civil::DateTime,
    fever_cases: u32,
    deaths_female: u32,
}

struct Story {
    random: StdRng,
    seed: u64,
    url: String,
    config: Config,
    /// The server's own: what it leaves behind when it is killed vanishes with it.
    runtime: tokio::runtime::Runtime,
    server: TestServer,
    far: Dhis2,
    _far_server: Server,
    workspace: RapidPro,
    workspace_server: Server,
    contacts: Vec<String>,
    villages: Vec<String>,
    patients: BTreeMap<usize, Patient>,
    observations: BTreeMap<usize, Observation>,
    reports: BTreeMap<usize, Report>,
    country: Country,
}

impl Story {
    async fn begin(url: String, seed: u64) -> Self {
        let version = if seed.is_multiple_of(2) { Version::V2_43 } else { Version::V2_40 };
        let far = Dhis2::new(Options { seed, ..Options::new(version) });
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let far_server = Server::start(Arc::new(far.clone()), loopback).await.unwrap();
        let workspace = RapidPro::new(rapidpro::Options {
            fields: vec![("DHIS2 organisation unit ID".to_owned(), "text".to_owned())],
            groups: vec!["Patients".to_owned(), "Health workers".to_owned()],
            budget: 100_000,
            ..rapidpro::Options::default()
        });
        let workspace_server = Server::start(Arc::new(workspace.clone()), loopback).await.unwrap();
        let config = config((&workspace, &workspace_server), (&far, &far_server));
        let (runtime, server) = serve(&url, &config).await;
        let mut story = Self {
            random: StdRng::seed_from_u64(seed),
            seed,
            url,
            config,
            runtime,
            server,
            country: far.country().clone(),
            far,
            _far_server: far_server,
            workspace,
            workspace_server,
            contacts: Vec::new(),
            villages: Vec::new(),
            patients: BTreeMap::new(),
            observations: BTreeMap::new(),
            reports: BTreeMap::new(),
        };
        for worker in 0..WORKERS {
            story.hire(worker).await;
        }
        story
    }

    async fn hire(&mut self, worker: usize) {
        let village = village_id(worker);
        let contact = self
            .contact(
                "",
                &json!({ "urns": [format!("tel:+25078838300{worker}")],
                    "fields": { "dhis2_organisation_unit_id": village } }),
            )
            .await;
        self.contacts.push(contact["uuid"].as_str().unwrap().to_owned());
        self.villages.push(village);
        self.mirrored(worker).await;
    }

    async fn contact(&self, query: &str, body: &Value) -> Value {
        let url = format!("{}/api/v2/contacts.json{query}", self.workspace_server.url());
        let token = format!("Token {}", self.workspace.token());
        let answer = reqwest::Client::new().post(url).header("Authorization", token).json(body).send().await;
        answer.unwrap().error_for_status().unwrap().json().await.unwrap()
    }

    /// Waits until the mirror shows where a worker is now.
    async fn mirrored(&self, worker: usize) {
        let id = format!("north/{}", self.contacts[worker]);
        let begun = Instant::now();
        loop {
            let stored = self.server.store.read("default", "rapidpro.contact", &id).await.unwrap();
            if stored.and_then(|stored| stored.body).is_some_and(|body| body.contains(&self.villages[worker]))
            {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "contact {worker} is not mirrored (seed {})", self.seed);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..13 => self.register().await,
            13..15 => self.delete_patient().await,
            15..45 => self.observe().await,
            45..55 => self.correct_observation().await,
            55..62 => self.delete_observation().await,
            62..80 => self.report().await,
            80..88 => self.correct_report().await,
            88..92 => self.move_worker().await,
            _ => self.trouble().await,
        }
    }

    /// A patient comes, late or not, or what is known of her is corrected.
    async fn register(&mut self) {
        let at = self.random.random_range(0..PATIENTS);
        let patient = Patient {
            gender: ["female", "male"].choose(&mut self.random).unwrap(),
            born: date(1990, 1, 15) + self.random.random_range(0..12_500).days(),
            facility: facility_id(self.random.random_range(0..6)),
        };
        self.put(
            &format!("Patient/p{at}"),
            json!({ "resourceType": "Patient", "id": format!("p{at}"), "gender": patient.gender,
                "birthDate": patient.born.to_string(),
                "managingOrganization": { "identifier": { "value": patient.facility } } }),
        )
        .await;
        self.patients.insert(at, patient);
    }

    async fn delete_patient(&mut self) {
        let all: Vec<usize> = self.patients.keys().copied().collect();
        let Some(&at) = all.choose(&mut self.random) else { return };
        let answer = self.server.delete(&format!("Patient/p{at}")).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        self.patients.remove(&at);
    }

    async fn observe(&mut self) {
        let at = self.random.random_range(0..OBSERVATIONS);
        let patient = match self.observations.get(&at) {
            Some(known) => known.patient,
            None => self.random.random_range(0..PATIENTS),
        };
        let observation = Observation {
            patient,
            on: date(2026, 3, 1) + self.random.random_range(0..200).days(),
            positive: self.random.random_bool(0.4),
            status: "final",
        };
        self.put_observation(at, observation).await;
    }

    async fn correct_observation(&mut self) {
        let Some((&at, known)) = self.pick_observation() else { return };
        let mut observation = known.clone();
        observation.positive = self.random.random_bool(0.5);
        if self.random.random_bool(0.3) {
            observation.patient = self.random.random_range(0..PATIENTS);
        }
        observation.status =
            ["amended", "corrected", "entered-in-error", "final"].choose(&mut self.random).unwrap();
        self.put_observation(at, observation).await;
    }

    fn pick_observation(&mut self) -> Option<(&usize, &Observation)> {
        let all: Vec<_> = self.observations.iter().collect();
        all.choose(&mut self.random).copied()
    }

    async fn put_observation(&mut self, at: usize, observation: Observation) {
        let code = if observation.positive { "10828004" } else { "260385009" };
        self.put(
            &format!("Observation/o{at}"),
            json!({ "resourceType": "Observation", "id": format!("o{at}"), "status": observation.status,
                "code": { "coding": [{ "system": "http://loinc.org", "code": "70569-9" }] },
                "subject": { "reference": format!("Patient/p{}", observation.patient) },
                "effectiveDateTime": observation.on.to_string(),
                "valueCodeableConcept": { "coding": [{ "system": "http://snomed.info/sct", "code": code }] } }),
        )
        .await;
        self.observations.insert(at, observation);
    }

    async fn delete_observation(&mut self) {
        let Some((&at, _)) = self.pick_observation() else { return };
        let answer = self.server.delete(&format!("Observation/o{at}")).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        self.observations.remove(&at);
    }

    async fn report(&mut self) {
        let at = self.random.random_range(0..REPORTS);
        if self.reports.contains_key(&at) {
            return;
        }
        let worker = self.random.random_range(0..WORKERS);
        let month = self.random.random_range(5..10);
        // No two reports at the same moment: which of them wins would be chance.
        let minute = i8::try_from(at).unwrap();
        let report = Report {
            worker,
            village: self.villages[worker].clone(),
            authored: date(2026, month, self.random.random_range(1..28)).at(9, minute, 0, 0),
            fever_cases: self.random.random_range(0..50),
            deaths_female: self.random.random_range(0..3),
        };
        self.put_report(at, &report).await;
        self.reports.insert(at, report);
    }

    async fn correct_report(&mut self) {
        let all: Vec<usize> = self.reports.keys().copied().collect();
        let Some(&at) = all.choose(&mut self.random) else { return };
        let fever_cases = self.random.random_range(0..50);
        let report = self.reports.get_mut(&at).unwrap();
        report.fever_cases = fever_cases;
        let report = report.clone();
        self.put_report(at, &report).await;
    }

    async fn put_report(&self, at: usize, report: &Report) {
        let url = self.workspace_server.url();
        let answer = |key: &str, value: Value| json!({ "linkId": key, "answer": [value] });
        self.put(
            &format!("QuestionnaireResponse/r{at}"),
            json!({ "resourceType": "QuestionnaireResponse", "id": format!("r{at}"), "status": "completed",
                "questionnaire": format!("{url}/flow/5f0c1d2e-0000-4000-8000-000000000001|1"),
                "_questionnaire": { "extension": [{ "url": "http://hl7.org/fhir/StructureDefinition/display",
                    "valueString": "Monthly village report" }] },
                "authored": format!("{}+02:00", report.authored),
                "source": { "identifier": { "system": format!("{url}/contact"),
                    "value": self.contacts[report.worker] } },
                "item": [
                    answer("fever_cases", json!({ "valueInteger": report.fever_cases })),
                    answer("malaria_positive", json!({ "valueInteger": 1 })),
                    answer("deaths_female", json!({ "valueInteger": report.deaths_female })),
                    answer("deaths_male", json!({ "valueInteger": 0 })),
                    answer("stock_out", json!({ "valueBoolean": false })),
                ] }),
        )
        .await;
    }

    /// A worker moves; her earlier reports stay where they were made.
    async fn move_worker(&mut self) {
        self.mapped().await;
        let worker = self.random.random_range(0..WORKERS);
        let village = village_id(10 + self.random.random_range(0..20));
        self.contact(
            &format!("?uuid={}", self.contacts[worker]),
            &json!({ "fields": { "dhis2_organisation_unit_id": village } }),
        )
        .await;
        self.villages[worker] = village;
        self.mirrored(worker).await;
    }

    /// DHIS2 goes down, answers wrongly, or takes effect without an answer, for a moment.
    async fn trouble(&mut self) {
        let effects = [
            Effect::DropAfter,
            Effect::DropBefore,
            Effect::DatabaseDown { answer_after_ms: 20 },
            Effect::Answer { status: 503, body: None, retry_after: None },
            Effect::AnswerAfter { status: 500, body: None },
            Effect::StoreRows { rows: 2, status: 409 },
            Effect::Slow { ms: 200 },
            Effect::RefuseCells(RefusedCells {
                data_set: None,
                period: None,
                org_unit: None,
                data_element: Some("MjTestsPos1".to_owned()),
                because: Because::Approved,
            }),
        ];
        let effect = effects.choose(&mut self.random).unwrap().clone();
        self.far.fault(Fault::new(effect).on("POST", "/api/*").lasting(Duration::from_millis(600)));
        tokio::time::sleep(Duration::from_millis(self.random.random_range(0..400))).await;
    }

    async fn put(&self, path: &str, body: Value) {
        let answer = self.server.put(path, &body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.body);
    }

    /// The server ends in the middle of whatever it does, and another one goes on.
    async fn with_killed_server(mut self) -> Self {
        let (runtime, server) = (self.runtime, self.server);
        drop(server);
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(10))).await.unwrap();
        if self.url.starts_with("postgres") {
            // On PostgreSQL the claims of the killed run out by themselves, after minutes.
            let store = Store::open(&self.url, 2).await.unwrap();
            let run_out = "update delivery set lease_until_ms = 0 where status = 'sending'";
            crate::delivery::run(&store, vec![run_out.to_owned()]).await;
            store.close().await;
        }
        (self.runtime, self.server) = serve(&self.url, &self.config).await;
        self
    }

    /// A person lets everything go again that was refused.
    async fn retry(&self) {
        let store = &self.server.store;
        let filter = Filter { status: Some(Status::Dead), ..Filter::default() };
        let mut connection = store.db().read().await.unwrap();
        let ids = list::ids(&mut connection, "default", &filter, 1_000).await.unwrap();
        drop(connection);
        let retried = ids.clone();
        let revive = store.db().transaction(move |tx| {
            let ids = retried.clone();
            Box::pin(async move { desk::revive(tx, "default", &ids, now_ms()).await })
        });
        assert_eq!(revive.await.unwrap(), ids.len());
    }

    /// Waits until every change was mapped.
    async fn mapped(&self) {
        self.until("the mapper", |row| row == 0, UNMAPPED).await;
    }

    async fn until(&self, what: &str, holds: impl Fn(i64) -> bool, sql: &'static str) {
        let begun = Instant::now();
        loop {
            let mut connection = self.server.store.db().read().await.unwrap();
            let left = connection.one(sql, Default::default()).await.unwrap().int("amount").unwrap();
            drop(connection);
            if holds(left) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{what} does not finish: {left} left (seed {})", self.seed);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn end(self) {
        self.mapped().await;
        self.until("sending", |row| row == 0, UNSENT).await;
        self.retry().await;
        self.until("sending again", |row| row == 0, UNSENT).await;
        let (expected, found) = (self.expected(), self.found());
        if expected != found {
            self.show_places().await;
        }
        let shown = |cells: &Cells, other: &Cells| {
            let differing = cells.iter().filter(|(key, value)| other.get(key) != Some(value));
            format!("{:#?}", differing.collect::<Vec<_>>())
        };
        assert!(
            expected == found,
            "seed {}: DHIS2 differs from the recount\nonly in the recount: {}\nonly in DHIS2: {}",
            self.seed,
            shown(&expected, &found),
            shown(&found, &expected)
        );
        assert!(!expected.is_empty());
        self.server.stop().await;
        self.runtime.shutdown_background();
    }

    /// What the store believes, for the reader of a failure.
    async fn show_places(&self) {
        let mut connection = self.server.store.db().read().await.unwrap();
        let sql = "select s.slot, coalesce(s.sent, '') as sent, s.in_doubt, coalesce(p.status, '') as status,
                coalesce(p.wanted, '') as wanted, coalesce(p.cause, '') as cause
            from slot s left join part p
                on p.tenant = s.tenant and p.destination = s.destination and p.slot = s.slot
            where s.destination like 'dhis2%' order by s.slot";
        for row in connection.all(sql, Default::default()).await.unwrap() {
            let text = |column: &str| row.text(column).unwrap();
            let doubt = row.int("in_doubt").unwrap();
            eprintln!(
                "{} sent {} doubt {doubt} {} wants {} {}",
                text("slot"),
                text("sent"),
                text("status"),
                text("wanted"),
                text("cause")
            );
        }
    }

    /// What DHIS2 holds.
    fn found(&self) -> Cells {
        let state = self.far.state();
        let cells = state["cells"].as_array().unwrap().iter();
        let living = cells.filter(|cell| cell["deleted"] == false && !cell["value"].is_null());
        let text = |cell: &Value, key: &str| cell[key].as_str().unwrap().to_owned();
        living
            .map(|cell| {
                let key =
                    ["period", "orgUnit", "dataElement", "categoryOptionCombo"].map(|key| text(cell, key));
                let [period, unit, element, combo] = key;
                ((period, unit, element, combo), text(cell, "value"))
            })
            .collect()
    }

    fn expected(&self) -> Cells {
        let mut cells = self.recount();
        let mut latest: BTreeMap<(String, String), &Report> = BTreeMap::new();
        for report in self.reports.values() {
            let key = (period(report.authored.date() - 1.month()), report.village.clone());
            let known = latest.entry(key).or_insert(report);
            if report.authored > known.authored {
                *known = report;
            }
        }
        for ((period, village), report) in latest {
            let mut cell = |element: &str, combo: &str, value: String| {
                cells.insert((period.clone(), village.clone(), element.to_owned(), combo.to_owned()), value);
            };
            cell("FTRrcoaog83", DEFAULT_OPTION_COMBO, report.fever_cases.to_string());
            cell("MjMalariaP1", DEFAULT_OPTION_COMBO, "1".to_owned());
            cell("P3jJH5Tu5VC", "S34ULMcHMca", report.deaths_female.to_string());
            cell("P3jJH5Tu5VC", "wHBMVthqIX4", "0".to_owned());
            cell("MjStockOut1", DEFAULT_OPTION_COMBO, "false".to_owned());
        }
        cells
    }

    /// The counts, with the patients as they are now.
    fn recount(&self) -> Cells {
        let mut counts: BTreeMap<(String, String, String, String), u32> = BTreeMap::new();
        for observation in self.observations.values() {
            let Some(patient) = self.patients.get(&observation.patient) else { continue };
            if observation.status == "entered-in-error" || patient.born > observation.on {
                continue;
            }
            let years = patient.born.until((jiff::Unit::Year, observation.on)).unwrap().get_years();
            let age = match years {
                0..5 => "AGE_0_4",
                5..15 => "AGE_5_14",
                _ => "AGE_15",
            };
            let sex = if patient.gender == "female" { "SEX_F" } else { "SEX_M" };
            let combo = self.country.sex_and_age(sex, age).unwrap().id.clone();
            let elements: &[&str] =
                if observation.positive { &["MjTestsDone", "MjTestsPos1"] } else { &["MjTestsDone"] };
            for element in elements {
                let key =
                    (period(observation.on), patient.facility.clone(), (*element).to_owned(), combo.clone());
                *counts.entry(key).or_default() += 1;
            }
        }
        counts.into_iter().map(|(key, count)| (key, count.to_string())).collect()
    }
}

/// A server with a runtime and a store of its own.
async fn serve(url: &str, config: &Config) -> (tokio::runtime::Runtime, TestServer) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (url, config) = (url.to_owned(), config.clone());
    let start = async move { TestServer::start_with(Store::open(&url, 6).await.unwrap(), config).await };
    let server = runtime.spawn(start).await.unwrap();
    (runtime, server)
}

const UNMAPPED: &str = "select
    (select count(*) from change c left join mapper_partition p
        on p.tenant = c.tenant and p.partition = c.partition
     where p.position is null or c.position > p.position)
    + (select count(*) from revisit) as amount";

const UNSENT: &str = "select count(*) as amount from delivery where status in ('waiting', 'sending')";

fn period(day: Date) -> String {
    format!("{:04}{:02}", day.year(), day.month())
}

fn config(
    (workspace, workspace_server): (&RapidPro, &Server),
    (far, far_server): (&Dhis2, &Server),
) -> Config {
    let mut config = Config::default();
    config.tenant.get_mut("default").unwrap().timezone = "Africa/Kigali".to_owned();
    config.mappings = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let rapidpro: RapidProConfig = serde_json::from_value(json!({ "url": workspace_server.url(),
        "token": workspace.token(), "country": "RW", "poll_interval_s": 1, "budget_per_hour": 100_000 }))
    .unwrap();
    let dhis2: Dhis2Config =
        serde_json::from_value(json!({ "url": far_server.url(), "token": far.token() })).unwrap();
    config.rapidpro.insert("north".to_owned(), rapidpro);
    config.dhis2.insert("national".to_owned(), dhis2);
    config
}
