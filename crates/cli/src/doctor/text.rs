//! The report for people: what matters first, tables after it.

use std::fmt;

use super::{Limit, Report};

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.chosen {
            Some(chosen) => writeln!(formatter, "Ouzel runs on {} here: {}", chosen.name, chosen.reason)?,
            None => writeln!(formatter, "Ouzel cannot run here: no backend can be used")?,
        }
        writeln!(formatter, "kernel: Linux {} ({})", self.kernel, self.machine)?;
        self.ring(formatter)?;
        writeln!(formatter, "\nbackends")?;
        for backend in &self.backends {
            let mark = if backend.usable { "yes" } else { "no " };
            writeln!(formatter, "  {:<8} {mark}  {}", backend.name, backend.reason)?;
        }
        if !self.verbs.is_empty() {
            writeln!(formatter, "\nverbs on the uring backend")?;
            for verb in &self.verbs {
                write!(formatter, "  {:<9} {}", verb.verb, verb.way)?;
                if !verb.opcodes.is_empty() {
                    write!(formatter, " with {}", verb.opcodes.join(" "))?;
                }
                if !verb.missing.is_empty() {
                    write!(formatter, " (this kernel lacks {})", verb.missing.join(" "))?;
                }
                writeln!(formatter)?;
            }
        }
        writeln!(formatter, "\nlimits")?;
        for limit in &self.limits {
            let Limit { name, value, maximum, unit, note } = limit;
            let shown = |value: &Option<u64>| value.map_or("unlimited".to_owned(), |value| value.to_string());
            let raised = if value == maximum {
                String::new()
            } else {
                format!(" (can be raised to {})", shown(maximum))
            };
            let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
            writeln!(formatter, "  {name:<19} {}{unit}{raised}: {note}", shown(value))?;
        }
        if self.remedies.is_empty() {
            return writeln!(formatter, "\nNothing is missing.");
        }
        writeln!(formatter, "\nwhat would help")?;
        self.remedies.iter().try_for_each(|remedy| writeln!(formatter, "  {remedy}"))
    }
}

impl Report {
    fn ring(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ring = &self.io_uring;
        writeln!(formatter, "\nio_uring")?;
        match &ring.error {
            None => writeln!(formatter, "  usable     yes")?,
            Some(error) => writeln!(formatter, "  usable     no: {error}")?,
        }
        writeln!(formatter, "  child      {}", ring.child)?;
        match ring.disabled {
            Some(level) => writeln!(formatter, "  sysctl     kernel.io_uring_disabled = {level}")?,
            None => {
                writeln!(formatter, "  sysctl     kernel.io_uring_disabled is not there (before Linux 6.6)")?
            }
        }
        let seccomp = match ring.seccomp {
            Some(0) => "no filter",
            Some(1) => "strict: only read, write and exit are allowed",
            Some(2) => "a filter is in force (a container's profile?)",
            _ => "unknown",
        };
        writeln!(formatter, "  seccomp    {seccomp}")?;
        if !ring.usable {
            return Ok(());
        }
        let flags = if ring.flags.is_empty() { "none".to_owned() } else { ring.flags.join(" ") };
        writeln!(formatter, "  flags      {flags} (Linux {})", ring.flags_since.unwrap_or("?"))?;
        for refused in &ring.refused {
            let flags = refused.flags.join(" ");
            writeln!(formatter, "  refused    {flags} (Linux {}): {}", refused.since, refused.error)?;
        }
        writeln!(formatter, "  features   {}", ring.features.join(" "))?;
        let lacking = match ring.missing_opcodes.as_slice() {
            [] => "all that Ouzel knows".to_owned(),
            missing => format!("not {}", missing.join(" ")),
        };
        writeln!(formatter, "  opcodes    {}: {lacking}", ring.opcodes.len())?;
        let slots = if ring.slots { "yes: a run can open and use a file" } else { "no" };
        writeln!(formatter, "  slots      {slots}")?;
        for missing in &ring.missing {
            writeln!(
                formatter,
                "  without    {} (Linux {}): {}",
                missing.what, missing.since, missing.instead
            )?;
        }
        Ok(())
    }
}
