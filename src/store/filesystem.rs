//! On which kind of file system a folder lies: some can't keep the store's promises.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
    path::Path,
};

/// Why conversions in a folder on this kind of file system may be lost, if they may.
pub(super) fn risk(folder: &Path) -> Option<&'static str> {
    let folder = folder.canonicalize().ok()?;
    let kind = File::open("/proc/self/mountinfo").and_then(|file| kind_of(BufReader::new(file), &folder)).ok()??;
    match kind.as_str() {
        "tmpfs" | "ramfs" | "devtmpfs" => Some("lies in memory: a restart of the machine loses conversions"),
        "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "afs" | "ceph" | "glusterfs" | "fuse.sshfs"
        | "fuse.s3fs" | "fuse.glusterfs" | "virtiofs" => {
            Some("is a network file system: its locks and fsync can't be relied on; use a local disk")
        }
        _ => None,
    }
}

/// The type of the mount that holds the folder: the longest mount point, the last of equal ones.
fn kind_of(mounts: impl BufRead, folder: &Path) -> io::Result<Option<String>> {
    let mut best = (0, None);
    for line in mounts.lines() {
        let line = line?;
        // proc(5): ID PARENT MAJOR:MINOR ROOT MOUNT_POINT OPTIONS [OPTIONAL…] - TYPE SOURCE OPTIONS
        let Some((mount, rest)) = line.split_once(" - ") else { continue };
        let (Some(point), Some(kind)) = (mount.split(' ').nth(4), rest.split(' ').next()) else { continue };
        let point = point.replace("\\040", " ");
        if folder.starts_with(&point) && point.len() >= best.0 {
            best = (point.len(), Some(kind.to_owned()));
        }
    }
    Ok(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_decides() {
        let mounts = "22 1 254:0 / / rw - ext4 /dev/vda rw\n\
                      23 22 0:21 / /mnt/my\\040disk rw shared:1 - nfs4 server:/x rw\n";
        let kind = |folder: &str| kind_of(mounts.as_bytes(), Path::new(folder)).unwrap();
        assert_eq!(kind("/var/lib").as_deref(), Some("ext4"));
        assert_eq!(kind("/mnt/my disk/state").as_deref(), Some("nfs4"));
        assert_eq!(kind("/mnt/my disks").as_deref(), Some("ext4"));
    }
}
