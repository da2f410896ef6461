//! The columns of exports: their names and their order stay, new ones come at the end.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use crate::{store::story::HitRecord, tracking::timestamp::Timestamp};

/// The names of the columns.
pub(super) const COLUMNS: [&str; 14] = [
    "event_time",
    "settled_time",
    "site",
    "conversion",
    "network",
    "order_id",
    "click_id",
    "event_id",
    "value",
    "currency",
    "outcome",
    "reason",
    "verdict",
    "attempts",
];

/// The cells of one hit. Several click IDs are parted by spaces, which none of them has.
fn cells(hit: &HitRecord) -> [String; COLUMNS.len()] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    [
        hit.time.rfc3339(),
        hit.settled.map(Timestamp::rfc3339).unwrap_or_default(),
        hit.site.clone(),
        hit.conversion.clone(),
        hit.network.clone(),
        text(&hit.order_id),
        hit.clicks.join(" "),
        hit.event_id.map(|id| id.to_string()).unwrap_or_default(),
        text(&hit.value),
        text(&hit.currency),
        hit.outcome.clone(),
        text(&hit.reason),
        text(&hit.verdict),
        hit.attempts.to_string(),
    ]
}

/// The cells as a spreadsheet may read them.
pub(super) fn row(hit: &HitRecord) -> [String; COLUMNS.len()] {
    cells(hit).map(|cell| harmless(&cell).into_owned())
}

/// An object with the columns as its members; what is not there is `null`.
pub(super) fn object(hit: &HitRecord) -> Value {
    let cells = cells(hit).map(|cell| if cell.is_empty() { Value::Null } else { Value::from(cell) });
    let mut object: Map<String, Value> = COLUMNS.map(ToOwned::to_owned).into_iter().zip(cells).collect();
    object.insert("attempts".to_owned(), json!(hit.attempts));
    Value::Object(object)
}

/// What visitors wrote must be no formula: spreadsheets take a cell for one by its first character (OWASP,
/// "CSV Injection", 2026-11-22). A negative number is none.
fn harmless(cell: &str) -> Cow<'_, str> {
    let is_number = cell.strip_prefix('-').is_some_and(|digits| {
        digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
    });
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) && !is_number {
        Cow::Owned(format!("'{cell}"))
    } else {
        Cow::Borrowed(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_visitor_wrote_is_no_formula() {
        for (cell, expected) in [
            ("=1+1", "'=1+1"),
            ("+49", "'+49"),
            ("@sum", "'@sum"),
            ("-2+3", "'-2+3"),
            ("-", "'-"),
            ("-.5", "'-.5"),
            ("\t=1", "'\t=1"),
            ("\r=1", "'\r=1"),
            ("-5.00", "-5.00"),
            ("49.90", "49.90"),
            ("A-1", "A-1"),
            ("", ""),
            ("ü=", "ü="),
        ] {
            assert_eq!(harmless(cell), expected, "{cell:?}");
        }
    }

    #[test]
    fn the_guide_explains_every_column() {
        let guide = include_str!("../../../conf/guides/reconciliation.md");
        let rows = guide.lines().filter(|line| line.starts_with("| `"));
        let named: Vec<_> = rows.flat_map(|row| row.split('|').nth(1).unwrap().split('`').skip(1).step_by(2)).collect();
        assert_eq!(named, COLUMNS);
    }

    #[test]
    fn every_column_has_its_member() {
        let hit = HitRecord { clicks: vec!["a".into(), "b".into()], attempts: 2, ..HitRecord::default() };
        let object = object(&hit);
        let names: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(names, COLUMNS);
        assert_eq!(
            (&object["click_id"], &object["attempts"], &object["value"]),
            (&json!("a b"), &json!(2), &Value::Null)
        );
    }
}
