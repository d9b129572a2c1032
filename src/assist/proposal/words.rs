//! How alike two names are: words without accents, endings and fillers, with what people write for the same.
//!
//! Pure.

use unicode_normalization::UnicodeNormalization;

/// Words that say nothing about what is counted.
const FILLERS: &[&str] = &[
    "a", "after", "an", "and", "are", "at", "before", "by", "count", "d", "de", "des", "did", "do", "du",
    "en", "et", "for", "how", "in", "is", "l", "la", "last", "le", "les", "many", "no", "nombre", "nb",
    "number", "num", "of", "on", "or", "people", "per", "result", "response", "the", "this", "to", "total",
    "was", "were", "with",
];

/// Each row is one meaning. Stems, because they are compared after [`stem`].
const SAME: &[&[&str]] = &[
    &["female", "f", "woman", "women", "girl", "femme", "fille", "mulher"],
    &["male", "m", "man", "men", "boy", "homme", "garcon", "homem"],
    &["death", "dead", "died", "deceased", "dece", "mort", "obito"],
    &["positive", "pos", "positif", "positivo"],
    &["negative", "neg", "negatif", "negativo"],
    &["fever", "fievre", "febre", "febrile"],
    &["malaria", "paludisme", "palu"],
    &["stockout", "rupture"],
    &["medicine", "drug", "medicament", "medication"],
    &["birth", "born", "naissance", "nascimento", "dob"],
    &["sex", "gender", "sexe", "sexo"],
    &["phone", "telephone", "mobile", "tel"],
    &["remark", "comment", "note", "remarque", "observation"],
    &["date", "day", "when"],
    &["child", "children", "enfant", "kid", "baby", "infant"],
    &["vaccine", "vaccination", "immunization", "immunisation", "vaccin"],
    &["pregnant", "pregnancy", "enceinte", "anc"],
    &["case", "cas", "patient"],
    &["disease", "illness", "maladie", "sickness"],
    &["district", "region"],
    &["yes", "oui", "sim", "ndiyo", "yego", "true", "y"],
    &["no", "non", "nao", "hapana", "oya", "false", "n"],
];

/// A name as stems, in its order, each once.
pub fn stems(name: &str) -> Vec<String> {
    let kept: Vec<String> =
        split(name).into_iter().filter(|word| !FILLERS.contains(&word.as_str())).collect();
    let kept = if kept.is_empty() { split(name) } else { kept };
    let mut stems = Vec::new();
    for stem in joined(&kept.iter().map(|word| stem(word)).collect::<Vec<_>>()) {
        if !stems.contains(&stem) {
            stems.push(stem);
        }
    }
    stems
}

/// Words in small letters without accents; `feverCases` and `fever_cases` are two words.
fn split(name: &str) -> Vec<String> {
    let plain: String = name.nfd().filter(|c| !unicode_normalization::char::is_combining_mark(*c)).collect();
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in plain.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// `stock out` and `stockout` are one.
fn joined(words: &[String]) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in words {
        match out.last_mut() {
            Some(last) if last == "stock" && word == "out" => "stockout".clone_into(last),
            _ => out.push(word.clone()),
        }
    }
    out
}

/// Without the plural's ending, and one word for what means the same.
fn stem(word: &str) -> String {
    let single = match word {
        word if word.len() > 4 && word.ends_with("ies") => format!("{}y", &word[..word.len() - 3]),
        word if word.len() > 3 && word.ends_with('s') && !word.ends_with("ss") => {
            word[..word.len() - 1].to_owned()
        }
        word => word.to_owned(),
    };
    let row = SAME.iter().find(|row| row.iter().any(|same| *same == single || *same == word));
    row.and_then(|row| row.first()).map_or(single, |first| (*first).to_owned())
}

/// From 0 to 1: the share of words that two names have in common, a misspelt word counting a little less.
pub fn alike(left: &[String], right: &[String]) -> f64 {
    let total = left.len() + right.len();
    if total == 0 {
        return 0.0;
    }
    let mut free: Vec<&String> = right.iter().collect();
    let mut common = 0.0;
    for word in left {
        let best = free
            .iter()
            .enumerate()
            .map(|(at, other)| (at, same(word, other)))
            .max_by(|one, two| one.1.total_cmp(&two.1));
        if let Some((at, score)) = best.filter(|(_, score)| *score > 0.0) {
            free.swap_remove(at);
            common += score;
        }
    }
    let total = f64::from(u32::try_from(total).unwrap_or(u32::MAX));
    2.0 * common / total
}

fn same(left: &str, right: &str) -> f64 {
    match left == right {
        true => 1.0,
        // Short words and numbers mean something else as soon as a letter differs.
        false if left.chars().count() < 5 || right.chars().count() < 5 => 0.0,
        false => Some(strsim::normalized_damerau_levenshtein(left, right))
            .filter(|near| *near >= 0.8)
            .unwrap_or(0.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn score(left: &str, right: &str) -> f64 {
        alike(&stems(left), &stems(right))
    }

    #[test]
    fn names_that_mean_the_same_are_alike() {
        for (left, right) in [
            ("fever_cases", "Fever cases"),
            ("Number of fever cases", "Cas de fièvre"),
            ("stock_out", "Stock-out of medicines"),
            ("deaths_female", "Deaths Female"),
            ("malaria_pos", "Malaria positive"),
            ("malariaPositive", "Malria positive"),
            ("sex", "Gender"),
        ] {
            assert!(score(left, right) >= 0.6, "{left} / {right}: {}", score(left, right));
        }
    }

    #[test]
    fn names_that_mean_something_else_are_not() {
        for (left, right) in [
            ("deaths_female", "Deaths Male"),
            ("malaria_positive", "Malaria negative"),
            ("opv1", "OPV 3"),
            ("fever", "Remarks"),
        ] {
            assert!(score(left, right) < 0.6, "{left} / {right}: {}", score(left, right));
        }
    }
}
