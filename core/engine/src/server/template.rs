//! URI templates (RFC 6570), matched against the URIs that clients ask for.

use crate::error::Error;

/// A compiled template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Variables { operator: Operator, names: Vec<String> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Simple,
    Reserved,
    Fragment,
    Label,
    Path,
    Parameter,
    Query,
    Continuation,
}

impl Operator {
    fn prefix(self) -> &'static str {
        match self {
            Operator::Simple | Operator::Reserved => "",
            Operator::Fragment => "#",
            Operator::Label => ".",
            Operator::Path => "/",
            Operator::Parameter => ";",
            Operator::Query => "?",
            Operator::Continuation => "&",
        }
    }

    fn separator(self) -> char {
        match self {
            Operator::Simple | Operator::Reserved | Operator::Fragment => ',',
            Operator::Label => '.',
            Operator::Path => '/',
            Operator::Parameter => ';',
            Operator::Query | Operator::Continuation => '&',
        }
    }

    /// `name=value` pairs instead of values.
    fn named(self) -> bool {
        matches!(self, Operator::Parameter | Operator::Query | Operator::Continuation)
    }

    fn allows(self, byte: u8) -> bool {
        match self {
            Operator::Reserved | Operator::Fragment => true,
            _ => byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte) || byte >= 0x80,
        }
    }
}

impl Template {
    /// Compile, or say what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Template, Error> {
        let bad = |why: &str| Error::usage(format!("URI template {text:?}: {why}"));
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            if rest[..open].contains('}') {
                return Err(bad("unbalanced braces"));
            }
            if open > 0 {
                parts.push(Part::Literal(rest[..open].to_owned()));
            }
            let close = rest[open..].find('}').ok_or_else(|| bad("unbalanced braces"))? + open;
            let mut expression = &rest[open + 1..close];
            let operator = match expression.bytes().next() {
                Some(b'+') => Operator::Reserved,
                Some(b'#') => Operator::Fragment,
                Some(b'.') => Operator::Label,
                Some(b'/') => Operator::Path,
                Some(b';') => Operator::Parameter,
                Some(b'?') => Operator::Query,
                Some(b'&') => Operator::Continuation,
                _ => Operator::Simple,
            };
            if operator != Operator::Simple {
                expression = &expression[1..];
            }
            let mut names = Vec::new();
            for name in expression.split(',') {
                let name = name.trim_end_matches('*');
                let name = name.split_once(':').map_or(name, |(name, _)| name);
                let valid = !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.%".contains(&b));
                if !valid {
                    return Err(bad("a variable name may have letters, digits, '_', '.' and '%' only"));
                }
                names.push(name.to_owned());
            }
            parts.push(Part::Variables { operator, names });
            rest = &rest[close + 1..];
        }
        if rest.contains('}') {
            return Err(bad("unbalanced braces"));
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Template { parts })
    }

    /// The variables of a URI, percent-decoded, or `None` where it does not match. A URI whose variables
    /// would climb out of a folder (`..` as a path segment) or hold a NUL never matches.
    pub(crate) fn matches(&self, uri: &str) -> Option<Vec<(String, String)>> {
        let mut found = Vec::new();
        let matched =
            match_parts(&self.parts, uri, &mut found) && found.iter().all(|(_, value)| is_safe(value));
        matched.then_some(found)
    }
}

/// Traversal guard: handlers join variables to paths more often than they should.
fn is_safe(value: &str) -> bool {
    !value.contains('\0') && !value.split(['/', '\\']).any(|segment| segment == "..")
}

fn match_parts(parts: &[Part], text: &str, found: &mut Vec<(String, String)>) -> bool {
    let Some((part, rest)) = parts.split_first() else { return text.is_empty() };
    match part {
        Part::Literal(literal) => {
            text.strip_prefix(literal.as_str()).is_some_and(|text| match_parts(rest, text, found))
        }
        Part::Variables { operator, names } => {
            let before = found.len();
            // An undefined expression expands to nothing.
            let Some(body) = text.strip_prefix(operator.prefix()) else {
                return operator.prefix() != "" && match_parts(rest, text, found);
            };
            // Where a literal follows, only the places where it stands can end this expression.
            let longest = body.bytes().position(|byte| {
                !operator.allows(byte)
                    && byte != operator.separator() as u8
                    && !(operator.named() && byte == b'=')
            });
            let longest = longest.unwrap_or(body.len());
            for end in (0..=longest).rev() {
                if !body.is_char_boundary(end) {
                    continue;
                }
                if let Some(Part::Literal(literal)) = rest.first()
                    && !body[end..].starts_with(literal.as_str())
                {
                    continue;
                }
                found.truncate(before);
                if assign(*operator, names, &body[..end], found) && match_parts(rest, &body[end..], found) {
                    return true;
                }
            }
            found.truncate(before);
            operator.prefix() != "" && match_parts(rest, text, found)
        }
    }
}

fn assign(operator: Operator, names: &[String], text: &str, found: &mut Vec<(String, String)>) -> bool {
    if operator.named() {
        for pair in text.split(operator.separator()).filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !names.iter().any(|known| known == name) {
                return false;
            }
            found.push((name.to_owned(), decode(value)));
        }
        return true;
    }
    if let [name] = names {
        // Without a prefix of its own an empty match would make "a/{x}" match "a/".
        if text.is_empty() && operator.prefix().is_empty() {
            return false;
        }
        if operator == Operator::Path && text.contains('/') {
            return false;
        }
        found.push((name.clone(), decode(text)));
        return true;
    }
    let values: Vec<&str> = text.split(operator.separator()).collect();
    if values.len() != names.len() {
        return false;
    }
    found.extend(names.iter().cloned().zip(values.into_iter().map(decode)));
    true
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(template: &str, uri: &str) -> Option<String> {
        let found = Template::parse(template).expect("valid").matches(uri)?;
        Some(found.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn expressions_match_what_they_expand_to() {
        let case = |template, uri, expected: &str| {
            assert_eq!(matched(template, uri).as_deref(), Some(expected), "{template} {uri}")
        };
        case("test://template/{id}/data", "test://template/42/data", "id=42");
        case("doc://{path}", "doc://docs%2Fadr%2F1.md", "path=docs/adr/1.md");
        case("doc://{+path}", "doc://docs/adr/1.md", "path=docs/adr/1.md");
        case("a://{x,y}", "a://1,2", "x=1 y=2");
        case("a://h{/p}{?q,r}", "a://h/x?q=1&r=%20", "p=x q=1 r= ");
        case("a://h{/p}{?q,r}", "a://h", "");
        case("a://{x}.{y}", "a://b.c", "x=b y=c");
        case("file:///{+path}{#frag}", "file:///a/b#c", "path=a/b#c");
    }

    #[test]
    fn others_do_not_match() {
        for (template, uri) in [
            ("test://template/{id}/data", "test://template//data"),
            ("test://template/{id}/data", "test://template/1/2/data"),
            ("a://{x}", "a://b?c"),
            ("a://{+path}", "a://x/../../etc/passwd"),
            ("a://{path}", "a://..%2Fetc"),
            ("a://{path}", "a://%00"),
        ] {
            assert_eq!(matched(template, uri), None, "{template} {uri}");
        }
        for bad in ["a://{", "a://}", "a://{}", "a://{a b}", "x}{y}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
