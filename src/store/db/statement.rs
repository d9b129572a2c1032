//! One text for both engines: what differs is filled in here.

use std::borrow::Cow;

use super::Engine;
use super::argument::{Argument, Table};

/// The text that `engine` understands. Only `table($N)` differs: on PostgreSQL it needs a placeholder for
/// each column, so later placeholders move up.
pub(super) fn expand(text: Cow<'static, str>, arguments: &[Argument], engine: Engine) -> Cow<'static, str> {
    if !arguments.iter().any(|argument| matches!(argument, Argument::Table(_))) {
        return text;
    }
    let mut places = Vec::with_capacity(arguments.len());
    let mut next = 1;
    for argument in arguments {
        places.push(next);
        next += width(argument, engine);
    }
    let mut expanded = String::with_capacity(text.len() + 128);
    let mut rest: &str = &text;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        let digits = after[1..].bytes().take_while(u8::is_ascii_digit).count();
        let number: usize = after[1..=digits].parse().unwrap_or(0);
        let place = number.checked_sub(1).and_then(|index| places.get(index)).copied().unwrap_or(number);
        rest = &after[1 + digits..];
        match number.checked_sub(1).and_then(|index| arguments.get(index)) {
            Some(Argument::Table(table)) if before.ends_with("table(") => {
                expanded.push_str(&before[..before.len() - "table(".len()]);
                expanded.push_str(&rows(table, place, engine));
                rest = rest.strip_prefix(')').unwrap_or(rest);
            }
            _ => {
                expanded.push_str(before);
                expanded.push('$');
                expanded.push_str(&place.to_string());
            }
        }
    }
    expanded.push_str(rest);
    expanded.into()
}

/// How many placeholders an argument takes.
fn width(argument: &Argument, engine: Engine) -> usize {
    match (argument, engine) {
        (Argument::Table(table), Engine::Postgres) => table.columns.len(),
        _ => 1,
    }
}

fn rows(table: &Table, place: usize, engine: Engine) -> String {
    match engine {
        Engine::Postgres => postgres_rows(table, place),
        Engine::Sqlite => sqlite_rows(table, place),
    }
}

fn postgres_rows(table: &Table, place: usize) -> String {
    let mut arrays = Vec::with_capacity(table.columns.len());
    let mut names = Vec::with_capacity(table.columns.len());
    for (index, (name, column)) in table.columns.iter().enumerate() {
        arrays.push(format!("${}::{}[]", place + index, column.postgres_type()));
        names.push(*name);
    }
    format!("(select * from unnest({}) as u({}))", arrays.join(", "), names.join(", "))
}

fn sqlite_rows(table: &Table, place: usize) -> String {
    let single = table.columns.len() == 1;
    let columns: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .map(|(index, (name, column))| {
            let cell = if single { "value".to_owned() } else { format!("value ->> {index}") };
            let bytes = matches!(column, super::argument::Column::Bytes(_));
            if bytes { format!("unhex({cell}) as {name}") } else { format!("{cell} as {name}") }
        })
        .collect();
    format!("(select {} from json_each(${place}))", columns.join(", "))
}

/// The rows of a [`Table`] as one JSON array, for SQLite.
pub(super) fn json_of(table: &Table) -> String {
    let single = table.columns.len() == 1;
    let mut json = String::with_capacity(16 + table.len() * table.columns.len() * 16);
    json.push('[');
    for row in 0..table.len() {
        if row > 0 {
            json.push(',');
        }
        if !single {
            json.push('[');
        }
        for (index, (_, column)) in table.columns.iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            column.write_json(row, &mut json);
        }
        if !single {
            json.push(']');
        }
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args;

    #[test]
    fn later_placeholders_move_up_on_postgresql() {
        let arguments =
            args!["t", Table::new().ints("rid", vec![1]).texts("code", vec!["a\0".into()]), 7, vec![1i64]];
        let text =
            "select $1, r.rid from table($2) as r where x = $3 and y in (select value from table($4) as w)";
        assert_eq!(
            expand(text.into(), &arguments, Engine::Postgres),
            "select $1, r.rid from (select * from unnest($2::bigint[], $3::text[]) as u(rid, code)) as r \
             where x = $4 and y in (select value from (select * from unnest($5::bigint[]) as u(value)) as w)"
        );
        assert_eq!(
            expand(text.into(), &arguments, Engine::Sqlite),
            "select $1, r.rid from (select value ->> 0 as rid, value ->> 1 as code from json_each($2)) as r \
             where x = $3 and y in (select value from (select value as value from json_each($4)) as w)"
        );
        let Argument::Table(table) = &arguments[1] else { panic!("a table") };
        assert_eq!(json_of(table), "[[1,\"a\u{fffd}\"]]");
    }
}
