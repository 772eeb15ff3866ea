//! Raw JSON that passes through unchanged, and helpers that write JSON text.

use bytes::Bytes;
use serde_json::value::RawValue;

/// JSON text that shares the buffer of the message it came in. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Json(Bytes);

impl Json {
    /// Text that is known to be JSON.
    pub fn from_static(text: &'static str) -> Json {
        Json(Bytes::from_static(text.as_bytes()))
    }

    /// Share the part of `frame` that `raw` borrows from it.
    pub(crate) fn share(frame: &Bytes, raw: &RawValue) -> Json {
        Json(frame.slice_ref(raw.get().as_bytes()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when the message was parsed")
    }

    /// The text's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for no text at all (which is not JSON): a member that was absent.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Json {
    fn from(text: String) -> Json {
        Json(Bytes::from(text))
    }
}

impl std::fmt::Debug for Json {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Append `text` as a JSON string.
pub fn push_string(out: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(out, text).expect("writing a string to memory cannot fail");
}

/// `text` as a JSON string.
pub fn string(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

/// The members of a JSON object in their order, values untouched; `None` if it is not an object.
pub fn members(object: &str) -> Option<Vec<(String, &RawValue)>> {
    struct Members<'a>(Vec<(String, &'a RawValue)>);
    impl<'de> serde::Deserialize<'de> for Members<'de> {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Visitor;
            impl<'de> serde::de::Visitor<'de> for Visitor {
                type Value = Members<'de>;
                fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                    f.write_str("an object")
                }
                fn visit_map<A: serde::de::MapAccess<'de>>(
                    self,
                    mut map: A,
                ) -> Result<Self::Value, A::Error> {
                    let mut members = Vec::new();
                    while let Some(entry) = map.next_entry::<String, &'de RawValue>()? {
                        members.push(entry);
                    }
                    Ok(Members(members))
                }
            }
            deserializer.deserialize_map(Visitor)
        }
    }
    serde_json::from_str::<Members<'_>>(object).ok().map(|members| members.0)
}

/// Deserialize a member that is present, `null` included, into `Some`.
pub(crate) fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    serde::Deserialize::deserialize(deserializer).map(Some)
}

/// The message of serde for invalid data, without the position in our buffer.
pub fn complaint(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
