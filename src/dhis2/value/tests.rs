use super::*;

fn check(value_type: &str, good: &[(&str, &str)], bad: &[&str]) {
    let rules = Rules { value_type: ValueType::named(value_type), options: None };
    for (text, wanted) in good {
        assert_eq!(normalise(text, rules).as_deref(), Ok(*wanted), "{value_type} {text:?}");
    }
    for text in bad {
        assert!(normalise(text, rules).is_err(), "{value_type} {text:?}");
    }
}

#[test]
fn numbers() {
    check(
        "NUMBER",
        &[
            ("12", "12"),
            ("-0", "0"),
            ("007", "7"),
            ("+3", "3"),
            ("1e3", "1000"),
            ("3.50", "3.5"),
            (" 4 ", "4"),
        ],
        &["1,5", "1.", ".5", "abc", "", "12 boys", "NaN", "1e400", "--1"],
    );
    check("INTEGER", &[("12.0", "12"), ("-5", "-5")], &["12.5", "2147483648", "99999999999", "x"]);
    check("INTEGER_POSITIVE", &[("1", "1")], &["0", "-1"]);
    check("INTEGER_NEGATIVE", &[("-1", "-1")], &["0", "1"]);
    check("INTEGER_ZERO_OR_POSITIVE", &[("0", "0")], &["-1", "1.5"]);
    check("PERCENTAGE", &[("50.5", "50.5"), ("100", "100")], &["101", "-1"]);
    check("UNIT_INTERVAL", &[("0.25", "0.25"), ("1", "1")], &["2", "-0.1"]);
}

#[test]
fn booleans() {
    check("BOOLEAN", &[("True", "true"), ("1", "true"), ("no", "false"), ("f", "false")], &["maybe", "2"]);
    check("TRUE_ONLY", &[("true", "true")], &["false", "0"]);
}

#[test]
fn dates_and_shapes() {
    check(
        "DATE",
        &[("2026-01-31", "2026-01-31"), ("2026-01-31T23:30:00+02:00", "2026-01-31")],
        &["31/01/2026", "2026-02-30", "2026-01"],
    );
    check("DATETIME", &[("2026-01-31T08:30:00", "2026-01-31T08:30:00")], &["2026-01-31", "2026-01-31T25:00"]);
    check("TIME", &[("9:05", "9:05"), ("23:59", "23:59")], &["24:00", "9"]);
    check("PHONE_NUMBER", &[("+232 76 111222", "+232 76 111222")], &["12345", "call me"]);
    check("LETTER", &[("é", "é")], &["ab", "1"]);
    check("COORDINATE", &[("[-11.4, 8.1]", "[-11.4,8.1]")], &["8.1,-11.4", "[200,1]", "[NaN,1]"]);
    check("ORGANISATION_UNIT", &[("O6uvpzGd5pu", "O6uvpzGd5pu")], &["6Ouvpz", "O6uvpzGd5p!"]);
    check("EMAIL", &[("a@b.org", "a@b.org")], &["a@b", "@b.org", "a b@c.org"]);
}

#[test]
fn control_characters_are_dropped_and_line_breaks_kept() {
    check("TEXT", &[("a\u{0}b\nc\u{1}", "ab\nc")], &["\u{0}"]);
    let long = "x".repeat(50_001);
    check("LONG_TEXT", &[], &[&long]);
}

#[test]
fn option_sets_compare_codes_case_included() {
    let options = BTreeSet::from(["TA_YES".to_owned(), "TA_NO".to_owned()]);
    let rules = Rules { value_type: ValueType::Text, options: Some(&options) };
    assert_eq!(normalise("TA_YES", rules).as_deref(), Ok("TA_YES"));
    assert_eq!(normalise("ta_yes", rules), Err(Refusal::NotAnOption));
    let many = Rules { value_type: ValueType::MultiText, options: Some(&options) };
    assert!(normalise("TA_YES,TA_NO", many).is_ok());
    assert_eq!(normalise("TA_YES,Yes", many), Err(Refusal::NotAnOption));
}

/// What 2.40.12 and 2.43.1 said to the same values (`dvs.value.*`, `dvs-06*`): nothing that either refuses
/// is let through.
#[test]
fn is_at_least_as_strict_as_dhis2() {
    for (value_type, refused) in [
        ("INTEGER", &["abc", "12.5", "99999999999", "2147483648"][..]),
        ("NUMBER", &["1,5", "12."][..]),
        ("PERCENTAGE", &["101"][..]),
        ("UNIT_INTERVAL", &["2"][..]),
        ("DATE", &["01/09/2026"][..]),
        ("BOOLEAN", &["maybe"][..]),
        ("TRUE_ONLY", &["false"][..]),
        ("INTEGER_POSITIVE", &["0"][..]),
    ] {
        check(value_type, &[], refused);
    }
}

#[test]
fn one_value_may_be_written_in_two_ways() {
    assert!(same("3", "3.0", ValueType::Integer));
    assert!(same("true", "1", ValueType::Boolean));
    assert!(same("2026-01-15", "2026-01-15T00:00:00", ValueType::Date));
    assert!(!same("3", "4", ValueType::Integer));
    assert!(is_zero("0.0") && !is_zero("1"));
}

#[test]
fn random_text_never_panics() {
    use proptest::prelude::*;
    let mut runner = proptest::test_runner::TestRunner::default();
    runner
        .run(&(".{0,40}", 0..NAMES.len()), |(text, at)| {
            let rules = Rules { value_type: NAMES[at].1, options: None };
            if let Ok(value) = normalise(&text, rules) {
                prop_assert_eq!(normalise(&value, rules), Ok(value));
            }
            Ok(())
        })
        .unwrap();
}
