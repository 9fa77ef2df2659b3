//! The statements on what files are besides their bytes, from `readlink` to `removexattr`: their tree, how they are read,
//! and how their operands go from one phase to the next.

use ouzel_ring::modifiers::{AccessFlags, AccessOptions, AtFlags, NodeKind, XattrFlags};

use super::kinds::Kind;
use super::map::{FileRole, Mapper, NumberRole, TextRole};
use super::parser::{Cursor, Parsed};
use super::problem::Problem;
use super::syntax::{Located, Phase, Template, Written};
use super::verbs::{directory, take_word, twice};

/// The forms of these statements, by verb.
pub(super) const FORMS: [(&str, &str); 11] = [
    ("readlink", "[NAME =] readlink PATH|FILE SIZE [in DIR]"),
    ("chmod", "chmod PATH|FILE 0644 [in DIR]"),
    ("chown", "chown PATH|FILE [user ID] [group ID] [nofollow] [in DIR]"),
    ("utimes", "utimes PATH|FILE [accessed now|SECONDS] [modified now|SECONDS] [nofollow] [in DIR]"),
    ("mknod", "mknod PATH fifo|socket|regular|(character|block MAJOR MINOR) [mode 0644] [in DIR]"),
    ("statfs", "[NAME =] statfs PATH|FILE [in DIR]"),
    ("access", "access PATH|FILE [read] [write] [execute] [effective] [nofollow] [in DIR]"),
    ("getxattr", "[NAME =] getxattr PATH|FILE \"ATTRIBUTE\" SIZE [nofollow] [in DIR]"),
    ("setxattr", "setxattr PATH|FILE \"ATTRIBUTE\" \"VALUE\" [create|replace] [nofollow] [in DIR]"),
    ("listxattr", "[NAME =] listxattr PATH|FILE SIZE [nofollow] [in DIR]"),
    ("removexattr", "removexattr PATH|FILE \"ATTRIBUTE\" [nofollow] [in DIR]"),
];

/// What a statement is about: what is open, or what a path names, from a directory on.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Subject<P: Phase> {
    File(P::File),
    Path(P::Text, Option<P::File>),
}

/// What becomes of one of a file's times.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Stamp<P: Phase> {
    Now,
    Omit,
    /// Seconds since 1970.
    At(P::Number),
}

/// One of these operations with its operands.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // The fields are the operands that the statement's page names.
pub enum Metadata<P: Phase> {
    Readlink {
        subject: Subject<P>,
        size: P::Number,
    },
    Chmod {
        subject: Subject<P>,
        mode: u64,
    },
    Chown {
        subject: Subject<P>,
        user: Option<P::Number>,
        group: Option<P::Number>,
        flags: AtFlags,
    },
    Utimes {
        subject: Subject<P>,
        accessed: Stamp<P>,
        modified: Stamp<P>,
        flags: AtFlags,
    },
    Mknod {
        path: P::Text,
        directory: Option<P::File>,
        kind: NodeKind,
        device: [Option<P::Number>; 2],
        mode: u64,
    },
    Statfs {
        subject: Subject<P>,
    },
    Access {
        subject: Subject<P>,
        access: AccessFlags,
        options: AccessOptions,
    },
    Getxattr {
        subject: Subject<P>,
        name: P::Text,
        size: P::Number,
        flags: XattrFlags,
    },
    Setxattr {
        subject: Subject<P>,
        name: P::Text,
        value: P::Text,
        flags: XattrFlags,
    },
    Listxattr {
        subject: Subject<P>,
        size: P::Number,
        flags: XattrFlags,
    },
    Removexattr {
        subject: Subject<P>,
        name: P::Text,
        flags: XattrFlags,
    },
}

impl<P: Phase> Metadata<P> {
    /// The verb as it is written.
    pub fn verb(&self) -> &'static str {
        match self {
            Metadata::Readlink { .. } => "readlink",
            Metadata::Chmod { .. } => "chmod",
            Metadata::Chown { .. } => "chown",
            Metadata::Utimes { .. } => "utimes",
            Metadata::Mknod { .. } => "mknod",
            Metadata::Statfs { .. } => "statfs",
            Metadata::Access { .. } => "access",
            Metadata::Getxattr { .. } => "getxattr",
            Metadata::Setxattr { .. } => "setxattr",
            Metadata::Listxattr { .. } => "listxattr",
            Metadata::Removexattr { .. } => "removexattr",
        }
    }

    /// The size of the buffer that it fills, if it fills one.
    pub fn buffer(&self) -> Option<&P::Number> {
        match self {
            Metadata::Readlink { size, .. }
            | Metadata::Getxattr { size, .. }
            | Metadata::Listxattr { size, .. } => Some(size),
            _ => None,
        }
    }

    /// What its result is, if it has one.
    pub(super) fn produced(&self) -> Option<Kind> {
        match self {
            Metadata::Readlink { .. } | Metadata::Getxattr { .. } => Some(Kind::Data),
            Metadata::Listxattr { .. } => Some(Kind::Names),
            Metadata::Statfs { .. } => Some(Kind::FileSystem),
            _ => None,
        }
    }

    /// The same operation with the operands of another phase.
    pub(super) fn map<Q: Phase, M: Mapper<P, Q>>(&self, m: &mut M) -> Result<Metadata<Q>, M::Error> {
        Ok(match self {
            Metadata::Readlink { subject, size } => Metadata::Readlink {
                subject: map_subject(subject, m)?,
                size: m.number(size, NumberRole::Buffer)?,
            },
            Metadata::Chmod { subject, mode } => {
                Metadata::Chmod { subject: map_subject(subject, m)?, mode: *mode }
            }
            Metadata::Chown { subject, user, group, flags } => Metadata::Chown {
                subject: map_subject(subject, m)?,
                user: m.optional(user, NumberRole::Small)?,
                group: m.optional(group, NumberRole::Small)?,
                flags: *flags,
            },
            Metadata::Utimes { subject, accessed, modified, flags } => Metadata::Utimes {
                subject: map_subject(subject, m)?,
                accessed: map_stamp(accessed, m)?,
                modified: map_stamp(modified, m)?,
                flags: *flags,
            },
            Metadata::Mknod { path, directory, kind, device: [major, minor], mode } => Metadata::Mknod {
                path: m.text(path, TextRole::Path)?,
                directory: m.directory(directory)?,
                kind: *kind,
                device: [m.optional(major, NumberRole::Small)?, m.optional(minor, NumberRole::Small)?],
                mode: *mode,
            },
            Metadata::Statfs { subject } => Metadata::Statfs { subject: map_subject(subject, m)? },
            Metadata::Access { subject, access, options } => {
                Metadata::Access { subject: map_subject(subject, m)?, access: *access, options: *options }
            }
            Metadata::Getxattr { subject, name, size, flags } => Metadata::Getxattr {
                subject: map_subject(subject, m)?,
                name: m.text(name, TextRole::Attribute)?,
                size: m.number(size, NumberRole::Buffer)?,
                flags: *flags,
            },
            Metadata::Setxattr { subject, name, value, flags } => Metadata::Setxattr {
                subject: map_subject(subject, m)?,
                name: m.text(name, TextRole::Attribute)?,
                value: m.text(value, TextRole::Data)?,
                flags: *flags,
            },
            Metadata::Listxattr { subject, size, flags } => Metadata::Listxattr {
                subject: map_subject(subject, m)?,
                size: m.number(size, NumberRole::Buffer)?,
                flags: *flags,
            },
            Metadata::Removexattr { subject, name, flags } => Metadata::Removexattr {
                subject: map_subject(subject, m)?,
                name: m.text(name, TextRole::Attribute)?,
                flags: *flags,
            },
        })
    }
}

fn map_subject<P: Phase, Q: Phase, M: Mapper<P, Q>>(
    subject: &Subject<P>,
    m: &mut M,
) -> Result<Subject<Q>, M::Error> {
    Ok(match subject {
        Subject::File(file) => Subject::File(m.file(file, FileRole::Any)?),
        Subject::Path(path, directory) => {
            Subject::Path(m.text(path, TextRole::Path)?, m.directory(directory)?)
        }
    })
}

fn map_stamp<P: Phase, Q: Phase, M: Mapper<P, Q>>(stamp: &Stamp<P>, m: &mut M) -> Result<Stamp<Q>, M::Error> {
    Ok(match stamp {
        Stamp::Now => Stamp::Now,
        Stamp::Omit => Stamp::Omit,
        Stamp::At(seconds) => Stamp::At(m.number(seconds, NumberRole::Small)?),
    })
}

/// Reads the operands of `verb`, which has been passed; `None` if it is none of these.
pub(super) fn operation(verb: &str, c: &mut Cursor<'_>) -> Parsed<Option<Metadata<Written>>> {
    const AT: [(&str, AtFlags); 1] = [("nofollow", AtFlags::NOFOLLOW)];
    const NOFOLLOW: [(&str, XattrFlags); 1] = [("nofollow", XattrFlags::NOFOLLOW)];
    if !FORMS.iter().any(|(known, _)| *known == verb) {
        return Ok(None);
    }
    if verb == "mknod" {
        return mknod(c).map(Some);
    }
    let mut subject = subject(c)?;
    Ok(Some(match verb {
        "readlink" => {
            let size = c.number("a size")?;
            subject.rest::<AtFlags>(c, &[])?;
            Metadata::Readlink { subject, size }
        }
        "chmod" => {
            let mode = c.mode()?;
            subject.rest::<AtFlags>(c, &[])?;
            Metadata::Chmod { subject, mode }
        }
        "chown" => {
            let (mut user, mut group) = (None, None);
            loop {
                let (place, what) = match c.word() {
                    Some("user") => (&mut user, "user"),
                    Some("group") => (&mut group, "group"),
                    _ => break,
                };
                if place.is_some() {
                    return Err(twice(c, what));
                }
                c.accept(what);
                *place = Some(c.number("the number of a user or group")?);
            }
            let flags = subject.rest(c, &AT)?;
            Metadata::Chown { subject, user, group, flags }
        }
        "utimes" => {
            let (mut accessed, mut modified) = (None, None);
            loop {
                let (place, what) = match c.word() {
                    Some("accessed") => (&mut accessed, "accessed"),
                    Some("modified") => (&mut modified, "modified"),
                    _ => break,
                };
                if place.is_some() {
                    return Err(twice(c, what));
                }
                c.accept(what);
                let now = c.accept("now");
                *place = Some(if now { Stamp::Now } else { Stamp::At(c.number("`now` or seconds")?) });
            }
            // Without a word both become the present, as `touch` does it.
            let other = if accessed.is_none() && modified.is_none() { Stamp::Now } else { Stamp::Omit };
            let (accessed, modified) = (accessed.unwrap_or(other.clone()), modified.unwrap_or(other));
            let flags = subject.rest(c, &AT)?;
            Metadata::Utimes { subject, accessed, modified, flags }
        }
        "statfs" => {
            subject.rest::<AtFlags>(c, &[])?;
            Metadata::Statfs { subject }
        }
        "access" => {
            let asked = [
                ("read", AccessFlags::READ),
                ("write", AccessFlags::WRITE),
                ("execute", AccessFlags::EXECUTE),
            ];
            let mut access = AccessFlags::empty();
            while take_word(c, &asked, &mut access)? {}
            let words = [("nofollow", AccessOptions::NOFOLLOW), ("effective", AccessOptions::EFFECTIVE)];
            let options = subject.rest(c, &words)?;
            Metadata::Access { subject, access, options }
        }
        "getxattr" => {
            let (name, size) = (attribute(c)?, c.number("a size")?);
            let flags = subject.rest(c, &NOFOLLOW)?;
            Metadata::Getxattr { subject, name, size, flags }
        }
        "setxattr" => {
            let (name, value) = (attribute(c)?, c.text("a value")?);
            let start = c.here();
            let words = [
                ("create", XattrFlags::CREATE),
                ("replace", XattrFlags::REPLACE),
                ("nofollow", XattrFlags::NOFOLLOW),
            ];
            let flags = subject.rest(c, &words)?;
            if flags.contains(XattrFlags::CREATE | XattrFlags::REPLACE) {
                let message = "`create` and `replace` exclude each other";
                return Err(Box::new(Problem::new(start, message, "only one of them")));
            }
            Metadata::Setxattr { subject, name, value, flags }
        }
        "listxattr" => {
            let size = c.number("a size")?;
            let flags = subject.rest(c, &NOFOLLOW)?;
            Metadata::Listxattr { subject, size, flags }
        }
        _ => {
            let name = attribute(c)?;
            let flags = subject.rest(c, &NOFOLLOW)?;
            Metadata::Removexattr { subject, name, flags }
        }
    }))
}

fn subject(c: &mut Cursor<'_>) -> Parsed<Subject<Written>> {
    if c.word().is_some() {
        return Ok(Subject::File(c.name("a file")?));
    }
    Ok(Subject::Path(c.text("a path or a file")?, None))
}

fn attribute(c: &mut Cursor<'_>) -> Parsed<Located<Template>> {
    c.text("the name of an attribute")
}

impl Subject<Written> {
    /// Reads what may stand at the end of a statement: these words as flags, and where the path starts.
    fn rest<F>(&mut self, c: &mut Cursor<'_>, words: &[(&str, F)]) -> Parsed<F>
    where
        F: bitflags::Flags + Copy,
    {
        let mut flags = F::empty();
        loop {
            if c.word() == Some("in") {
                match self {
                    Subject::File(_) => return Err(c.expected("no `in`: what is open is in no directory")),
                    Subject::Path(_, Some(_)) => return Err(twice(c, "in")),
                    Subject::Path(_, place) => *place = directory(c)?,
                }
            } else if !take_word(c, words, &mut flags)? {
                return Ok(flags);
            }
        }
    }
}

fn mknod(c: &mut Cursor<'_>) -> Parsed<Metadata<Written>> {
    let path = c.text("a path")?;
    let kinds = [
        ("fifo", NodeKind::Fifo),
        ("socket", NodeKind::Socket),
        ("regular", NodeKind::Regular),
        ("character", NodeKind::Character),
        ("block", NodeKind::Block),
    ];
    let Some((word, kind)) = kinds.into_iter().find(|(word, _)| c.word() == Some(word)) else {
        return Err(c.expected("`fifo`, `socket`, `regular`, `character` or `block`"));
    };
    c.accept(word);
    let device = match kind {
        NodeKind::Character | NodeKind::Block => {
            [Some(c.number("the major number of a device")?), Some(c.number("the minor number of a device")?)]
        }
        _ => [None, None],
    };
    let (mut mode, mut place) = (None, None);
    loop {
        match c.word() {
            Some("mode") if mode.is_some() => return Err(twice(c, "mode")),
            Some("in") if place.is_some() => return Err(twice(c, "in")),
            Some("mode") => {
                c.accept("mode");
                mode = Some(c.mode()?);
            }
            Some("in") => place = directory(c)?,
            _ => break,
        }
    }
    Ok(Metadata::Mknod { path, directory: place, kind, device, mode: mode.unwrap_or(0o666) })
}
