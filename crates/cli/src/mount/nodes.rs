//! Nodes: what the kernel calls the files of a mount, and what they are called in the service.
//!
//! The kernel names a file by a number that it was told in a lookup, until it has forgotten it as often as it was told. The
//! service names it by paths. This table has both, with the names by which each node was found last; it asks nobody, and
//! what it says of a path is where to look, not what will be there: whoever goes there compares what it finds
//! ([`Identity`]).

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::SystemTime;

use ouzel::FileStat;
use ouzel::abi::Errno;
use ouzel::abi::modifiers::MAX_PATH;

/// The number of the root.
pub const ROOT: u64 = 1;

/// Numbers of nodes whose file's own number is taken: from here on.
const FIRST_OWN: u64 = 1 << 63;

/// The most directories above a node: a path has a byte and a slash for each.
const DEEPEST: usize = MAX_PATH as usize / 2;

/// What tells one file of a service from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
    /// When the file was made: the number of one that is gone may be given to another.
    born: Option<SystemTime>,
}

impl Identity {
    /// The identity of what was described.
    pub fn of(stat: &FileStat) -> Identity {
        Identity { device: stat.device, inode: stat.inode, born: stat.born }
    }

    /// Whether it can be told from that of a file which a service makes later.
    pub fn is_lasting(&self) -> bool {
        self.born.is_some()
    }
}

/// A node.
#[derive(Debug)]
struct Node {
    identity: Identity,
    /// Another one each time that the number is another file's.
    generation: u64,
    /// How often the kernel was told of it, less what it has forgotten.
    lookups: u64,
    /// Directories and names, the one found last in front. None is left of a file that was removed.
    names: Vec<(u64, OsString)>,
    /// What was last said of it.
    stat: FileStat,
    /// What has it open, by the numbers of files.
    files: Vec<u64>,
}

/// The nodes that the kernel knows.
#[derive(Debug)]
pub struct Nodes {
    nodes: HashMap<u64, Node>,
    /// By device and inode number.
    numbers: HashMap<(u64, u64), u64>,
    /// By directory and name.
    names: HashMap<(u64, OsString), u64>,
    /// The device of the root, whose files keep their numbers.
    device: u64,
    next_own: u64,
    next_generation: u64,
}

impl Nodes {
    /// A table with the root, which is never forgotten.
    pub fn new(root: &FileStat) -> Nodes {
        let mut nodes = Nodes {
            nodes: HashMap::new(),
            numbers: HashMap::new(),
            names: HashMap::new(),
            device: root.device,
            next_own: FIRST_OWN,
            next_generation: 1,
        };
        let node = Node {
            identity: Identity::of(root),
            generation: 0,
            lookups: 1,
            names: Vec::new(),
            stat: *root,
            files: Vec::new(),
        };
        nodes.numbers.insert((root.device, root.inode), ROOT);
        nodes.nodes.insert(ROOT, node);
        nodes
    }

    /// The kernel is told that `name` in the directory `parent` is what was described. Returns the number of the node and its
    /// generation.
    pub fn found(&mut self, parent: u64, name: &OsStr, stat: &FileStat) -> (u64, u64) {
        let identity = Identity::of(stat);
        let number = self.number_of(&identity);
        let next = &mut self.next_generation;
        let node = self.nodes.entry(number).or_insert_with(|| Node {
            identity,
            generation: 0,
            lookups: 0,
            names: Vec::new(),
            stat: *stat,
            files: Vec::new(),
        });
        let mut gone = Vec::new();
        if node.identity != identity {
            // The number is another file's now.
            node.identity = identity;
            node.generation = *next;
            *next += 1;
            node.files.clear();
            gone = std::mem::take(&mut node.names);
        }
        node.lookups += 1;
        node.stat = *stat;
        let generation = node.generation;
        for (parent, name) in gone {
            self.names.remove(&(parent, name));
        }
        self.name(parent, name, number);
        (number, generation)
    }

    fn number_of(&mut self, identity: &Identity) -> u64 {
        let key = (identity.device, identity.inode);
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        let usable = identity.device == self.device
            && (ROOT + 1..FIRST_OWN).contains(&identity.inode)
            && !self.nodes.contains_key(&identity.inode);
        let number = if usable {
            identity.inode
        } else {
            self.next_own += 1;
            self.next_own
        };
        self.numbers.insert(key, number);
        number
    }

    /// From now on the name is that node's.
    fn name(&mut self, parent: u64, name: &OsStr, number: u64) {
        let key = (parent, name.to_os_string());
        if self.names.get(&key) != Some(&number) {
            self.unname(parent, name);
        }
        let Some(node) = self.nodes.get_mut(&number).filter(|_| number != ROOT) else { return };
        node.names.retain(|known| *known != key);
        node.names.insert(0, key.clone());
        self.names.insert(key, number);
    }

    /// Nobody has this name any more. Returns whose it was.
    fn unname(&mut self, parent: u64, name: &OsStr) -> Option<u64> {
        let key = (parent, name.to_os_string());
        let number = self.names.remove(&key)?;
        if let Some(node) = self.nodes.get_mut(&number) {
            node.names.retain(|known| *known != key);
        }
        Some(number)
    }

    /// The name was removed.
    pub fn removed(&mut self, parent: u64, name: &OsStr) {
        if let Some(node) = self.unname(parent, name).and_then(|number| self.nodes.get_mut(&number)) {
            node.stat.links = match node.stat.is_directory() {
                true => 0,
                false => node.stat.links.saturating_sub(1),
            };
        }
    }

    /// One name became another. With `exchanged` it was the other way round as well.
    pub fn renamed(&mut self, from: (u64, &OsStr), to: (u64, &OsStr), exchanged: bool) {
        let (old, new) = (self.unname(from.0, from.1), self.names.get(&(to.0, to.1.to_os_string())).copied());
        if exchanged {
            self.unname(to.0, to.1);
            if let Some(number) = new {
                self.name(from.0, from.1, number);
            }
        } else if new.is_some() && new != old {
            self.removed(to.0, to.1);
        }
        if let Some(number) = old {
            self.name(to.0, to.1, number);
        }
    }

    /// The kernel has forgotten the node so often.
    pub fn forgotten(&mut self, number: u64, times: u64) {
        let Some(node) = self.nodes.get_mut(&number).filter(|_| number != ROOT) else { return };
        node.lookups = node.lookups.saturating_sub(times);
        if node.lookups > 0 {
            return;
        }
        if let Some(node) = self.nodes.remove(&number) {
            self.numbers.remove(&(node.identity.device, node.identity.inode));
            for key in node.names {
                if self.names.get(&key) == Some(&number) {
                    self.names.remove(&key);
                }
            }
        }
    }

    /// The paths by which the node was found, the last one first.
    ///
    /// Errors: ESTALE for a node that nobody knows or that has no name left.
    pub fn paths(&self, number: u64) -> Result<Vec<PathBuf>, Errno> {
        let node = self.nodes.get(&number).ok_or(Errno::ESTALE)?;
        if number == ROOT {
            return Ok(vec![PathBuf::from("/")]);
        }
        let paths: Vec<PathBuf> =
            node.names.iter().filter_map(|(parent, name)| self.path(*parent, name).ok()).collect();
        if paths.is_empty() { Err(Errno::ESTALE) } else { Ok(paths) }
    }

    /// Where a directory was found last, and what it is.
    ///
    /// Errors: as [`paths`](Nodes::paths).
    pub fn place(&self, number: u64) -> Result<(PathBuf, Identity), Errno> {
        let identity = self.identity(number).ok_or(Errno::ESTALE)?;
        let path = self.paths(number)?.into_iter().next().ok_or(Errno::ESTALE)?;
        Ok((path, identity))
    }

    /// Directories and names by which the node was found, the last one first.
    pub fn names(&self, number: u64) -> Vec<(u64, OsString)> {
        self.nodes.get(&number).map(|node| node.names.clone()).unwrap_or_default()
    }

    /// The path of a name in a directory.
    ///
    /// Errors: ESTALE if the directory has no name left; ENAMETOOLONG for more than 4,095 bytes.
    pub fn path(&self, parent: u64, name: &OsStr) -> Result<PathBuf, Errno> {
        let mut parts = vec![name];
        let mut at = parent;
        while at != ROOT {
            let (parent, name) =
                self.nodes.get(&at).and_then(|node| node.names.first()).ok_or(Errno::ESTALE)?;
            parts.push(name);
            at = *parent;
            // What others rename may leave names that go round in a circle.
            if parts.len() > DEEPEST {
                return Err(Errno::ENAMETOOLONG);
            }
        }
        let path: PathBuf = parts.into_iter().rev().collect();
        if path.as_os_str().len() as u64 >= MAX_PATH { Err(Errno::ENAMETOOLONG) } else { Ok(path) }
    }

    /// Whether what was described is the node's file. Takes note of it if it is.
    pub fn is(&mut self, number: u64, stat: &FileStat) -> bool {
        match self.nodes.get_mut(&number) {
            // A root that was replaced is the root.
            Some(node) if number == ROOT || node.identity == Identity::of(stat) => {
                node.identity = Identity::of(stat);
                node.stat = *stat;
                true
            }
            _ => false,
        }
    }

    /// The identity of the node's file.
    pub fn identity(&self, number: u64) -> Option<Identity> {
        self.nodes.get(&number).map(|node| node.identity)
    }

    /// What was last said of the node.
    pub fn last_stat(&self, number: u64) -> Option<FileStat> {
        self.nodes.get(&number).map(|node| node.stat)
    }

    /// Whether the node's file has lost its names, as far as is known here.
    pub fn is_nameless(&self, number: u64) -> bool {
        number != ROOT && self.nodes.get(&number).is_none_or(|node| node.names.is_empty())
    }

    /// The node is open as this file.
    pub fn opened(&mut self, number: u64, file: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.files.push(file);
        }
    }

    /// It is open as that file no longer.
    pub fn closed(&mut self, number: u64, file: u64) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.files.retain(|open| *open != file);
        }
    }

    /// What the node is open as.
    pub fn files(&self, number: u64) -> Vec<u64> {
        self.nodes.get(&number).map(|node| node.files.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A description of a file with this inode number, made at that second.
    fn stat(device: u8, inode: u64, born: u64) -> FileStat {
        let mut record = [0; 256];
        record[0..4].copy_from_slice(&0xfffu32.to_ne_bytes());
        record[16] = 1;
        record[28..30].copy_from_slice(&0o100644u16.to_ne_bytes());
        record[32..40].copy_from_slice(&inode.to_ne_bytes());
        record[80..88].copy_from_slice(&born.to_ne_bytes());
        record[136] = device;
        FileStat::from_record(&record).expect("a record has 256 bytes")
    }

    fn name(text: &str) -> &OsStr {
        OsStr::new(text)
    }

    fn paths(nodes: &Nodes, number: u64) -> Vec<String> {
        let shown = |path: &PathBuf| path.display().to_string();
        nodes.paths(number).map(|paths| paths.iter().map(shown).collect()).unwrap_or_default()
    }

    #[test]
    fn numbers_are_the_files_own_where_they_are_free() {
        let mut nodes = Nodes::new(&stat(1, 50, 1));
        assert_eq!(nodes.found(ROOT, name("a"), &stat(1, 7, 1)), (7, 0));
        assert_eq!(nodes.found(ROOT, name("b"), &stat(1, 7, 1)), (7, 0));
        // Another device, the number of the kernel's root, and one that cannot be.
        let other = nodes.found(ROOT, name("c"), &stat(2, 7, 1)).0;
        let first = nodes.found(ROOT, name("d"), &stat(1, 1, 1)).0;
        let large = nodes.found(ROOT, name("e"), &stat(1, FIRST_OWN, 1)).0;
        assert!(
            other > FIRST_OWN && first > FIRST_OWN && large > FIRST_OWN && other != first && first != large
        );
        assert_eq!(nodes.found(ROOT, name("f"), &stat(1, 50, 1)).0, ROOT);
    }

    #[test]
    fn a_number_that_is_used_again_has_another_generation() {
        let mut nodes = Nodes::new(&stat(1, 50, 1));
        nodes.found(ROOT, name("a"), &stat(1, 7, 1));
        nodes.opened(7, 3);
        assert_eq!(nodes.found(ROOT, name("b"), &stat(1, 7, 2)), (7, 1));
        assert_eq!((paths(&nodes, 7), nodes.files(7)), (vec!["b".to_owned()], Vec::new()));
        assert!(!nodes.is(7, &stat(1, 7, 1)) && nodes.is(7, &stat(1, 7, 2)));
        // It is forgotten as often as it was told of, whatever it was then.
        nodes.forgotten(7, 1);
        assert!(nodes.identity(7).is_some());
        nodes.forgotten(7, 1);
        assert!(nodes.identity(7).is_none());
        assert_eq!(nodes.paths(7), Err(Errno::ESTALE));
    }

    #[test]
    fn names_follow_what_is_done_with_them() {
        let mut nodes = Nodes::new(&stat(1, 50, 1));
        nodes.found(ROOT, name("dir"), &stat(1, 10, 1));
        nodes.found(10, name("a"), &stat(1, 11, 1));
        nodes.found(ROOT, name("hard"), &stat(1, 11, 1));
        assert_eq!(paths(&nodes, 11), ["hard", "dir/a"]);
        nodes.renamed((ROOT, name("dir")), (ROOT, name("moved")), false);
        assert_eq!(paths(&nodes, 11), ["hard", "moved/a"]);
        nodes.removed(ROOT, name("hard"));
        assert_eq!(paths(&nodes, 11), ["moved/a"]);
        // Over another one, which is without a name then.
        nodes.found(ROOT, name("other"), &stat(1, 12, 1));
        nodes.renamed((10, name("a")), (ROOT, name("other")), false);
        assert_eq!((paths(&nodes, 11), nodes.is_nameless(12)), (vec!["other".to_owned()], true));
        assert_eq!(nodes.last_stat(12).map(|stat| stat.links), Some(0));
        // The two change places.
        nodes.found(ROOT, name("third"), &stat(1, 13, 1));
        nodes.renamed((ROOT, name("other")), (ROOT, name("third")), true);
        assert_eq!(
            (paths(&nodes, 11), paths(&nodes, 13)),
            (vec!["third".to_owned()], vec!["other".to_owned()])
        );
        // Somebody else has put another file there.
        nodes.found(ROOT, name("third"), &stat(1, 14, 1));
        assert!(nodes.is_nameless(11));
        assert_eq!(paths(&nodes, ROOT), ["/"]);
    }

    #[test]
    fn a_path_has_a_limit() {
        let mut nodes = Nodes::new(&stat(1, 50, 1));
        let part = "x".repeat(255);
        let mut parent = ROOT;
        for number in 100..115 {
            parent = nodes.found(parent, name(&part), &stat(1, number, 1)).0;
        }
        // Fifteen directories and their slashes are 3,840 bytes.
        assert_eq!(nodes.path(parent, name(&part)).map(|path| path.as_os_str().len()), Ok(4095));
        let last = nodes.found(parent, name("y"), &stat(1, 200, 1)).0;
        assert_eq!(nodes.path(last, name(&"z".repeat(253))).map(|path| path.as_os_str().len()), Ok(4095));
        assert_eq!(nodes.path(last, name(&"z".repeat(254))), Err(Errno::ENAMETOOLONG));
        assert_eq!(nodes.path(ROOT, name("a")).as_deref(), Ok(Path::new("a")));
        // A circle of names that others have made.
        nodes.found(200, name("back"), &stat(1, 100, 1));
        assert_eq!(nodes.path(last, name("a")), Err(Errno::ENAMETOOLONG));
    }
}
