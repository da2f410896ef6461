//! The books must balance: promise 4 of the design.

use super::{await_fact, metrics::Samples, proxy::Proxy};

/// Awaits that every hit has one outcome per network and every postback one verdict or a place in the queue.
///
/// For a proxy that began with an empty outbox: counters live as long as the process, rows longer.
pub(crate) fn assert_accounts(proxy: &Proxy) {
    assert_accounts_with(proxy, 0);
}

/// The same for a proxy that found so many unsent rows in its outbox.
pub(crate) fn assert_accounts_with(proxy: &Proxy, inherited: u32) {
    await_fact(
        || discrepancies(&proxy.metrics(), inherited).is_empty().then_some(()),
        || discrepancies(&proxy.metrics(), inherited).join("\n"),
    );
}

/// The same for the nodes of a fleet together: each counts its own, and all show the queue that they share.
pub(crate) fn assert_accounts_of_fleet(nodes: &[Proxy]) {
    await_fact(
        || discrepancies(&samples_of_fleet(nodes), 0).is_empty().then_some(()),
        || discrepancies(&samples_of_fleet(nodes), 0).join("\n"),
    );
}

fn samples_of_fleet(nodes: &[Proxy]) -> Samples {
    let mut all = String::new();
    for (index, node) in nodes.iter().enumerate() {
        let text = node.admin("/metrics").text();
        let is_shared = |line: &&str| line.starts_with("throughline_outbox_");
        let kept = text.lines().filter(|line| index == 0 || !is_shared(line));
        all.extend(kept.flat_map(|line| [line, "\n"]));
    }
    Samples::parse(&all)
}

fn discrepancies(samples: &Samples, inherited: u32) -> Vec<String> {
    let mut found = Vec::new();
    for [site, conversion] in samples.values("throughline_conversion_hits_total", ["site", "conversion"]) {
        let of_conversion = [("site", site.as_str()), ("conversion", conversion.as_str())];
        let hits = samples.sum("throughline_conversion_hits_total", &of_conversion);
        let networks = samples.values("throughline_conversions_total", ["site", "conversion", "network"]);
        let networks: Vec<_> = networks.iter().filter(|[s, c, _]| (s, c) == (&site, &conversion)).collect();
        if networks.is_empty() && hits > 0.0 {
            found.push(format!("{site}/{conversion}: {hits} hits without any outcome"));
        }
        for [_, _, network] in networks {
            let labels = [of_conversion[0], of_conversion[1], ("network", network)];
            let outcomes = samples.sum("throughline_conversions_total", &labels);
            if differ(hits, outcomes) {
                found.push(format!("{site}/{conversion}/{network}: {hits} hits, {outcomes} outcomes"));
            }
        }
    }
    let queued = samples.sum("throughline_conversions_total", &[("outcome", "queued")]) + f64::from(inherited);
    let waiting = samples.sum("throughline_outbox_pending", &[]) + samples.sum("throughline_outbox_parked", &[]);
    let verdicts = samples.sum("throughline_postbacks_total", &[]);
    // A dead letter that was put back has had a verdict and gets another one.
    let replayed = samples.sum("throughline_replayed_total", &[]);
    if differ(queued + replayed, verdicts + waiting) {
        found.push(format!("{queued} postbacks taken in, {replayed} put back, {verdicts} verdicts, {waiting} waiting"));
    }
    found
}

/// Counts are whole numbers that a float holds exactly; half a hit does not exist.
fn differ(one: f64, other: f64) -> bool {
    (one - other).abs() > 0.5
}

#[test]
fn the_books_show_what_is_missing() {
    let text = |outcomes: u32, verdicts: u32| {
        format!(
            "throughline_conversion_hits_total{{site=\"s\",conversion=\"c\"}} 3\n\
             throughline_conversions_total{{site=\"s\",conversion=\"c\",network=\"n\",outcome=\"queued\"}} 2\n\
             throughline_conversions_total{{site=\"s\",conversion=\"c\",network=\"n\",outcome=\"no_click\"}} {outcomes}\n\
             throughline_postbacks_total{{site=\"s\",network=\"n\",verdict=\"delivered\"}} {verdicts}\n\
             throughline_outbox_pending{{site=\"s\",network=\"n\"}} 1\n"
        )
    };
    let discrepancies = |outcomes, verdicts| discrepancies(&Samples::parse(&text(outcomes, verdicts)), 0);
    assert_eq!(discrepancies(1, 1), Vec::<String>::new());
    assert_eq!(discrepancies(0, 1), ["s/c/n: 3 hits, 2 outcomes"]);
    assert_eq!(discrepancies(1, 0), ["2 postbacks taken in, 0 put back, 0 verdicts, 1 waiting"]);
}
