//! Reading what servers answer.

use std::borrow::Cow;

use serde::Deserialize;

use super::error::{ClientError, kind};
use crate::error::{ErrorKind, RpcError};
use crate::json::{self, Json};

/// Whether a result is complete, or asks for input. One without a `resultType` is complete (2026-07-28, basic,
/// "Results").
pub(super) fn is_complete(result: &Json) -> Result<bool, ClientError> {
    const COMPLETE: &str = r#""resultType":"complete""#;
    let text = result.as_str();
    // Such a text cannot stand inside a string, and at these places it can only be a member of the top level.
    let plain = text.strip_prefix('{').is_some_and(|inner| inner.starts_with(COMPLETE))
        || text.strip_suffix('}').is_some_and(|inner| inner.ends_with(COMPLETE));
    if plain {
        return Ok(true);
    }
    #[derive(Deserialize)]
    struct Typed<'a> {
        #[serde(rename = "resultType", borrow, default)]
        result_type: Option<Cow<'a, str>>,
    }
    let protocol = |complaint: String| Err(ClientError::local(kind::PROTOCOL, complaint));
    if !text.starts_with('{') {
        return protocol("the result is no object".into());
    }
    match serde_json::from_str::<Typed<'_>>(text)
        .map(|typed| typed.result_type)
        .as_ref()
        .map(Option::as_deref)
    {
        Ok(None | Some("complete")) => Ok(true),
        Ok(Some("input_required")) => Ok(false),
        Ok(Some(other)) => protocol(format!(
            "the server answered with a result of type {other:?}, which this client cannot take"
        )),
        Err(_) => protocol("the result's resultType is no string".into()),
    }
}

pub(super) fn check_meta(meta: &Json) -> Result<(), ClientError> {
    if meta.is_empty() || json::members(meta.as_str().trim()).is_some() {
        return Ok(());
    }
    Err(ClientError::local(kind::USAGE, "meta must be a JSON object"))
}

/// The modern form of "no such resource": invalid params whose data hold the URI (2026-07-28, resources, "Error
/// Handling"). Hosts get one kind for it in every era.
pub(super) fn names_a_uri(error: &RpcError) -> bool {
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow, rename = "uri")]
        _uri: Cow<'a, str>,
    }
    let data = error.data.as_ref().map(|data| serde_json::from_str::<Data<'_>>(data.get()));
    error.kind() == ErrorKind::InvalidParams && data.is_some_and(|data| data.is_ok())
}
