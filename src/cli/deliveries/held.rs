//! How held evaluations are printed: those that wait for a required value and made no delivery.

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::cli::stores::shown as time;
use crate::store::reads::{HeldGroup, HeldRow};

/// By mapping and by the value that is absent, after the deliveries.
pub fn groups(groups: &[HeldGroup]) {
    if groups.is_empty() {
        return;
    }
    out!("held evaluations:");
    for one in groups {
        out!("{:>8}  held  {}  {}", one.count, one.mapping, one.code);
        let place = if one.place.is_empty() { String::new() } else { format!(" ({})", one.place) };
        out!("          {}{place}", one.message);
        if !one.waits_for.is_empty() {
            let others = match one.things {
                ..=1 => String::new(),
                things => format!("; and {} more like it", things - 1),
            };
            out!("          waits for {}{others}", one.waits_for);
        }
        out!("          hint: {}", one.hint);
        out!("          since {}, e.g. {}", time(one.oldest_ms), one.source);
    }
    note!("Next: mjumbe deliveries list --each --mapping NAME; mjumbe deliveries show Type/id");
}

pub fn groups_json(groups: &[HeldGroup]) -> Value {
    groups.iter().map(group).collect()
}

fn group(group: &HeldGroup) -> Value {
    json!({
        "mapping": group.mapping, "cause": group.code, "message": group.message, "hint": group.hint,
        "place": group.place, "waitsFor": group.waits_for, "things": group.things,
        "source": group.source, "count": group.count, "oldest": time(group.oldest_ms),
    })
}

/// A line each, after the deliveries.
pub fn each(rows: &[HeldRow]) {
    if rows.is_empty() {
        return;
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["HELD", "VERSION", "MAPPING", "CAUSE", "SINCE", "WAITS FOR"]);
    for row in rows {
        table.add_row([
            row.source.clone(),
            row.version.to_string(),
            row.mapping.clone(),
            row.code.clone(),
            time(row.since_ms),
            row.waits_for.clone(),
        ]);
    }
    out!("{table}");
    note!("Next: mjumbe deliveries show Type/id");
}

pub fn each_json(rows: &[HeldRow]) -> Value {
    rows.iter().map(row).collect()
}

fn row(row: &HeldRow) -> Value {
    json!({
        "source": row.source, "version": row.version, "mapping": row.mapping, "cause": row.code,
        "message": row.message, "hint": row.hint, "place": row.place, "waitsFor": row.waits_for,
        "since": time(row.since_ms),
    })
}

/// Everything that is known of those of one resource.
pub fn whole(rows: &[HeldRow]) {
    for row in rows {
        out!("held  {} of {} version {}", row.mapping, row.source, row.version);
        let place = if row.place.is_empty() { String::new() } else { format!(" ({})", row.place) };
        out!("  {}: {}{place}", row.code, row.message);
        if !row.waits_for.is_empty() {
            out!("  waits for {}", row.waits_for);
        }
        out!("  hint: {}", row.hint);
        out!("  since {}", time(row.since_ms));
    }
}
