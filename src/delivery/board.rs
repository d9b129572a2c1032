//! Slots, their parts and the deliveries around them, as one transaction sees them.
//!
//! Opened with the places that the transaction is about, it locks and loads everything that a decision
//! needs; the caller changes parts; [`Board::settle_down`] decides who has which place and where each
//! delivery stands; [`Board::save`] writes what differs. **Invariant:** slots are locked before
//! deliveries, each in the order of their keys.

use std::collections::{BTreeMap, BTreeSet};

use super::slots;
use crate::store::db::Tx;
use crate::store::deliveries::{self, DeliveryRow, PartRow, Place, SlotRow, Status};
use crate::store::error::Error;

/// Where a part is: delivery, place.
pub type PartKey = (String, Place);

#[derive(Debug, Default)]
pub struct Board {
    tenant: String,
    pub slots: BTreeMap<Place, SlotRow>,
    pub parts: BTreeMap<PartKey, PartRow>,
    pub deliveries: BTreeMap<String, DeliveryRow>,
    before_slots: BTreeMap<Place, SlotRow>,
    before_parts: BTreeMap<PartKey, PartRow>,
    before_deliveries: BTreeMap<String, DeliveryRow>,
}

/// When a decision is made.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now_ms: i64,
    /// The order of deliveries that begin to wait by it.
    pub order_no: i64,
}

impl Board {
    /// Locks and loads `places`, the deliveries `own` (which are made where they are missing) and `ids`,
    /// and all deliveries with a part at one of the places.
    ///
    /// # Errors
    /// The database's.
    pub async fn open(
        tx: &mut Tx,
        tenant: &str,
        places: BTreeSet<Place>,
        own: (&[DeliveryRow], &[String]),
    ) -> Result<Self, Error> {
        let places: Vec<Place> = places.into_iter().collect();
        deliveries::lock_slots(tx, tenant, &places).await?;
        let slots = deliveries::slots(tx, tenant, &places).await?;
        let mut parts = deliveries::parts_at(tx, tenant, &places).await?;
        let (missing, ids) = own;
        let mut involved: BTreeSet<String> = parts.iter().map(|part| part.delivery_id.clone()).collect();
        involved.extend(ids.iter().cloned());
        let others: Vec<String> = involved.iter().cloned().collect();
        deliveries::ensure_deliveries(tx, tenant, missing, &others).await?;
        involved.extend(missing.iter().map(|row| row.id.clone()));
        let involved: Vec<String> = involved.into_iter().collect();
        let rows = deliveries::deliveries(tx, tenant, &involved).await?;
        parts.extend(deliveries::parts_of(tx, tenant, &involved).await?);
        Ok(Self::of(tenant, slots, parts, rows))
    }

    fn of(tenant: &str, slots: Vec<SlotRow>, parts: Vec<PartRow>, rows: Vec<DeliveryRow>) -> Self {
        let slots: BTreeMap<_, _> = slots.into_iter().map(|slot| (slot.place(), slot)).collect();
        let parts: BTreeMap<_, _> = parts.into_iter().map(|part| (key_of(&part), part)).collect();
        let deliveries: BTreeMap<_, _> = rows.into_iter().map(|row| (row.id.clone(), row)).collect();
        Self {
            tenant: tenant.to_owned(),
            before_slots: slots.clone(),
            before_parts: parts.clone(),
            before_deliveries: deliveries.clone(),
            slots,
            parts,
            deliveries,
        }
    }

    /// The parts of one delivery.
    pub fn parts_of(&self, id: &str) -> Vec<PartRow> {
        self.parts
            .range((id.to_owned(), Place::default())..)
            .take_while(|((delivery, _), _)| delivery == id)
            .map(|(_, part)| part.clone())
            .collect()
    }

    /// Decides about every loaded place, then where every loaded delivery stands.
    pub fn settle_down(&mut self, moment: Moment) {
        let mut at: BTreeMap<Place, Vec<PartRow>> = BTreeMap::new();
        for part in self.parts.values().filter(|part| self.slots.contains_key(&part.place())) {
            at.entry(part.place()).or_default().push(part.clone());
        }
        for (place, parts) in at {
            let Some(slot) = self.slots.get(&place) else { continue };
            let decision = slots::decide(slot, &parts);
            for part in decision.changed {
                self.parts.insert(key_of(&part), part);
            }
            for id in decision.removed {
                self.parts.remove(&(id, place.clone()));
            }
        }
        let ids: Vec<String> = self.deliveries.keys().cloned().collect();
        for id in ids {
            let parts = self.parts_of(&id);
            let changed = self.changed_wishes(&id, &parts);
            if let Some(row) = self.deliveries.get_mut(&id) {
                stand(row, &parts, changed, moment);
            }
        }
    }

    /// Whether what this delivery wants is another thing than when the board was opened.
    fn changed_wishes(&self, id: &str, parts: &[PartRow]) -> bool {
        parts.iter().any(|part| {
            let before = self.before_parts.get(&(id.to_owned(), part.place()));
            before.is_none_or(|before| before.wanted != part.wanted || before.dirty != part.dirty)
        })
    }

    /// Writes what differs from what was loaded.
    ///
    /// # Errors
    /// The database's.
    pub async fn save(&self, tx: &mut Tx) -> Result<(), Error> {
        let slots = differing(&self.before_slots, &self.slots);
        deliveries::write_slots(tx, &self.tenant, &slots).await?;
        let parts = differing(&self.before_parts, &self.parts);
        let removed: Vec<PartRow> = self
            .before_parts
            .iter()
            .filter(|(key, _)| !self.parts.contains_key(*key))
            .map(|(_, part)| part.clone())
            .collect();
        deliveries::write_parts(tx, &self.tenant, &parts, &removed).await?;
        let rows = differing(&self.before_deliveries, &self.deliveries);
        deliveries::write_deliveries(tx, &self.tenant, &rows).await
    }
}

fn key_of(part: &PartRow) -> PartKey {
    (part.delivery_id.clone(), part.place())
}

fn differing<K: Ord, V: PartialEq + Clone>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> Vec<V> {
    after.iter().filter(|(key, row)| before.get(*key) != Some(*row)).map(|(_, row)| row.clone()).collect()
}

/// Where a delivery stands now. One that is being sent is left alone: it is decided when it is settled.
fn stand(row: &mut DeliveryRow, parts: &[PartRow], changed: bool, moment: Moment) {
    let next = slots::status_of(parts);
    let before = row.clone();
    if row.status != Status::Sending {
        match next {
            Status::Waiting if row.status != Status::Waiting => {
                row.order_no = moment.order_no;
                row.due_ms = moment.now_ms.max(row.not_before_ms);
                forgive(row);
            }
            Status::Waiting if changed => {
                row.due_ms = row.due_ms.min(moment.now_ms).max(row.not_before_ms);
            }
            Status::Waiting | Status::Sending => {}
            Status::Settled => forgive(row),
            Status::Cancelled | Status::Dead => {
                forgive(row);
                row.cause = slots::cause_of(parts, next);
            }
        }
        if row.status != next {
            row.since_ms = moment.now_ms;
        }
        row.status = next;
    }
    if *row != before {
        row.updated_ms = moment.now_ms;
    }
}

/// Forgets failures, but not that an attempt was unclear: only an answer settles that.
fn forgive(row: &mut DeliveryRow) {
    row.attempts = 0;
    row.first_failed_ms = 0;
    row.failure.clear();
    row.batch_group.clear();
    row.waits_for.clear();
    row.cause = deliveries::Cause::default();
}
