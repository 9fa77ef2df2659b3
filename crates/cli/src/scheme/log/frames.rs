//! Frames: how a record lies in the file of a log, and where.
//!
//! A frame is a head of 8 bytes, the record's length and a checksum, both u32 in little endian, and the record. The checksum is the
//! CRC-32 of the offset of the record among the bytes of all records, of its length, and of the record: so neither zeros nor an
//! old frame in another place is taken for one. Only bytes are looked at here; nothing is read or written.

/// Bytes in front of each record.
pub(super) const HEAD: usize = 8;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut value = at as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { value >> 1 ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        at += 1;
    }
    table
}

fn checksum(parts: [&[u8]; 3]) -> u32 {
    !parts
        .into_iter()
        .flatten()
        .fold(u32::MAX, |sum, byte| sum >> 8 ^ TABLE[((sum ^ u32::from(*byte)) & 0xff) as usize])
}

/// Puts a frame with `record` behind `into`; `start` is where the record begins among the bytes of all.
pub(super) fn put(into: &mut Vec<u8>, start: u64, record: &[u8]) {
    let length = (record.len() as u32).to_le_bytes();
    let sum = checksum([&start.to_le_bytes(), &length, record]);
    into.extend_from_slice(&length);
    into.extend_from_slice(&sum.to_le_bytes());
    into.extend_from_slice(record);
}

/// The length that a head says, if it can be one.
pub(super) fn length(head: &[u8; HEAD]) -> Option<usize> {
    let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
    (1..=super::MAX_RECORD).contains(&length).then_some(length)
}

/// Whether this is the record of that head, at that place.
pub(super) fn is_whole(head: &[u8; HEAD], start: u64, record: &[u8]) -> bool {
    let sum = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    sum == checksum([&start.to_le_bytes(), &head[..4], record])
}

/// Where the records of a log are.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Where each begins, among the bytes of all.
    starts: Vec<u64>,
    end: u64,
}

/// A stretch of a file, heads between the pieces of its records.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) place: u64,
    /// Bytes of the file.
    pub(super) framed: usize,
    pub(super) pieces: Vec<usize>,
}

impl Index {
    /// The bytes of all records together.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn add(&mut self, length: usize) {
        self.starts.push(self.end);
        self.end += length as u64;
    }

    /// The stretch with up to `most` bytes of up to `records` records from `from` on; `None` behind the last.
    pub(super) fn stretch(&self, from: u64, most: usize, records: usize) -> Option<Stretch> {
        if from >= self.end || most == 0 || records == 0 {
            return None;
        }
        let mut at = self.starts.partition_point(|start| *start <= from);
        let place = from + (at * HEAD) as u64;
        let to = from.saturating_add(most as u64).min(self.end);
        let (mut position, mut pieces) = (from, Vec::new());
        while position < to && pieces.len() < records {
            let end = self.starts.get(at).copied().unwrap_or(self.end).min(to);
            pieces.push((end - position) as usize);
            position = end;
            at += 1;
        }
        let framed = (position - from) as usize + (pieces.len() - 1) * HEAD;
        Some(Stretch { place, framed, pieces })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(checksum([b"1234", b"567", b"89"]), 0xcbf4_3926);
    }

    #[test]
    fn a_frame_is_whole_only_as_it_was_and_where_it_was() {
        let mut bytes = Vec::new();
        put(&mut bytes, 77, b"record");
        let (head, record) = bytes.split_first_chunk::<HEAD>().unwrap();
        assert_eq!(length(head), Some(6));
        assert!(is_whole(head, 77, record));
        assert!(!is_whole(head, 78, record) && !is_whole(head, 77, b"Record"));
        assert_eq!(length(&[0; HEAD]), None);
        assert_eq!(length(&[0xff; HEAD]), None);
    }

    #[test]
    fn stretches_leave_heads_out() {
        let mut index = Index::default();
        assert_eq!(index.stretch(0, 10, 3), None);
        for length in [5, 1, 10] {
            index.add(length);
        }
        let some = |from, most, records| {
            index.stretch(from, most, records).map(|it| (it.place, it.framed, it.pieces))
        };
        let stretch = |from, most| some(from, most, 3);
        assert_eq!(stretch(0, 100), Some((8, 16 + 16, vec![5, 1, 10])));
        assert_eq!(stretch(0, 5), Some((8, 5, vec![5])));
        assert_eq!(stretch(3, 3), Some((11, 3 + 8, vec![2, 1])));
        assert_eq!(stretch(5, 1), Some((5 + 16, 1, vec![1])));
        assert_eq!(stretch(8, 4), Some((8 + 24, 4, vec![4])));
        assert_eq!((stretch(16, 1), stretch(u64::MAX, 1), stretch(0, 0)), (None, None, None));
        // Of many records some.
        assert_eq!(some(0, 100, 2), Some((8, 6 + 8, vec![5, 1])));
        assert_eq!(some(3, 100, 2), Some((11, 3 + 8, vec![2, 1])));
        assert_eq!(some(3, 100, 1), Some((11, 2, vec![2])));
        assert_eq!(some(0, 100, 0), None);
    }
}
