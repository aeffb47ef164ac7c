//! Which tables a poll is for, and what becomes of the others when one cannot be read.

use crate::bindings::congress::datasource::sink;
use crate::{Error, Result};

/// The root tables that somebody needs. Others need not be fetched.
#[derive(Clone, Debug, Default)]
pub struct Wanted(Vec<String>);

impl Wanted {
    /// Wraps the names that the host hands over.
    pub fn new(roots: Vec<String>) -> Self {
        Self(roots)
    }

    /// Whether that root table is wanted.
    pub fn contains(&self, root: &str) -> bool {
        self.0.iter().any(|wanted| wanted == root)
    }

    /// Reads each of `roots` that is wanted. One that cannot be read keeps its rows and shows its
    /// error in the status, and the others are published all the same.
    ///
    /// The whole poll fails only when nothing could be read. That the other tables of a service that
    /// is away do not wait for it each for itself is [`session::send`](crate::session::send)'s doing.
    pub fn each<'a>(
        &self,
        roots: impl IntoIterator<Item = &'a str>,
        read: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let roots = roots.into_iter().filter(|root| self.contains(root));
        for (root, error) in read_each(roots, read)? {
            sink::failed(&root, &error);
        }
        Ok(())
    }
}

/// Reads all roots and answers those that failed, or the first error if all did.
fn read_each<'a>(
    roots: impl Iterator<Item = &'a str>,
    mut read: impl FnMut(&str) -> Result<()>,
) -> Result<Vec<(String, Error)>> {
    let mut failed = Vec::new();
    let mut succeeded = false;
    for root in roots {
        match read(root) {
            Ok(()) => succeeded = true,
            Err(error) => failed.push((root.to_owned(), error)),
        }
    }
    match failed.first() {
        Some((_, error)) if !succeeded => Err(error.clone()),
        _ => Ok(failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(results: &[Result<()>]) -> (Result<Vec<(String, Error)>>, usize) {
        let names: Vec<String> = (0..results.len()).map(|i| format!("t{i}")).collect();
        let mut calls = 0;
        let outcome = read_each(names.iter().map(String::as_str), |name| {
            calls += 1;
            results[names.iter().position(|n| n == name).unwrap()].clone()
        });
        (outcome, calls)
    }

    #[test]
    fn one_table_fails_alone() {
        for error in [
            Error::Protocol("404".into()),
            Error::Config("no such file".into()),
            Error::Auth("401".into()),
            Error::Connection("cannot connect to http://elsewhere".into()),
        ] {
            let (outcome, calls) = run(&[Err(error.clone()), Ok(()), Ok(())]);
            assert_eq!(outcome.unwrap(), [("t0".to_owned(), error)]);
            assert_eq!(calls, 3);
        }
    }

    #[test]
    fn nothing_read_fails_the_poll() {
        let error = Error::Protocol("404".into());
        let (outcome, calls) = run(&[Err(error.clone()), Err(Error::Protocol("405".into()))]);
        assert_eq!(outcome.unwrap_err(), error);
        assert_eq!(calls, 2);
        assert_eq!(run(&[]).0.unwrap(), []);
    }
}
