//! What operators do with the outbox, for the command line and for the console.
//!
//! Here their words become the store's: which rows are meant, what a correction means by the
//! configuration in force, what of a row may be shown. How it is asked and answered does not belong here.

use std::time::Duration;

mod correction;
mod description;
mod preview;
mod selection;

pub use correction::complete;
pub use description::describe;
pub use preview::{PreviewLink, PreviewWish, site_address};
pub use selection::{Selection, age, ago, said};

use crate::delivery::Destinations;

/// Why something is not done, for people.
pub type Refusal = String;

/// An error of the store as a refusal.
#[expect(clippy::needless_pass_by_value, reason = "it stands where errors are mapped")]
pub fn refusal(error: impl ToString) -> Refusal {
    error.to_string()
}

/// A number with its noun.
#[must_use]
pub fn counted(count: usize, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// How old a conversion of a site, conversion and network may become.
pub fn max_age(destinations: Destinations) -> impl Fn(&str, &str, &str) -> Option<Duration> + Sync {
    move |site, conversion, network| {
        let destination = destinations.find(site, network)?;
        destination.routes.contains_key(conversion).then_some(destination.max_age)
    }
}
