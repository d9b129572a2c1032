//! Groups and status: `contact_actions`, which touches nothing else of a contact.

use serde_json::{Value, json};

use super::asked::{Asked, Place, not_active};
use super::upsert::Upsert;
use super::verdict::decide;
use crate::delivery::destination::Verdict;
use crate::rapidpro::client::fault::{self, Fault, Kind, Problem};

impl Upsert<'_> {
    /// Groups and blocking, one by one.
    pub(super) async fn act(&mut self, asked: &mut Asked, uuid: &str, barred: bool) -> Result<(), Fault> {
        let groups: Vec<(String, bool)> = asked
            .open()
            .filter_map(|item| match &item.place {
                Place::Group(group) => Some((group.clone(), item.wanted.is_some())),
                _ => None,
            })
            .collect();
        for (group, add) in groups {
            let place = Place::Group(group.clone());
            if add && barred {
                decide(asked, &place, &Verdict::Refused(not_active()));
                continue;
            }
            let action = if add { "add" } else { "remove" };
            let body = json!({"contacts": [uuid], "action": action, "group": group});
            let verdict = self.action(&body).await;
            // A group that is gone needs no removal.
            self.note(asked, &place, verdict, !add)?;
        }
        let status = asked.open().find(|item| item.place == Place::Status).map(|item| item.wanted.clone());
        match status {
            Some(Some(wanted)) if wanted == "blocked" => self.status(asked, uuid, "block").await?,
            Some(_) => decide(asked, &Place::Status, &Verdict::Accepted),
            None => {}
        }
        Ok(())
    }

    pub(super) async fn status(&mut self, asked: &mut Asked, uuid: &str, action: &str) -> Result<(), Fault> {
        let verdict = self.action(&json!({"contacts": [uuid], "action": action})).await;
        self.note(asked, &Place::Status, verdict, false)
    }

    async fn action(&mut self, body: &Value) -> Result<(), Fault> {
        self.post("contact_actions", &[], body).await.map(drop).map_err(|mut fault| {
            let contact = |complaint: &fault::FieldFault| {
                complaint.field == "contacts" && complaint.problem == Problem::NoSuchObject
            };
            if fault.fields.iter().any(contact) {
                fault.kind = Kind::Gone;
            }
            fault
        })
    }

    /// Reads what became of one action. A fault of the way leaves this part for later once others are
    /// decided.
    fn note(
        &self,
        asked: &mut Asked,
        place: &Place,
        result: Result<(), Fault>,
        absent_is_fine: bool,
    ) -> Result<(), Fault> {
        let fault = match result {
            Ok(()) => {
                decide(asked, place, &Verdict::Accepted);
                return Ok(());
            }
            Err(fault) => fault,
        };
        let missing = fault.fields.iter().any(|complaint| complaint.problem == Problem::NoSuchObject);
        let inactive = fault.fields.iter().any(|complaint| complaint.problem == Problem::ContactNotActive);
        match fault.kind {
            Kind::Refused if missing && absent_is_fine => decide(asked, place, &Verdict::Accepted),
            Kind::Refused if inactive => decide(asked, place, &Verdict::Refused(not_active())),
            Kind::Refused if asked.blame(&fault) => {}
            Kind::Refused => decide(asked, place, &Verdict::Refused(fault.reason())),
            Kind::Gone => return Err(fault),
            _ if asked.items.iter().any(|item| item.verdict.is_some()) => {
                decide(asked, place, &Verdict::Later(fault.reason()));
            }
            _ => return Err(fault),
        }
        Ok(())
    }
}
