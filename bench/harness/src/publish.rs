//! Races run again by themselves: their sections take the place of those that are published, and say when they ran.

/// The heading of what could not run, which is a whole run's.
const NOT_RUN: &str = "Not run";

/// The `published` results with the sections of a `partial` run in place of their own, each with the line `when` under its
/// heading. A section that was not there before comes behind the others.
pub fn replace(published: &str, partial: &str, when: &str) -> String {
    let (head, mut sections) = split(published);
    for (title, body) in split(partial).1.into_iter().filter(|(title, _)| *title != NOT_RUN) {
        let body = format!("{when}\n\n{body}");
        match sections.iter_mut().find(|(known, _)| *known == title) {
            Some((_, old)) => *old = body,
            None => {
                let end = sections.iter().position(|(known, _)| *known == NOT_RUN);
                sections.insert(end.unwrap_or(sections.len()), (title, body));
            }
        }
    }
    let sections: String = sections.iter().map(|(title, body)| format!("\n## {title}\n\n{body}\n")).collect();
    format!("{head}\n{sections}")
}

/// What comes before the first section, and each section's title and text.
fn split(text: &str) -> (&str, Vec<(&str, String)>) {
    let mut parts = text.split("\n## ");
    let head = parts.next().unwrap_or_default().trim_end();
    let sections = parts.map(|part| {
        let (title, body) = part.split_once('\n').unwrap_or((part, ""));
        (title, body.trim().to_owned())
    });
    (head, sections.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: &str =
        "# Results\n\nhead\n\n## Copy\n\nold copy\n\n## NOP\n\nold nop\n\n## Not run\n\n- one\n";

    #[test]
    fn only_what_ran_is_replaced() {
        let partial = "# Results\n\nother head\n\n## NOP\n\nnew nop\n\nmore\n\n## Not run\n\n- two\n";
        assert_eq!(
            replace(PUBLISHED, partial, "today"),
            "# Results\n\nhead\n\n## Copy\n\nold copy\n\n## NOP\n\ntoday\n\nnew nop\n\nmore\n\n## Not run\n\n- one\n"
        );
        assert_eq!(replace(PUBLISHED, "# Results\n", "today"), PUBLISHED);
    }

    #[test]
    fn what_is_new_comes_behind_the_others() {
        assert_eq!(
            replace(PUBLISHED, "# Results\n\n## Pool\n\npool\n", "today"),
            "# Results\n\nhead\n\n## Copy\n\nold copy\n\n## NOP\n\nold nop\n\n## Pool\n\ntoday\n\npool\n\n## Not run\n\n- one\n"
        );
    }
}
