//! Names of services, and the folder in which their sockets are.
//!
//! A name is what stands before the colon of `name:path`: it becomes the name of a file, so it has few characters and no way to
//! mean another folder. The folder is this user's own unless somebody says otherwise; where it lies in a place that everybody
//! may write to, it is used only if it cannot be anybody else's.

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The longest name, in bytes.
const LONGEST: usize = 64;

/// The name of a service: 1 to 64 of the characters `A-Z a-z 0-9 _ . -`, the first of which is no dot.
///
/// ```
/// use ouzel_scheme::Name;
///
/// let (name, path) = Name::split("disk:logs/today")?;
/// assert_eq!((name.as_str(), path), ("disk", "logs/today"));
/// assert_eq!(name, Name::parse("disk:")?);
/// # Ok::<(), ouzel_scheme::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// A name as `name` or as `name:`.
    pub fn parse(text: &str) -> Result<Name, NameError> {
        let name = text.strip_suffix(':').unwrap_or(text);
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > LONGEST {
            return Err(NameError::TooLong { length: name.len() });
        }
        if name.starts_with('.') {
            return Err(NameError::Hidden);
        }
        let allowed = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
        if let Some(character) = name.chars().find(|character| !allowed(*character)) {
            return Err(NameError::Character { character });
        }
        Ok(Name(name.to_owned()))
    }

    /// The name and the path of `name:path`. The path is what follows the first colon, and may be empty.
    pub fn split(text: &str) -> Result<(Name, &str), NameError> {
        let (name, path) = text.split_once(':').ok_or(NameError::NoColon)?;
        Ok((Name::parse(name)?, path))
    }

    /// The name, without a colon.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where the socket of the service with this name is: in the [`directory`].
    pub fn socket(&self) -> PathBuf {
        directory().join(&self.0)
    }
}

/// Writes the name without a colon.
impl fmt::Display for Name {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Name, NameError> {
        Name::parse(text)
    }
}

/// Why a text is no name of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameError {
    /// There is nothing before the colon, or nothing at all.
    Empty,
    /// It has more than 64 bytes.
    TooLong {
        /// How many.
        length: usize,
    },
    /// It begins with a dot.
    Hidden,
    /// It has a character that a name cannot have.
    Character {
        /// The first of them.
        character: char,
    },
    /// There is no colon between a name and a path.
    NoColon,
}

impl fmt::Display for NameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NameError::Empty => formatter.write_str("the name of a service is empty: write name:path"),
            NameError::TooLong { length } => {
                write!(formatter, "the name of a service has {length} bytes: use at most {LONGEST}")
            }
            NameError::Hidden => {
                formatter.write_str("the name of a service begins with a dot: begin it with a letter")
            }
            NameError::Character { character } => write!(
                formatter,
                "the name of a service has the character {character:?}: use letters, digits, '_', '.' and '-'"
            ),
            NameError::NoColon => formatter.write_str("there is no colon behind a name: write name:path"),
        }
    }
}

impl std::error::Error for NameError {}

/// The folder of sockets: `$OUZEL_SCHEMES`; or `$XDG_RUNTIME_DIR/ouzel`; or `/run/ouzel` for root; or else `/tmp/ouzel-UID`,
/// which is used only if it is this user's alone. A variable that is empty is as one that is not set.
pub fn directory() -> PathBuf {
    let variable = |name| std::env::var_os(name);
    choose(variable("OUZEL_SCHEMES"), variable("XDG_RUNTIME_DIR"), rustix::process::geteuid().as_raw())
}

fn choose(schemes: Option<OsString>, runtime: Option<OsString>, user: u32) -> PathBuf {
    let set = |value: Option<OsString>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = set(schemes) {
        return folder;
    }
    if let Some(folder) = set(runtime) {
        return folder.join("ouzel");
    }
    if user == 0 { PathBuf::from("/run/ouzel") } else { public(user) }
}

/// The folder of a user who has no other: in a place where everybody may make one of that name.
fn public(user: u32) -> PathBuf {
    PathBuf::from(format!("/tmp/ouzel-{user}"))
}

/// The names of which there are sockets in the [`directory`], sorted. A service that was killed leaves its socket, so one of
/// these may not answer. Without a folder there are none.
pub fn list() -> io::Result<Vec<Name>> {
    list_in(&directory())
}

fn list_in(folder: &Path) -> io::Result<Vec<Name>> {
    let absent = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    match check_folder(folder) {
        Err(error) if absent(&error) => return Ok(Vec::new()),
        other => other?,
    }
    let files = match std::fs::read_dir(folder) {
        Err(error) if absent(&error) => return Ok(Vec::new()),
        other => other.map_err(|error| about("list the services in", folder, &error))?,
    };
    let mut names = Vec::new();
    for file in files {
        let file = file?;
        // One that went away meanwhile is none.
        if file.file_type().is_ok_and(|kind| kind.is_socket())
            && let Some(Ok(name)) = file.file_name().to_str().map(Name::parse)
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Makes the folder of a socket if there is none, for this user alone, and checks it.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| about("make the folder", folder, &error))?;
    check_folder(folder)
}

/// Checks that a folder in a public place is this user's alone. Others are what their owner wants them to be.
pub(crate) fn check_folder(folder: &Path) -> io::Result<()> {
    let user = rustix::process::geteuid().as_raw();
    if folder == public(user) { check_private(folder, user) } else { Ok(()) }
}

fn check_private(folder: &Path, user: u32) -> io::Result<()> {
    let found = std::fs::symlink_metadata(folder).map_err(|error| about("look at", folder, &error))?;
    let wrong = if !found.is_dir() {
        "it is no folder".to_owned()
    } else if found.uid() != user {
        format!("it belongs to user {}", found.uid())
    } else if found.mode() & 0o777 != 0o700 {
        format!("its mode is {:o} and not 700", found.mode() & 0o777)
    } else {
        return Ok(());
    };
    Err(io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "the folder of services {} is not this user's alone: {wrong}; set OUZEL_SCHEMES or XDG_RUNTIME_DIR to one that is",
            folder.display()
        ),
    ))
}

/// The error with what was tried on which file.
pub(crate) fn about(what: &str, path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::testing;

    #[test]
    fn names_with_and_without_a_colon() {
        for text in ["a", "disk", "My_disk-0.img", &"x".repeat(64)] {
            let name = Name::parse(text).unwrap();
            assert_eq!(name.as_str(), text);
            assert_eq!(name.to_string(), text);
            assert_eq!(Name::parse(&format!("{text}:")), Ok(name.clone()));
            assert_eq!(text.parse(), Ok(name));
        }
    }

    #[test]
    fn what_is_no_name() {
        for (text, error) in [
            ("", NameError::Empty),
            (":", NameError::Empty),
            ("..", NameError::Hidden),
            (".hidden", NameError::Hidden),
            ("a/b", NameError::Character { character: '/' }),
            ("a:b", NameError::Character { character: ':' }),
            ("a::", NameError::Character { character: ':' }),
            ("ä", NameError::Character { character: 'ä' }),
            ("a\0", NameError::Character { character: '\0' }),
            ("x".repeat(65).as_str(), NameError::TooLong { length: 65 }),
        ] {
            assert_eq!(Name::parse(text), Err(error), "{text:?}");
            assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn a_path_is_what_follows_the_first_colon() {
        let split = |text| Name::split(text).map(|(name, path)| (name.to_string(), path));
        assert_eq!(split("disk:a/b:c"), Ok(("disk".to_owned(), "a/b:c")));
        assert_eq!(split("disk:"), Ok(("disk".to_owned(), "")));
        assert_eq!(split("disk"), Err(NameError::NoColon));
        assert_eq!(split(":path"), Err(NameError::Empty));
        assert_eq!(split("../x:path"), Err(NameError::Hidden));
    }

    #[test]
    fn the_folder_is_chosen_in_order() {
        let text = |text: &str| Some(OsString::from(text));
        assert_eq!(choose(text("/s"), text("/r"), 0), Path::new("/s"));
        assert_eq!(choose(text(""), text("/r"), 7), Path::new("/r/ouzel"));
        assert_eq!(choose(None, text(""), 0), Path::new("/run/ouzel"));
        assert_eq!(choose(None, None, 7), Path::new("/tmp/ouzel-7"));
        assert_eq!(Name::parse("disk:").unwrap().socket(), directory().join("disk"));
    }

    #[test]
    fn only_sockets_with_names_are_listed() {
        for folder in testing::folders() {
            let folder = folder.path();
            assert_eq!(list_in(&folder.join("absent")).unwrap(), []);
            std::fs::write(folder.join("file"), "").unwrap();
            std::fs::create_dir(folder.join("folder")).unwrap();
            let mut kept = Vec::new();
            for name in ["b", "a", ".hidden", "with space"] {
                kept.push(testing::in_folder(folder, |near| UnixListener::bind(near.join(name))).unwrap());
            }
            let names: Vec<String> = list_in(folder).unwrap().iter().map(Name::to_string).collect();
            assert_eq!(names, ["a", "b"]);
        }
    }

    #[test]
    fn a_folder_in_a_public_place_must_be_private() {
        let user = rustix::process::geteuid().as_raw();
        for folder in testing::folders() {
            let inner = folder.path().join("inner");
            let refused = |what: &str, user| {
                let error = check_private(&inner, user).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
                let text = error.to_string();
                assert!(text.contains(what) && text.contains("OUZEL_SCHEMES"), "{text}");
            };
            assert_eq!(check_private(&inner, user).unwrap_err().kind(), io::ErrorKind::NotFound);
            make_folder(&inner).unwrap();
            check_private(&inner, user).unwrap();
            make_folder(&inner).unwrap();
            refused("belongs to user", user + 1);
            std::fs::set_permissions(&inner, std::fs::Permissions::from_mode(0o750)).unwrap();
            refused("mode is 750", user);
            std::fs::remove_dir(&inner).unwrap();
            // Whoever may make a link there may change where it leads.
            symlink(folder.path(), &inner).unwrap();
            refused("no folder", user);
        }
    }
}
