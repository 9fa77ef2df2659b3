//! What is to be copied, found before anything is changed, and the copying of it.
//!
//! The tree is walked first, so that a copy that lands inside its own source does not feed on itself. Directories get their
//! permissions last: one that may not be written to could not be filled. It must never follow a link that it copies.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ouzel::abi::Errno;
use ouzel::abi::modifiers::{RemoveFlags, StatFlags};
use ouzel::compounds::{self, FileKind};
use ouzel::{Directory, Error, Ring};

/// One thing to copy.
struct Item {
    from: PathBuf,
    to: PathBuf,
    kind: FileKind,
}

/// All that is to be copied, directories before what is in them.
pub struct Plan {
    items: Vec<Item>,
}

/// What was copied.
#[derive(Clone, Copy, Default)]
pub struct Copied {
    /// Regular files.
    pub files: u64,
    /// Directories that were made or were there.
    pub directories: u64,
    /// Symbolic links.
    pub links: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

impl Plan {
    /// Finds what there is to copy, and what of it could not be looked at. Fails if there is nothing to begin with.
    pub fn make(
        ring: &mut Ring,
        source: &Path,
        target: &Path,
        recursive: bool,
        at_once: usize,
    ) -> Result<(Plan, Vec<String>), String> {
        let here = Directory::Working;
        let stat = ring.stat(here, source, StatFlags::empty()).map_err(|error| named(source, &error))?;
        let mut target = target.to_owned();
        if ring.stat(here, &target, StatFlags::empty()).is_ok_and(|stat| stat.is_directory()) {
            let name = source.canonicalize().ok().and_then(|whole| whole.file_name().map(PathBuf::from));
            target.push(source.file_name().map(PathBuf::from).or(name).unwrap_or_default());
        }
        let mut problems = Vec::new();
        let kind = if stat.is_directory() { FileKind::Directory } else { FileKind::File };
        let mut items = vec![Item { from: source.to_owned(), to: target.clone(), kind }];
        if stat.is_directory() {
            if !recursive {
                return Err(format!("{}: a directory, and --recursive was not given", source.display()));
            }
            if lies_in(&target, source) {
                let (source, target) = (source.display(), target.display());
                return Err(format!("{source}: cannot be copied into itself, {target}"));
            }
            for entry in compounds::walk(ring, source, at_once) {
                match entry {
                    Ok(entry) => {
                        let below = entry.path.strip_prefix(source).unwrap_or(&entry.path);
                        items.push(Item { to: target.join(below), kind: entry.kind, from: entry.path });
                    }
                    Err(error) => problems.push(error.to_string()),
                }
            }
        }
        Ok((Plan { items }, problems))
    }

    /// How many things there are to copy.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Copies all of it, with a word to `complain` for what cannot be copied and to `progress` for each that was looked at.
    pub fn run(
        self,
        ring: &mut Ring,
        mut complain: impl FnMut(String),
        mut progress: impl FnMut(&Copied),
    ) -> Copied {
        let mut copied = Copied::default();
        for item in &self.items {
            if let Err(error) = copy(ring, item, &mut copied) {
                complain(error);
            }
            progress(&copied);
        }
        for item in self.items.iter().rev().filter(|item| item.kind == FileKind::Directory) {
            let set = fs::metadata(&item.from).and_then(|found| {
                fs::set_permissions(&item.to, fs::Permissions::from_mode(found.permissions().mode()))
            });
            // What could not even be made was complained of already.
            if let Err(error) = set
                && item.to.is_dir()
            {
                complain(format!("{}: its permissions: {error}", item.to.display()));
            }
        }
        copied
    }
}

fn copy(ring: &mut Ring, item: &Item, copied: &mut Copied) -> Result<(), String> {
    match item.kind {
        FileKind::File => {
            let bytes = compounds::copy_file(ring, &item.from, &item.to);
            copied.bytes += bytes.map_err(|error| named(&item.from, &error))?;
            copied.files += 1;
        }
        FileKind::Directory => {
            make_directory(ring, &item.to).map_err(|error| named(&item.to, &error))?;
            copied.directories += 1;
        }
        FileKind::Symlink => {
            let says = fs::read_link(&item.from);
            let says = says.map_err(|error| format!("{}: {error}", item.from.display()))?;
            make_link(ring, &says, &item.to).map_err(|error| named(&item.to, &error))?;
            copied.links += 1;
        }
        other => {
            let path = item.from.display();
            return Err(format!("{path}: left out, it is neither file, directory nor link ({other:?})"));
        }
    }
    Ok(())
}

/// Makes a directory that may be filled, unless there is one.
fn make_directory(ring: &mut Ring, path: &Path) -> Result<(), Error> {
    let here = Directory::Working;
    match ring.mkdir(here, path, 0o700) {
        Err(error) if error.errno() == Some(Errno::EEXIST) => {
            let stat = ring.stat(here, path, StatFlags::NOFOLLOW)?;
            if stat.is_directory() { Ok(()) } else { Err(error) }
        }
        other => other,
    }
}

/// Makes a link, in place of one that is there.
fn make_link(ring: &mut Ring, says: &Path, path: &Path) -> Result<(), Error> {
    let here = Directory::Working;
    match ring.symlink(says, here, path) {
        Err(error) if error.errno() == Some(Errno::EEXIST) => {
            if !ring.stat(here, path, StatFlags::NOFOLLOW)?.is_symlink() {
                return Err(error);
            }
            ring.remove(here, path, RemoveFlags::empty())?;
            ring.symlink(says, here, path)
        }
        other => other,
    }
}

/// Whether `path`, which may not exist yet, is `directory` or below it.
fn lies_in(path: &Path, directory: &Path) -> bool {
    let Ok(directory) = directory.canonicalize() else { return false };
    path.ancestors()
        .map(|above| if above.as_os_str().is_empty() { Path::new(".") } else { above })
        .find_map(|above| above.canonicalize().ok())
        .is_some_and(|above| above.starts_with(&directory))
}

fn named(path: &Path, error: &Error) -> String {
    format!("{}: {error}", path.display())
}
