//! What a configuration takes from the environment and from files: texts that nobody else is to see.
//!
//! Nobody can tell a secret variable from another one, so all are taken for secrets.

use std::{collections::BTreeSet, path::Path};

use super::{
    Environment,
    document::Document,
    file::{self, folder_of},
    problem::Problems,
    tree::{Kind, Node, Origin},
};

/// All such texts of a configuration, as far as they can be read.
#[expect(clippy::disallowed_methods, reason = "the configuration loader reads files")]
#[must_use]
pub fn secrets(path: &Path, environment: Environment) -> Vec<String> {
    std::fs::read_to_string(path).map(|text| secrets_in(path, &text, environment)).unwrap_or_default()
}

/// All such texts of a configuration that was read from this file.
#[must_use]
pub fn secrets_in(path: &Path, text: &str, environment: Environment) -> Vec<String> {
    // Mistakes are told by whoever loads the configuration.
    let problems = Problems::default();
    let document = Document::read(path, text, Some(&|name| environment.lookup(name)), &problems);
    document.map(|document| secrets_of(&document.root)).unwrap_or_default()
}

/// All such texts of a tree whose variables are expanded, each once.
#[must_use]
pub fn secrets_of(root: &Node) -> Vec<String> {
    let mut found = BTreeSet::new();
    collect(root, &mut found);
    found.into_iter().filter(|text| !text.is_empty()).collect()
}

fn collect(node: &Node, found: &mut BTreeSet<String>) {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.origin != Origin::Written => {
            found.insert(scalar.text.trim().to_owned());
        }
        Kind::Scalar(_) => {}
        Kind::List(items) => items.iter().for_each(|item| collect(item, found)),
        Kind::Map(entries) => {
            for entry in entries {
                collect(&entry.value, found);
                if let ("file", Kind::Scalar(scalar)) = (entry.key.as_str(), &entry.value.kind)
                    && let Ok(content) = file::read(&folder_of(&entry.value.place).join(&scalar.text), LARGEST_SECRET)
                {
                    found.insert(String::from_utf8_lossy(&content).trim().to_owned());
                }
            }
        }
    }
}

/// A larger file holds something else.
const LARGEST_SECRET: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_and_files_are_secrets_and_what_is_written_is_none() {
        let folder = tempfile::tempdir().unwrap();
        #[expect(clippy::disallowed_methods, reason = "a test writes into a folder of its own")]
        std::fs::write(folder.path().join("key"), "from a file\n").unwrap();
        let text = "{ a: ${NAME}, b: [{ file: key }, { file: missing }, written] }";
        let found = secrets_in(&folder.path().join("a.yaml"), text, Environment::Ignored);
        assert_eq!(found, ["${NAME}", "from a file"]);
    }
}
