//! What a configuration may look like, as JSON Schema (draft 2020-12): for editors, which complete keys,
//! show what they are for, and mark mistakes while they are typed.
//!
//! The words that a key takes come from the decoders, the names of networks with their settings and
//! parameters from the files in `conf/networks`; a test compares the keys of each map with those that its
//! decoder knows. `check` alone is complete: it knows what belongs together, and reads files.

use serde_json::{Map, Value, json};

mod consent;
mod conversion;
mod events;
mod network;
mod process;
mod shape;
mod site;

use shape::Shape;

/// The schema of a configuration, and of the files that it includes.
#[must_use]
pub fn schema() -> Value {
    let definitions = [
        shape::definitions().to_vec(),
        consent::definitions().to_vec(),
        conversion::definitions().to_vec(),
        network::definitions().to_vec(),
        site::definitions().to_vec(),
    ];
    let definitions: Map<String, Value> = definitions
        .into_iter()
        .flatten()
        .map(|(name, shape): (&str, Shape)| (name.to_owned(), shape.into_value()))
        .collect();
    let mut schema = Map::from_iter([
        ("$schema".to_owned(), json!("https://json-schema.org/draft/2020-12/schema")),
        ("title".to_owned(), json!("Throughline")),
        ("description".to_owned(), json!("The configuration of Throughline, and of the files that it includes.")),
    ]);
    if let Value::Object(root) = process::root().into_value() {
        schema.extend(root);
    }
    schema.insert("$defs".to_owned(), Value::Object(definitions));
    Value::Object(schema)
}

/// The schema as a file.
#[must_use]
pub fn text() -> String {
    // Without a map whose keys are no texts, this cannot fail.
    serde_json::to_string_pretty(&schema()).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests;
