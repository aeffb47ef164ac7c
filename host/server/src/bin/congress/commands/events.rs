//! Server-sent events: what a server sends until somebody has heard enough.

use anyhow::bail;

/// The most bytes that one event may have. The server's have a thousand rows at most.
const MAX_BYTES: usize = 64 << 20;

/// An event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// What kind it is.
    pub(super) name: String,
    /// What it says.
    pub(super) data: String,
}

/// Makes events of bytes that come in any pieces.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// A line that has not ended yet.
    line: Vec<u8>,
    /// Whether the last piece ended in a carriage return, which may be half an end of line.
    after_return: bool,
    name: String,
    data: String,
}

impl Parser {
    /// The events that end in this piece.
    ///
    /// # Errors
    ///
    /// An event is longer than can be meant.
    pub(super) fn read(&mut self, piece: &[u8]) -> anyhow::Result<Vec<Event>> {
        let mut events = Vec::new();
        for byte in piece {
            let is_rest = std::mem::take(&mut self.after_return) && *byte == b'\n';
            match byte {
                b'\n' if is_rest => {}
                b'\n' | b'\r' => {
                    self.after_return = *byte == b'\r';
                    let line = std::mem::take(&mut self.line);
                    events.extend(self.take(&String::from_utf8_lossy(&line)));
                }
                other => self.line.push(*other),
            }
            if self.line.len() + self.data.len() > MAX_BYTES {
                bail!("the server sent an event of more than {MAX_BYTES} bytes");
            }
        }
        Ok(events)
    }

    /// The event that ends with this line, if one does.
    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let name = std::mem::take(&mut self.name);
            let mut data = std::mem::take(&mut self.data);
            // Each line of it has ended with one.
            data.pop()?;
            return Some(Event { name, data });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // Comments keep the connection alive; nothing can be resumed by an id.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_any_pieces() {
        let text = b": heartbeat\n\nevent: snapshot\nid: 1.5\ndata: {\"a\":\ndata: 1}\r\n\r\nevent: gone\rdata:{}\r\rdata: cut";
        for size in 1..text.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in text.chunks(size) {
                events.extend(parser.read(piece).unwrap());
            }
            let event = |name: &str, data: &str| Event { name: name.into(), data: data.into() };
            assert_eq!(events, [event("snapshot", "{\"a\":\n1}"), event("gone", "{}")], "{size}");
        }
    }
}
