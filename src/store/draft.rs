//! Small files of the state folder that are replaced as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, chown},
    path::Path,
};

use uuid::Uuid;

use super::database::sync_folder;

/// Writes a file under another name first: nobody ever reads half of it.
///
/// # Errors
/// When it can't be written; then the old one stays.
pub fn replace(folder: &Path, name: &str, text: &[u8]) -> io::Result<()> {
    let draft = folder.join(format!("{name}.{}", Uuid::new_v4()));
    let written = private_file(folder, &draft, true).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&draft, folder.join(name))
    });
    if written.is_err() {
        // The next one has another name; it is only in the way.
        fs::remove_file(&draft).ok();
    }
    written.and_then(|()| sync_folder(folder))
}

/// Opens a file that only we can read; made by the administrator, it belongs to whom the folder does.
pub(super) fn private_file(folder: &Path, path: &Path, is_new: bool) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).create_new(is_new).truncate(false).mode(0o600).open(path)?;
    let (ours, folder) = (file.metadata()?, fs::metadata(folder)?);
    if ours.uid() != folder.uid() {
        // Else the proxy could not read it.
        chown(path, Some(folder.uid()), Some(folder.gid()))?;
    }
    Ok(file)
}
