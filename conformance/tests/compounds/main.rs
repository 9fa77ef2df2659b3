//! The compounds of `ouzel::compounds` on every backend and file system: what they promise, and what they leave behind when
//! any one of their operations fails or is short.
#![allow(clippy::unwrap_used)] // A test that cannot go on should say where.

mod faults;
mod files;
mod scene;
mod sockets;
mod trees;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use libtest_mimic::{Completion, Failed, Trial};
use ouzel_conformance::Stage;

use faults::{FAULTED, storm, sweep};
use scene::Scene;

/// A program and its name.
type Program = (&'static str, fn(&mut Scene));

macro_rules! programs {
    ($($module:ident::$name:ident),* $(,)?) => { &[$((stringify!($name), $module::$name),)*] };
}

const PROGRAMS: &[Program] = programs![
    files::files_of_every_length_are_read,
    files::what_cannot_be_read_is_an_error_with_its_path,
    files::many_files_come_each_once,
    files::many_files_need_few_descriptors,
    files::a_file_is_replaced_whole,
    files::a_replaced_file_keeps_its_mode_or_is_given_one,
    files::what_cannot_be_replaced_leaves_nothing,
    files::a_log_grows_by_records,
    files::a_log_forgets_no_failed_sync,
    files::files_are_copied_with_and_without_the_verb,
    files::copies_take_the_permissions_along,
    files::holes_are_copied,
    files::a_file_is_not_copied_onto_itself,
    files::system_calls_are_no_more_than_documented,
    sockets::connections_are_served,
    sockets::a_panic_in_an_answer_closes_the_connection,
    sockets::exchanges_end_as_asked,
    trees::trees_are_walked,
];

fn main() -> ExitCode {
    let arguments = libtest_mimic::Arguments::from_args();
    let mut trials = Vec::new();
    for stage in Stage::all() {
        let name = stage.name();
        if stage.is_scheme() {
            println!("SKIPPED: {name}: compounds are what chains and calls are, which run there as they are");
            continue;
        }
        if let Some(why) = stage.refusal() {
            println!("SKIPPED: {name}: {why}");
            continue;
        }
        let mut add = |title: String, run: Box<dyn Fn() + Send>| {
            let run = move || match catch_unwind(AssertUnwindSafe(&run)) {
                Ok(()) => Ok(Completion::Completed),
                Err(thrown) => {
                    let text = thrown.downcast_ref::<String>().cloned();
                    let text = text.or_else(|| thrown.downcast_ref::<&str>().map(|text| text.to_string()));
                    Err(Failed::from(text.unwrap_or_default()))
                }
            };
            trials.push(Trial::ignorable_test(title, run));
        };
        for (title, program) in PROGRAMS {
            let stage = stage.clone();
            add(format!("{name}/{title}"), Box::new(move || program(&mut Scene::new(&stage))));
        }
        for (title, faulted) in FAULTED {
            let place = &stage;
            let stage = place.clone();
            add(format!("{name}/faults/{title}"), Box::new(move || sweep(&stage, faulted)));
            let stage = place.clone();
            add(format!("{name}/storms/{title}"), Box::new(move || storm(&stage, faulted)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
