//! The grammar of configuration files, exactly that of the original's library (oslo.config).
//!
//! There are no trailing comments and no escapes. An indented line continues the value before it,
//! whatever it looks like; blank lines and comments end a value.

use std::path::{Path, PathBuf};

use super::problem::{Origin, Problem};

/// One file.
#[derive(Debug)]
pub(super) struct Ini {
    pub(super) path: PathBuf,
    /// In the order of the file; the same key may occur several times.
    pub(super) entries: Vec<Entry>,
}

/// One assignment.
#[derive(Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) section: String,
    pub(super) key: String,
    /// Continuation lines are joined with newlines.
    pub(super) value: String,
    /// The line of the key, from 1.
    pub(super) line: usize,
}

impl Ini {
    /// Reads a file's text. Lines that cannot be understood are reported and left out.
    pub(super) fn parse(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Self {
        let mut entries: Vec<Entry> = Vec::new();
        let mut section: Option<&str> = None;
        // Whether an indented line may follow.
        let mut open = false;
        for (position, line) in text.lines().enumerate() {
            let number = position + 1;
            let mut problem = |text: &str| {
                let origin = Origin::File { path: path.to_owned(), line: number };
                problems.push(Problem::new(origin, text));
            };
            let line = line.trim_end();
            let was_open = std::mem::take(&mut open);
            if line.is_empty() {
                continue;
            }
            if line.starts_with([' ', '\t']) {
                match entries.last_mut().filter(|_| was_open) {
                    Some(entry) => {
                        entry.value.push('\n');
                        entry.value.push_str(line.trim_start());
                        open = true;
                    }
                    None => problem(
                        "unexpected continuation line: sections and keys start in the first column",
                    ),
                }
            } else if let Some(header) = line.strip_prefix('[') {
                match header.strip_suffix(']') {
                    Some("") => problem("a section needs a name"),
                    Some(name) => section = Some(name),
                    None => problem("a section's name must end with ']'"),
                }
            } else if !line.starts_with(['#', ';']) {
                let Some((key, value)) = line.split_once(['=', ':']) else {
                    problem("neither a section, a comment nor 'key = value'");
                    continue;
                };
                match (section, key.trim()) {
                    (_, "") => problem("there is no key before the value"),
                    (None, _) => problem("a section, as [DEFAULT], must come before the first key"),
                    (Some(section), key) => {
                        entries.push(Entry {
                            section: section.to_owned(),
                            key: key.to_owned(),
                            value: unquote(value.trim()).to_owned(),
                            line: number,
                        });
                        open = true;
                    }
                }
            }
        }
        Self { path: path.to_owned(), entries }
    }

    /// The last value of a key. A section matches exactly, or else whatever its case, but
    /// `[DEFAULT]` only exactly.
    pub(super) fn get(&self, section: &str, key: &str) -> Option<&Entry> {
        let find = |matches: &dyn Fn(&str) -> bool| {
            self.entries.iter().rev().find(|entry| entry.key == key && matches(&entry.section))
        };
        find(&|found| found == section).or_else(|| find(&|found| same_section(section, found)))
    }
}

/// Whether a section in a file is the one meant.
pub(super) fn same_section(meant: &str, found: &str) -> bool {
    meant == found
        || (meant != "DEFAULT" && found != "DEFAULT" && meant.eq_ignore_ascii_case(found))
}

/// Takes off the quotes of a value that is enclosed in one pair.
pub(super) fn unquote(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(rest) = value.strip_prefix(quote) {
            return match rest.strip_suffix(quote) {
                Some(inner) => inner,
                // The original takes a lone quote for both of a pair.
                None if rest.is_empty() => rest,
                None => value,
            };
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Ini, Vec<String>) {
        let mut problems = Vec::new();
        let ini = Ini::parse(Path::new("f"), text, &mut problems);
        (ini, problems.iter().map(ToString::to_string).collect())
    }

    fn value(text: &str) -> String {
        let (ini, problems) = parse(&format!("[DEFAULT]\n{text}"));
        assert_eq!(problems, [] as [&str; 0]);
        ini.get("DEFAULT", "s").unwrap().value.clone()
    }

    #[test]
    fn values() {
        assert_eq!(value("s = a"), "a");
        assert_eq!(value("s: a"), "a");
        assert_eq!(value("s =   a b  "), "a b");
        assert_eq!(value("s = a:b=c"), "a:b=c");
        assert_eq!(value("s : a=b"), "a=b");
        assert_eq!(value("s = a # c"), "a # c");
        assert_eq!(value("s ="), "");
        assert_eq!(value("s = 1\ns = 2"), "2", "the last one wins");
    }

    #[test]
    fn quotes() {
        assert_eq!(value(r#"s = "a b""#), "a b");
        assert_eq!(value("s = ' a '"), " a ");
        assert_eq!(value(r#"s = "a,b",c"#), r#""a,b",c"#);
        assert_eq!(value(r#"s = "a'"#), r#""a'"#);
        assert_eq!(value(r#"s = """#), "");
        assert_eq!(value(r#"s = ""a"""#), r#""a""#, "one pair only");
        assert_eq!(value("s = \""), "");
    }

    #[test]
    fn continuation() {
        assert_eq!(value("s = a\n b\n\tc"), "a\nb\nc");
        assert_eq!(value("s = a\n # b"), "a\n# b");
        assert_eq!(value("s =\n a"), "\na");
        let (_, problems) = parse("[DEFAULT]\ns = a\n\n b\n");
        assert!(problems[0].starts_with("f:4: unexpected continuation line"), "{problems:?}");
        let (_, problems) = parse("[DEFAULT]\ns = a\n# comment\n b\n");
        assert!(problems[0].starts_with("f:4: "), "{problems:?}");
        let (_, problems) = parse("[DEFAULT]\n s = a\n");
        assert!(problems[0].starts_with("f:2: unexpected continuation line"), "{problems:?}");
    }

    #[test]
    fn sections() {
        let (ini, problems) = parse("[a]\nx=1\n[DATABASE]\nx=2\n[a]\nx=3\n[default]\nx=4\n");
        assert!(problems.is_empty());
        assert_eq!(ini.get("a", "x").unwrap().line, 6, "a section may occur again");
        assert_eq!(ini.get("database", "x").unwrap().value, "2");
        assert!(ini.get("DEFAULT", "x").is_none());
        assert!(ini.get("a", "y").is_none());
    }

    #[test]
    fn an_exact_section_wins_over_one_of_another_case() {
        let (ini, _) = parse("[database]\nx=1\n[DATABASE]\nx=2\n");
        assert_eq!(ini.get("database", "x").unwrap().value, "1");
    }

    #[test]
    fn everything_wrong_is_reported_and_the_rest_is_read() {
        let (ini, problems) =
            parse("a = 1\n[x\n[]\nnothing\n[s]\n= 2\n; comment\n# comment\nb = 3");
        assert_eq!(
            problems,
            [
                "f:1: a section, as [DEFAULT], must come before the first key",
                "f:2: a section's name must end with ']'",
                "f:3: a section needs a name",
                "f:4: neither a section, a comment nor 'key = value'",
                "f:6: there is no key before the value",
            ]
        );
        assert_eq!(ini.entries.len(), 1);
        assert_eq!(ini.get("s", "b").unwrap().line, 9);
    }
}
