//! What tests of services share: a folder for the sockets.

use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// A folder of one test's own in which the names of this program are, removed when dropped.
pub struct Names(PathBuf);

impl Names {
    /// To be called by the only test of its program, before anything else.
    pub fn new(test: &str) -> Names {
        let places = std::env::var_os("OUZEL_TEST_DIRS");
        let place = places.and_then(|places| std::env::split_paths(&places).next());
        let place = place.unwrap_or_else(|| PathBuf::from("/dev/shm"));
        let names = Names(place.join(format!("{test}-{}", std::process::id())));
        std::fs::DirBuilder::new().mode(0o700).recursive(true).create(&names.0).expect("a folder");
        // SAFETY: nothing else of this program looks at the environment meanwhile.
        unsafe { std::env::set_var("OUZEL_SCHEMES", &names.0) };
        names
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
