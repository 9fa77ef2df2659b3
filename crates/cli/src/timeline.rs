//! The file of `--timeline`: what the steps of all chains did when.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use ouzel::observe::{Timeline, TimelineWriter};

use crate::command::CommandError;
use crate::inputs::shown;

/// A file that timelines of chains are written to, one after the other.
pub struct TimelineFile {
    name: String,
    writer: TimelineWriter<BufWriter<File>>,
    /// What has failed first; nothing is written after it.
    failed: Option<io::Error>,
}

impl TimelineFile {
    /// Creates it, or empties it.
    ///
    /// # Errors
    ///
    /// [`CommandError::Timeline`].
    pub fn create(path: &Path) -> Result<TimelineFile, CommandError> {
        let name = shown(path.as_os_str());
        let writer = File::create(path).and_then(|file| TimelineWriter::new(BufWriter::new(file)));
        match writer {
            Ok(writer) => Ok(TimelineFile { name, writer, failed: None }),
            Err(cause) => Err(CommandError::Timeline { name, cause }),
        }
    }

    /// Adds the chain of an input.
    pub fn add(&mut self, input: Option<&str>, timeline: &Timeline) {
        if self.failed.is_none() {
            self.failed = self.writer.add(input.unwrap_or("chain"), timeline).err();
        }
    }

    /// Ends it.
    ///
    /// # Errors
    ///
    /// [`CommandError::Timeline`], if anything of it could not be written.
    pub fn finish(self) -> Result<(), CommandError> {
        let TimelineFile { name, writer, failed } = self;
        match failed.map_or_else(|| writer.finish(), Err) {
            Ok(()) => Ok(()),
            Err(cause) => Err(CommandError::Timeline { name, cause }),
        }
    }
}
