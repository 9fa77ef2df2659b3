//! Walking trees.

use ouzel::Directory;
use ouzel::abi::Errno;
use ouzel::compounds::{self, FileKind};

use crate::scene::{Scene, errno};

pub(crate) fn trees_are_walked(scene: &mut Scene) {
    let mut expected = Vec::new();
    let mut make = |scene: &mut Scene, name: &str, kind: FileKind| {
        let path = scene.name(name);
        match kind {
            FileKind::Directory => scene.ring.mkdir(Directory::Working, &path, 0o755).unwrap(),
            FileKind::Symlink => scene.ring.symlink(".", Directory::Working, &path).unwrap(),
            _ => scene.put(name, b"", 0o644),
        }
        expected.push((path, kind, name.split('/').count()));
    };
    make(scene, "a", FileKind::Directory);
    make(scene, "a/loop", FileKind::Symlink);
    make(scene, "a/b", FileKind::Directory);
    make(scene, "a/b/c", FileKind::Directory);
    make(scene, "a/b/c/file", FileKind::File);
    make(scene, "empty", FileKind::Directory);
    make(scene, "large", FileKind::Directory);
    for number in 0..600 {
        make(scene, &format!("large/{number}{}", "x".repeat(100)), FileKind::File);
    }
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    let root = scene.name("");
    let root = if root == "/" { root.as_str() } else { root.trim_end_matches('/') };
    for at_once in [1, 3, 1000] {
        let mut seen: Vec<(String, FileKind, usize)> = Vec::new();
        for entry in compounds::walk(&mut scene.ring, root, at_once) {
            let entry = entry.unwrap();
            let path = entry.path.to_str().unwrap().to_owned();
            let parent = path.rsplit_once('/').unwrap().0;
            assert!(parent == root.trim_end_matches('/') || seen.iter().any(|(seen, ..)| seen == parent));
            seen.push((path, entry.kind, entry.depth));
        }
        seen.sort_by(|one, other| one.0.cmp(&other.0));
        assert_eq!(seen, expected, "{at_once}");
    }
    let mut some = compounds::walk(&mut scene.ring, root, 3);
    some.next().unwrap().unwrap();
    drop(some);
    assert_eq!((scene.open_now(), scene.ring.in_flight()), (0, 0));
    let missing = scene.name("missing");
    let all: Vec<_> = compounds::walk(&mut scene.ring, &missing, 3).collect();
    assert_eq!(all.len(), 1);
    let error = all[0].as_ref().unwrap_err();
    assert_eq!((error.path.to_str().unwrap(), errno(&error.error)), (missing.as_str(), Errno::ENOENT));
}
