//! From Prometheus's answers to lists of objects.

use congress_driver::json::{elements, with};
use serde_json::{Value as Json, json};

/// Objects that have labels, each with the member `series`, which tells them apart.
pub(crate) fn with_series(list: &Json, labels: &str) -> Json {
    elements(list).iter().map(|object| with(object, "series", name(&object[labels]))).collect()
}

/// Labels in one text, in the order of their names; a metric's name stands before them.
fn name(labels: &Json) -> Json {
    let Some(labels) = labels.as_object() else { return json!("{}") };
    let mut pairs: Vec<_> = labels.iter().filter(|(label, _)| *label != "__name__").collect();
    pairs.sort_by_key(|(label, _)| *label);
    let pairs: Vec<String> =
        pairs.into_iter().map(|(label, value)| format!("{label}={value}")).collect();
    let metric = labels.get("__name__").and_then(Json::as_str).unwrap_or_default();
    json!(format!("{metric}{{{}}}", pairs.join(", ")))
}

/// The samples of a query's answer, whatever kind it has: each with its labels (`metric`), `series`
/// and `value`. Of a range, the newest sample counts.
pub(crate) fn samples(result: &Json) -> Json {
    // A scalar is no list of samples but one: its time and its value.
    if let [time, value] = elements(result)
        && time.is_number()
    {
        return json!([{ "metric": {}, "series": "{}", "value": number(value) }]);
    }
    let samples = elements(result).iter().map(|sample| {
        let newest = elements(&sample["values"]).last();
        let value = newest.unwrap_or(&sample["value"]).get(1).unwrap_or(&Json::Null);
        with(&with(sample, "series", name(&sample["metric"])), "value", number(value))
    });
    samples.collect()
}

/// Samples are texts. Whole numbers become such, for policies to name them; what JSON has no number
/// for (`NaN`, `+Inf`) stays text.
fn number(sample: &Json) -> Json {
    let number = sample.as_str().and_then(|text| text.parse::<f64>().ok());
    match number.filter(|number| number.is_finite()) {
        // All whole numbers up to there are exact.
        Some(number) if number.fract() == 0.0 && number.abs() <= 2f64.powi(53) => {
            json!(number as i64)
        }
        Some(number) => json!(number),
        None => sample.clone(),
    }
}

/// The rules of all groups, each with its group and file.
pub(crate) fn flattened(groups: &Json) -> Json {
    let rules = elements(groups).iter().flat_map(|group| {
        elements(&group["rules"]).iter().map(move |rule| {
            with(&with(rule, "group", group["name"].clone()), "file", group["file"].clone())
        })
    });
    rules.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_have_one_name_whatever_the_order() {
        let labels = json!({"b": "x\"y", "__name__": "up", "a": "1"});
        assert_eq!(name(&labels), "up{a=\"1\", b=\"x\\\"y\"}");
        assert_eq!(name(&json!({})), "{}");
        assert_eq!(name(&Json::Null), "{}");
    }

    #[test]
    fn samples_of_all_kinds() {
        let vector = json!([{"metric": {"a": "b"}, "value": [1.5, "0.25"]}]);
        let expected = json!([{"metric": {"a": "b"}, "value": 0.25, "series": "{a=\"b\"}"}]);
        assert_eq!(samples(&vector), expected);
        let matrix = json!([{"metric": {}, "values": [[1, "1"], [2, "2"]]}]);
        assert_eq!(samples(&matrix)[0]["value"], 2);
        assert_eq!(
            samples(&json!([1.5, "7"])),
            json!([{"metric": {}, "series": "{}", "value": 7}])
        );
        assert_eq!(samples(&json!([])), json!([]));
    }

    #[test]
    fn numbers_are_whole_where_they_can_be() {
        for (text, value) in [
            ("1", json!(1)),
            ("1e+06", json!(1_000_000)),
            ("-0.5", json!(-0.5)),
            ("1e300", json!(1e300)),
            ("NaN", json!("NaN")),
            ("+Inf", json!("+Inf")),
        ] {
            assert_eq!(number(&json!(text)), value, "{text}");
        }
    }

    #[test]
    fn rules_know_their_group() {
        let groups = json!([{"name": "g", "file": "f", "rules": [{"name": "r"}]}, {"name": "e"}]);
        assert_eq!(flattened(&groups), json!([{"name": "r", "group": "g", "file": "f"}]));
    }
}
