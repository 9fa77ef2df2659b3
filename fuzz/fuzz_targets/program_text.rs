//! Any bytes as a program: whatever they are, reading them, reporting what is wrong with them, and putting values into
//! what is right may not panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use miette::{GraphicalReportHandler, GraphicalTheme, NarratableReportHandler};
use ouzel_cli::program::{MAX_PROBLEMS, Values, parse};

fn render(problem: &dyn miette::Diagnostic) {
    let mut text = String::new();
    let theme = GraphicalTheme::unicode_nocolor();
    GraphicalReportHandler::new_themed(theme)
        .render_report(&mut text, problem)
        .expect("writing to a string succeeds");
    NarratableReportHandler::new().render_report(&mut text, problem).expect("writing to a string succeeds");
    assert!(!text.is_empty());
}

fuzz_target!(|bytes: &[u8]| {
    // The first byte chooses the values that parameters get.
    let (choice, source) = bytes.split_first().unwrap_or((&0, &[]));
    match parse(source, "fuzz.ring") {
        Err(error) => {
            let problems = error.problems();
            assert!(!problems.is_empty() && problems.len() <= MAX_PROBLEMS + 1);
            let lines = source.iter().filter(|byte| **byte == b'\n').count() + 1;
            for problem in problems {
                assert!(problem.line <= lines, "line {} of {lines}", problem.line);
                assert!(!problem.message.is_empty());
            }
            render(&error);
        }
        Ok(program) => {
            assert!(!program.steps.is_empty());
            assert_eq!(program.example().len(), program.steps.len());
            assert_eq!(program.assigns.len(), program.steps.len());
            program.warnings.iter().for_each(|warning| render(warning));
            for stored in &program.stored {
                let body = &stored.body;
                assert!(!body.steps.is_empty() && body.parameters.is_empty() && body.stored.is_empty());
                assert_eq!(body.example().len(), body.steps.len());
                assert!(stored.gives.is_none_or(|slot| body.result(slot).is_some()));
                let values: Values =
                    stored.parameters.iter().map(|passed| (passed.name.clone(), b"x".to_vec())).collect();
                let bound = body.bind(&values).expect("what is passed stands in its place, whatever it is");
                assert_eq!(bound.len(), body.steps.len());
            }
            let texts: [&[u8]; 8] =
                [b"", b"a", b"4096", b"10s", b"127.0.0.1:80", b"\0", b"\xff", b"18446744073709551615"];
            let values: Values = program
                .parameters
                .iter()
                .zip(usize::from(*choice)..)
                .map(|(parameter, number)| (parameter.name.clone(), texts[number % texts.len()].to_vec()))
                .collect();
            match program.bind(&values) {
                Ok(steps) => assert_eq!(steps.len(), program.steps.len()),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
});
