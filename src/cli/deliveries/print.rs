//! How deliveries are printed.

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::cli::stores::shown as time;
use crate::store::deliveries::list::{Group, Shown};
use crate::store::deliveries::sending::{AttemptRow, ExchangeRow};
use crate::store::deliveries::{DeliveryRow, PartRow, SlotRow, Status};

/// Grouped by cause, each with its hint.
pub fn groups(groups: &[Group]) {
    if groups.is_empty() {
        note!("There are no such deliveries.");
        return;
    }
    for one in groups {
        let cause = if one.cause.is_empty() { String::new() } else { format!("  {}", one.cause) };
        out!("{:>8}  {}{cause}", one.count, one.status.text());
        if !one.message.is_empty() {
            out!("          {}", one.message);
        }
        if !one.hint.is_empty() {
            out!("          hint: {}", one.hint);
        }
        if one.status != Status::Settled {
            out!("          since {}", time(one.oldest_ms));
        }
    }
    note!("Next: mjumbe deliveries list --each --cause CODE; mjumbe deliveries retry --cause CODE");
}

pub fn groups_json(groups: &[Group]) -> Value {
    groups.iter().map(group).collect()
}

fn group(group: &Group) -> Value {
    json!({
        "status": group.status.text(), "cause": group.cause, "count": group.count,
        "message": group.message, "hint": group.hint, "oldest": time(group.oldest_ms),
    })
}

/// A line each.
pub fn each(rows: &[DeliveryRow]) {
    if rows.is_empty() {
        note!("There are no such deliveries.");
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["ID", "STATUS", "CAUSE", "DESTINATION", "MAPPING", "LANE", "DUE"]);
    for row in rows {
        let due = if row.status == Status::Waiting { time(row.due_ms) } else { String::new() };
        table.add_row([
            row.id.clone(),
            row.status.text().to_owned(),
            row.cause.code.clone(),
            row.destination.clone(),
            row.mapping.clone(),
            row.lane.clone(),
            due,
        ]);
    }
    out!("{table}");
    note!("Next: mjumbe deliveries show ID");
}

pub fn each_json(rows: &[DeliveryRow]) -> Value {
    rows.iter().map(delivery).collect()
}

fn delivery(row: &DeliveryRow) -> Value {
    let mut told = whole(row);
    if row.nature == "act" {
        told["reason"] = json!(row.reason);
        told["occurrence"] = json!(row.occurrence);
        told["notBefore"] = json!((row.not_before_ms != 0).then(|| time(row.not_before_ms)));
        told["begun"] = json!((row.begun_ms != 0).then(|| time(row.begun_ms)));
        told["remote"] = json!(Some(&row.remote).filter(|remote| !remote.is_empty()));
    }
    told
}

fn whole(row: &DeliveryRow) -> Value {
    json!({
        "id": row.id, "status": row.status.text(), "destination": row.destination,
        "mapping": row.mapping, "target": row.target, "lane": row.lane, "source": row.source,
        "cause": row.cause.code, "message": row.cause.message, "hint": row.cause.hint,
        "attempts": row.attempts, "due": time(row.due_ms), "waitsFor": row.waits_for,
    })
}

/// Everything that is known of one.
pub fn one(shown: &Shown, json: bool) {
    if json {
        let mut whole = delivery(&shown.delivery);
        whole["parts"] = shown.parts.iter().map(|(part, slot)| part_json(part, slot.as_ref())).collect();
        whole["tries"] = shown.attempts.iter().map(attempt_json).collect();
        whole["exchanges"] = shown.exchanges.iter().map(exchange_json).collect();
        out!("{whole}");
        return;
    }
    let row = &shown.delivery;
    out!("{}  {}  {} → {}", row.id, row.status.text(), row.target, row.destination);
    out!("  mapping {}, lane {}, source {}", row.mapping, row.lane, row.source);
    if row.nature == "act" {
        tell_act(row);
    }
    if !row.cause.code.is_empty() {
        out!("  {}: {}\n  hint: {}", row.cause.code, row.cause.message, row.cause.hint);
    }
    out!("parts:");
    shown.parts.iter().for_each(|(part, slot)| tell_part(part, slot.as_ref()));
    out!("attempts, newest first:");
    for attempt in &shown.attempts {
        out!("  {} {} {} {}", time(attempt.at_ms), attempt.outcome, attempt.cause, attempt.message);
    }
    out!("exchanges:");
    for exchange in &shown.exchanges {
        let ExchangeRow { at_ms, method, path, status, elapsed_ms, .. } = exchange;
        out!("  {} {method} {path} → {status} in {elapsed_ms} ms", time(*at_ms));
        out!("    sent     {}\n    answered {}", exchange.request, exchange.response);
    }
}

/// Why and when it happens, or happened.
fn tell_act(row: &DeliveryRow) {
    let due = if row.not_before_ms == 0 { "at once".to_owned() } else { time(row.not_before_ms) };
    out!("  act, reason {}, occurrence {}, due {due}", row.reason, row.occurrence);
    match (row.begun_ms, row.status) {
        (0, _) => out!("  it has not begun"),
        (begun, Status::Settled) => out!("  it happened; first sent {}", time(begun)),
        (begun, _) => out!("  it may have happened; first sent {}", time(begun)),
    }
    if !row.remote.is_empty() {
        out!("  called {} over there", row.remote);
    }
}

fn tell_part(part: &PartRow, slot: Option<&SlotRow>) {
    let wanted = part.wanted.as_deref().unwrap_or("(nothing)");
    let sent = slot.and_then(|slot| slot.sent.as_deref()).unwrap_or("(nothing)");
    out!("  {} {}: wanted {wanted}, there {sent}", part.status.text(), part.slot);
    if !part.cause.code.is_empty() {
        out!("    {}: {}\n    hint: {}", part.cause.code, part.cause.message, part.cause.hint);
    }
}

fn part_json(part: &PartRow, slot: Option<&SlotRow>) -> Value {
    json!({
        "slot": part.slot, "status": part.status.text(), "wanted": part.wanted,
        "sent": slot.and_then(|slot| slot.sent.clone()), "cause": part.cause.code,
        "message": part.cause.message, "hint": part.cause.hint,
    })
}

fn attempt_json(attempt: &AttemptRow) -> Value {
    json!({
        "at": time(attempt.at_ms), "outcome": attempt.outcome, "cause": attempt.cause,
        "message": attempt.message,
    })
}

fn exchange_json(exchange: &ExchangeRow) -> Value {
    json!({
        "at": time(exchange.at_ms), "method": exchange.method, "path": exchange.path,
        "status": exchange.status, "request": exchange.request, "response": exchange.response,
        "elapsedMs": exchange.elapsed_ms,
    })
}
