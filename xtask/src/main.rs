//! Builds that cargo alone cannot do: `cargo xtask`.

mod exports;
mod liburing;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask liburing [--prefix FOLDER]

  liburing   builds the drop-in liburing.so.2 and liburing-ffi.so.2 of ouzel-liburing, with their headers and
             pkg-config files, into FOLDER (default: liburing in the target folder), and prints where they are
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["liburing"] => liburing::build(None),
        ["liburing", "--prefix", prefix] => liburing::build(Some(prefix.as_ref())),
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{}", message.trim_end());
            ExitCode::FAILURE
        }
    }
}
