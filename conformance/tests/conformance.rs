//! Runs every program of the suite on every backend and file system there is.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let trials = ouzel_conformance::table::trials(&ouzel_conformance::cases::all());
    let conclusion = libtest_mimic::run(&arguments, trials);
    ouzel_conformance::service::finish();
    conclusion.exit_code()
}
