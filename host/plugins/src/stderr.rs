//! What a guest writes to its standard error: only the end of it is kept, for the moment it
//! crashes. Panics, uncaught exceptions and failed assertions say there what happened.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// How much of the end is kept, in bytes.
const KEPT: usize = 4 << 10;

/// What a guest may write at once, in bytes.
const WRITE: usize = 64 << 10;

/// The end of what one instance wrote. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Stderr(Arc<Mutex<VecDeque<u8>>>);

impl Stderr {
    /// What was written last.
    pub(crate) fn text(&self) -> String {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(kept.make_contiguous()).into_owned()
    }

    fn push(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let end = bytes.get(bytes.len().saturating_sub(KEPT)..).unwrap_or_default();
        let surplus = (kept.len() + end.len()).saturating_sub(KEPT).min(kept.len());
        kept.drain(..surplus);
        kept.extend(end);
    }
}

/// The line of such a text that says what happened, as Python, Rust and JavaScript write it among
/// the lines that say where; the last line of anything else.
pub(crate) fn last_words(text: &str) -> Option<&str> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = |start: &str| lines.iter().rposition(|line| line.starts_with(start));
    let line = if let Some(traceback) = last("Traceback (most recent call last)") {
        lines.iter().skip(traceback + 1).find(|line| !line.starts_with(' '))
    } else if let Some(panic) = last("thread '") {
        lines.get(panic + 1)
    } else if let Some(stack) = last("Stack:") {
        stack.checked_sub(1).and_then(|before| lines.get(before))
    } else {
        lines.last()
    };
    let line = *line.or(lines.last())?;
    // What Rust says of every error that nobody handled.
    Some(line.strip_prefix("called `Result::unwrap()` on an `Err` value: ").unwrap_or(line))
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Stderr {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.push(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE)
    }
}

#[async_trait::async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Stderr {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.push(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_is_kept() {
        let stderr = Stderr::default();
        for _ in 0..1_000 {
            stderr.push(b"a line\n");
        }
        stderr.push(b"the end\n");
        let text = stderr.text();
        assert!(text.len() <= KEPT && text.ends_with("a line\nthe end\n"), "{text}");
        stderr.push(&vec![b'x'; 3 * KEPT]);
        assert_eq!(stderr.text(), "x".repeat(KEPT));
    }
    #[test]
    fn what_happened_stands_among_where_it_did() {
        for (text, words) in [
            (
                "Traceback (most recent call last):\n  File \"/0/driver.py\", line 1, in f\n    \
              f()\nValueError: odd\n\nthread '<unnamed>' (1) panicked at lib.rs:1:1:\nx\n",
                "ValueError: odd",
            ),
            (
                "thread '<unnamed>' (1) panicked at src/lib.rs:7:5:\nno moon\nnote: run with \
              `RUST_BACKTRACE=1`\n",
                "no moon",
            ),
            (
                "a warning\nexpected a string\nStack:\n  f@/tmp/a.js:79:11\n\nRedirecting\n",
                "expected a string",
            ),
            ("Stack:\n", "Stack:"),
            ("Traceback (most recent call last):\n", "Traceback (most recent call last):"),
            ("assertion failed\n\n", "assertion failed"),
        ] {
            assert_eq!(last_words(text), Some(words));
        }
        assert_eq!(last_words(" \n"), None);
    }
}
