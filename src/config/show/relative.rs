//! Paths that stand in included files, as the main file would write them.

use std::{collections::BTreeSet, path::Path};

use crate::config::{
    file::{folder, folder_of},
    problem::Place,
    tree::{Kind, Node},
};

/// Writes the paths at these places so that they mean the same in this file.
pub(super) fn write_for(main: &Path, node: &mut Node, paths: &BTreeSet<Place>) {
    match &mut node.kind {
        Kind::Scalar(scalar) => {
            // What a variable holds is not known.
            if !paths.contains(&node.place) || Path::new(&*node.place.file) == main || scalar.variable().is_some() {
                return;
            }
            let (scheme, path) = match scalar.text.strip_prefix(UNIX) {
                Some(path) => (UNIX, path),
                None => ("", scalar.text.as_str()),
            };
            let path = folder_of(&node.place).join(path);
            let path = path.strip_prefix(folder(main)).unwrap_or(&path);
            scalar.text = format!("{scheme}{}", path.display());
        }
        Kind::List(items) => items.iter_mut().for_each(|item| write_for(main, item, paths)),
        Kind::Map(entries) => entries.iter_mut().for_each(|entry| write_for(main, &mut entry.value, paths)),
    }
}

const UNIX: &str = "unix:";
