//! All that the server holds.
//!
//! A cell keeps every accepted write, so that a comparison with the truth sees what was stored when, and
//! how often.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::time::{Clock, micros};
use super::country::{Country, DEFAULT_OPTION_COMBO, ROOT};
use super::tokens::Token;
use super::tracker::Tracker;
use super::{Options, Version, incoming, periods};

/// What the service account may do: write data values, and tracker data with all that is below it.
const SERVICE: &[&str] =
    &["F_DATAVALUE_ADD", "F_TRACKED_ENTITY_ADD", "F_TEI_CASCADE_DELETE", "F_ENROLLMENT_CASCADE_DELETE"];

/// The server.
#[derive(Debug)]
pub(super) struct World {
    pub version: Version,
    pub country: Country,
    pub users: Vec<User>,
    pub cells: BTreeMap<CellKey, Cell>,
    pub completions: BTreeMap<CompletionKey, Completion>,
    /// Periods that have been stored at least once.
    pub known_periods: BTreeSet<String>,
    pub tracker: Tracker,
    pub clock: Clock,
    imports: Vec<Import>,
    next_ticket: u64,
}

/// An account.
#[derive(Debug, Clone)]
pub(super) struct User {
    pub id: String,
    pub name: String,
    pub password: String,
    pub tokens: Vec<Token>,
    pub authorities: Vec<String>,
    /// Uids of the organisation units below which data may be written.
    pub units: Vec<String>,
    pub disabled: bool,
}

impl User {
    pub fn new(name: &str, password: &str, authorities: &[&str], units: &[&str]) -> Self {
        Self {
            id: format!(
                "MjUser{:05}",
                name.bytes().fold(0_u32, |sum, b| (sum * 31 + u32::from(b)) % 100_000)
            ),
            name: name.to_owned(),
            password: password.to_owned(),
            tokens: Vec::new(),
            authorities: authorities.iter().map(|&one| one.to_owned()).collect(),
            units: units.iter().map(|&one| one.to_owned()).collect(),
            disabled: false,
        }
    }

    pub fn may(&self, authority: &str) -> bool {
        self.authorities.iter().any(|own| own == authority || own == "ALL")
    }
}

/// What a value is stored under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CellKey {
    pub period: String,
    pub org_unit: String,
    pub data_element: String,
    pub option_combo: String,
    pub attribute_combo: String,
}

impl CellKey {
    /// A cell of the default attribute option combo.
    pub fn new(period: &str, org_unit: &str, data_element: &str, option_combo: &str) -> Self {
        let or_default =
            |text: &str| if text.is_empty() { DEFAULT_OPTION_COMBO.to_owned() } else { text.to_owned() };
        Self {
            period: period.to_owned(),
            org_unit: org_unit.to_owned(),
            data_element: data_element.to_owned(),
            option_combo: or_default(option_combo),
            attribute_combo: DEFAULT_OPTION_COMBO.to_owned(),
        }
    }
}

/// A stored value.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    pub value: Option<String>,
    pub comment: Option<String>,
    pub follow_up: bool,
    pub deleted: bool,
    pub stored_by: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub writes: Vec<Value>,
}

/// Data set, period, organisation unit, attribute option combo.
pub(super) type CompletionKey = (String, String, String, String);

/// A registered completion.
#[derive(Debug, Clone)]
pub(super) struct Completion {
    pub date: String,
    pub stored_by: String,
    pub completed: bool,
    pub writes: Vec<Value>,
}

#[derive(Debug)]
struct Import {
    ticket: u64,
    new_periods: BTreeSet<String>,
    clash: Clash,
}

/// Two imports that were the first to use a period at the same moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clash {
    None,
    /// The one that came first; of these periods.
    First(BTreeSet<String>),
    /// The one that came second.
    Second,
}

/// What one accepted value changes.
#[derive(Debug, Clone)]
pub(super) struct NewValue {
    pub value: Option<String>,
    pub comment: Option<String>,
    pub follow_up: bool,
    pub deleted: bool,
}

impl World {
    pub fn new(options: &Options) -> Self {
        let admin = User::new("admin", &options.password, &["ALL"], &[ROOT]);
        let mut service = User::new("mjumbe", &options.password, SERVICE, &[ROOT]);
        service.tokens.push(Token::new(&options.token));
        Self {
            version: options.version,
            country: options.country.clone(),
            users: vec![admin, service],
            cells: BTreeMap::new(),
            completions: BTreeMap::new(),
            known_periods: BTreeSet::new(),
            tracker: Tracker::default(),
            clock: Clock::default(),
            imports: Vec::new(),
            next_ticket: 1,
        }
    }

    /// Whether an organisation unit lies below one of the user's.
    pub fn in_hierarchy(&self, user: &User, unit: &str) -> bool {
        let Some(unit) = self.country.unit(unit) else { return false };
        unit.path.split('/').any(|id| user.units.iter().any(|own| own == id))
    }

    /// Notes that an import has begun; which periods would it be the first to use?
    pub fn begin_import(&mut self, body: &[u8]) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let mut new_periods = incoming::periods_in(body);
        new_periods.retain(|iso| !self.known_periods.contains(iso) && periods::parse(iso).is_some());
        let mut clash = Clash::None;
        for other in &mut self.imports {
            let common: BTreeSet<String> = other.new_periods.intersection(&new_periods).cloned().collect();
            if common.is_empty() {
                continue;
            }
            clash = Clash::Second;
            match &mut other.clash {
                Clash::First(periods) => periods.extend(common),
                Clash::None => other.clash = Clash::First(common),
                Clash::Second => {}
            }
        }
        self.imports.push(Import { ticket, new_periods, clash });
        ticket
    }

    /// Ends an import; says whether another one was in its way.
    pub fn end_import(&mut self, ticket: u64) -> Clash {
        let Some(at) = self.imports.iter().position(|import| import.ticket == ticket) else {
            return Clash::None;
        };
        self.imports.remove(at).clash
    }

    /// Stores one value.
    pub fn store(&mut self, key: CellKey, new: NewValue, user: &str, request: u64) {
        let at = self.clock.tick();
        self.known_periods.insert(key.period.clone());
        let write = json!({ "request": request, "at": micros(at), "value": new.value, "deleted": new.deleted,
            "by": user });
        let cell = self.cells.entry(key).or_insert_with(|| Cell {
            value: None,
            comment: None,
            follow_up: false,
            deleted: false,
            stored_by: user.to_owned(),
            created: at,
            updated: at,
            writes: Vec::new(),
        });
        if !new.deleted || new.value.is_some() {
            cell.value = new.value;
        }
        cell.comment = new.comment;
        cell.follow_up = new.follow_up;
        cell.deleted = new.deleted;
        user.clone_into(&mut cell.stored_by);
        cell.updated = at;
        cell.writes.push(write);
    }

    /// Registers or withdraws a completion.
    pub fn complete(&mut self, key: CompletionKey, completion: Completion, request: u64) {
        let at = micros(self.clock.tick());
        self.known_periods.insert(key.1.clone());
        let kept = self.completions.entry(key).or_insert_with(|| completion.clone());
        let write = json!({ "request": request, "at": at, "completed": completion.completed });
        let mut writes = std::mem::take(&mut kept.writes);
        writes.push(write);
        *kept = Completion { writes, ..completion };
    }

    /// Everything, for comparisons with the truth.
    pub fn show(&self) -> Value {
        let cells: Vec<Value> = self
            .cells
            .iter()
            .map(|(key, cell)| {
                json!({ "period": key.period, "orgUnit": key.org_unit, "dataElement": key.data_element,
                    "categoryOptionCombo": key.option_combo, "attributeOptionCombo": key.attribute_combo,
                    "value": cell.value, "comment": cell.comment, "deleted": cell.deleted, "writes": cell.writes })
            })
            .collect();
        let completions: Vec<Value> = self
            .completions
            .iter()
            .map(|((set, period, unit, combo), completion)| {
                json!({ "dataSet": set, "period": period, "organisationUnit": unit, "attributeOptionCombo": combo,
                    "date": completion.date, "completed": completion.completed, "storedBy": completion.stored_by,
                    "writes": completion.writes })
            })
            .collect();
        json!({ "version": self.version.text(), "cells": cells, "completions": completions,
            "tracker": self.tracker.show() })
    }
}
