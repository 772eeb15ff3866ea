//! URI templates (RFC 6570), matched against requested URIs.

use std::borrow::Cow;

use super::catalog::Invalid;

/// A compiled template.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone)]
enum Part {
    /// In its [`canonical`] form.
    Literal(String),
    Variables {
        operator: Operator,
        names: Vec<String>,
        /// True if the variable is a whole path: after `file://`.
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

    fn allows(self, byte: u8, reading: Reading) -> bool {
        match self {
            Operator::Reserved | Operator::Fragment => true,
            _ if byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte) => true,
            _ if reading == Reading::Exact => false,
            Operator::Query | Operator::Continuation => b"!$&'()*+,;=:@/?".contains(&byte),
            _ => b"!$&'()*+,;=:@".contains(&byte),
        }
    }
}

/// Decoding of a variable's characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As RFC 6570 expands it: reserved characters of values are percent-encoded.
    Exact,
    /// As people write it: with the reserved characters that a segment of a path, or a query, may hold (RFC 3986, 3.3 and 3.4).
    Lenient,
}

/// Steps of matching that are left to one request: about one for each byte of a URI and part of a template.
#[derive(Debug)]
pub(crate) struct Steps(usize);

/// Most steps of one request.
pub(crate) const MAX_STEPS: usize = 8 << 20;

impl Steps {
    pub(crate) fn new() -> Steps {
        Steps(MAX_STEPS)
    }

    /// Returns true if that many steps were left.
    fn take(&mut self, steps: usize) -> bool {
        let left = self.0.checked_sub(steps);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }

    /// Returns true if a template was skipped because no steps were left.
    pub(crate) fn are_spent(&self) -> bool {
        self.0 == 0
    }
}

/// A URI, or a part of one, in its canonical form (RFC 3986, 6.2.2): characters that a URI cannot contain are
/// percent-encoded, unreserved ones are not, hexadecimal digits are capitals. Its variables decode to the
/// same values.
pub(crate) fn canonical(text: &str) -> Cow<'_, str> {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let reserved = |byte: u8| b":/?#[]@!$&'()*+,;=".contains(&byte);
    if text.bytes().all(|byte| unreserved(byte) || reserved(byte)) {
        return Cow::Borrowed(text);
    }
    let bytes = text.as_bytes();
    let mut out = String::with_capacity(text.len() + 16);
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match escape(&bytes[at..]) {
            Some(decoded) => {
                if unreserved(decoded) {
                    out.push(decoded.into());
                } else {
                    out.push_str(&format!("%{decoded:02X}"));
                }
                at += 3;
            }
            None => {
                if unreserved(byte) || reserved(byte) {
                    out.push(byte.into());
                } else {
                    out.push_str(&format!("%{byte:02X}"));
                }
                at += 1;
            }
        }
    }
    Cow::Owned(out)
}

/// The byte of the percent-encoding that a text begins with.
fn escape(text: &[u8]) -> Option<u8> {
    let [b'%', high, low, ..] = text else { return None };
    // A number may have a sign, an escape may not.
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

impl Template {
    /// Compiles a template; the error describes the fault.
    pub(crate) fn parse(text: &str) -> Result<Template, Invalid> {
        let bad = |why: &str| Invalid(format!("URI template {text:?}: {why}"));
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            if rest[..open].contains('}') {
                return Err(bad("unbalanced braces"));
            }
            if open > 0 {
                parts.push(Part::Literal(canonical(&rest[..open]).into_owned()));
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
            parts.push(Part::Literal(canonical(rest).into_owned()));
        }
        Ok(Template { parts })
    }

    /// The variables of a [`canonical`] URI, percent-decoded, or `None` if it does not match. A URI whose
    /// variables would leave a folder (`..` as a path segment, an absolute path or one with a drive) or
    /// contain a NUL never matches; only the path of `file://{+path}` begins at the root.
    pub(crate) fn matches(
        &self,
        uri: &str,
        reading: Reading,
        steps: &mut Steps,
    ) -> Option<Vec<(String, String)>> {
        let mut variables = Vec::new();
        let found = Search { uri, reading }.run(&self.parts, steps)?;
        for Found { operator, names, whole_path, text } in found {
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

/// Returns true if joining this to the path of a folder discards the folder: `/a`, `\a`, and the drives of
/// Windows, `C:\a` and `C:a`.
fn is_rooted(value: &str) -> bool {
    match value.as_bytes() {
        [b'/' | b'\\', ..] => true,
        [drive, b':', ..] => drive.is_ascii_alphabetic(),
        _ => false,
    }
}

/// An expression, and the text that it matches.
struct Found<'t> {
    operator: Operator,
    names: &'t [String],
    whole_path: bool,
    text: &'t str,
}

/// No place in the text.
const NOWHERE: u32 = u32::MAX;

/// The search for the texts that the expressions of a template match, each the longest that lets the rest
/// match. It goes from the last part to the first and remembers for each position whether the rest matches
/// from there, so that its steps are the length of the URI times the number of parts, however many ways there
/// are to split the URI.
struct Search<'t> {
    uri: &'t str,
    reading: Reading,
}

impl<'t> Search<'t> {
    fn run(&self, parts: &'t [Part], steps: &mut Steps) -> Option<Vec<Found<'t>>> {
        // Most templates are not for this URI, and that shows at its ends.
        let fits_ends = |uri: &str| {
            let starts = !matches!(parts.first(), Some(Part::Literal(start)) if !uri.starts_with(start));
            starts && !matches!(parts.last(), Some(Part::Literal(end)) if !uri.ends_with(end))
        };
        let length = self.uri.len();
        let work = (length + 1).saturating_mul(parts.len() + 1);
        if !steps.take(1) || !fits_ends(self.uri) || !steps.take(work) || length >= NOWHERE as usize {
            return None;
        }
        // For each place the last one up to it from where the following parts match.
        let mut last = vec![NOWHERE; length + 1];
        last[length] = length as u32;
        // For each part and place where the text of an expression may begin: where it ends.
        let mut ends = vec![Vec::new(); parts.len()];
        for (part, ends) in parts.iter().zip(&mut ends).rev() {
            let mut matching = vec![false; length + 1];
            match part {
                Part::Literal(literal) => {
                    let places = length.saturating_sub(literal.len()) + 1;
                    for (at, matching) in matching.iter_mut().enumerate().take(places) {
                        *matching = self.uri.as_bytes()[at..].starts_with(literal.as_bytes())
                            && is_match(&last, at + literal.len());
                    }
                }
                Part::Variables { operator, names, .. } => {
                    *ends = self.ends(*operator, names, &last);
                    for (at, matching) in matching.iter_mut().enumerate() {
                        *matching = self.begins(*operator, at).is_some_and(|body| ends[body] != NOWHERE)
                            // An undefined expression expands to nothing.
                            || (operator.prefix() != "" && is_match(&last, at));
                    }
                }
            }
            let mut latest = NOWHERE;
            for (at, matching) in matching.into_iter().enumerate() {
                if matching {
                    latest = at as u32;
                }
                last[at] = latest;
            }
        }
        if !is_match(&last, 0) {
            return None;
        }
        let mut found = Vec::new();
        let mut at = 0;
        for (part, ends) in parts.iter().zip(&ends) {
            match part {
                Part::Literal(literal) => at += literal.len(),
                &Part::Variables { operator, ref names, whole_path } => {
                    let body = self.begins(operator, at).filter(|body| ends[*body] != NOWHERE);
                    if let Some(body) = body {
                        at = ends[body] as usize;
                        found.push(Found { operator, names, whole_path, text: &self.uri[body..at] });
                    }
                }
            }
        }
        Some(found)
    }

    /// The position where the text of an expression begins, after its prefix.
    fn begins(&self, operator: Operator, at: usize) -> Option<usize> {
        self.uri[at..].starts_with(operator.prefix()).then(|| at + operator.prefix().len())
    }

    /// For each place the last one where an expression's text that begins there can end, so that the rest matches. `last`:
    /// for each place the last one up to it from where the rest matches.
    fn ends(&self, operator: Operator, names: &[String], last: &[u32]) -> Vec<u32> {
        let text = self.uri.as_bytes();
        let length = text.len();
        let separator = operator.separator() as u8;
        let mut ends = vec![NOWHERE; length + 1];
        // The separators and the end of the characters that it may hold, from `at` on.
        let mut separators: Vec<usize> = Vec::new();
        let mut run = length;
        let mut equals = length;
        for at in (0..=length).rev() {
            if let Some(&byte) = text.get(at) {
                if !operator.allows(byte, self.reading)
                    && byte != separator
                    && !(operator.named() && byte == b'=')
                {
                    run = at;
                    separators.clear();
                }
                if byte == separator {
                    separators.push(at);
                }
                if byte == b'=' {
                    equals = at;
                }
            }
            // The nth separator from here.
            let nth = |n: usize| separators.len().checked_sub(n + 1).map(|index| separators[index]);
            let between = |low: usize, high: usize| {
                let end = if low <= high { last[high] } else { NOWHERE };
                if end != NOWHERE && end as usize >= low { end } else { NOWHERE }
            };
            ends[at] = if operator.named() {
                let end = nth(0).unwrap_or(run);
                let known = |end: usize| names.iter().any(|name| name.as_bytes() == &text[at..end]);
                let name_end = equals.min(end);
                let is_known = known(name_end);
                let following = match nth(0) {
                    Some(end) if is_known || end == at => ends[end + 1],
                    _ => NOWHERE,
                };
                let in_value = if is_known && equals < end { between(equals + 1, end) } else { NOWHERE };
                let in_name = || {
                    let lengths = names.iter().filter(|name| text[at..name_end].starts_with(name.as_bytes()));
                    let ends = lengths.map(|name| at + name.len()).chain([at]);
                    ends.filter(|end| is_match(last, *end)).max().map_or(NOWHERE, |end| end as u32)
                };
                [following, in_value].into_iter().find(|end| *end != NOWHERE).unwrap_or_else(in_name)
            } else if names.len() > 1 {
                match nth(names.len() - 2) {
                    Some(before) => between(before + 1, nth(names.len() - 1).unwrap_or(run)),
                    None => NOWHERE,
                }
            } else {
                match operator {
                    Operator::Path => between(at, nth(0).unwrap_or(run)),
                    // Without a prefix of its own an empty match would make "a/{x}" match "a/".
                    _ => between(at + usize::from(operator.prefix().is_empty()), run),
                }
            };
        }
        ends
    }
}

fn is_match(last: &[u32], at: usize) -> bool {
    last[at] as usize == at
}

/// The variables of a text that an expression matches.
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
        match escape(&bytes[at..]) {
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
        let template = Template::parse(template).expect("valid");
        let mut steps = Steps::new();
        let mut read = |reading| template.matches(&canonical(uri), reading, &mut steps);
        let found = read(Reading::Exact).or_else(|| read(Reading::Lenient))?;
        assert!(!steps.are_spent());
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
    fn reserved_characters_that_were_not_encoded_are_part_of_a_value() {
        let case = |template, uri, expected: &str| {
            assert_eq!(matched(template, uri).as_deref(), Some(expected), "{template} {uri}")
        };
        case("item://{id}", "item://ann@example.com", "id=ann@example.com");
        case("item://{id}/x", "item://ab:c!$&'()*+,;=d/x", "id=ab:c!$&'()*+,;=d");
        case("a://h{/p}{?q,r}", "a://h/a@b?q=http://x/?y&r=1:2", "p=a@b q=http://x/?y r=1:2");
        case("a://h{.kind}", "a://h.a+b", "kind=a+b");
        case("a://{x,y}", "a://1@2,3", "x=1@2 y=3");
        // What RFC 6570 expands to comes first: a separator is one where it can be.
        case("a://{x}@{y}", "a://b@c", "x=b y=c");
        case("a://{x}{;v}", "a://b;v=1", "x=b v=1");
        for (template, uri) in
            [("item://{id}", "item://a/b"), ("item://{id}", "item://a#b"), ("item://{id}", "item://a[b")]
        {
            assert_eq!(matched(template, uri), None, "{template} {uri}");
        }
    }

    #[test]
    fn literals_compare_as_the_uris_that_they_are() {
        for (template, uri) in [
            ("docs://café/{name}", "docs://caf%C3%A9/a"),
            ("docs://café/{name}", "docs://caf%c3%a9/a"),
            ("docs://caf%c3%A9/{name}", "docs://café/a"),
            ("docs://my file/{name}", "docs://my%20file/a"),
            ("docs://%7Eann/{name}", "docs://~ann/a"),
            ("docs://~ann/{name}", "docs://%7eann/a"),
            ("docs://50%/{name}", "docs://50%/a"),
        ] {
            assert_eq!(matched(template, uri).as_deref(), Some("name=a"), "{template} {uri}");
        }
        assert_eq!(matched("docs://{name}", "docs://café").as_deref(), Some("name=café"));
        assert_eq!(matched("docs://{name}", "docs://caf%c3%a9").as_deref(), Some("name=café"));
        // A reserved character and its encoding are two things.
        assert_eq!(matched("docs://a/b{?name}", "docs://a%2Fb?name=a"), None);
        assert_eq!(canonical("a%2fb%41%%341é").as_ref(), "a%2FbA%2541%C3%A9");
    }

    #[test]
    fn the_longest_text_that_lets_the_rest_match_is_taken() {
        let case = |template, uri, expected: &str| {
            assert_eq!(matched(template, uri).as_deref(), Some(expected), "{template} {uri}")
        };
        case("a://{x}-{y}-{z}", "a://1-2-3-4", "x=1-2 y=3 z=4");
        case("a://{x}{y}", "a://123", "x=12 y=3");
        case("a://{+x}/{y}.txt", "a://b/c/d.txt", "x=b/c y=d");
        case("a://h{?x}{&y}", "a://h?x=1&x=2&y=3", "x=1 x=2 y=3");
        case("a://h{?x}x", "a://h?x=1x", "x=1");
        case("a://h{?x,xy}yz", "a://h?xyz", "x=");
        case("a:/{/x}{/y}{/z}", "a://1/2", "x=1 y=2");
        case("a://h{;x,y}/e", "a://h;x=1;y/e", "x=1 y=");
        case("a://{x,y}-{z}", "a://1,2-3,4-5", "x=1 y=2 z=3,4-5");
    }

    #[test]
    fn a_request_has_so_many_steps_for_all_templates_together() {
        let template = Template::parse("a://{a}-{b}-{c}-{d}!{e}").expect("valid");
        let uri = format!("a://{}", "-".repeat(8000));
        let mut steps = Steps::new();
        let tried = (1..).find(|_| {
            assert!(template.matches(&uri, Reading::Exact, &mut steps).is_none());
            steps.are_spent()
        });
        let each = (uri.len() + 1) * 11 + 1;
        assert_eq!(tried, Some(MAX_STEPS / each + 1));
        // A template for other URIs takes one.
        let mut steps = Steps::new();
        let other = Template::parse("b://{a}").expect("valid");
        (1..MAX_STEPS).for_each(|_| assert!(other.matches("a://", Reading::Exact, &mut steps).is_none()));
        assert!(!steps.are_spent());
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
