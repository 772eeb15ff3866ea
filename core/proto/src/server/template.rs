//! URI templates (RFC 6570), matched against the URIs that clients ask for.

use super::catalog::Invalid;

/// A compiled template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    Variables {
        operator: Operator,
        names: Vec<String>,
        /// It stands where a whole path does: behind `file://`.
        whole_path: bool,
    },
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

    /// Whether a text must be read to know if it fits.
    fn looks_inside(self, names: &[String]) -> bool {
        self.named() || self == Operator::Path || names.len() > 1
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
    pub(crate) fn parse(text: &str) -> Result<Template, Invalid> {
        let bad = |why: &str| Invalid(format!("URI template {text:?}: {why}"));
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
            let whole_path = operator == Operator::Reserved
                && matches!(parts.last(), Some(Part::Literal(literal)) if literal.ends_with("file://"));
            parts.push(Part::Variables { operator, names, whole_path });
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
    /// would climb out of a folder (`..` as a path segment, a path from the root or with a drive) or hold a NUL never
    /// matches; only the path of `file://{+path}` begins at the root.
    pub(crate) fn matches(&self, uri: &str) -> Option<Vec<(String, String)>> {
        let mut search = Search {
            found: Vec::new(),
            steps: MIN_STEPS.saturating_add(uri.len().saturating_mul(STEPS_PER_BYTE)),
        };
        if !search.matches(&self.parts, uri) {
            return None;
        }
        let mut variables = Vec::new();
        for Found { operator, names, whole_path, text } in search.found {
            let before = variables.len();
            assign(operator, names, text, &mut variables);
            let values = variables[before..].iter().map(|(_, value)| value);
            if values.into_iter().any(|value| climbs(value) || !whole_path && is_rooted(value)) {
                return None;
            }
        }
        Some(variables)
    }
}

/// Traversal guard: handlers join variables to paths more often than they should.
fn climbs(value: &str) -> bool {
    value.contains('\0') || value.split(['/', '\\']).any(|segment| segment == "..")
}

/// Whether joining this to the path of a folder forgets the folder: `/a`, `\a`, and the drives of Windows, `C:\a` and `C:a`.
fn is_rooted(value: &str) -> bool {
    match value.as_bytes() {
        [b'/' | b'\\', ..] => true,
        [drive, b':', ..] => drive.is_ascii_alphabetic(),
        _ => false,
    }
}

/// Where a separator can stand at many places (`{a}-{b}-{c}`), the ways to cut a URI grow with a power of its
/// length; a caller who makes one up for that is refused after this much looking.
const MIN_STEPS: usize = 1 << 20;
const STEPS_PER_BYTE: usize = 16;

/// An expression, and the text that it stands for.
struct Found<'t> {
    operator: Operator,
    names: &'t [String],
    whole_path: bool,
    text: &'t str,
}

struct Search<'t> {
    /// The expressions passed so far.
    found: Vec<Found<'t>>,
    /// Bytes that may still be looked at.
    steps: usize,
}

impl<'t> Search<'t> {
    fn matches(&mut self, parts: &'t [Part], text: &'t str) -> bool {
        let Some((part, rest)) = parts.split_first() else { return text.is_empty() };
        match part {
            Part::Literal(literal) => {
                text.strip_prefix(literal.as_str()).is_some_and(|text| self.matches(rest, text))
            }
            Part::Variables { operator, .. } => {
                self.expands(part, rest, text)
                    // An undefined expression expands to nothing.
                    || (operator.prefix() != "" && self.matches(rest, text))
            }
        }
    }

    /// Whether `text` begins with an expansion of an expression and goes on with `rest`.
    fn expands(&mut self, part: &'t Part, rest: &'t [Part], text: &'t str) -> bool {
        let &Part::Variables { operator, ref names, whole_path } = part else { return false };
        let Some(body) = text.strip_prefix(operator.prefix()) else { return false };
        let longest = body.bytes().position(|byte| {
            !operator.allows(byte)
                && byte != operator.separator() as u8
                && !(operator.named() && byte == b'=')
        });
        let longest = longest.unwrap_or(body.len());
        // The last expression ends where the text does.
        let shortest = if rest.is_empty() { body.len() } else { 0 };
        let before = self.found.len();
        self.spend(longest);
        for end in (shortest..=longest).rev() {
            if !self.spend(1) {
                break;
            }
            if !body.is_char_boundary(end) {
                continue;
            }
            // Where a literal follows, only the places where it stands can end this expression.
            if let Some(Part::Literal(literal)) = rest.first()
                && !body[end..].starts_with(literal.as_str())
            {
                continue;
            }
            if operator.looks_inside(names) {
                self.spend(end);
            }
            if fits(operator, names, &body[..end]) {
                self.found.push(Found { operator, names, whole_path, text: &body[..end] });
                if self.matches(rest, &body[end..]) {
                    return true;
                }
                self.found.truncate(before);
            }
        }
        false
    }

    /// False: that was the last.
    fn spend(&mut self, steps: usize) -> bool {
        self.steps = self.steps.saturating_sub(steps);
        self.steps > 0
    }
}

/// Whether an expression can expand to this text, its prefix aside.
fn fits(operator: Operator, names: &[String], text: &str) -> bool {
    if operator.named() {
        return pairs(operator, text).all(|(name, _)| names.iter().any(|known| known == name));
    }
    if names.len() > 1 {
        return text.split(operator.separator()).count() == names.len();
    }
    match operator {
        Operator::Path => !text.contains('/'),
        // Without a prefix of its own an empty match would make "a/{x}" match "a/".
        _ => !text.is_empty() || !operator.prefix().is_empty(),
    }
}

/// The variables of a text that [`fits`].
fn assign(operator: Operator, names: &[String], text: &str, found: &mut Vec<(String, String)>) {
    match names {
        _ if operator.named() => {
            found.extend(pairs(operator, text).map(|(name, value)| (name.to_owned(), decode(value))));
        }
        [name] => found.push((name.clone(), decode(text))),
        _ => found.extend(names.iter().cloned().zip(text.split(operator.separator()).map(decode))),
    }
}

fn pairs(operator: Operator, text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(operator.separator())
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let hex = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        // A number may have a sign, an escape may not.
        let hex = hex.filter(|hex| hex.bytes().all(|digit| digit.is_ascii_hexdigit()));
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
        case("file://{+path}", "file:///etc/hosts", "path=/etc/hosts");
        case("a://{+x}", "a://%+5%4", "x=%+5%4");
        // None of these is a path from somewhere else.
        case("a://{+x}", "a://http://b/", "x=http://b/");
        case("a://{x}", "a://1%3A2", "x=1:2");
        case("a://h{/p}", "a://h/x%2Fy", "p=x/y");
    }

    #[test]
    fn a_made_up_uri_does_not_keep_the_server_busy() {
        let long = 1 << 20;
        // Each would take a number of steps that is the square of its length at least.
        for (template, piece) in [
            ("a://{x}-{y}-{z}/end", "-"),
            ("a://{x}{y}{z}/end", "z"),
            ("a://{+path}.txt", ".txt "),
            ("a://{x,y}-{z}!", "-,"),
            ("a:/{/x}{/y}{/z}!", "/x"),
            ("a://{?x}{&y}{&z}!", "?x=1&x=1&"),
        ] {
            assert_eq!(matched(template, &format!("a://{}", piece.repeat(long / piece.len()))), None);
        }
        // What is merely long is still found.
        let long = "x".repeat(long);
        let found = matched("a://{+path}.{kind}", &format!("a://{long}.txt"));
        assert_eq!(found, Some(format!("path={long} kind=txt")));
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
            // What is joined to a folder stays in it.
            ("doc://{+path}", "doc:///etc/passwd"),
            ("doc://{+path}", "doc:////server/share"),
            ("doc://{path}", "doc://%2Fetc%2Fpasswd"),
            ("doc://{path}", "doc://%5Cetc"),
            ("doc://{+path}", "doc://C:/Windows"),
            ("doc://{path}", "doc://c%3Afile"),
            ("doc://h{/path}", "doc://h/%2Fetc"),
            ("doc://h{#path}", "doc://h#/etc"),
            ("doc://h{?path}", "doc://h?path=%2Fetc"),
            ("doc://{a,b}", "doc://x,%2Fetc"),
            ("file:///{+path}", "file:////etc/passwd"),
            ("file://{+path}", "file:///srv/../etc/passwd"),
            ("file://{path}", "file://%2Fetc"),
        ] {
            assert_eq!(matched(template, uri), None, "{template} {uri}");
        }
        for bad in ["a://{", "a://}", "a://{}", "a://{a b}", "x}{y}"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}
