//! `mjumbe deliveries list|show|retry|cancel`.

// How evaluations that wait are printed.
mod held;
// How deliveries are printed.
mod print;

use std::collections::BTreeMap;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use super::failure::Failure;
use super::{block_on, stores};
use crate::config::Config;
use crate::delivery::desk;
use crate::delivery::destination::UNPROVABLE;
use crate::delivery::signal::now_ms;
use crate::store::db::AsConflict;
use crate::store::deliveries::list::{self, Filter};
use crate::store::deliveries::{DeliveryRow, Status};
use crate::store::reads::{self, HeldFilter};
use crate::store::{self, Store};

/// Deliveries that one command changes at most.
const CHANGED_MAX: i64 = 100_000;
/// Deliveries of one transaction.
const CHUNK: usize = 200;
/// Held evaluations, and deliveries, of one resource that are shown at most.
const SHOWN_MAX: i64 = 1_000;
/// Runs of one transaction before its conflict is reported.
const RUNS_MAX: u32 = 8;

#[derive(Debug, Args)]
pub struct Arguments {
    #[command(subcommand)]
    what: What,
    #[arg(long, global = true, default_value = "default")]
    tenant: String,
    /// Print JSON.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What waits and what a person must look at, by cause; and the evaluations that are held, by what
    /// they wait for.
    List {
        #[command(flatten)]
        filter: FilterArguments,
        /// Each delivery and each held evaluation for itself, at most N.
        #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "100")]
        each: Option<i64>,
    },
    /// One delivery with its parts, its attempts and what the other side answered; or what is held and
    /// wanted because of one resource.
    Show {
        /// A delivery's id, or the beginning of it; or a resource, as Type/id.
        id: String,
    },
    /// Let dead and cancelled deliveries go out again.
    Retry {
        #[command(flatten)]
        chosen: Chosen,
        /// Also acts of which nobody can say whether they happened (cause `unknown`). They may happen twice.
        #[arg(long)]
        force: bool,
    },
    /// Give up what was not accepted yet.
    Cancel(Chosen),
}

#[derive(Debug, Args)]
struct Chosen {
    /// Ids, or beginnings of ids.
    ids: Vec<String>,
    #[command(flatten)]
    filter: FilterArguments,
    /// Every delivery that is not settled.
    #[arg(long, conflicts_with = "ids")]
    all: bool,
    /// Do it. Where deliveries are chosen by a filter, without this only what would be changed is said.
    #[arg(long)]
    yes: bool,
}

#[derive(Debug, Clone, Args)]
struct FilterArguments {
    #[arg(long)]
    status: Option<StatusArgument>,
    /// A cause's code, e.g. dhis2-unit-not-assigned.
    #[arg(long)]
    cause: Option<String>,
    #[arg(long)]
    mapping: Option<String>,
    /// e.g. dhis2.national
    #[arg(long)]
    destination: Option<String>,
    /// What travels in order: a contact, or data set|period|unit.
    #[arg(long)]
    lane: Option<String>,
    /// Type/id of the resource that caused it.
    #[arg(long)]
    source: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StatusArgument {
    Waiting,
    Sending,
    Settled,
    Dead,
    Cancelled,
}

impl FilterArguments {
    fn filter(&self) -> Filter {
        Filter {
            status: self.status.map(|status| match status {
                StatusArgument::Waiting => Status::Waiting,
                StatusArgument::Sending => Status::Sending,
                StatusArgument::Settled => Status::Settled,
                StatusArgument::Dead => Status::Dead,
                StatusArgument::Cancelled => Status::Cancelled,
            }),
            cause: self.cause.clone(),
            mapping: self.mapping.clone(),
            destination: self.destination.clone(),
            lane: self.lane.clone(),
            source: self.source.clone(),
        }
    }

    /// The same of held evaluations. They have no status, destination or lane yet: who asks for one of
    /// these (`None`) means no evaluation.
    fn held(&self) -> Option<HeldFilter> {
        let others = self.status.is_some() || self.destination.is_some() || self.lane.is_some();
        let filter = HeldFilter {
            mapping: self.mapping.clone(),
            code: self.cause.clone(),
            source: self.source.clone(),
        };
        (!others).then_some(filter)
    }
}

pub fn run(config: &Config, arguments: Arguments) -> Result<ExitCode, Failure> {
    let tenant = stores::tenant(config, &arguments.tenant)?.to_owned();
    block_on(async {
        let store = stores::open(config).await?;
        let office = Office { store: &store, tenant: &tenant, json: arguments.json };
        let done = match &arguments.what {
            What::List { filter, each: None } => office.groups(filter).await,
            What::List { filter, each: Some(limit) } => office.each(filter, *limit).await,
            What::Show { id } if id.contains('/') => office.source(id).await,
            What::Show { id } => office.show(id).await,
            What::Retry { chosen, force: false } => office.change(chosen, Change::Retry).await,
            What::Retry { chosen, force: true } => office.change(chosen, Change::SendAgain).await,
            What::Cancel(chosen) => office.change(chosen, Change::Cancel).await,
        };
        store.close().await;
        done
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Retry,
    /// As `Retry`, also what may happen twice by it.
    SendAgain,
    Cancel,
}

/// Where the commands work.
struct Office<'a> {
    store: &'a Store,
    tenant: &'a str,
    json: bool,
}

impl Office<'_> {
    async fn groups(&self, filter: &FilterArguments) -> Result<ExitCode, Failure> {
        let mut connection = self.store.db().read().await?;
        let groups = list::groups(&mut connection, self.tenant, &filter.filter()).await?;
        let held = match filter.held() {
            Some(held) => reads::held_groups(&mut connection, self.tenant, &held).await?,
            None => Vec::new(),
        };
        if self.json {
            out!(
                "{}",
                json!({ "deliveries": print::groups_json(&groups), "held": held::groups_json(&held) })
            );
        } else {
            print::groups(&groups);
            held::groups(&held);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn each(&self, filter: &FilterArguments, limit: i64) -> Result<ExitCode, Failure> {
        let limit = limit.clamp(1, CHANGED_MAX);
        let mut connection = self.store.db().read().await?;
        let rows = list::list(&mut connection, self.tenant, &filter.filter(), (None, limit)).await?;
        let held = match filter.held() {
            Some(held) => reads::held(&mut connection, self.tenant, &held, limit).await?,
            None => Vec::new(),
        };
        if self.json {
            out!("{}", json!({ "deliveries": print::each_json(&rows), "held": held::each_json(&held) }));
        } else {
            print::each(&rows);
            held::each(&held);
        }
        Ok(ExitCode::SUCCESS)
    }

    /// What one resource caused: the evaluations of it that are held, and its deliveries.
    async fn source(&self, source: &str) -> Result<ExitCode, Failure> {
        let mut connection = self.store.db().read().await?;
        let of_it = HeldFilter { source: Some(source.to_owned()), ..HeldFilter::default() };
        let held = reads::held(&mut connection, self.tenant, &of_it, SHOWN_MAX).await?;
        let of_it = Filter { source: Some(source.to_owned()), ..Filter::default() };
        let rows = list::list(&mut connection, self.tenant, &of_it, (None, SHOWN_MAX)).await?;
        if held.is_empty() && rows.is_empty() {
            return Err(Failure::new(format!(
                "nothing is held or wanted because of `{source}` [unknown-source]"
            ))
            .hint("a resource is named as Type/id; `mjumbe explain` says what a mapping makes of it"));
        }
        if self.json {
            out!("{}", json!({ "deliveries": print::each_json(&rows), "held": held::each_json(&held) }));
        } else {
            print::each(&rows);
            held::whole(&held);
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn show(&self, id: &str) -> Result<ExitCode, Failure> {
        let shown = list::show(&mut self.store.db().read().await?, self.tenant, id).await?;
        print::one(&shown.ok_or_else(|| unknown(id))?, self.json);
        Ok(ExitCode::SUCCESS)
    }

    async fn change(&self, chosen: &Chosen, change: Change) -> Result<ExitCode, Failure> {
        let ids = self.chosen(chosen, change).await?;
        if chosen.ids.is_empty() && !chosen.yes {
            return self.preview(&ids, change).await;
        }
        let mut changed = 0;
        for some in ids.chunks(CHUNK) {
            changed += self.change_some(some, change).await?;
        }
        let (word, next) = match change {
            Change::Retry | Change::SendAgain => {
                ("waiting", "a running `mjumbe serve` sends them when they are due, else within seconds")
            }
            Change::Cancel => ("cancelled", "`mjumbe deliveries retry` lets them go out after all"),
        };
        if self.json {
            out!("{}", json!({ "chosen": ids.len(), word: changed }));
        } else {
            out!("{changed} of {} are {word} now", ids.len());
            if change != Change::Cancel {
                self.tell_left(&ids).await?;
            }
            note!("Next: {next}");
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Why acts were left as they are.
    async fn tell_left(&self, ids: &[String]) -> Result<(), Failure> {
        let (mut unknown, mut unwanted) = (0, 0);
        let mut connection = self.store.db().read().await?;
        for some in ids.chunks(CHUNK) {
            for row in store::deliveries::deliveries(&mut connection, self.tenant, some).await? {
                let ended = matches!(row.status, Status::Dead | Status::Cancelled);
                unknown += usize::from(ended && row.cause.code == UNPROVABLE);
                unwanted += usize::from(ended && row.nature == "act" && row.withdrawn);
            }
        }
        if unknown > 0 {
            note!(
                "{unknown} may have happened already and were left: look on the other side, then --force sends"
            );
            note!("them once more, at the risk that they happen twice");
        }
        if unwanted > 0 {
            note!("{unwanted} are acts that their source does not want any more and were left");
        }
        Ok(())
    }

    /// What was chosen by a filter, before anything is changed: how many, of which mappings and causes.
    async fn preview(&self, ids: &[String], change: Change) -> Result<ExitCode, Failure> {
        let mut groups: BTreeMap<(String, String, String), usize> = BTreeMap::new();
        let mut connection = self.store.db().read().await?;
        for some in ids.chunks(CHUNK) {
            for row in store::deliveries::deliveries(&mut connection, self.tenant, some).await? {
                let cause = if row.cause.code.is_empty() { "-".to_owned() } else { row.cause.code };
                *groups.entry((row.destination, row.mapping, cause)).or_default() += 1;
            }
        }
        let word = if change == Change::Cancel { "cancelled" } else { "retried" };
        if self.json {
            let chosen = groups.iter().map(|((destination, mapping, cause), count)| {
                json!({ "destination": destination, "mapping": mapping, "cause": cause, "count": count })
            });
            out!("{}", json!({ "chosen": ids.len(), "changed": 0, "groups": chosen.collect::<Vec<_>>() }));
            return Ok(ExitCode::SUCCESS);
        }
        out!("{} deliveries would be {word}", ids.len());
        for ((destination, mapping, cause), count) in &groups {
            out!("{count:>8}  {destination}  {mapping}  {cause}");
        }
        note!("Nothing was changed. Next: the same with --yes");
        Ok(ExitCode::SUCCESS)
    }

    /// Without ids and without a filter nothing is chosen: a slip must not change everything.
    async fn chosen(&self, chosen: &Chosen, change: Change) -> Result<Vec<String>, Failure> {
        let mut connection = self.store.db().read().await?;
        if !chosen.ids.is_empty() {
            let mut ids = Vec::new();
            for id in &chosen.ids {
                let shown = list::show(&mut connection, self.tenant, id).await?;
                let DeliveryRow { id, .. } = shown.ok_or_else(|| unknown(id))?.delivery;
                ids.push(id);
            }
            return Ok(ids);
        }
        let mut filter = chosen.filter.filter();
        if filter == Filter::default() && !chosen.all {
            return Err(Failure::new("which deliveries? [nothing-chosen]")
                .hint("name ids, a filter such as --cause CODE, or --all"));
        }
        if filter.status.is_some() {
            return Ok(list::ids(&mut connection, self.tenant, &filter, CHANGED_MAX).await?);
        }
        let statuses = match change {
            Change::Retry | Change::SendAgain => [Status::Dead, Status::Cancelled],
            Change::Cancel => [Status::Waiting, Status::Dead],
        };
        let mut ids = Vec::new();
        for status in statuses {
            filter.status = Some(status);
            ids.extend(list::ids(&mut connection, self.tenant, &filter, CHANGED_MAX).await?);
        }
        Ok(ids)
    }

    /// One transaction; again after a conflict with a sender.
    async fn change_some(&self, ids: &[String], change: Change) -> Result<usize, Failure> {
        let mut run = 1;
        loop {
            match self.attempt(ids, change).await {
                Err(error) if run < RUNS_MAX && error.is_conflict() => run += 1,
                done => return Ok(done?),
            }
        }
    }

    async fn attempt(&self, ids: &[String], change: Change) -> Result<usize, store::Error> {
        let mut tx = self.store.db().begin_write().await?;
        let changed = match change {
            Change::Retry => desk::revive(&mut tx, self.tenant, ids, now_ms()).await?,
            Change::SendAgain => desk::send_again(&mut tx, self.tenant, ids, now_ms()).await?,
            Change::Cancel => desk::cancel(&mut tx, self.tenant, ids, now_ms()).await?,
        };
        tx.commit().await?;
        Ok(changed)
    }
}

fn unknown(id: &str) -> Failure {
    Failure::new(format!("no delivery, or several, begin with `{id}` [unknown-delivery]"))
        .hint("`mjumbe deliveries list --each` shows their ids")
}
