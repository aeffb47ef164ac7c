//! Cells side by side: for people, and for programs.

use std::io::IsTerminal as _;

use unicode_width::UnicodeWidthStr as _;

use super::clean;

/// Comma-separated values, quoted where needed.
pub(super) fn csv(heading: &[String], lines: &[Vec<String>]) -> String {
    std::iter::once(heading).chain(lines.iter().map(Vec::as_slice)).map(csv_line).collect()
}

/// One line of them.
pub(super) fn csv_line(cells: &[String]) -> String {
    let field = |text: &String| match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.clone(),
    };
    cells.iter().map(field).collect::<Vec<_>>().join(",") + "\n"
}

/// The cells alone, with spaces between them.
pub(super) fn values(lines: &[Vec<String>]) -> String {
    lines.iter().map(|line| line.join(" ") + "\n").collect()
}

/// Columns side by side. What a terminal would act on is shown, not sent; on one the heading is
/// bold.
pub(super) fn aligned(heading: &[String], lines: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = std::iter::once(heading)
        .chain(lines.iter().map(Vec::as_slice))
        .map(|line| line.iter().map(|cell| clean(cell)).collect())
        .collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|i| rows.iter().filter_map(|row| row.get(i)).map(|c| c.width()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells: Vec<_> =
            row.iter().zip(&widths).map(|(cell, width)| padded(cell, *width)).collect();
        let line = cells.join("  ");
        if number == 0 {
            text.push_str(&bold(line.trim_end()));
            text.push('\n');
            let rule: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
            text.push_str(&rule.join("  "));
        } else {
            text.push_str(line.trim_end());
        }
        text.push('\n');
    }
    text
}

/// A cell with spaces behind it. `format!` cannot pad to more than 65,535.
fn padded(cell: &str, width: usize) -> String {
    let missing = width.saturating_sub(cell.width());
    format!("{cell}{}", " ".repeat(missing))
}

/// A clean text in bold, on a terminal that may have colours.
fn bold(text: &str) -> String {
    styled(text, "1")
}

/// A clean text in a style (the number of an SGR sequence), on a terminal that may have colours.
pub(crate) fn styled(text: &str, style: &str) -> String {
    match has_colours() {
        true => format!("\u{1b}[{style}m{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}

fn has_colours() -> bool {
    let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    unset("NO_COLOR") && !dumb && std::io::stdout().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(cells: &[&str]) -> Vec<String> {
        cells.iter().map(|cell| (*cell).to_owned()).collect()
    }

    #[test]
    fn csv_is_quoted() {
        let text = csv(&line(&["p", "q"]), &[line(&["a,b", "say \"x\""]), line(&["", ""])]);
        assert_eq!(text, "p,q\n\"a,b\",\"say \"\"x\"\"\"\n,\n");
    }

    #[test]
    fn tables_are_aligned_and_harmless() {
        let lines = [line(&["日本", "22"]), line(&["b\u{1b}[31m", "1"])];
        assert_eq!(
            aligned(&line(&["name", "n"]), &lines),
            "name         n\n-----------  --\n日本         22\nb\\u{1b}[31m  1\n"
        );
    }

    #[test]
    fn a_cell_may_be_as_long_as_it_likes() {
        let lines = [vec!["x".repeat(100_000)], line(&["y"])];
        let text = aligned(&line(&["long"]), &lines);
        assert!(text.lines().any(|line| line == lines[0][0]));
    }
}
