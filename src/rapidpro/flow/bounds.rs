//! Between which numbers or dates an answer is accepted. **Pure.**

use serde_json::Value;

use super::node::array;

/// The least and the greatest value that any case accepts; none where a case accepts everything that way.
/// As the flow writes them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bounds {
    pub least: Option<String>,
    pub greatest: Option<String>,
}

/// One end of what a case accepts.
#[derive(Debug, Clone, PartialEq)]
enum End {
    Open,
    At(String),
}

impl Bounds {
    /// Of the numbers that the cases of a router accept.
    pub(super) fn of_numbers(router: &Value) -> Self {
        Self::of(router, "has_number", |text| {
            text.trim().parse::<f64>().ok().filter(|number| number.is_finite())
        })
    }

    /// Of dates written in full: most are computed (`@(today())`), and those bound nothing here.
    pub(super) fn of_dates(router: &Value) -> Self {
        Self::of(router, "has_date", |text| text.trim().parse::<jiff::civil::Date>().ok())
    }

    fn of<T: PartialOrd>(router: &Value, test: &str, read: impl Fn(&str) -> Option<T>) -> Self {
        let cases = array(router, "cases").iter().filter_map(|case| {
            let kind = case.get("type")?.as_str()?.strip_prefix(test)?;
            Some(ends(kind, case))
        });
        let (least, greatest): (Vec<End>, Vec<End>) = cases.unzip();
        Self {
            least: widest(least, &read, |one, other| one < other),
            greatest: widest(greatest, &read, |one, other| one > other),
        }
    }
}

/// `has_number_gt` is taken as its inclusive neighbour: a bound that is a little too wide is still true.
fn ends(kind: &str, case: &Value) -> (End, End) {
    let argument = |at: usize| {
        let text = array(case, "arguments").get(at).and_then(Value::as_str);
        text.map_or(End::Open, |text| End::At(text.trim().to_owned()))
    };
    match kind {
        "_between" => (argument(0), argument(1)),
        "_eq" => (argument(0), argument(0)),
        "_gt" | "_gte" => (argument(0), End::Open),
        "_lt" | "_lte" => (End::Open, argument(0)),
        _ => (End::Open, End::Open),
    }
}

fn widest<T: PartialOrd>(
    ends: Vec<End>,
    read: impl Fn(&str) -> Option<T>,
    is_wider: impl Fn(&T, &T) -> bool,
) -> Option<String> {
    let mut found: Option<(T, String)> = None;
    for end in ends {
        let End::At(text) = end else { return None };
        let value = read(&text)?;
        if found.as_ref().is_none_or(|(known, _)| is_wider(&value, known)) {
            found = Some((value, text));
        }
    }
    found.map(|(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(cases: &Value, least: Option<&str>, greatest: Option<&str>) {
        let bounds = Bounds::of_numbers(&json!({"cases": cases}));
        assert_eq!((bounds.least.as_deref(), bounds.greatest.as_deref()), (least, greatest), "{cases}");
    }

    #[test]
    fn the_widest_case_counts() {
        let between = |low: &str, high: &str| json!({"type": "has_number_between", "arguments": [low, high]});
        check(&json!([between("0", "120")]), Some("0"), Some("120"));
        check(&json!([between("10", "20"), between("9", "12")]), Some("9"), Some("20"));
        check(
            &json!([between("10", "20"), {"type": "has_number_gt", "arguments": ["20"]}]),
            Some("10"),
            None,
        );
        check(
            &json!([between("10", "20"), {"type": "has_any_word", "arguments": ["undo"]}]),
            Some("10"),
            Some("20"),
        );
        check(&json!([{"type": "has_number"}]), None, None);
        check(&json!([between("@contact.fields.age", "20")]), None, Some("20"));
        check(&json!([]), None, None);
    }

    #[test]
    fn dates_that_are_computed_bound_nothing() {
        let router = json!({"cases": [{"type": "has_date_gt", "arguments": ["2020-01-01"]}]});
        assert_eq!(Bounds::of_dates(&router).least.as_deref(), Some("2020-01-01"));
        let computed = json!({"cases": [{"type": "has_date_lt", "arguments": ["@(today())"]}]});
        assert_eq!(Bounds::of_dates(&computed), Bounds::default());
    }
}
