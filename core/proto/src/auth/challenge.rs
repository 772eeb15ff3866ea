//! Parser of the `WWW-Authenticate` headers of a refusal (RFC 9110, section 11.6.1; parameters of RFC 6750,
//! section 3, RFC 9449 and RFC 9728, section 5.1).
//!
//! Every value is read in one pass. The parser also accepts known violations of the grammar: unquoted values
//! with characters of URLs, and parameters without a comma between them. At an unreadable part it stops
//! reading the header and keeps the parameters before it.

use super::error::{harmless, tame};
use super::flow::Challenge;

/// Most bytes of all `WWW-Authenticate` values of a response; values from the one that exceeds it on are not read.
pub const MAX_BYTES: usize = 16 * 1024;
/// Maximum number of challenges; further ones are ignored.
pub const MAX_CHALLENGES: usize = 16;

/// The authentication scheme of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `Bearer` (RFC 6750).
    Bearer,
    /// `DPoP` (RFC 9449).
    Dpop,
}

/// One challenge of a scheme of OAuth. A parameter that comes twice with different values counts as absent, as does an
/// empty one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The scheme.
    pub scheme: Scheme,
    /// `error`, such as `invalid_token`.
    pub error: Option<String>,
    /// `error_description`: text of the peer, for a person.
    pub description: Option<String>,
    /// `scope`: names, with spaces between them.
    pub scope: Option<String>,
    /// `resource_metadata`: a URL, not checked.
    pub resource_metadata: Option<String>,
}

/// The challenges of the values of all `WWW-Authenticate` headers, in order. Other schemes are left out.
///
/// Several headers are as good as one with commas between their values, as RFC 9110, section 5.3, has it.
pub fn read<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> Vec<Asked> {
    let mut reader = Reader::default();
    let mut bytes = 0;
    for value in values {
        bytes += value.len();
        if bytes > MAX_BYTES {
            break;
        }
        if reader.value(Cursor(value)).is_none() {
            // Who its next parameter would belong to is not known.
            reader.open = false;
        }
    }
    reader.found.into_iter().map(Parameters::asked).collect()
}

/// Does the server ask for a proof with the nonce that it sent (RFC 9449, section 9)?
pub fn wants_nonce(asked: &[Asked]) -> bool {
    asked.iter().any(|asked| asked.error.as_deref() == Some("use_dpop_nonce"))
}

/// Text for a person: ` (insufficient_scope: needs more; scope: a b)`, empty if the server sent no challenge.
pub fn summary(asked: &[Asked]) -> String {
    let Some(told) = telling(asked) else { return String::new() };
    let error = told.error.as_deref().map(tame);
    let description = told.description.as_deref().map(|text| harmless(text, &[]));
    let scope = told.scope.as_deref().map(|scope| format!("scope: {}", tame(scope)));
    let why: Vec<String> = [error, description].into_iter().flatten().collect();
    let why = (!why.is_empty()).then(|| why.join(": "));
    let all: Vec<String> = [why, scope].into_iter().flatten().collect();
    if all.is_empty() { String::new() } else { format!(" ({})", all.join("; ")) }
}

impl Challenge {
    /// The refusal with this status and these challenges. Error and scope come from the most informative
    /// challenge; `resource_metadata` is the first one, because it belongs to the resource and not to a
    /// scheme.
    pub fn of(status: u16, asked: &[Asked]) -> Challenge {
        let told = telling(asked);
        Challenge {
            status,
            error: told.and_then(|told| told.error.clone()),
            scope: told.and_then(|told| told.scope.clone()),
            resource_metadata: asked.iter().find_map(|asked| asked.resource_metadata.clone()),
        }
    }
}

/// The challenge that contains the reason: the first with an error, else with a scope, else with a
/// description. If both schemes contain the same reason, the first is used.
fn telling(asked: &[Asked]) -> Option<&Asked> {
    let rank = |asked: &&Asked| match asked {
        Asked { error: Some(_), .. } => 0,
        Asked { scope: Some(_), .. } => 1,
        Asked { description: Some(_), .. } => 2,
        _ => 3,
    };
    asked.iter().min_by_key(rank)
}

/// A parameter as it was read so far.
#[derive(Default)]
enum Value {
    #[default]
    Absent,
    Is(Vec<u8>),
    Contradictory,
}

impl Value {
    fn set(&mut self, value: Vec<u8>) {
        match self {
            Value::Absent => *self = Value::Is(value),
            Value::Is(before) if *before != value => *self = Value::Contradictory,
            _ => {}
        }
    }

    fn bytes(self) -> Option<Vec<u8>> {
        match self {
            Value::Is(value) if !value.is_empty() => Some(value),
            _ => None,
        }
    }

    /// Visible ASCII and spaces, the characters of names, lists of scopes and URLs.
    fn text(self) -> Option<String> {
        let value = self.bytes()?;
        let visible = value.iter().all(|byte| matches!(byte, 0x20..=0x7e));
        visible.then(|| String::from_utf8(value).ok()).flatten()
    }
}

struct Parameters {
    scheme: Scheme,
    error: Value,
    description: Value,
    scope: Value,
    resource_metadata: Value,
}

impl Parameters {
    fn new(scheme: Scheme) -> Parameters {
        Parameters {
            scheme,
            error: Value::Absent,
            description: Value::Absent,
            scope: Value::Absent,
            resource_metadata: Value::Absent,
        }
    }

    fn set(&mut self, name: &[u8], value: Vec<u8>) {
        let known = [
            ("error", &mut self.error),
            ("error_description", &mut self.description),
            ("scope", &mut self.scope),
            ("resource_metadata", &mut self.resource_metadata),
        ];
        if let Some((_, at)) =
            known.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()))
        {
            at.set(value);
        }
    }

    fn asked(self) -> Asked {
        let description = self.description.bytes();
        Asked {
            scheme: self.scheme,
            error: self.error.text(),
            description: description.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
            scope: self.scope.text(),
            resource_metadata: self.resource_metadata.text(),
        }
    }
}

#[derive(Default)]
struct Reader {
    found: Vec<Parameters>,
    /// The next parameter is of the last challenge.
    open: bool,
}

impl Reader {
    /// `None`: the value could not be read to its end.
    fn value(&mut self, mut at: Cursor<'_>) -> Option<()> {
        loop {
            at.take(|byte| byte == b',' || is_blank(byte));
            if at.0.is_empty() {
                return Some(());
            }
            let name = at.take(is_token);
            if name.is_empty() {
                return None;
            }
            let after = at;
            at.take(is_blank);
            if at.eat(b'=') {
                at.take(is_blank);
                let value = at.parameter()?;
                if let Some(last) = self.found.last_mut().filter(|_| self.open) {
                    last.set(name, value);
                }
                continue;
            }
            self.begin(name);
            // What follows the scheme without `=` in the right place is credentials, not a parameter.
            if at.0.len() < after.0.len() && at.token68() {
                self.open = false;
            }
        }
    }

    fn begin(&mut self, name: &[u8]) {
        let schemes = [("bearer", Scheme::Bearer), ("dpop", Scheme::Dpop)];
        let known = schemes.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes()));
        self.open = match known {
            Some((_, scheme)) if self.found.len() < MAX_CHALLENGES => {
                self.found.push(Parameters::new(scheme));
                true
            }
            _ => false,
        };
    }
}

/// The unread rest of a header value.
#[derive(Clone, Copy)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.0.iter().position(|&byte| !wanted(byte)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    fn eat(&mut self, byte: u8) -> bool {
        let rest = self.0.strip_prefix(&[byte]);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// The value of a parameter, quoted or not. `None`: the quotes do not end.
    fn parameter(&mut self) -> Option<Vec<u8>> {
        if !self.eat(b'"') {
            return Some(self.take(|byte| byte != b',' && !is_blank(byte)).to_vec());
        }
        let mut value = Vec::new();
        loop {
            let (&byte, rest) = self.0.split_first()?;
            self.0 = rest;
            match byte {
                b'"' => return Some(value),
                b'\\' => {
                    let (&escaped, rest) = self.0.split_first()?;
                    self.0 = rest;
                    value.push(escaped);
                }
                byte => value.push(byte),
            }
        }
    }

    /// Skips a token68, if one is next: it ends at a comma or with the value.
    fn token68(&mut self) -> bool {
        let mut ahead = *self;
        let some = !ahead.take(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte)).is_empty();
        ahead.take(|byte| byte == b'=');
        ahead.take(is_blank);
        let found = some && matches!(ahead.0.first(), None | Some(b','));
        if found {
            *self = ahead;
        }
        found
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
