//! What the subcommands do: read the program, settle its parameters, run it, show what came of it.

use std::ffi::OsStr;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use miette::Report;
use serde_json::json;
use thiserror::Error;

use crate::args::{Arguments, CheckArguments, Command, DoctorArguments, RunArguments};
use crate::doctor;
use crate::inputs::{self, Exclusions, Input};
use crate::inspect;
use crate::machine::{self, MachineError, Wanted};
use crate::mount::{self, MountError};
use crate::program::{self, MAX_PROGRAM, Problem, Program, ProgramError, StoredProgram, Values};
use crate::report::Reporter;
use crate::run::{self, Options};
use crate::scheme::{files, serve};
use crate::summary::Summary;
use crate::timeline::TimelineFile;
use crate::top;

/// Why nothing, or not everything, was run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The program cannot be read.
    #[error("cannot read the program {name}: {cause}")]
    Read {
        /// Its name.
        name: String,
        /// Why.
        cause: io::Error,
    },
    /// The program has problems.
    #[error(transparent)]
    Program(#[from] Box<ProgramError>),
    /// Parameters and options do not fit the program.
    #[error("{0}")]
    Usage(String),
    /// What executes chains failed.
    #[error(transparent)]
    Machine(#[from] MachineError),
    /// The file of a timeline cannot be written.
    #[error("cannot write the timeline {name}: {cause}")]
    Timeline {
        /// Its name.
        name: String,
        /// Why.
        cause: io::Error,
    },
    /// The folder cannot be read where rings publish what they do.
    #[error("cannot look for rings in {folder}: {cause}")]
    Look {
        /// Its name.
        folder: String,
        /// Why.
        cause: io::Error,
    },
    /// A service cannot be.
    #[error(transparent)]
    Scheme(Box<ouzel::scheme::Error>),
    /// A service cannot be mounted.
    #[error(transparent)]
    Mount(Box<MountError>),
    /// Something cannot be done with a file.
    #[error("{path}: {cause}")]
    File {
        /// Which.
        path: String,
        /// Why.
        cause: ouzel::Error,
    },
    /// A file is to be copied onto itself.
    #[error(
        "cannot copy {from} to {to}: both are the same file, which was left as it is; name another target"
    )]
    SameFile {
        /// The source.
        from: String,
        /// The target.
        to: String,
    },
    /// A directory that cannot be listed, as it may have no end.
    #[error(
        "{path}: there are more than {most} MiB of names, or its service never ends them; no more are listed"
    )]
    TooManyNames {
        /// Which.
        path: String,
        /// The bound, in MiB.
        most: usize,
    },
    /// The terminal cannot be used.
    #[error("cannot use the terminal: {0}; --once prints one snapshot without it")]
    Terminal(io::Error),
    /// Standard output is gone.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
}

/// Does what the command line asks for. Exit status: 0 success, 1 an input failed, 2 nothing could be run.
pub fn run(arguments: Arguments) -> ExitCode {
    let (outcome, json) = match &arguments.command {
        Command::Run(arguments) => (run_program(arguments, arguments.explain), arguments.json),
        Command::Explain(arguments) if arguments.dry => (describe(&arguments.run), arguments.run.json),
        Command::Explain(arguments) => (run_program(&arguments.run, true), arguments.run.json),
        Command::Check(arguments) => (check_program(arguments), arguments.json),
        Command::Doctor(arguments) => (examine(arguments), arguments.json),
        Command::Top(arguments) => (top::run(arguments), arguments.json),
        Command::Serve(arguments) => (serve::run(arguments), false),
        Command::Mount(arguments) => (mount::run(arguments), false),
        Command::Ls(arguments) => (files::list(arguments), false),
        Command::Cat(arguments) => (files::print(arguments), false),
        Command::Cp(arguments) => (files::copy(arguments), false),
        Command::Stat(arguments) => (files::describe(arguments), false),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            complain(&error, json);
            ExitCode::from(2)
        }
    }
}

fn complain(error: &CommandError, json: bool) {
    if json {
        let problems = match error {
            CommandError::Program(error) => error.problems().iter().map(problem_json).collect(),
            _ => Vec::new(),
        };
        // Nobody is left to tell when standard output is the thing that failed.
        print_json(&json!({ "error": error.to_string(), "problems": problems })).unwrap_or_default();
        return;
    }
    let text = match error {
        CommandError::Program(error) => format!("{:?}", Report::new(error.as_ref().clone())),
        CommandError::Machine(error @ MachineError::Chain(_)) => format!("error: {error}\n"),
        CommandError::Machine(error) => {
            let help = "`ouzel doctor` says what this machine allows, and what would change that";
            format!("{:?}", miette::miette!(help = help, "{error}"))
        }
        other => format!("error: {other}\n"),
    };
    write!(io::stderr(), "{text}").unwrap_or_default();
}

fn problem_json(problem: &Problem) -> serde_json::Value {
    json!({
        "line": problem.line, "column": problem.column, "message": problem.message, "help": problem.help,
        "severity": if problem.fatal { "error" } else { "warning" },
    })
}

pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<(), CommandError> {
    let text = serde_json::to_string(value).map_err(|error| CommandError::Output(error.into()))?;
    writeln!(io::stdout(), "{text}").map_err(CommandError::Output)
}

fn load(path: &Path) -> Result<(String, Program), CommandError> {
    let (name, source) = source(path)?;
    let program = program::parse(&source, &name).map_err(Box::new)?;
    Ok((name, program))
}

/// Reads a text of stored programs.
pub(crate) fn load_stored(path: &Path) -> Result<Vec<StoredProgram>, CommandError> {
    let (name, source) = source(path)?;
    Ok(program::parse_stored(&source, &name).map_err(Box::new)?)
}

fn source(path: &Path) -> Result<(String, Vec<u8>), CommandError> {
    let (name, file) = if path == Path::new("-") {
        ("standard input".to_owned(), Ok(Box::new(io::stdin()) as Box<dyn Read>))
    } else {
        let file = std::fs::File::open(path).map(|file| Box::new(file) as Box<dyn Read>);
        (inputs::shown(path.as_os_str()), file)
    };
    let mut source = Vec::new();
    // One byte more than allowed is enough to know that it is too long, whatever the file is.
    let read = file.and_then(|file| file.take(MAX_PROGRAM as u64 + 1).read_to_end(&mut source));
    read.map_err(|cause| CommandError::Read { name: name.clone(), cause })?;
    Ok((name, source))
}

fn warn(program: &Program) {
    for warning in &program.warnings {
        write!(io::stderr(), "{:?}", Report::new(warning.clone())).unwrap_or_default();
    }
}

fn check_program(arguments: &CheckArguments) -> Result<bool, CommandError> {
    let (name, program) = load(&arguments.program)?;
    let parameters: Vec<&str> = program.parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let inspection = inspect::inspect(&program)?;
    if arguments.json {
        let warnings: Vec<_> = program.warnings.iter().map(problem_json).collect();
        print_json(&json!({
            "program": name, "statements": program.steps.len(), "parameters": parameters, "problems": warnings,
            "steps": inspection.steps.len(), "most_steps": inspection.most_steps,
            "registers": inspection.registers, "not_storable": inspection.refusal,
            "stored": inspection.stored,
        }))?;
        return Ok(true);
    }
    warn(&program);
    let mut line = format!("{name}: {inspection}");
    if !parameters.is_empty() {
        line.push_str(&format!(", parameters ${}", parameters.join(" $")));
    }
    for stored in &inspection.stored {
        line.push_str(&format!("\n  {stored}"));
    }
    writeln!(io::stdout(), "{line}").map_err(CommandError::Output)?;
    if let Some(refusal) = &inspection.refusal {
        writeln!(io::stderr(), "{name}: {refusal}").unwrap_or_default();
    }
    Ok(true)
}

/// The steps of a program, without running it.
fn describe(arguments: &RunArguments) -> Result<bool, CommandError> {
    let (name, program) = load(&arguments.program)?;
    let inspection = inspect::inspect(&program)?;
    if arguments.json {
        print_json(&json!({
            "program": name, "steps": inspection.steps, "most_steps": inspection.most_steps,
            "registers": inspection.registers, "stored": inspection.stored,
        }))?;
        return Ok(true);
    }
    warn(&program);
    let mut text = String::new();
    for step in &inspection.steps {
        text.push_str(&format!("  line {:<3} {}\n", step.line, step.text));
    }
    for stored in &inspection.stored {
        text.push_str(&format!("\n{stored}\n"));
        for step in &stored.steps {
            text.push_str(&format!("  line {:<3} {}\n", step.line, step.text));
        }
    }
    writeln!(io::stdout(), "{name}: {inspection}\n{text}").map_err(CommandError::Output)?;
    Ok(true)
}

fn examine(arguments: &DoctorArguments) -> Result<bool, CommandError> {
    let report = doctor::Report::examine();
    if arguments.json {
        print_json(&report)?;
    } else {
        write!(io::stdout(), "{report}").map_err(CommandError::Output)?;
    }
    Ok(report.is_well())
}

fn run_program(arguments: &RunArguments, explain: bool) -> Result<bool, CommandError> {
    let from_input = |operand: &OsStr| operand == "-";
    if from_input(arguments.program.as_os_str()) && arguments.each.iter().any(|operand| from_input(operand)) {
        let message = "the program and the names of --each cannot both come from standard input";
        return Err(CommandError::Usage(message.to_owned()));
    }
    let (name, program) = load(&arguments.program)?;
    let values = settle(&program, arguments)?;
    let exclusions = Exclusions::new(&arguments.exclude)
        .map_err(|error| CommandError::Usage(format!("--exclude: {error}")))?;
    if !arguments.json {
        warn(&program);
    }
    let wanted = Wanted {
        on: arguments.on.clone(),
        backend: arguments.backend,
        in_flight: if arguments.each.is_empty() { 1 } else { arguments.in_flight },
        explain,
        trace: arguments.trace,
        timeline: arguments.timeline.is_some(),
    };
    let mut machine = machine::open(&wanted, &program)?;
    let options = Options { name, in_flight: arguments.in_flight, collect: arguments.json, explain };
    let mut names = BufReader::new(io::stdin());
    let terminator = if arguments.null { 0 } else { b'\n' };
    let mut each: Box<dyn Iterator<Item = Option<Input>> + '_> = if arguments.each.is_empty() {
        Box::new(std::iter::once(None))
    } else {
        Box::new(inputs::each(&arguments.each, &exclusions, &mut names, terminator).map(Some))
    };
    let mut reporter = Reporter::new(!arguments.each.is_empty(), arguments.trace, arguments.json);
    let mut timeline = arguments.timeline.as_deref().map(TimelineFile::create).transpose()?;
    let observe = &mut |event: run::Event<'_>| {
        if let (Some(file), run::Event::Timeline { input, timeline }) = (&mut timeline, &event) {
            file.add(*input, timeline);
        }
        reporter.observe(&event);
    };
    let summary = run::execute(&program, &mut each, values, &options, machine.as_mut(), observe);
    let output = reporter.finish();
    let written = timeline.map_or(Ok(()), TimelineFile::finish);
    let summary = summary?;
    written?;
    show(&summary, arguments.json)?;
    output.map_err(CommandError::Output)?;
    Ok(summary.failed == 0)
}

fn show(summary: &Summary, json: bool) -> Result<(), CommandError> {
    if json {
        return print_json(summary);
    }
    write!(io::stderr(), "{}", summary.text()).unwrap_or_default();
    Ok(())
}

/// The values of `--set`, checked against the parameters of the program.
pub fn settle(program: &Program, arguments: &RunArguments) -> Result<Values, CommandError> {
    let usage = |message: String| Err(CommandError::Usage(message));
    let mut values = Values::new();
    for setting in &arguments.set {
        let bytes = setting.as_bytes();
        let Some(equals) = bytes.iter().position(|byte| *byte == b'=') else {
            return usage(format!("--set {}: write NAME=VALUE", inputs::shown(setting)));
        };
        let name = inputs::shown_bytes(&bytes[..equals]);
        if !program.uses(&name) {
            let known: Vec<String> =
                program.parameters.iter().map(|known| format!("${}", known.name)).collect();
            let known = if known.is_empty() { "no parameters".to_owned() } else { known.join(" ") };
            return usage(format!("--set {name}: the program does not use ${name}; it uses {known}"));
        }
        if values.insert(name.clone(), bytes[equals + 1..].to_vec()).is_some() {
            return usage(format!("--set {name}: the parameter is set twice"));
        }
    }
    let each = !arguments.each.is_empty();
    if each && !program.uses("path") {
        return usage("--each puts names into $path, which the program does not use".to_owned());
    }
    if each && values.contains_key("path") {
        return usage("$path is set by --each and by --set".to_owned());
    }
    for parameter in &program.parameters {
        let (name, line) = (&parameter.name, parameter.line);
        let given = values.contains_key(name) || (each && name == "path");
        if !given {
            let also = if name == "path" { " or --each FILES" } else { "" };
            return usage(format!(
                "${name} (line {line}) has no value: give one with --set {name}=VALUE{also}"
            ));
        }
    }
    Ok(values)
}
