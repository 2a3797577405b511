//! Newline framing of a byte stream, as MCP over TCP uses it, with a length limit. Does not read sockets.
//!
//! Bytes are scanned once. A line over the limit is dropped as it comes, in constant memory, and reported when it ends.

use bytes::{Bytes, BytesMut};

/// What came off the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineEvent {
    /// One line without its newline or CRLF. Never empty; may be anything but UTF-8.
    Line(Bytes),
    /// A line over the limit ended; it was dropped.
    TooLong {
        /// Its length without the newline, a CR included.
        bytes: usize,
    },
}

/// Collects bytes and gives whole lines, through its [`Iterator`]: `None` means "push more", not "ended".
///
/// Take all lines after each push; then at most the limit and one segment are held.
#[derive(Debug)]
pub struct LineBuffer {
    buffer: BytesMut,
    /// Bytes at the front of `buffer` known to hold no newline.
    scanned: usize,
    /// Bytes dropped so far of an over-long line; `None` outside one.
    dropped: Option<usize>,
    limit: usize,
}

impl LineBuffer {
    /// Makes a buffer for lines of at most `limit` bytes, not counting the newline.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), scanned: 0, dropped: None, limit }
    }

    /// Appends what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.dropped {
            // Nothing of a line that is being dropped is ever stored.
            Some(dropped) if self.buffer.is_empty() && !bytes.contains(&b'\n') => {
                *dropped = dropped.saturating_add(bytes.len());
            }
            _ => self.buffer.extend_from_slice(bytes),
        }
    }

    /// Gives the bytes of an unfinished last line, dropped ones included: what an EOF now would lose.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.buffer.len().saturating_add(self.dropped.unwrap_or(0))
    }

    fn newline(&mut self) -> Option<usize> {
        let fresh = self.buffer.get(self.scanned..)?;
        let found = fresh.iter().position(|&byte| byte == b'\n').map(|at| at + self.scanned);
        self.scanned = if found.is_some() { 0 } else { self.buffer.len() };
        found
    }

    fn finish(&mut self, newline: usize) -> Option<LineEvent> {
        let mut line = self.buffer.split_to(newline + 1);
        line.truncate(newline);
        let dropped = self.dropped.take();
        let bytes = line.len().saturating_add(dropped.unwrap_or(0));
        if line.last() == Some(&b'\r') {
            line.truncate(newline - 1);
        }
        // A line of which something was dropped is over the limit even without its CR.
        if dropped.is_some() || line.len() > self.limit {
            Some(LineEvent::TooLong { bytes })
        } else if line.is_empty() {
            None
        } else {
            Some(LineEvent::Line(line.freeze()))
        }
    }
}

impl Iterator for LineBuffer {
    type Item = LineEvent;

    fn next(&mut self) -> Option<LineEvent> {
        while let Some(newline) = self.newline() {
            let event = self.finish(newline);
            if event.is_some() {
                return event;
            }
        }
        // One byte over the limit may be the CR of a CRLF.
        if self.dropped.is_some() || self.buffer.len() > self.limit.saturating_add(1) {
            self.dropped = Some(self.unfinished());
            self.buffer = BytesMut::new();
            self.scanned = 0;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn feed(limit: usize, parts: &[&[u8]]) -> Vec<LineEvent> {
        let mut buffer = LineBuffer::new(limit);
        let mut events = Vec::new();
        for part in parts {
            buffer.push(part);
            events.extend(&mut buffer);
            assert!(buffer.buffer.len() <= limit + 1);
        }
        events
    }

    fn line(text: &str) -> LineEvent {
        LineEvent::Line(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn lines_come_whole_whatever_the_segments() {
        assert_eq!(feed(99, &[b"a\nb\r\n\n\r\nc"]), [line("a"), line("b")]);
        assert_eq!(feed(99, &[b"a", b"b", b"\nc\n"]), [line("ab"), line("c")]);
        assert_eq!(feed(99, &["ä".as_bytes().split_at(1).0, "ä\n".as_bytes().split_at(1).1]), [line("ä")]);
        assert_eq!(feed(99, &[b"a\r", b"\n"]), [line("a")]);
    }

    #[test]
    fn over_long_lines_are_skipped_and_reported() {
        let long = LineEvent::TooLong { bytes: 5 };
        assert_eq!(feed(4, &[b"12345\nok\n"]), [long.clone(), line("ok")]);
        assert_eq!(feed(4, &[b"1234\r\n1234\n"]), [line("1234"), line("1234")]);
        assert_eq!(feed(4, &[b"123", b"45", b"\nok\n"]), [long, line("ok")]);
        assert_eq!(
            feed(4, &[b"123456", b"7890", b"x\nok\n"]),
            [LineEvent::TooLong { bytes: 11 }, line("ok")]
        );
    }

    #[test]
    fn memory_stays_flat_under_an_endless_line() {
        let mut buffer = LineBuffer::new(1024);
        for _ in 0..10_000 {
            buffer.push(&[b'x'; 512]);
            assert_eq!(buffer.next(), None);
            assert!(buffer.buffer.capacity() <= 8192);
        }
        assert_eq!(buffer.unfinished(), 5_120_000);
    }

    proptest! {
        #[test]
        fn segments_do_not_matter(text in prop::collection::vec(prop::sample::select(b"ab\r\n".to_vec()), 0..200),
                                  cuts in prop::collection::vec(1_usize..9, 1..40)) {
            let mut parts = Vec::new();
            let mut rest = &text[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (part, tail) = rest.split_at((*cut).min(rest.len()));
                parts.push(part);
                rest = tail;
            }
            prop_assert_eq!(feed(6, &parts), feed(6, &[&text[..]]));
        }
    }
}
