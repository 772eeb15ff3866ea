//! The JSON-RPC 2.0 envelope as MCP uses it: objects only, ids that are strings or integers, never null
//! (2026-07-28, basic, "Messages").

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::{ErrorKind, RpcError};
use crate::json;
use crate::limits::{Limits, exceeds_depth};

/// Most digits of an id that is a number.
const MAX_DIGITS: usize = 64;

/// A request id as its JSON text, so that it is echoed as it came: `1` and `"1"` are different ids, `1` and `1.0` are one.
#[derive(Debug, Clone)]
pub struct Id(Box<str>);

impl PartialEq for Id {
    fn eq(&self, other: &Id) -> bool {
        self.value() == other.value()
    }
}

impl Eq for Id {}

impl std::hash::Hash for Id {
    fn hash<S: std::hash::Hasher>(&self, state: &mut S) {
        self.value().hash(state);
    }
}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Id) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Id) -> std::cmp::Ordering {
        self.value().cmp(other.value())
    }
}

impl Id {
    /// An id of our own making.
    pub fn number(value: u64) -> Id {
        Id(value.to_string().into())
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }

    /// The value of an id made by [`Id::number`]. Peers are known to give it back as a string, or with a fraction of zero.
    pub fn as_number(&self) -> Option<u64> {
        let text = self.0.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        text.unwrap_or(self.value()).parse().ok()
    }

    /// The identity of the id: an integer without the fraction that some peers add.
    fn value(&self) -> &str {
        match self.0.split_once('.') {
            Some((integer, _)) if !self.0.starts_with('"') => integer,
            _ => &self.0,
        }
    }

    /// Accepts a string or an integer, which may be written as `5.0`; one of very many digits is a number that peers could
    /// not read back.
    pub fn from_json(text: &str) -> Option<Id> {
        let number = text.strip_prefix('-').unwrap_or(text);
        let (digits, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let integer = (1..=MAX_DIGITS).contains(&number.len())
            && !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !fraction.is_empty()
            && fraction.bytes().all(|byte| byte == b'0');
        (integer || text.starts_with('"')).then(|| Id(text.into()))
    }
}

/// A frame without a leading byte order mark, which some peers send (RFC 8259, 8.1 lets a parser ignore it).
pub(crate) fn without_mark(frame: &[u8]) -> &[u8] {
    frame.strip_prefix(b"\xef\xbb\xbf").unwrap_or(frame)
}

/// One message, borrowed from the frame it came in.
#[derive(Debug)]
pub enum Message<'a> {
    /// Wants an answer.
    Request {
        /// Its id.
        id: Id,
        /// Its method.
        method: Cow<'a, str>,
        /// Its parameters: an object, if present.
        params: Option<&'a RawValue>,
    },
    /// Wants none.
    Notification {
        /// Its method.
        method: Cow<'a, str>,
        /// Its parameters: an object, if present.
        params: Option<&'a RawValue>,
    },
    /// A response to a request of this side. `id` is `None` if the peer could not read the request's.
    Response {
        /// The id of the request.
        id: Option<Id>,
        /// The result or the error.
        result: Result<&'a RawValue, RpcError>,
    },
}

/// A frame that is no message, and the error to answer with.
#[derive(Debug)]
pub struct Malformed {
    /// The id, where it could be read.
    pub id: Option<Id>,
    /// The fault.
    pub error: RpcError,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "json::present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "json::present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "json::present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "json::present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "json::present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default)]
    error: Option<ErrorBody<'a>>,
}

#[derive(Deserialize)]
struct ErrorBody<'a> {
    code: i64,
    #[serde(default, borrow)]
    message: Cow<'a, str>,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

/// The id of a message that is not read as a whole, or of its beginning: with it the peer learns which of its
/// messages was refused.
pub(crate) fn salvage_id(frame: &[u8]) -> Option<Id> {
    let (mut depth, mut at) = (0_usize, 0);
    while let Some(byte) = frame.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            b'"' => {
                let end = string_end(frame, at)?;
                // A string before a colon is a key.
                let rest = frame[end..].trim_ascii_start();
                if depth == 1
                    && &frame[at..end] == br#""id""#
                    && let Some(value) = rest.strip_prefix(b":")
                {
                    let value = value.trim_ascii_start();
                    let length = match value.first()? {
                        b'"' => string_end(value, 0)?,
                        _ => value
                            .iter()
                            .position(|byte| matches!(byte, b',' | b'}') || byte.is_ascii_whitespace())?,
                    };
                    let text = std::str::from_utf8(&value[..length]).ok()?;
                    // No parser has seen it yet, and it will be echoed.
                    serde_json::from_str::<serde::de::IgnoredAny>(text).ok()?;
                    return Id::from_json(text);
                }
                at = end;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The id of a response that is not JSON, so that its request can fail immediately.
pub(crate) fn salvage_answer(frame: &[u8]) -> Option<Id> {
    let has = |key: &[u8]| frame.windows(key.len()).any(|window| window == key);
    if has(br#""result""#) || has(br#""error""#) { salvage_id(frame) } else { None }
}

/// Describes the point where a frame stops being JSON, for an error message; `None` if it is JSON, or not
/// text.
pub(crate) fn fault(frame: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(without_mark(frame)).ok()?;
    let error = serde_json::from_str::<serde::de::IgnoredAny>(text).err()?;
    let line = text.lines().nth(error.line().checked_sub(1)?)?;
    let near: Vec<char> = line.get(error.column().saturating_sub(1)..)?.chars().take(20).collect();
    (!near.is_empty()).then(|| near.into_iter().filter(|c| !c.is_control()).collect())
}

/// Returns the end of the string that begins at `start`.
fn string_end(text: &[u8], start: usize) -> Option<usize> {
    let mut at = start + 1;
    loop {
        match text.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
}

/// Most messages of one batch.
const MAX_BATCH: usize = 100;

/// Returns true if a frame holds a batch: an array.
pub(crate) fn is_batch(frame: &[u8]) -> bool {
    without_mark(frame).trim_ascii_start().first() == Some(&b'[')
}

/// The messages of a batch, unread (2025-03-26, "Batching").
pub(crate) fn batch(frame: &Bytes, limits: &Limits) -> Result<Vec<Bytes>, Malformed> {
    let invalid =
        |message: String| Malformed { id: None, error: RpcError::new(ErrorKind::InvalidRequest, message) };
    if frame.len() > limits.message_bytes {
        return Err(invalid(format!("message exceeds {} bytes", limits.message_bytes)));
    }
    if exceeds_depth(frame, limits.depth) {
        return Err(invalid(format!("message nests deeper than {}", limits.depth)));
    }
    let messages: Vec<&RawValue> = serde_json::from_slice(without_mark(frame)).map_err(|_| Malformed {
        id: None,
        error: RpcError::new(ErrorKind::ParseError, "message is not valid JSON"),
    })?;
    if messages.is_empty() || messages.len() > MAX_BATCH {
        return Err(invalid(format!("a batch holds 1 to {MAX_BATCH} messages")));
    }
    Ok(messages.into_iter().map(|message| frame.slice_ref(message.get().as_bytes())).collect())
}

/// Several messages as one batch.
pub fn join(messages: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = vec![b'['];
    for message in messages {
        if out.len() > 1 {
            out.push(b',');
        }
        out.extend_from_slice(message.as_ref());
    }
    out.push(b']');
    out
}

/// Read one frame.
pub fn parse<'a>(frame: &'a [u8], limits: &Limits) -> Result<Message<'a>, Malformed> {
    let malformed =
        |id: Option<Id>, kind, message: String| Malformed { id, error: RpcError::new(kind, message) };
    if frame.len() > limits.message_bytes {
        let message = format!("message exceeds {} bytes", limits.message_bytes);
        return Err(malformed(salvage_id(frame), ErrorKind::InvalidRequest, message));
    }
    let frame = without_mark(frame);
    let text = std::str::from_utf8(frame)
        .map_err(|_| malformed(None, ErrorKind::ParseError, "message is not UTF-8".into()))?;
    if exceeds_depth(frame, limits.depth) {
        let message = format!("message nests deeper than {}", limits.depth);
        return Err(malformed(salvage_id(frame), ErrorKind::InvalidRequest, message));
    }
    if text.trim_start().starts_with('[') {
        return Err(malformed(
            None,
            ErrorKind::InvalidRequest,
            "batches exist in revision 2025-03-26 only, after its handshake".into(),
        ));
    }
    let envelope: Envelope<'a> = serde_json::from_str(text).map_err(|error| match error.classify() {
        // Its text is JSON as far as it was read: the peer learns which of its messages, or whose answer, is none.
        serde_json::error::Category::Data => malformed(
            salvage_id(frame),
            ErrorKind::InvalidRequest,
            format!("invalid message: {}", json::complaint(&error)),
        ),
        _ => malformed(None, ErrorKind::ParseError, "message is not valid JSON".into()),
    })?;

    let id = match envelope.id {
        None => None,
        Some(raw) => match Id::from_json(raw.get()) {
            Some(id) => Some(id),
            // A response to a request whose id the peer could not read has the id null.
            None if raw.get() == "null" && envelope.method.is_none() => None,
            None => {
                let message = format!("id must be a string or an integer, of {MAX_DIGITS} digits at most");
                return Err(malformed(None, ErrorKind::InvalidRequest, message));
            }
        },
    };
    if envelope.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
        return Err(malformed(id, ErrorKind::InvalidRequest, "jsonrpc must be \"2.0\"".into()));
    }
    if let Some(method) = envelope.method {
        let Ok(method) = serde_json::from_str::<Borrowed<'a>>(method.get()) else {
            return Err(malformed(id, ErrorKind::InvalidRequest, "method must be a string".into()));
        };
        // Some peers write null for none, and of notifications, which nobody can refuse, an empty array.
        let empty = |params: &&RawValue| match params.get().strip_prefix('[') {
            Some(rest) => id.is_none() && rest.trim_start() == "]",
            None => params.get() == "null",
        };
        let params = envelope.params.filter(|params| !empty(params));
        if params.is_some_and(|params| !params.get().starts_with('{')) {
            return Err(malformed(id, ErrorKind::InvalidRequest, "params must be an object".into()));
        }
        return Ok(match id {
            Some(id) => Message::Request { id, method: method.0, params },
            None => Message::Notification { method: method.0, params },
        });
    }
    match (envelope.result, envelope.error) {
        (Some(result), None) => Ok(Message::Response { id, result: Ok(result) }),
        // With a result of null beside it too: the error is what was meant.
        (_, Some(error)) => Ok(Message::Response {
            id,
            result: Err(RpcError { code: error.code, message: error.message.into_owned(), data: error.data }),
        }),
        _ => Err(malformed(
            id,
            ErrorKind::InvalidRequest,
            "message has neither a method nor one of result and error".into(),
        )),
    }
}

#[derive(Deserialize)]
struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);

/// Encodes a request.
pub fn request(id: &Id, method: &str, params: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(48 + method.len() + params.len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_json().as_bytes());
    push_method(&mut out, method, params);
    one_line(out)
}

/// Encodes a notification.
pub fn notification(method: &str, params: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(40 + method.len() + params.len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    push_method(&mut out, method, params);
    one_line(out)
}

/// A frame as one line: line ends in it become spaces. In valid JSON a raw line end can only be white space between tokens,
/// and on a byte stream, as in an event stream, it would end the frame.
pub(crate) fn one_line(mut frame: Vec<u8>) -> Vec<u8> {
    for byte in &mut frame {
        // Written back in any case: so it is done for many bytes at a time, some six times as fast.
        *byte = if matches!(*byte, b'\n' | b'\r') { b' ' } else { *byte };
    }
    frame
}

fn push_method(out: &mut Vec<u8>, method: &str, params: &str) {
    out.extend_from_slice(b",\"method\":");
    json::push_string(out, method);
    if !params.is_empty() {
        out.extend_from_slice(b",\"params\":");
        out.extend_from_slice(params.as_bytes());
    }
    out.push(b'}');
}

/// A response with this result.
pub fn response(id: &Id, result: &[u8]) -> Vec<u8> {
    let mut out = response_start(id, result.len());
    out.extend_from_slice(result);
    response_end(out)
}

/// The beginning of a response; the result's JSON and [`response_end`] follow.
pub(crate) fn response_start(id: &Id, capacity: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(capacity + 48 + id.as_json().len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.as_json().as_bytes());
    out.extend_from_slice(b",\"result\":");
    out
}

/// Ends a response after its result.
pub(crate) fn response_end(mut response: Vec<u8>) -> Vec<u8> {
    response.push(b'}');
    one_line(response)
}

/// An error response. Where the id of the request could not be read it has none: the schema allows an absent
/// id but not a null one.
pub fn error(id: Option<&Id>, error: &RpcError) -> Vec<u8> {
    let mut out = Vec::with_capacity(96 + error.message.len());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\"");
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id.as_json().as_bytes());
    }
    out.extend_from_slice(b",\"error\":");
    out.extend_from_slice(error_object(error).as_bytes());
    out.push(b'}');
    one_line(out)
}

/// The `error` member alone.
pub fn error_object(error: &RpcError) -> String {
    let data = error.data.as_ref().map(|data| format!(",\"data\":{}", data.get())).unwrap_or_default();
    format!("{{\"code\":{},\"message\":{}{data}}}", error.code, json::string(&error.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(frame: &str) -> (Option<String>, i64) {
        let malformed = parse(frame.as_bytes(), &Limits::default()).expect_err("malformed");
        (malformed.id.map(|id| id.as_json().to_owned()), malformed.error.code)
    }

    #[test]
    fn an_id_is_found_in_what_is_not_read() {
        let id = |text: &str| salvage_id(text.as_bytes()).map(|id| id.as_json().to_owned());
        assert_eq!(id(r#"{"jsonrpc":"2.0","id":7,"params":[[[["#), Some("7".into()));
        assert_eq!(
            id(r#"{ "params" : {"id": 1, "a": "\"id\":2"}, "id" : "x\"y" , "#),
            Some(r#""x\"y""#.into())
        );
        // What is cut off, is not at the top, is a value, or is no id, is none.
        for text in [
            r#"{"id":12"#,
            r#"{"id":"ab"#,
            r#"{"id""#,
            r#"{"id":"#,
            r#"{"a":{"id":1}}"#,
            r#"{"a":"id","b":1}"#,
            "id",
            r#"[{"id":1}]"#,
            r#"{"id":1.5}"#,
            r#"{"id":null}"#,
            r#"{"id":007}"#,
            r#"{"id":"\q"}"#,
            "{\"id\":\"\0\"}",
            r#"}{"id":1}"#,
            "",
            "{",
            "\"\\",
        ] {
            assert_eq!(id(text), None, "{text}");
        }
    }

    #[test]
    fn malformed_frames_get_the_code_of_their_fault() {
        assert_eq!(code("{"), (None, -32700));
        assert_eq!(code("nope"), (None, -32700));
        assert_eq!(code("[]"), (None, -32600));
        assert_eq!(code("3"), (None, -32600));
        assert_eq!(code(r#"{"jsonrpc":"1.0","id":7,"method":"x"}"#), (Some("7".into()), -32600));
        assert_eq!(code(r#"{"id":"a","method":"x"}"#), (Some("\"a\"".into()), -32600));
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#), (None, -32600));
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#), (None, -32600));
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1,"method":5}"#), (Some("1".into()), -32600));
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1,"method":"x","params":[]}"#), (Some("1".into()), -32600));
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":1}"#), (Some("1".into()), -32600));
        // A member of the wrong shape, or one too many, does not take the id away.
        for members in [
            r#""error":{"code":"E1","message":"x"}"#,
            r#""error":{"code":1.0,"message":"x"}"#,
            r#""error":{"code":1,"message":null}"#,
            r#""error":{"id":4}"#,
            r#""method":"x","method":"x""#,
            r#""method":"x","params":{"id":4},"params":{}"#,
        ] {
            let expected = (Some("3".to_owned()), -32600);
            assert_eq!(code(&format!(r#"{{"jsonrpc":"2.0","id":3,{members}}}"#)), expected, "{members}");
            assert_eq!(code(&format!(r#"{{{members},"id":3,"jsonrpc":"2.0"}}"#)), expected, "{members}");
        }
        assert_eq!(code(r#"{"jsonrpc":"2.0","id":null,"error":{"code":"E1"}}"#), (None, -32600));
        let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(
            code(&format!(r#"{{"jsonrpc":"2.0","id":1,"method":"x","params":{{"a":{deep}}}}}"#)),
            (Some("1".into()), -32600)
        );
        assert!(parse(&vec![b' '; 5 << 20], &Limits::default()).is_err());
        assert!(parse(b"\xff\xfe", &Limits::default()).is_err());
    }

    #[test]
    fn ids_keep_their_type_and_text() {
        for id in ["0", "-5", "\"a\\u0041\"", "12345678901234567890123", "5.0", "-3.000", "\"5.0\""] {
            let frame = format!(r#"{{"method":"x","id":{id},"jsonrpc":"2.0"}}"#);
            let Ok(Message::Request { id: parsed, .. }) = parse(frame.as_bytes(), &Limits::default()) else {
                panic!("{id} is a valid id");
            };
            assert_eq!(parsed.as_json(), id);
        }
    }

    #[test]
    fn an_integer_is_one_id_however_it_is_written() {
        let id = |text| Id::from_json(text);
        assert_eq!(id("3.0"), id("3"));
        assert_eq!(id("3.0").and_then(|id| id.as_number()), Some(3));
        assert_ne!(id("\"3\""), id("3"));
        assert_ne!(id("\"3.0\""), id("\"3\""));
        for none in ["3.", ".0", "3.1", "3.01", "-", "-.0", "3.0.0", "", "null", "true"] {
            assert_eq!(id(none), None, "{none}");
        }
    }

    #[test]
    fn null_parameters_are_none() {
        for (frame, request) in [
            (r#"{"jsonrpc":"2.0","id":1,"method":"x","params":null}"#, true),
            (r#"{"jsonrpc":"2.0","method":"x","params": null }"#, false),
        ] {
            match parse(frame.as_bytes(), &Limits::default()) {
                Ok(Message::Request { params: None, .. }) if request => {}
                Ok(Message::Notification { params: None, .. }) if !request => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        let frame = "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"x\"}";
        assert!(matches!(parse(frame.as_bytes(), &Limits::default()), Ok(Message::Request { .. })));
        let many = Bytes::from(format!("\u{feff}[{}]", frame.trim_start_matches('\u{feff}')));
        assert!(is_batch(&many));
        assert_eq!(batch(&many, &Limits::default()).expect("a batch").len(), 1);
        // One, and at the beginning.
        assert_eq!(code("\u{feff}\u{feff}{}"), (None, -32700));
    }

    #[test]
    fn what_is_written_is_read_back() {
        let written = error(None, &RpcError::new(ErrorKind::ParseError, "bad \"x\"").with_data(1));
        match parse(&written, &Limits::default()) {
            Ok(Message::Response { id: None, result: Err(error) }) => {
                assert_eq!((error.code, error.message.as_str()), (-32700, "bad \"x\""));
            }
            other => panic!("{other:?}"),
        }
        let written = request(&Id::number(3), "a/b", "{}");
        assert_eq!(written, br#"{"jsonrpc":"2.0","id":3,"method":"a/b","params":{}}"#);
    }

    #[test]
    fn every_frame_is_one_line_whatever_json_goes_into_it() {
        let pretty = "{\n\t\"a\": [\r\n 1,\r 2 ],\n\"b\": \"x\\ny\"\n}\n";
        let data = RawValue::from_string(pretty.trim().to_owned()).expect("JSON");
        let fault = RpcError { code: 1, message: "a\nb".into(), data: Some(data) };
        let id = Id::number(1);
        for frame in [
            request(&id, "m", pretty),
            notification("m", pretty),
            response(&id, pretty.as_bytes()),
            error(Some(&id), &fault),
            error(None, &fault),
            join(&[notification("m", pretty), error(None, &fault)]),
        ] {
            let text = String::from_utf8(frame).expect("UTF-8");
            assert!(!text.contains(['\n', '\r']), "{text}");
            assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
            assert!(text.contains("a\\nb") || text.contains("x\\ny"), "texts keep their line ends: {text}");
        }
    }
}
