//! Rows for files, directories and what else has a name.

use ouzel::abi::modifiers::{
    AccessFlags, AccessOptions, AllocateFlags, AtFlags, LinkFlags, NodeKind, RemoveFlags, RenameFlags,
    StatFlags, SyncMode, Whence, XattrFlags,
};
use ouzel::{Offset, OpenOptions, Times};

use crate::stage::{Scene, Stage};
use crate::table::{Row, chain, no_set_up, nothing, row};

const BLOCK: usize = 4096;
const NONE: XattrFlags = XattrFlags::empty();

/// A file of two blocks, open.
pub fn file(stage: &mut dyn Stage, scene: &mut Scene) {
    let path = scene.at("file");
    let file = stage.one(|chain| chain.open(&path, OpenOptions::read_write().create()));
    stage.one(|chain| chain.write(file, vec![b'f'; 2 * BLOCK], Offset::START));
    scene.files.push(file);
}

/// That file, with an attribute.
fn attributed(stage: &mut dyn Stage, scene: &mut Scene) {
    file(stage, scene);
    let file = scene.files[0];
    stage.one(|chain| chain.setxattr_file(file, "user.ouzel", "value", NONE));
}

/// That file, and another one to copy to.
fn two(stage: &mut dyn Stage, scene: &mut Scene) {
    file(stage, scene);
    let path = scene.at("other");
    scene.files.push(stage.one(|chain| chain.open(&path, OpenOptions::read_write().create())));
}

/// Its folder, open.
fn folder(stage: &mut dyn Stage, scene: &mut Scene) {
    file(stage, scene);
    let path = scene.folder();
    scene.files.push(stage.one(|chain| chain.open(&path, OpenOptions::directory())));
}

/// A symbolic link to the file.
fn link(stage: &mut dyn Stage, scene: &mut Scene) {
    let path = scene.at("link");
    stage.one(|chain| chain.symlink("file", ouzel::Directory::Working, &path));
}

const HERE: ouzel::Directory = ouzel::Directory::Working;

pub fn rows() -> Vec<Row> {
    let mut rows = opened();
    rows.extend(named());
    rows.extend(attributes());
    rows
}

/// What works on descriptors.
fn opened() -> Vec<Row> {
    vec![
        row!(
            "READ, a file",
            Ends,
            file,
            |on, scene| on.read(scene.files[0], scene.room(), Offset::START),
            nothing
        ),
        row!(
            "WRITE, a file",
            Ends,
            file,
            |on, scene| on.write(scene.files[0], scene.bytes(BLOCK), Offset::at(100u64)),
            nothing
        ),
        row!("OPEN", Ends, file, |on, scene| on.open(scene.at("file"), OpenOptions::read()), nothing),
        row!(
            "OPEN, a new file",
            Ends,
            no_set_up,
            |on, scene| on.open(scene.at("new"), OpenOptions::write().create_new()),
            nothing
        ),
        row!("CLOSE", Ends, file, |on, scene| on.close(scene.files[0]), nothing),
        row!("SEEK", Ends, file, |on, scene| on.seek(scene.files[0], 5i64, Whence::End), nothing),
        row!("STAT, a file", Ends, file, |on, scene| on.stat_file(scene.files[0]), nothing),
        row!("SYNC", Ends, file, |on, scene| on.sync(scene.files[0], SyncMode::Data), nothing),
        chain!("SYNC, a range", Ends, file, |on, scene| on.sync_range(scene.files[0], 0u64, 100u64), nothing),
        row!("TRUNCATE", Ends, file, |on, scene| on.truncate(scene.files[0], 10u64), nothing),
        row!(
            "ALLOCATE",
            Ends,
            file,
            |on, scene| on.allocate(scene.files[0], 0u64, 5 * BLOCK as u64, AllocateFlags::empty()),
            nothing
        ),
        row!("READDIR", Ends, folder, |on, scene| on.readdir(scene.files[1], scene.room()), nothing),
        row!(
            "COPY",
            Ends,
            two,
            |on, scene| on.copy(scene.files[0], Offset::START, scene.files[1], Offset::START, BLOCK as u64),
            nothing
        ),
        row!("CHMOD, a file", Ends, file, |on, scene| on.chmod_file(scene.files[0], 0o600), nothing),
        row!("CHOWN, a file", Ends, file, |on, scene| on.chown_file(scene.files[0], None, None), nothing),
        row!(
            "UTIMES, a file",
            Ends,
            file,
            |on, scene| on.utimes_file(scene.files[0], Times::default()),
            nothing
        ),
        row!("STATFS, a file", Ends, file, |on, scene| on.statfs_file(scene.files[0]), nothing),
    ]
}

/// What works on names.
fn named() -> Vec<Row> {
    vec![
        row!("STAT", Ends, file, |on, scene| on.stat(HERE, scene.at("file"), StatFlags::empty()), nothing),
        row!("MKDIR", Ends, no_set_up, |on, scene| on.mkdir(HERE, scene.at("made"), 0o755), nothing),
        row!(
            "REMOVE",
            Ends,
            file,
            |on, scene| on.remove(HERE, scene.at("file"), RemoveFlags::empty()),
            nothing
        ),
        row!(
            "RENAME",
            Ends,
            file,
            |on, scene| on.rename(HERE, scene.at("file"), HERE, scene.at("renamed"), RenameFlags::empty()),
            nothing
        ),
        row!(
            "LINK",
            Ends,
            file,
            |on, scene| on.link(HERE, scene.at("file"), HERE, scene.at("second"), LinkFlags::empty()),
            nothing
        ),
        row!("SYMLINK", Ends, no_set_up, |on, scene| on.symlink("target", HERE, scene.at("link")), nothing),
        Row {
            call: Some(|handle, scene| {
                let reading = handle.readlink(HERE, scene.at("link"));
                Box::pin(async { reading.await.map(drop) })
            }),
            ..chain!(
                "READLINK",
                Ends,
                link,
                |on, scene| on.readlink(HERE, scene.at("link"), scene.room()),
                nothing
            )
        },
        row!("CHMOD", Ends, file, |on, scene| on.chmod(HERE, scene.at("file"), 0o600), nothing),
        row!(
            "CHOWN",
            Ends,
            file,
            |on, scene| on.chown(HERE, scene.at("file"), None, None, AtFlags::empty()),
            nothing
        ),
        row!(
            "UTIMES",
            Ends,
            file,
            |on, scene| on.utimes(HERE, scene.at("file"), Times::default(), AtFlags::empty()),
            nothing
        ),
        row!(
            "MKNOD",
            Ends,
            no_set_up,
            |on, scene| on.mknod(HERE, scene.at("fifo"), NodeKind::Fifo, 0o600),
            nothing
        ),
        row!("STATFS", Ends, file, |on, scene| on.statfs(HERE, scene.at("file")), nothing),
        row!(
            "ACCESS",
            Ends,
            file,
            |on, scene| on.access(HERE, scene.at("file"), AccessFlags::READ, AccessOptions::empty()),
            nothing
        ),
    ]
}

/// Extended attributes.
fn attributes() -> Vec<Row> {
    vec![
        row!(
            "GETXATTR",
            Ends,
            attributed,
            |on, scene| on.getxattr(HERE, scene.at("file"), "user.ouzel", scene.room(), NONE),
            nothing
        ),
        row!(
            "GETXATTR, a file",
            Ends,
            attributed,
            |on, scene| on.getxattr_file(scene.files[0], "user.ouzel", scene.room()),
            nothing
        ),
        row!(
            "SETXATTR",
            Ends,
            file,
            |on, scene| on.setxattr(HERE, scene.at("file"), "user.ouzel", scene.bytes(64), NONE),
            nothing
        ),
        row!(
            "SETXATTR, a file",
            Ends,
            file,
            |on, scene| on.setxattr_file(scene.files[0], "user.ouzel", scene.bytes(64), NONE),
            nothing
        ),
        Row {
            call: Some(|handle, scene| {
                let listing = handle.listxattr(HERE, scene.at("file"), NONE);
                Box::pin(async { listing.await.map(drop) })
            }),
            ..chain!(
                "LISTXATTR",
                Ends,
                attributed,
                |on, scene| on.listxattr(HERE, scene.at("file"), scene.room(), NONE),
                nothing
            )
        },
        Row {
            call: Some(|handle, scene| {
                let listing = handle.listxattr_file(scene.files[0]);
                Box::pin(async { listing.await.map(drop) })
            }),
            ..chain!(
                "LISTXATTR, a file",
                Ends,
                attributed,
                |on, scene| on.listxattr_file(scene.files[0], scene.room()),
                nothing
            )
        },
        row!(
            "REMOVEXATTR",
            Ends,
            attributed,
            |on, scene| on.removexattr(HERE, scene.at("file"), "user.ouzel", NONE),
            nothing
        ),
        row!(
            "REMOVEXATTR, a file",
            Ends,
            attributed,
            |on, scene| on.removexattr_file(scene.files[0], "user.ouzel"),
            nothing
        ),
        // A chain that opens, uses and closes: what it has open when it is left is closed.
        Row {
            call: Some(|handle, scene| {
                let own = handle.clone();
                let opening = handle.open(scene.at("file"), OpenOptions::read());
                Box::pin(async move { own.close(opening.await?).await })
            }),
            ..chain!(
                "a chain: OPEN, READ, CLOSE",
                Ends,
                file,
                |on, scene| {
                    let file = on.open(scene.at("file"), OpenOptions::read());
                    on.read(file, scene.room(), Offset::START);
                    on.finally().close(file)
                },
                nothing
            )
        },
    ]
}
