//! From the name of an option combo in a mapping (uid, code, options) to its uid in this instance.

use super::model::{CategoryCombo, CategoryOption, OptionCombo};
use crate::dhis2::aggregate::slot::ComboName;

/// Why a name gives no combo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// None is named, though the category combo is not the default one.
    LeftOut,
    /// No combo of this category combo has this uid or code, or exactly these options.
    NoSuch,
    /// Several have.
    Several,
}

/// The combo's uid.
///
/// # Errors
/// [`Problem`].
pub fn resolve(name: &ComboName, combo: &CategoryCombo) -> Result<String, Problem> {
    let mut hits = combo.option_combos.iter().filter(|it| match name {
        ComboName::Default => combo.is_default,
        ComboName::Named(text) => it.uid == *text,
        ComboName::Options(options) => has_options(it, options),
    });
    if let Some(hit) = hits.next() {
        return if hits.next().is_some() { Err(Problem::Several) } else { Ok(hit.uid.clone()) };
    }
    match name {
        ComboName::Default => Err(Problem::LeftOut),
        ComboName::Named(code) => {
            let mut coded = combo.option_combos.iter().filter(|it| !code.is_empty() && it.code == *code);
            match (coded.next(), coded.next()) {
                (Some(hit), None) => Ok(hit.uid.clone()),
                (Some(_), Some(_)) => Err(Problem::Several),
                (None, _) => Err(Problem::NoSuch),
            }
        }
        ComboName::Options(_) => Err(Problem::NoSuch),
    }
}

/// Exactly these options, in any order, each by uid, code or name.
fn has_options(combo: &OptionCombo, names: &[String]) -> bool {
    let mut left: Vec<&CategoryOption> = combo.options.iter().collect();
    if left.len() != names.len() {
        return false;
    }
    names.iter().all(|name| {
        let at = left.iter().position(|it| it.uid == *name || it.code == *name || it.name == *name);
        at.map(|at| left.swap_remove(at)).is_some()
    })
}

/// What may be named, for a hint: at most ten.
pub fn choices(combo: &CategoryCombo) -> String {
    let names: Vec<&str> = combo.option_combos.iter().take(10).map(|it| it.name.as_str()).collect();
    names.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combo() -> CategoryCombo {
        let option = |uid: &str, code: &str, name: &str| CategoryOption {
            uid: uid.to_owned(),
            code: code.to_owned(),
            name: name.to_owned(),
        };
        let pair = |uid: &str, code: &str, age: &str, sex: &str| OptionCombo {
            uid: uid.to_owned(),
            code: code.to_owned(),
            name: format!("{age}, {sex}"),
            options: vec![option("ageUid00001", age, age), option("sexUid00001", "", sex)],
        };
        CategoryCombo {
            name: "Age and sex".to_owned(),
            is_default: false,
            option_combos: vec![
                pair("t5FrQ0GTvGf", "A_F", "0-4", "Female"),
                pair("b449dBrOSFK", "A_M", "0-4", "Male"),
            ],
        }
    }

    #[test]
    fn by_uid_code_and_options_in_any_order() {
        let options =
            |names: &[&str]| ComboName::Options(names.iter().map(|name| (*name).to_owned()).collect());
        let named = |name: &str| ComboName::Named(name.to_owned());
        assert_eq!(resolve(&named("b449dBrOSFK"), &combo()).unwrap(), "b449dBrOSFK");
        assert_eq!(resolve(&named("A_F"), &combo()).unwrap(), "t5FrQ0GTvGf");
        assert_eq!(resolve(&options(&["Male", "0-4"]), &combo()).unwrap(), "b449dBrOSFK");
        assert_eq!(resolve(&options(&["Male"]), &combo()), Err(Problem::NoSuch));
        assert_eq!(resolve(&options(&["0-4", "0-4"]), &combo()), Err(Problem::NoSuch));
        assert_eq!(resolve(&options(&["ageUid00001", "sexUid00001"]), &combo()), Err(Problem::Several));
        assert_eq!(resolve(&ComboName::Default, &combo()), Err(Problem::LeftOut));
    }
}
