//! What `print` and `get` show: numbers, bytes, the names in a directory, a file's description.
//!
//! The records come out of buffers that the kernel or a peer filled; they are read within their bounds and no
//! further.

use ouzel::{FileSystemStat, SocketAddress};
use serde_json::{Value, json};

use crate::inputs::shown_bytes;
use crate::program::Kind;
use crate::summary::Output;

/// What a result looks like. `buffer` is the bytes that came with it, of which `result` may say how many count.
pub fn render(input: Option<&str>, name: &str, kind: Kind, result: u64, buffer: Option<&[u8]>) -> Output {
    let filled = buffer.map(|bytes| &bytes[..bytes.len().min(usize::try_from(result).unwrap_or(usize::MAX))]);
    let (value, bytes) = match (kind, filled, buffer) {
        (Kind::Data | Kind::Buffer, Some(bytes), _) => (json_bytes(bytes), bytes.to_vec()),
        (Kind::Entries, Some(records), _) => {
            let names = names(records);
            let lines =
                names.iter().flat_map(|name| [shown_bytes(name).as_bytes(), b"\n"].concat()).collect();
            (names.iter().map(|name| json_bytes(name)).collect(), lines)
        }
        (Kind::Names, Some(list), _) => {
            let names: Vec<&[u8]> = list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
            let lines =
                names.iter().flat_map(|name| [shown_bytes(name).as_bytes(), b"\n"].concat()).collect();
            (names.iter().map(|name| json_bytes(name)).collect(), lines)
        }
        (Kind::FileSystem, _, Some(record)) => file_system(input, name, record),
        (Kind::Address, Some(bytes), _) => {
            let text = SocketAddress::from_bytes(bytes).to_string();
            let line = format!("{text}\n").into_bytes();
            (json!(text), line)
        }
        (Kind::Status, _, Some(record)) => status(input, name, record),
        _ => {
            let input = input.map(|input| format!("{input}: ")).unwrap_or_default();
            (json!(result), format!("{input}{name} = {result}\n").into_bytes())
        }
    };
    Output { input: input.map(str::to_owned), name: name.to_owned(), value, bytes }
}

fn json_bytes(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({ "hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
    }
}

/// The names in records of `getdents64(2)`, without `.` and `..`.
fn names(mut records: &[u8]) -> Vec<&[u8]> {
    const NAME: usize = 19;
    let mut names = Vec::new();
    while let Some(length) = records.get(16..18) {
        let length = usize::from(u16::from_le_bytes([length[0], length[1]]));
        if length <= NAME || length > records.len() {
            break;
        }
        let (record, rest) = records.split_at(length);
        let name = record[NAME..].split(|byte| *byte == 0).next().unwrap_or_default();
        if name != b"." && name != b".." {
            names.push(name);
        }
        records = rest;
    }
    names
}

/// The fields of a `struct statx` that people ask for.
fn status(input: Option<&str>, name: &str, record: &[u8]) -> (Value, Vec<u8>) {
    let word = |at: usize, size: usize| {
        let bytes = record.get(at..at + size).unwrap_or_default();
        bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte))
    };
    let mode = word(28, 2);
    let kind = match mode & 0o170_000 {
        0o100_000 => "file",
        0o040_000 => "directory",
        0o120_000 => "symlink",
        0o010_000 => "fifo",
        0o140_000 => "socket",
        0o060_000 => "block device",
        0o020_000 => "character device",
        _ => "unknown",
    };
    let permissions = mode & 0o7777;
    let (size, links, owner, group) = (word(40, 8), word(16, 4), word(20, 4), word(24, 4));
    let (seconds, nanoseconds) = (word(112, 8).cast_signed(), word(120, 4));
    let value = json!({
        "kind": kind, "size": size, "mode": format!("{permissions:04o}"), "links": links, "owner": owner,
        "group": group, "inode": word(32, 8), "modified_seconds": seconds, "modified_nanoseconds": nanoseconds,
    });
    let input = input.map(|input| format!("{input}: ")).unwrap_or_default();
    let line = format!(
        "{input}{name}: {kind}, {size} bytes, mode {permissions:04o}, owner {owner}:{group}, {links} links, \
         modified {seconds}.{nanoseconds:09}\n"
    );
    (value, line.into_bytes())
}

/// The fields of the record of STATFS that people ask for.
fn file_system(input: Option<&str>, name: &str, record: &[u8]) -> (Value, Vec<u8>) {
    let Some(found) = FileSystemStat::from_record(record) else { return (Value::Null, Vec::new()) };
    let (size, available) = (found.bytes(), found.bytes_available());
    let value = json!({
        "kind": format!("{:#x}", found.kind), "block": found.block, "blocks": found.blocks, "free": found.free,
        "available": found.available, "files": found.files, "free_files": found.free_files,
        "longest_name": found.longest_name, "flags": format!("{:#x}", found.flags.bits()),
    });
    let input = input.map(|input| format!("{input}: ")).unwrap_or_default();
    let line = format!(
        "{input}{name}: file system {:#x}, {size} bytes, {available} available, {} of {} files free\n",
        found.kind, found.free_files, found.files
    );
    (value, line.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &[u8], length: u16) -> Vec<u8> {
        let mut record = vec![0; 16];
        record.extend(length.to_le_bytes());
        record.push(8);
        record.extend(name);
        record.resize(usize::from(length), 0);
        record
    }

    #[test]
    fn directory_records_are_read_within_bounds() {
        let records = [record(b".", 24), record(b"file", 24), record(b"\xff", 32)].concat();
        assert_eq!(names(&records), [&b"file"[..], b"\xff"]);
        let output = render(None, "e", Kind::Entries, 48, Some(&records));
        assert_eq!((output.value, output.bytes), (json!(["file"]), b"file\n".to_vec()));
        for length in [0u16, 1, 19, 500] {
            let mut broken = record(b"x", 24);
            broken[16..18].copy_from_slice(&length.to_le_bytes());
            assert_eq!(names(&broken), Vec::<&[u8]>::new());
        }
        assert!(names(&records[..10]).is_empty());
    }

    #[test]
    fn values_are_shown_as_what_they_are() {
        let data = render(Some("f"), "n", Kind::Data, 3, Some(b"abcdef"));
        assert_eq!((data.value, data.bytes), (json!("abc"), b"abc".to_vec()));
        assert_eq!(render(None, "n", Kind::Data, 1, Some(b"\xff")).value, json!({"hex": "ff"}));
        assert_eq!(render(Some("f"), "n", Kind::Count, 7, None).bytes, b"f: n = 7\n");
        let mut statx = vec![0u8; 256];
        statx[28..30].copy_from_slice(&0o100_644u16.to_le_bytes());
        statx[40..48].copy_from_slice(&9u64.to_le_bytes());
        let status = render(None, "s", Kind::Status, 0, Some(&statx));
        assert_eq!(
            (&status.value["kind"], &status.value["size"], &status.value["mode"]),
            (&json!("file"), &json!(9), &json!("0644"))
        );
        let names = render(None, "n", Kind::Names, 14, Some(b"user.a\0user.b\0##"));
        assert_eq!((names.value, names.bytes), (json!(["user.a", "user.b"]), b"user.a\nuser.b\n".to_vec()));
        let mut statfs = vec![0u8; 96];
        statfs[8..16].copy_from_slice(&4096u64.to_ne_bytes());
        statfs[16..24].copy_from_slice(&10u64.to_ne_bytes());
        let described = render(Some("f"), "s", Kind::FileSystem, 0, Some(&statfs));
        assert_eq!((&described.value["block"], &described.value["blocks"]), (&json!(4096), &json!(10)));
        assert!(described.bytes.starts_with(b"f: s: file system 0x0, 40960 bytes, 0 available"));
        assert_eq!(render(None, "s", Kind::FileSystem, 0, Some(&statfs[..95])).bytes, b"");
        // A short record is no reason to panic.
        render(None, "s", Kind::Status, 0, Some(&statx[..29]));
    }
}
