//! Disks that fill up, and files that become read-only.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use pointsman_clock::Clock;

/// A disk of a few megabytes. It is unmounted when dropped: declare it before the server that uses it.
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Takes the right to mount: root's, or that of `sudo` without a password.
    pub fn mount(bytes: u64) -> Self {
        let folder = std::env::temp_dir().join(format!("pointsman-disk-{}", Clock.new_uuid()));
        fs::create_dir(&folder).expect("a folder can be made for the disk");
        let options = format!("size={bytes},mode=0777");
        let disk = Self { folder };
        let mounted = as_root("mount", &["-t", "tmpfs", "-o", &options, "tmpfs"], &disk.folder);
        assert!(
            mounted.status.success(),
            "this test fills a disk and so must be able to mount one (run it as root, or with sudo): {}",
            String::from_utf8_lossy(&mounted.stderr)
        );
        disk
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn ballast(&self) -> PathBuf {
        self.folder.join("ballast")
    }

    /// Puts a file on the disk that leaves this much room.
    pub fn leave(&self, bytes: u64) {
        self.make_room();
        let free = self.free_bytes();
        let ballast = vec![0; usize::try_from(free.saturating_sub(bytes)).expect("the disk is small")];
        fs::write(self.ballast(), ballast).expect("there was that much room");
    }

    /// Leaves no room at all, whatever is removed and written meanwhile.
    pub fn fill(&self) {
        let mut ballast = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.ballast())
            .expect("a file can be made on the disk");
        let page = [0; 4096];
        while ballast.write(&page).is_ok_and(|written| written > 0) {}
    }

    /// Makes it a disk of so many bytes.
    pub fn grow(&self, bytes: u64) {
        let options = format!("remount,size={bytes}");
        let grown = as_root("mount", &["-o", &options], &self.folder);
        assert!(
            grown.status.success(),
            "{}",
            String::from_utf8_lossy(&grown.stderr)
        );
    }

    /// Removes the file again.
    pub fn make_room(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    fn free_bytes(&self) -> u64 {
        let shown = Command::new("df")
            .args(["--output=avail", "-B1"])
            .arg(&self.folder)
            .output()
            .expect("`df` can be run");
        let text = String::from_utf8_lossy(&shown.stdout);
        let last = text.lines().last().and_then(|line| line.trim().parse().ok());
        last.expect("`df` tells the room that is left")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that a failed test has just killed may still be on its way out.
        let _ = as_root("umount", &["--lazy"], &self.folder);
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Files that no process can write to, those of root and those that have them open included. They can be written to
/// again when this is dropped.
pub struct ReadOnly(Vec<PathBuf>);

impl ReadOnly {
    /// Takes root's rights, and a file system that heeds the attribute for open files (ext4, XFS, Btrfs).
    pub fn make(files: Vec<PathBuf>) -> Self {
        let folder = files
            .first()
            .and_then(|file| file.parent())
            .expect("a file has a folder");
        let probe = folder.join("probe");
        let mut open = fs::File::create(&probe).expect("the folder is writable");
        let probed = Self::set(vec![probe.clone()]);
        let refused = open.write_all(b"x").is_err();
        drop(probed);
        fs::remove_file(&probe).expect("the probe can be removed");
        assert!(
            refused,
            "{} is on a file system where `chattr +i` does not stop who has a file open: set TMPDIR to a folder \
             on ext4, XFS or Btrfs",
            folder.display()
        );
        Self::set(files)
    }

    fn set(files: Vec<PathBuf>) -> Self {
        let files = Self(files);
        for file in &files.0 {
            let done = as_root("chattr", &["+i"], file);
            assert!(
                done.status.success(),
                "this test makes files read-only and so must run as root, or with sudo: {}",
                String::from_utf8_lossy(&done.stderr)
            );
        }
        files
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        for file in &self.0 {
            let _ = as_root("chattr", &["-i"], file);
        }
    }
}

fn as_root(program: &str, arguments: &[&str], path: &Path) -> Output {
    let is_root = fs::metadata("/proc/self").is_ok_and(|of_process| of_process.uid() == 0);
    let mut command = if is_root {
        Command::new(program)
    } else {
        let mut command = Command::new("sudo");
        command.args(["-n", program]);
        command
    };
    let output = command.args(arguments).arg(path).output();
    output.unwrap_or_else(|error| panic!("{command:?}: {error}"))
}
