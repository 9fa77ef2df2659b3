//! From a path to an inode, by the rules of Linux (`path_resolution(7)`).
//!
//! A walk stops before the last component, because what may stand there is for each verb to say: it gets the parent
//! directory, the last name, and whether slashes followed it. Forty symbolic links may be passed in one resolution.

use ouzel_ring::Errno;

use super::tree::{Kind, ROOT, Tree};

/// The most symbolic links one resolution follows (`MAXSYMLINKS`).
const LINKS: u32 = 40;

/// What stands in the last place of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Last {
    Name(Vec<u8>),
    Dot,
    DotDot,
    /// The path has slashes only.
    Root,
}

/// A path walked to its last component.
#[derive(Clone, Debug)]
pub(super) struct Walked {
    /// Where the last component is looked up.
    pub(super) parent: u64,
    pub(super) last: Last,
    /// Slashes follow, so it must be a directory.
    pub(super) slashes: bool,
    followed: u32,
    /// The directory that the walk may not leave.
    bound: Option<u64>,
}

impl Tree {
    /// Walks a path from `start` to its last component.
    pub(super) fn walk(&self, start: u64, path: &[u8]) -> Result<Walked, Errno> {
        self.walk_bounded(start, path, false)
    }

    /// The same; with `beneath` a way out of `start` is EXDEV.
    pub(super) fn walk_bounded(&self, start: u64, path: &[u8], beneath: bool) -> Result<Walked, Errno> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        self.walk_from(start, path.to_vec(), 0, beneath.then_some(start))
    }

    fn walk_from(
        &self,
        start: u64,
        mut rest: Vec<u8>,
        mut followed: u32,
        bound: Option<u64>,
    ) -> Result<Walked, Errno> {
        let mut at = start;
        if rest.first() == Some(&b'/') {
            at = root(bound)?;
        }
        loop {
            let leading = rest.iter().take_while(|byte| **byte == b'/').count();
            rest.drain(..leading);
            // A relative path starts at something, which has to be a directory.
            self.directory(at)?;
            if rest.is_empty() {
                return Ok(Walked { parent: at, last: Last::Root, slashes: true, followed, bound });
            }
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let name = rest[..end].to_vec();
            let behind = rest[end..].to_vec();
            let last = match name.as_slice() {
                b"." => Last::Dot,
                b".." => Last::DotDot,
                _ => Last::Name(name),
            };
            if behind.iter().all(|byte| *byte == b'/') {
                return Ok(Walked { parent: at, last, slashes: !behind.is_empty(), followed, bound });
            }
            let next = self.step_within(bound, at, &last)?.ok_or(Errno::ENOENT)?;
            rest = behind;
            if let Kind::Symlink(target) = &self.inode(next)?.kind {
                followed = follow(followed)?;
                if target.first() == Some(&b'/') {
                    at = root(bound)?;
                }
                rest.splice(0..0, target.iter().copied());
            } else {
                at = next;
            }
        }
    }

    /// What the last component of a walk names, if it exists.
    pub(super) fn last_of(&self, walked: &Walked) -> Result<Option<u64>, Errno> {
        self.step_within(walked.bound, walked.parent, &walked.last)
    }

    fn step_within(&self, bound: Option<u64>, parent: u64, last: &Last) -> Result<Option<u64>, Errno> {
        match last {
            Last::Name(name) => self.find(parent, name),
            Last::Dot | Last::Root => Ok(Some(parent)),
            Last::DotDot if bound == Some(parent) => Err(Errno::EXDEV),
            Last::DotDot => Ok(Some(self.directory(parent)?.parent)),
        }
    }

    /// If the last component is a symbolic link, walks on through it, else says what it found: `Err` is an errno,
    /// `Ok(Err(..))` the end of the walk.
    pub(super) fn pass(&self, walked: &Walked) -> Result<Result<Walked, Option<u64>>, Errno> {
        let found = self.last_of(walked)?;
        let Some(number) = found else { return Ok(Err(None)) };
        let Kind::Symlink(target) = &self.inode(number)?.kind else { return Ok(Err(Some(number))) };
        let followed = follow(walked.followed)?;
        let mut next = self.walk_from(walked.parent, target.clone(), followed, walked.bound)?;
        next.slashes |= walked.slashes;
        Ok(Ok(next))
    }

    /// The inode a path names. A link in the last place is followed if asked, or if slashes follow it.
    pub(super) fn resolve(&self, start: u64, path: &[u8], follow: bool) -> Result<u64, Errno> {
        let mut walked = self.walk(start, path)?;
        loop {
            let found = if follow || walked.slashes {
                match self.pass(&walked)? {
                    Ok(next) => {
                        walked = next;
                        continue;
                    }
                    Err(found) => found,
                }
            } else {
                self.last_of(&walked)?
            };
            let number = found.ok_or(Errno::ENOENT)?;
            if walked.slashes && !self.is_directory(number) {
                return Err(Errno::ENOTDIR);
            }
            return Ok(number);
        }
    }

    /// Where a new name is to go: the parent and the name. It must not exist; only a directory may be named with
    /// slashes behind it.
    pub(super) fn place(&self, start: u64, path: &[u8], directory: bool) -> Result<(u64, Vec<u8>), Errno> {
        let walked = self.walk(start, path)?;
        let Last::Name(name) = walked.last else { return Err(Errno::EEXIST) };
        if self.find(walked.parent, &name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        if walked.slashes && !directory {
            return Err(Errno::ENOENT);
        }
        Ok((walked.parent, name))
    }
}

/// Where an absolute path starts.
fn root(bound: Option<u64>) -> Result<u64, Errno> {
    if bound.is_some() { Err(Errno::EXDEV) } else { Ok(ROOT) }
}

fn follow(followed: u32) -> Result<u32, Errno> {
    if followed >= LINKS { Err(Errno::ELOOP) } else { Ok(followed + 1) }
}
