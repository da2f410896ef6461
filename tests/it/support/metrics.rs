//! The text of `/metrics`, read.

use std::collections::{BTreeMap, BTreeSet};

/// All samples of one scrape.
#[derive(Clone, Debug)]
pub(crate) struct Samples(Vec<Sample>);

#[derive(Clone, Debug)]
struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Samples {
    /// Reads the Prometheus text format, as far as label values without quotes and commas go.
    pub(crate) fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(lines.map(Sample::parse).collect())
    }

    /// The sum over all samples of a metric whose labels include these.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.named(name).filter(|sample| sample.has(labels)).fold(0.0, |sum, sample| sum + sample.value)
    }

    /// The different values that these labels take together in a metric.
    pub(crate) fn values<const N: usize>(&self, name: &str, labels: [&str; N]) -> BTreeSet<[String; N]> {
        self.named(name).map(|sample| labels.map(|label| sample.labels[label].clone())).collect()
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Sample> {
        self.0.iter().filter(move |sample| sample.name == name)
    }
}

impl Sample {
    fn parse(line: &str) -> Self {
        let (series, value) = line.rsplit_once(' ').expect("a sample without a value");
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty()).map(|pair| {
            let (label, value) = pair.split_once('=').expect("a label without a value");
            (label.to_owned(), value.trim_matches('"').to_owned())
        });
        Self { name: name.into(), labels: labels.collect(), value: value.parse().expect("a value that is no number") }
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        labels.iter().all(|(label, value)| self.labels.get(*label).is_some_and(|found| found == value))
    }
}

#[test]
fn samples_add_up_over_the_labels_that_are_left_open() {
    let text =
        "# HELP a b\na{site=\"x\",code=\"200\"} 2\na{site=\"x\",code=\"404\"} 1\na{site=\"y\",code=\"200\"} 4\nb 7\n";
    let samples = Samples::parse(text);
    let sum = |name, labels: &[_]| format!("{}", samples.sum(name, labels));
    assert_eq!(sum("a", &[("site", "x")]), "3");
    assert_eq!(sum("a", &[("code", "200")]), "6");
    assert_eq!(sum("b", &[]), "7");
    assert_eq!(sum("c", &[]), "0");
    assert_eq!(samples.values("a", ["site"]).len(), 2);
}
