//! Text that may stand in a file of its own: `{ file: token.txt }`.
//!
//! Reading goes through a function argument, so nothing is read here. Whether a secret may
//! stand in clear text is decided by whoever asks for it, by its origin.

use std::io;
use std::path::Path;

use super::Field;
use crate::config::file::beside;
use crate::config::problem::shown;
use crate::config::tree::{Kind, Origin, Scalar};

impl Field<'_> {
    /// A scalar, or the content of the file named by `{ file: PATH }`.
    ///
    /// A relative path begins in the folder of the file that it stands in. One newline at the end of the
    /// secret's file is left out. A file that can't be read, or is empty, is a problem.
    pub fn secret_text(&self, read: &dyn Fn(&Path) -> io::Result<String>) -> Option<Scalar> {
        let named_file =
            matches!(&self.node.kind, Kind::Map(entries) if entries.iter().any(|entry| entry.key == "file"));
        if !named_file {
            return self.filled().cloned();
        }
        let mut section = self.section()?;
        let file = section.require("file", "write `{ file: PATH }`");
        section.finish();
        let file = file?;
        let path = beside(&file, file.text()?);
        let text = match read(&path) {
            Ok(text) => text,
            Err(error) => {
                file.error(format!("{} cannot be read: {error}", shown(&path.to_string_lossy())), None);
                return None;
            }
        };
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        if text.is_empty() {
            file.error(format!("{} is empty", shown(&path.to_string_lossy())), None);
            return None;
        }
        Some(Scalar { text: text.to_owned(), quoted: true, origin: Origin::File(path) })
    }
}
