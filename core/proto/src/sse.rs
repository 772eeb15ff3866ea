//! Server-sent events (WHATWG HTML, "Server-sent events"): a bounded decoder and an encoder.

use bytes::Bytes;

/// One dispatched event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SseEvent {
    /// Its type; `message` by default.
    pub event: String,
    /// Its data, lines joined with `\n`; never empty.
    pub data: Bytes,
}

/// An event, or one line, is larger than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("server-sent event exceeds {limit} bytes")]
pub struct SseOverflow {
    /// The limit.
    pub limit: usize,
}

/// Turns chunks, cut anywhere, into events.
#[derive(Debug)]
pub struct SseDecoder {
    limit: usize,
    line: Vec<u8>,
    event: String,
    data: Vec<u8>,
    has_data: bool,
    /// The id of the event that is being read.
    id: Option<String>,
    last_id: Option<String>,
    retry: Option<u64>,
    marked: bool,
    /// Comments of the stream.
    comments: u64,
    after_cr: bool,
    at_start: bool,
}

impl SseDecoder {
    /// A decoder that holds at most `limit` bytes of one event.
    pub fn new(limit: usize) -> SseDecoder {
        SseDecoder {
            limit,
            line: Vec::new(),
            event: String::new(),
            data: Vec::new(),
            has_data: false,
            id: None,
            last_id: None,
            retry: None,
            marked: false,
            comments: 0,
            after_cr: false,
            at_start: true,
        }
    }

    /// The id of the last complete event, from which a stream resumes. Empty if the stream reset the id.
    pub fn last_event_id(&self) -> Option<&str> {
        self.last_id.as_deref()
    }

    /// The reconnection time the stream has set, in milliseconds.
    pub fn retry_ms(&self) -> Option<u64> {
        self.retry
    }

    /// Number of comments so far; servers send them to show that they are alive.
    pub fn comments(&self) -> u64 {
        self.comments
    }

    /// Returns true if the stream has set an id or a reconnection time since the last call.
    pub fn take_marked(&mut self) -> bool {
        std::mem::take(&mut self.marked)
    }

    /// Take a chunk in; `each` gets the events it completes. After an error the stream is of no use.
    pub fn feed(&mut self, mut chunk: &[u8], mut each: impl FnMut(SseEvent)) -> Result<(), SseOverflow> {
        while !chunk.is_empty() {
            if std::mem::take(&mut self.after_cr) && chunk[0] == b'\n' {
                chunk = &chunk[1..];
                continue;
            }
            let end = chunk.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let part = &chunk[..end.unwrap_or(chunk.len())];
            // Room for the field name and the line ends besides the payload itself.
            if self.line.len() + part.len() + self.data.len() > self.limit.saturating_add(64) {
                return Err(SseOverflow { limit: self.limit });
            }
            let Some(end) = end else {
                self.line.extend_from_slice(part);
                return Ok(());
            };
            if self.line.is_empty() {
                self.end_line(part, &mut each);
            } else {
                self.line.extend_from_slice(part);
                let line = std::mem::take(&mut self.line);
                self.end_line(&line, &mut each);
                self.line = line;
                self.line.clear();
            }
            self.after_cr = chunk[end] == b'\r';
            chunk = &chunk[end + 1..];
        }
        Ok(())
    }

    fn end_line(&mut self, line: &[u8], each: &mut impl FnMut(SseEvent)) {
        let line = match std::mem::take(&mut self.at_start) {
            true => line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line),
            false => line,
        };
        if line.is_empty() {
            return self.dispatch(each);
        }
        let (field, value) = match line.iter().position(|&byte| byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"" => self.comments += 1,
            b"data" => {
                if self.has_data {
                    self.data.push(b'\n');
                }
                self.has_data = true;
                self.data.extend_from_slice(value);
            }
            b"event" => self.event = String::from_utf8_lossy(value).into_owned(),
            b"id" if !value.contains(&0) => self.id = Some(String::from_utf8_lossy(value).into_owned()),
            b"retry" => {
                let digits =
                    std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|b| b.is_ascii_digit()));
                if let Some(retry) = digits.and_then(|text| text.parse().ok()) {
                    self.retry = Some(retry);
                    self.marked = true;
                }
            }
            _ => {}
        }
    }

    fn dispatch(&mut self, each: &mut impl FnMut(SseEvent)) {
        self.has_data = false;
        // Only now: what was cut off before its end has to be sent again.
        if let Some(id) = self.id.take() {
            self.last_id = Some(id);
            self.marked = true;
        }
        let event = std::mem::take(&mut self.event);
        if self.data.is_empty() {
            return;
        }
        let event = if event.is_empty() { "message".to_owned() } else { event };
        each(SseEvent { event, data: Bytes::from(std::mem::take(&mut self.data)) });
    }
}

/// Append one event. `data` may hold any text; `id` must hold no line end.
pub fn encode_event(out: &mut Vec<u8>, id: Option<&str>, data: &[u8]) {
    if let Some(id) = id {
        out.extend_from_slice(b"id: ");
        out.extend_from_slice(id.as_bytes());
        out.push(b'\n');
    }
    // A carriage return ends a line of the stream too; both ends are cut at, or the rest would be lost.
    for line in data.split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line)) {
        for piece in line.split(|&byte| byte == b'\r') {
            out.extend_from_slice(b"data: ");
            out.extend_from_slice(piece);
            out.push(b'\n');
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut decoder = SseDecoder::new(1 << 16);
        let mut events = Vec::new();
        for chunk in chunks {
            decoder
                .feed(chunk, |event| {
                    events.push((event.event, String::from_utf8(event.data.to_vec()).expect("UTF-8")));
                })
                .expect("below the limit");
        }
        events
    }

    fn message(data: &str) -> (String, String) {
        ("message".into(), data.into())
    }

    #[test]
    fn any_cut_gives_the_same_events() {
        let stream = "\u{feff}: hello\r\nevent: x\rdata: {\"a\":\ndata:\"é\"}\n\nid: 7\nretry: 500\ndata\n\ndata:  two\r\n\r\ndata: lost"
            .as_bytes();
        let whole = decode(&[stream]);
        assert_eq!(whole, [("x".into(), "{\"a\":\n\"é\"}".into()), message(" two")]);
        for cut in 0..stream.len() {
            assert_eq!(decode(&[&stream[..cut], &stream[cut..]]), whole, "cut at {cut}");
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(decode(&bytes), whole);
    }

    #[test]
    fn id_and_retry_are_kept_without_data() {
        let mut decoder = SseDecoder::new(100);
        decoder.feed(b"id: a\nretry: 500\ndata: \n\nretry: x\n\n", |_| panic!("no event")).expect("small");
        assert_eq!((decoder.last_event_id(), decoder.retry_ms()), (Some("a"), Some(500)));
        assert!(decoder.take_marked() && !decoder.take_marked());
        decoder.feed(b"data: x\n\n", |_| ()).expect("small");
        assert!(!decoder.take_marked());
    }

    #[test]
    fn an_event_that_was_cut_off_is_not_the_last_one() {
        let mut decoder = SseDecoder::new(100);
        decoder.feed(b"id: a\ndata: x\n\nid: b\ndata: y\n", |_| ()).expect("small");
        assert_eq!(decoder.last_event_id(), Some("a"));
        decoder.feed(b"\nid\n\n", |_| ()).expect("small");
        assert_eq!(decoder.last_event_id(), Some(""), "taken back");
    }

    #[test]
    fn an_endless_line_or_event_is_refused() {
        let mut decoder = SseDecoder::new(100);
        assert!((0..50).any(|_| decoder.feed(b"data: 12345678", |_| ()).is_err()));
        let mut decoder = SseDecoder::new(100);
        assert!((0..50).any(|_| decoder.feed(b"data: 12345678\n", |_| ()).is_err()));
    }

    #[test]
    fn what_is_encoded_is_decoded() {
        for text in ["{}", "a\nb", "a\n\nb\n", "x\r\ny"] {
            let mut out = Vec::new();
            encode_event(&mut out, Some("9"), text.as_bytes());
            assert_eq!(decode(&[&out]), [message(&text.replace("\r\n", "\n"))]);
        }
    }
}
