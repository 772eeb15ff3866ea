//! Trace context in `_meta` (2026-07-28, basic, "_meta": the keys `traceparent`, `tracestate` and `baggage`;
//! W3C Trace Context, level 1). A malformed context counts as absent: tracing never makes a request fail.

use std::borrow::Cow;
use std::fmt;

use crate::json::{self, Json};
use crate::methods::{Method, NameSource};

/// Key of the span that a request belongs to.
pub const TRACEPARENT: &str = "traceparent";
/// Key of the data of tracing systems.
pub const TRACESTATE: &str = "tracestate";
/// Key of the data that programs pass along (W3C Baggage).
pub const BAGGAGE: &str = "baggage";

/// Longest `tracestate` that is passed on, in characters; the W3C asks for at least this.
const MAX_STATE: usize = 512;
/// Most entries of a `tracestate` (W3C Trace Context, "tracestate Header Field Values").
const MAX_ENTRIES: usize = 32;

/// One span of a trace, as `traceparent` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// Never all zero.
    pub trace_id: [u8; 16],
    /// Never all zero.
    pub span_id: [u8; 8],
    /// Bit 0: the caller records this trace.
    pub flags: u8,
}

impl TraceParent {
    /// Read `version-traceid-spanid-flags`, lower-case hexadecimal. `None` where that is malformed; more fields are
    /// taken from versions after 00 only.
    pub fn parse(text: &str) -> Option<TraceParent> {
        let bytes = text.as_bytes();
        if bytes.len() < 55 || bytes[2] != b'-' || bytes[35] != b'-' || bytes[52] != b'-' {
            return None;
        }
        let [version] = hexadecimal(&bytes[..2])?;
        match (version, bytes.get(55)) {
            (0xff, _) | (0, Some(_)) => return None,
            (_, None | Some(b'-')) => {}
            _ => return None,
        }
        let trace_id: [u8; 16] = hexadecimal(&bytes[3..35])?;
        let span_id: [u8; 8] = hexadecimal(&bytes[36..52])?;
        let [flags] = hexadecimal(&bytes[53..55])?;
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(TraceParent { trace_id, span_id, flags })
    }

    /// The caller records this trace.
    pub fn sampled(&self) -> bool {
        self.flags & 1 == 1
    }
}

/// As version 00 writes it.
impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.trace_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("-")?;
        self.span_id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        write!(f, "-{:02x}", self.flags & 1)
    }
}

/// The trace context of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// The span that it belongs to.
    pub parent: TraceParent,
    /// `tracestate`; empty where absent or malformed.
    pub state: String,
}

impl TraceContext {
    /// Parses the text of a `_meta` object. `None` without a valid `traceparent`.
    pub fn of_meta(meta: &str) -> Option<TraceContext> {
        if !meta.contains(TRACEPARENT) {
            return None;
        }
        let members = json::members(meta.trim())?;
        let text = |key: &str| {
            let (_, value) = members.iter().rev().find(|(name, _)| name == key)?;
            serde_json::from_str::<String>(value.get()).ok()
        };
        let parent = TraceParent::parse(&text(TRACEPARENT)?)?;
        let state = text(TRACESTATE).filter(|state| is_state(state)).unwrap_or_default();
        Some(TraceContext { parent, state })
    }
}

/// A `_meta` object with this trace context instead of its own. `meta` may be empty. Text that is not an
/// object is returned unchanged; other code reports it.
pub fn with_context(meta: &str, context: &TraceContext) -> String {
    let text = if meta.trim().is_empty() { "{}" } else { meta.trim() };
    let Some(members) = json::members(text) else { return meta.to_owned() };
    let mut out = format!("{{\"{TRACEPARENT}\":\"{}\"", context.parent);
    if !context.state.is_empty() {
        out.push_str(&format!(",\"{TRACESTATE}\":{}", json::string(&context.state)));
    }
    for (key, value) in members {
        if key != TRACEPARENT && key != TRACESTATE {
            out.push_str(&format!(",{}:{}", json::string(&key), value.get()));
        }
    }
    out.push('}');
    out
}

/// A `_meta` object without its trace context, which does not affect the result.
pub(crate) fn without_context(meta: &Json) -> Cow<'_, str> {
    if meta.is_empty() {
        return Cow::Borrowed("");
    }
    let text = meta.as_str();
    if ![TRACEPARENT, TRACESTATE, BAGGAGE].iter().any(|key| text.contains(key)) {
        return Cow::Borrowed(text);
    }
    let members = json::members(text.trim()).unwrap_or_default();
    let kept: Vec<String> = members
        .iter()
        .filter(|(key, _)| ![TRACEPARENT, TRACESTATE, BAGGAGE].contains(&key.as_str()))
        .map(|(key, value)| format!("{}:{}", json::string(key), value.get()))
        .collect();
    if kept.is_empty() { Cow::Borrowed("") } else { Cow::Owned(format!("{{{}}}", kept.join(","))) }
}

/// The subject of a request with these parameters: the name or URI of its method; and its own `_meta`.
pub fn about(method: &Method, params: &str) -> (Option<String>, Option<String>) {
    let members = json::members(params.trim()).unwrap_or_default();
    let find = |key: &str| members.iter().find(|(name, _)| name == key).map(|(_, value)| value.get());
    let key = match method.name_source {
        Some(NameSource::Name) => find("name"),
        Some(NameSource::Uri) => find("uri"),
        Some(NameSource::TaskId) => find("taskId"),
        None => None,
    };
    (key.and_then(|name| serde_json::from_str(name).ok()), find("_meta").map(str::to_owned))
}

fn is_state(text: &str) -> bool {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    text.len() <= MAX_STATE
        && text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'))
        && entries.clone().count() <= MAX_ENTRIES
        && entries.into_iter().all(|entry| entry.split_once('=').is_some_and(|(key, _)| !key.is_empty()))
}

fn hexadecimal<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut out = [0; N];
    for (byte, pair) in out.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_is_read_and_written() {
        let parent = TraceParent::parse(PARENT).expect("valid");
        assert!(parent.sampled());
        assert_eq!(parent.to_string(), PARENT);
        let unsampled = TraceParent::parse(&PARENT.replace("-01", "-00")).expect("valid");
        assert!(!unsampled.sampled());
    }

    #[test]
    fn later_versions_may_say_more() {
        let later = PARENT.replacen("00", "01", 1);
        assert_eq!(TraceParent::parse(&later), TraceParent::parse(PARENT));
        assert_eq!(TraceParent::parse(&format!("{later}-more")), TraceParent::parse(PARENT));
        assert_eq!(TraceParent::parse(&format!("{later}more")), None);
        assert_eq!(TraceParent::parse(&format!("{PARENT}-more")), None);
    }

    #[test]
    fn what_is_malformed_is_absent() {
        let bad = [
            String::new(),
            PARENT[..54].to_owned(),
            PARENT.to_uppercase(),
            PARENT.replacen("00", "ff", 1),
            PARENT.replace('-', "_"),
            PARENT.replace('4', "g"),
            PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            format!("{}é{}", &PARENT[..30], &PARENT[32..]),
        ];
        for text in bad {
            assert_eq!(TraceParent::parse(&text), None, "{text}");
            let meta = format!(r#"{{"traceparent":{}}}"#, json::string(&text));
            assert_eq!(TraceContext::of_meta(&meta), None, "{text}");
        }
        for meta in ["", "[]", "{}", r#"{"traceparent":3}"#, r#"{"tracestate":"a=b"}"#, "{\"traceparent\""] {
            assert_eq!(TraceContext::of_meta(meta), None, "{meta}");
        }
    }

    #[test]
    fn a_bad_state_is_left_out() {
        let state = |state: &str| {
            let meta = format!(r#"{{"traceparent":"{PARENT}","tracestate":{}}}"#, json::string(state));
            TraceContext::of_meta(&meta).expect("the parent is valid").state
        };
        assert_eq!(state("rojo=00f067aa0ba902b7,congo=t61"), "rojo=00f067aa0ba902b7,congo=t61");
        for bad in ["novalue", "a=\u{e9}", &"a=b,".repeat(33), &format!("a={}", "b".repeat(600))] {
            assert_eq!(state(bad), "", "{bad}");
        }
    }

    #[test]
    fn a_context_is_replaced_and_the_rest_stays() {
        let parent = TraceParent::parse(PARENT).expect("valid");
        let mut context = TraceContext { parent, state: String::new() };
        let fresh = format!(r#"{{"traceparent":"{PARENT}"}}"#);
        assert_eq!(with_context("", &context), fresh);
        assert_eq!(with_context("{ }", &context), fresh);
        context.state = "a=b".into();
        let old = r#"{"x": 1.50,"traceparent":"bad","tracestate":"c=d","baggage":"e=f"}"#;
        assert_eq!(
            with_context(old, &context),
            format!(r#"{{"traceparent":"{PARENT}","tracestate":"a=b","x":1.50,"baggage":"e=f"}}"#)
        );
        assert_eq!(with_context("[]", &context), "[]");
        assert_eq!(without_context(&Json::from(old.to_owned())), r#"{"x":1.50}"#);
        assert_eq!(without_context(&Json::from(fresh)), "");
        assert_eq!(without_context(&Json::default()), "");
    }
}
