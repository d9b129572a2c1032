//! Against the answers of DHIS2's own classes (`tests/fixtures/dhis2/periods.json`).

use jiff::civil::Date;
use serde_json::Value;

use super::*;

fn vectors() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/dhis2/periods.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn every_type_and_date_is_as_dhis2_has_it() {
    let vectors = vectors();
    let mut seen = 0;
    for (name, rows) in vectors["containing"].as_object().unwrap() {
        let kind = Kind::named(name).unwrap();
        for row in rows.as_array().unwrap() {
            let text: Vec<&str> = row.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap()).collect();
            let [date, iso, start, end, next, previous] = text[..] else { panic!("{row}") };
            let period = Period::containing(kind, date.parse().unwrap()).unwrap();
            assert_eq!(period.to_string(), iso, "{name} {date}");
            assert_eq!(period.start().to_string(), start, "{name} {date}");
            assert_eq!(period.end().to_string(), end, "{name} {date}");
            assert_eq!(period.next().unwrap().to_string(), next, "{name} {date}");
            assert_eq!(period.previous().unwrap().to_string(), previous, "{name} {date}");
            assert_eq!(Period::parse(iso).unwrap(), period, "{name} {date}");
            assert!(period.contains(date.parse().unwrap()));
            seen += 1;
        }
    }
    assert_eq!(seen, 943);
}

#[test]
fn reads_and_refuses_what_dhis2_does() {
    let vectors = vectors();
    for row in vectors["parse"].as_array().unwrap() {
        let input = row["input"].as_str().unwrap();
        match (Period::parse(input), row["iso"].as_str()) {
            (Ok(period), Some(iso)) => {
                assert_eq!(period.to_string(), iso);
                assert_eq!(period.kind().name(), row["type"].as_str().unwrap());
                assert_eq!(period.start().to_string(), row["start"].as_str().unwrap());
                assert_eq!(period.end().to_string(), row["end"].as_str().unwrap());
            }
            (Err(_), None) => {}
            (ours, _) => panic!("{input}: {ours:?}"),
        }
    }
}

#[test]
fn a_shift_is_so_many_steps() {
    let monthly = Period::parse("202601").unwrap();
    assert_eq!(monthly.shift(-1).unwrap().to_string(), "202512");
    assert_eq!(monthly.shift(13).unwrap().to_string(), "202702");
    assert_eq!(Period::parse("2020BiW27").unwrap().shift(2).unwrap().to_string(), "2021BiW2");
    assert_eq!(Period::parse("2025NovQ1").unwrap().shift(-5).unwrap().to_string(), "2023NovQ4");
}

#[test]
fn nothing_panics_at_the_ends_of_the_calendar() {
    for kind in Kind::all() {
        for date in [Date::MIN, Date::MAX, Date::new(9999, 12, 1).unwrap(), Date::new(1000, 1, 1).unwrap()] {
            if let Ok(period) = Period::containing(kind, date) {
                let _ = (period.end(), period.next(), period.previous(), period.shift(i32::MIN));
                let _ = period.shift(i32::MAX);
            }
        }
    }
}

#[test]
fn random_text_never_panics() {
    use proptest::prelude::*;
    let mut runner = proptest::test_runner::TestRunner::default();
    let strategy = proptest::prop_oneof![".{0,12}", "[0-9]{4}[A-Za-z0-9-]{0,7}"];
    runner
        .run(&strategy, |text| {
            if let Ok(period) = Period::parse(&text) {
                prop_assert_eq!(Period::parse(&period.to_string()).unwrap(), period);
            }
            Ok(())
        })
        .unwrap();
}
