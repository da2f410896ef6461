//! The keys of `events`.

use super::{
    network::reach,
    shape::{Shape, key, needed},
};
use crate::config::events::{LEVELS, PERSONAL};

/// Records of what happens.
pub(super) fn events() -> Shape {
    Shape::map([
        key("stdout", "JSON lines on standard output.", Shape::choice(&LEVELS).or("never")),
        key("file", "JSON lines in a file, opened anew on SIGHUP.", file()),
        key("bigquery", "Rows of a table in Google BigQuery.", bigquery()),
        key("webhook", "JSON lists of up to 500 records, by POST.", webhook()),
        key(
            "personal",
            "What records show of e-mail addresses, names and other personal fields.",
            Shape::choice(&PERSONAL).or("mask"),
        ),
    ])
}

fn file() -> Shape {
    Shape::map([
        needed("path", "The file.", Shape::of("file").example("events.jsonl".into())),
        key("level", LEVEL, level()),
        key(
            "max_size",
            "Another file is begun before it grows larger. 64KiB to 100GiB.",
            Shape::of("size").or("100MiB"),
        ),
        key("keep", "How many full ones stay.", Shape::number(0..=1000).or("5")),
    ])
}

fn bigquery() -> Shape {
    let own = [
        key(
            "project",
            "Default: the variable GOOGLE_CLOUD_PROJECT, else the project that the credentials name.",
            Shape::of("text"),
        ),
        needed("dataset", "The dataset's id.", Shape::of("text")),
        needed("table", "The table's id.", Shape::of("text")),
        key("level", LEVEL, level()),
        key("credentials", "A file from Google Cloud. Default: whoever this machine is.", Shape::of("secret")),
        key("endpoint", "Another address of the API, for emulators.", Shape::of("text_or_file")),
    ];
    Shape::map(own.into_iter().chain(reach()))
}

fn webhook() -> Shape {
    let own = [
        needed("url", "The whole address.", Shape::of("text_or_file")),
        key("token", "Shown as `Authorization: Bearer TOKEN`.", Shape::of("secret")),
        key("level", LEVEL, level()),
    ];
    Shape::map(own.into_iter().chain(reach()))
}

fn level() -> Shape {
    Shape::choice(&LEVELS).or("always")
}

const LEVEL: &str = "`debug`: what preview visitors do, and everything when log.level is debug.";
