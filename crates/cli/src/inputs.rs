//! What a program runs for: the files given to `--each`, those below directories, names from standard input.
//!
//! Inputs are produced one by one, so that a large tree starts at once. Only directories are looked at; whether a
//! file can be opened is for the program to find out.

use std::ffi::{OsStr, OsString};
use std::io::BufRead;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use walkdir::WalkDir;

/// The most bytes of one name on standard input; a longer one cannot be a path.
const MAX_LINE: usize = 64 << 10;

/// One input: a path, or why there is none.
pub type Input = Result<OsString, InputError>;

/// Why a place could not be searched for files, or a name not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputError {
    /// The place.
    pub place: OsString,
    /// What went wrong.
    pub message: String,
}

/// Which files are left out when directories are walked.
#[derive(Clone, Debug, Default)]
pub struct Exclusions(GlobSet);

impl Exclusions {
    /// The globs of `--exclude`. `*` does not cross a `/`; `**` does.
    pub fn new(globs: &[String]) -> Result<Exclusions, globset::Error> {
        let mut set = GlobSetBuilder::new();
        for glob in globs {
            set.add(GlobBuilder::new(glob.trim_end_matches('/')).literal_separator(true).build()?);
        }
        Ok(Exclusions(set.build()?))
    }

    fn leaves_out(&self, path: &Path) -> bool {
        let whole = path.strip_prefix("./").unwrap_or(path);
        self.0.is_match(whole) || path.file_name().is_some_and(|name| self.0.is_match(name))
    }
}

/// The inputs that `--each` names, in order. `names` is standard input; it is read for the operand `-`.
pub fn each<'a>(
    operands: &'a [OsString],
    exclusions: &'a Exclusions,
    names: &'a mut dyn BufRead,
    terminator: u8,
) -> impl Iterator<Item = Input> + 'a {
    let mut names = Some(names);
    operands.iter().flat_map(move |operand| -> Box<dyn Iterator<Item = Input> + 'a> {
        if operand == "-" {
            return match names.take() {
                Some(names) => Box::new(read_names(names, terminator)),
                None => Box::new(std::iter::empty()),
            };
        }
        let path = Path::new(operand);
        if path.is_dir() {
            Box::new(walk(path, exclusions))
        } else {
            Box::new(std::iter::once(Ok(operand.clone())))
        }
    })
}

fn walk<'a>(root: &'a Path, exclusions: &'a Exclusions) -> impl Iterator<Item = Input> + 'a {
    WalkDir::new(root)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(move |entry| entry.depth() == 0 || !exclusions.leaves_out(entry.path()))
        .filter_map(move |entry| match entry {
            Ok(entry) if entry.file_type().is_file() => Some(Ok(entry.into_path().into_os_string())),
            Ok(_) => None,
            Err(error) => Some(Err(InputError {
                place: error.path().unwrap_or(root).as_os_str().to_owned(),
                message: error.io_error().map_or_else(|| error.to_string(), ToString::to_string),
            })),
        })
}

fn read_names<'a>(names: &'a mut dyn BufRead, terminator: u8) -> impl Iterator<Item = Input> + 'a {
    let mut ended = false;
    std::iter::from_fn(move || {
        loop {
            if ended {
                return None;
            }
            let mut name = Vec::new();
            let mut limited = std::io::Read::take(&mut *names, MAX_LINE as u64);
            let message = match limited.read_until(terminator, &mut name) {
                Ok(0) => return None,
                Ok(MAX_LINE) if name.last() != Some(&terminator) => {
                    format!("a name has more than {MAX_LINE} bytes")
                }
                Ok(_) => {
                    if name.last() == Some(&terminator) {
                        name.pop();
                    }
                    if name.is_empty() {
                        continue;
                    }
                    return Some(Ok(OsString::from_vec(name)));
                }
                Err(error) => error.to_string(),
            };
            ended = true;
            return Some(Err(InputError { place: OsString::from("standard input"), message }));
        }
    })
}

/// A path for a message: lossy, with control characters escaped, so that a name cannot drive the terminal.
pub fn shown(path: &OsStr) -> String {
    shown_bytes(path.as_bytes())
}

/// Bytes for a message, as [`shown`].
pub fn shown_bytes(bytes: &[u8]) -> String {
    let lossy = String::from_utf8_lossy(bytes);
    let mut shown = String::with_capacity(lossy.len());
    for character in lossy.chars() {
        if character.is_control() {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &[u8], terminator: u8) -> Vec<Input> {
        let mut text = text;
        read_names(&mut text, terminator).collect()
    }

    #[test]
    fn names_end_with_their_terminator_or_the_input() {
        assert_eq!(
            names(b"a\n\nb c\n\xff", b'\n'),
            [Ok("a".into()), Ok("b c".into()), Ok(OsString::from_vec(vec![0xff]))]
        );
        assert_eq!(names(b"a\nb\0c", 0), [Ok("a\nb".into()), Ok("c".into())]);
        let long = vec![b'x'; MAX_LINE + 10];
        assert!(matches!(names(&long, b'\n').as_slice(), [Err(_)]));
    }

    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(shown_bytes(b"a\x1b[2J\xff\n"), "a\\u{1b}[2J\u{fffd}\\n");
    }
}
