//! `mjumbe demo`: the story on loopback.

// The server as a process of its own, that can be killed.
mod child;
// A folder with everything that the server needs.
mod house;
// What a person sees.
mod screen;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use clap::Args;

use self::child::Child;
use self::house::{House, StoreAt};
use self::screen::Screen;
use super::failure::Failure;
use super::{block_on, ended};
use crate::sandbox::dhis2::Dhis2;
use crate::sandbox::http::{FarSide, Server};
use crate::sandbox::rapidpro::definition::Webhook;
use crate::sandbox::rapidpro::{RapidPro, WebhookShape};
use crate::sandbox::story::Story;
use crate::sandbox::story::play::{self, Pace, Product, Stage};
use crate::sandbox::story::tally::Report;
use crate::sandbox::story::truth::Open;
use crate::store::Store;
use crate::store::deliveries::list::{Filter, list};
use crate::store::deliveries::{PartStatus, Status, parts_of};

#[derive(Debug, Args)]
pub struct Arguments {
    /// Exit after the table at the end: 0 only if nothing was lost or doubled.
    #[arg(long)]
    once: bool,
    /// Print one JSON object on stdout instead of the table.
    #[arg(long)]
    json: bool,
    /// Another number tells another story.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The store of the server, `postgres://USER:PASSWORD@HOST/DATABASE`: an empty database, which stays as it
    /// is in the end. Without it, a file that is removed.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Kill (SIGKILL) and restart the server N times during the story.
    #[arg(long, default_value_t = 0, value_name = "N")]
    kill: u32,
}

pub fn run(arguments: Arguments) -> Result<ExitCode, Failure> {
    block_on(demo(arguments))
}

async fn demo(arguments: Arguments) -> Result<ExitCode, Failure> {
    let screen = Arc::new(Screen::new(std::io::stderr().is_terminal()));
    let story = Story::new(arguments.seed);
    let (rapidpro, dhis2) = (RapidPro::new(story.workspace()), Dhis2::new(story.server()));
    let workspace = listen(Arc::new(rapidpro.clone())).await?;
    let national = listen(Arc::new(dhis2.clone())).await?;
    let store = arguments.store.clone().map_or(StoreAt::File, StoreAt::Database);
    let (workspace_url, national_url) = (workspace.url(), national.url());
    let systems = ((workspace_url.as_str(), rapidpro.token()), (national_url.as_str(), dhis2.token()));
    let house = House::build(&story, systems, store)?;
    let token = house.token().await?;
    let (version, at) = (dhis2.version().text(), national.url());
    screen.tell(&format!("RapidPro is simulated at {}, DHIS2 {version} at {at}", workspace.url()));
    let child = Arc::new(Child::start(&house).await?);
    let store = Store::open(&house.store_url(), 2).await?;
    let product =
        Mjumbe { child: child.clone(), store, screen: screen.clone(), fhir: house.fhir_url(), token };
    let report = tell(&product, (&story, &rapidpro, &dhis2), (&house, arguments.kill)).await;
    screen.end();
    if let Ok(report) = &report {
        out!("{}", if arguments.json { as_json(report)? } else { screen::summary(report) });
        if !arguments.once {
            screen.stay(&house, (&workspace.url(), &national.url()), &product.token);
            ended::from_outside().await;
        }
    }
    product.store.close().await;
    child.stop().await;
    let report = report?;
    let good = report.lost + report.twice + report.unknown == 0;
    if !good {
        note!("{}", house.keep());
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_json(report: &Report) -> Result<String, Failure> {
    serde_json::to_string(report).map_err(|error| Failure::because("the report", error))
}

/// Plays the story while the server is killed so many times.
async fn tell(
    product: &Mjumbe,
    (story, rapidpro, dhis2): (&Story, &RapidPro, &Dhis2),
    (house, kills): (&House, u32),
) -> Result<Report, Failure> {
    rapidpro.add_demo_flows(Some(&Webhook {
        url: house.webhook_url(),
        secret: house.secret().to_owned(),
        shape: WebhookShape::EditorDefault,
    }));
    product.child.expect_kills(kills);
    let trouble = tokio::spawn(trouble(product.child.clone(), kills));
    let mut stage = Stage::new(story, (rapidpro, dhis2), product);
    if kills > 0 {
        // A server that is killed again and again maps later. On PostgreSQL what it was sending waits for the
        // end of its lease, which for DHIS2 is a quarter of an hour.
        let (due, in_time) = (Duration::from_secs(90), Duration::from_secs(60));
        let settle = Duration::from_secs(1_200);
        stage.pace = Pace { due, in_time, settle, lost_answers: 2, ..stage.pace };
    }
    let told = tokio::select! {
        told = play::play(stage) => {
            told.map_err(|error| Failure::new(error.to_string()).hint(house.log_hint()))
        }
        () = ended::from_outside() => Err(Failure::new("ended before the story was told")),
    };
    trouble.abort();
    told
}

async fn listen(far: Arc<dyn FarSide>) -> Result<Server, Failure> {
    let started = Server::start(far, ([127, 0, 0, 1], 0).into()).await;
    started.map_err(|error| Failure::because("a simulated system did not start", error))
}

/// Kills the server so many times, spread over the story.
async fn trouble(child: Arc<Child>, times: u32) {
    for nth in 0..times {
        while !child.may_be_killed() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // Uneven, so that it hits the server in every state.
        let wait = 400 + u64::from(nth % 7) * 170;
        tokio::time::sleep(Duration::from_millis(wait)).await;
        child.kill_and_restart().await;
    }
}

/// The product as the story sees it.
struct Mjumbe {
    child: Arc<Child>,
    store: Store,
    screen: Arc<Screen>,
    fhir: String,
    token: String,
}

#[async_trait]
impl Product for Mjumbe {
    fn fhir(&self) -> String {
        self.fhir.clone()
    }

    fn token(&self) -> String {
        self.token.clone()
    }

    async fn open(&self) -> Vec<Open> {
        // A read that fails while the server is restarted is repeated by the next look.
        open_parts(&self.store).await.unwrap_or_default()
    }

    fn chapter(&self, number: u32) {
        self.child.allow_kills(number);
    }

    fn is_troubled(&self) -> bool {
        self.child.is_troubled()
    }

    fn tell(&self, text: &str) {
        self.screen.tell(text);
    }

    fn show(&self, report: &Report) {
        self.screen.show(report, self.child.kills());
    }
}

/// Everything that is not settled, part by part.
async fn open_parts(store: &Store) -> Result<Vec<Open>, crate::store::Error> {
    const PAGE: i64 = 1000;
    let mut db = store.db().read().await?;
    let mut open = Vec::new();
    for status in [Status::Waiting, Status::Sending, Status::Dead] {
        let filter = Filter { status: Some(status), ..Filter::default() };
        let mut after = None;
        loop {
            let rows = list(&mut db, "default", &filter, (after.clone(), PAGE)).await?;
            let ids: Vec<String> = rows.iter().map(|row| row.id.clone()).collect();
            for part in parts_of(&mut db, "default", &ids).await? {
                let dead = match part.status {
                    PartStatus::Dead => true,
                    PartStatus::Waiting => false,
                    PartStatus::Settled | PartStatus::Superseded | PartStatus::Cancelled => continue,
                };
                let row = rows.iter().find(|row| row.id == part.delivery_id);
                let own = Some(part.cause.message.clone()).filter(|text| !text.is_empty());
                let reason = own.or_else(|| row.map(|row| row.cause.message.clone())).unwrap_or_default();
                let code = Some(part.cause.code.clone()).filter(|code| !code.is_empty());
                let code = code.or_else(|| row.map(|row| row.cause.code.clone())).unwrap_or_default();
                let (target, source) =
                    row.map(|row| (row.target.clone(), row.source.clone())).unwrap_or_default();
                open.push(Open { place: part.slot, target, source, code, dead, reason });
            }
            let full = i64::try_from(rows.len()).is_ok_and(|count| count == PAGE);
            match rows.last().filter(|_| full) {
                Some(last) => after = Some((last.order_no, last.id.clone())),
                None => break,
            }
        }
    }
    Ok(open)
}
