//! Selection of the scopes of an authorization.

use super::error::AuthError;

/// The scope that requests a refresh token; requested only if the authorization server lists it.
const OFFLINE: &str = "offline_access";

/// Scope tokens of a space-separated list, in order, each once.
///
/// [`AuthError::Malformed`] if one has a character outside RFC 6749's (visible ASCII without `"` and `\`).
pub fn split(list: &str) -> Result<Vec<String>, AuthError> {
    union(&[], list.split(' ').filter(|token| !token.is_empty()).map(str::to_owned))
}

/// `first`, followed by the scopes of `more` that it lacks. Errors as of [`split`].
pub fn union(first: &[String], more: impl IntoIterator<Item = String>) -> Result<Vec<String>, AuthError> {
    let mut all = first.to_vec();
    for token in more {
        let fine = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        if token.is_empty() || !token.bytes().all(fine) {
            return Err(AuthError::Malformed {
                what: "scope",
                reason: "it has characters that no scope may have".into(),
            });
        }
        if !all.contains(&token) {
            all.push(token);
        }
    }
    Ok(all)
}

/// The inputs of the selection.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// `scope` of the challenge.
    pub challenge: Option<&'a str>,
    /// `scopes_supported` of the protected-resource metadata.
    pub resource: Option<&'a [String]>,
    /// `scopes_supported` of the authorization server.
    pub server: Option<&'a [String]>,
    /// Scopes of earlier requests; a step-up keeps all of them.
    pub before: &'a [String],
    /// Ask for `offline_access` where the authorization server has it.
    pub offline: bool,
}

/// The scopes to ask for: those of the challenge, else all of the metadata's, else none (no `scope` parameter); with
/// those asked for before. `offline_access` is asked for only where the authorization server lists it.
pub fn select(selection: Selection<'_>) -> Result<Vec<String>, AuthError> {
    let wanted = match (selection.challenge, selection.resource) {
        (Some(list), _) if !list.trim().is_empty() => split(list)?,
        // A step-up without a list adds nothing to what was asked for.
        _ if !selection.before.is_empty() => Vec::new(),
        (_, Some(list)) => union(&[], list.iter().cloned())?,
        _ => Vec::new(),
    };
    let mut all = union(selection.before, wanted)?;
    let supported = selection.server.is_some_and(|list| list.iter().any(|scope| scope == OFFLINE));
    if !supported {
        all.retain(|scope| scope != OFFLINE);
    } else if selection.offline && !all.is_empty() && !all.iter().any(|scope| scope == OFFLINE) {
        // Alone it would narrow what the server gives by default, so it is only ever added to others.
        all.push(OFFLINE.to_owned());
    }
    Ok(all)
}

/// As the `scope` parameter; `None` leaves it out.
pub fn parameter(scopes: &[String]) -> Option<String> {
    (!scopes.is_empty()).then(|| scopes.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        let list = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let (resource, offline) = (list("a b"), list("a offline_access"));
        let none = Selection::default();
        let of = |selection| select(selection).unwrap().join(" ");
        let with = Selection { challenge: Some("x"), resource: Some(&resource), ..none };
        assert_eq!(of(with), "x");
        assert_eq!(of(Selection { resource: Some(&resource), ..none }), "a b");
        assert_eq!(of(none), "");
        let before = list("mcp:basic");
        assert_eq!(of(Selection { before: &before, ..with }), "mcp:basic x");
        assert_eq!(of(Selection { offline: true, ..with }), "x");
        assert_eq!(of(Selection { offline: true, server: Some(&offline), ..with }), "x offline_access");
        assert_eq!(of(Selection { offline: true, server: Some(&offline), ..none }), "");
        assert_eq!(of(Selection { challenge: Some("x offline_access"), ..none }), "x");
        assert!(select(Selection { challenge: Some("a \"b"), ..none }).is_err());
    }
}
