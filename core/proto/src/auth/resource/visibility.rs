//! Visibility of an item: a predicate over verified claims, the same in every request.

use serde_json::{Value, json};

use super::claims::{Access, Caller};

/// Deepest nesting of a predicate.
pub const MAX_DEPTH: usize = 16;

/// The callers that see an item. As JSON: `{"scope": "admin"}`, `{"claim": "groups", "is": "staff"}`,
/// `{"any": [...]}`, `{"all": [...]}`, `{"not": ...}`. A claim in an object has the path to it: `{"claim":
/// ["realm", "roles"], ...}`. An array lists alternatives: any of the scopes, any of the values; a claim that
/// is an array matches if one of its elements does.
#[derive(Debug, Clone, PartialEq)]
pub enum Visibility {
    /// Tokens with one of these scopes.
    Scope(Vec<String>),
    /// Tokens with a claim that is, or contains, one of these values.
    Claim {
        /// The path to it, one name for each object.
        path: Vec<String>,
        /// Values that fit.
        is: Vec<Value>,
    },
    /// One of them suffices.
    Any(Vec<Visibility>),
    /// All of them are needed.
    All(Vec<Visibility>),
    /// The others.
    Not(Box<Visibility>),
}

impl Visibility {
    /// Tokens with this scope.
    pub fn scope(scope: impl Into<String>) -> Visibility {
        Visibility::Scope(vec![scope.into()])
    }

    /// Tokens with a claim that is, or contains, this value.
    pub fn claim(name: impl Into<String>, is: impl Into<Value>) -> Visibility {
        Visibility::Claim { path: vec![name.into()], is: vec![is.into()] }
    }

    /// The same for a claim in an object; the path has one name for each.
    pub fn claim_at<N: Into<String>>(path: impl IntoIterator<Item = N>, is: impl Into<Value>) -> Visibility {
        Visibility::Claim { path: path.into_iter().map(Into::into).collect(), is: vec![is.into()] }
    }

    /// One of them suffices.
    pub fn any(of: impl IntoIterator<Item = Visibility>) -> Visibility {
        Visibility::Any(of.into_iter().collect())
    }

    /// All of them are needed.
    pub fn all(of: impl IntoIterator<Item = Visibility>) -> Visibility {
        Visibility::All(of.into_iter().collect())
    }

    /// Those that it does not fit.
    #[allow(clippy::should_implement_trait, reason = "the builder has the words of the JSON form")]
    pub fn not(other: Visibility) -> Visibility {
        Visibility::Not(Box::new(other))
    }

    /// Parses the JSON form; the error describes the fault.
    pub fn parse(value: &Value) -> Result<Visibility, String> {
        parse(value, MAX_DEPTH)
    }

    /// Its JSON form.
    pub fn to_json(&self) -> Value {
        let list = |of: &[Visibility]| Value::Array(of.iter().map(Visibility::to_json).collect());
        match self {
            Visibility::Scope(scopes) => json!({ "scope": scopes }),
            Visibility::Claim { path, is } => json!({ "claim": path, "is": is }),
            Visibility::Any(of) => json!({ "any": list(of) }),
            Visibility::All(of) => json!({ "all": list(of) }),
            Visibility::Not(other) => json!({ "not": other.to_json() }),
        }
    }

    /// Returns true if the caller sees the item. A local caller sees everything, an unknown caller sees
    /// public items.
    pub fn fits(&self, access: &Access) -> bool {
        match access {
            Access::Local => true,
            Access::Anybody => self.holds(None),
            Access::Known(caller) => self.holds(Some(caller)),
        }
    }

    fn holds(&self, caller: Option<&Caller>) -> bool {
        match self {
            Visibility::Scope(scopes) => {
                caller.is_some_and(|caller| scopes.iter().any(|scope| caller.has_scope(scope)))
            }
            Visibility::Claim { path, is } => caller.is_some_and(|caller| has_claim(caller, path, is)),
            Visibility::Any(of) => of.iter().any(|one| one.holds(caller)),
            Visibility::All(of) => of.iter().all(|one| one.holds(caller)),
            // Of nobody nothing is known, so that nothing follows from what is not.
            Visibility::Not(other) => caller.is_some() && !other.holds(caller),
        }
    }
}

fn has_claim(caller: &Caller, path: &[String], is: &[Value]) -> bool {
    let Some((first, rest)) = path.split_first() else { return false };
    let mut at = caller.claims().get(first);
    for name in rest {
        at = at.and_then(|value| value.get(name));
    }
    match at {
        None => false,
        Some(Value::Array(all)) => is.iter().any(|wanted| all.contains(wanted)),
        Some(value) => is.contains(value),
    }
}

fn parse(value: &Value, depth: usize) -> Result<Visibility, String> {
    if depth == 0 {
        return Err(format!("it is nested more than {MAX_DEPTH} deep"));
    }
    let form = || "one of {scope}, {claim, is}, {any}, {all} and {not} is wanted".to_owned();
    let members = value.as_object().ok_or_else(form)?;
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    let texts = |name: &str| -> Result<Vec<String>, String> {
        let wrong = || format!("{name:?} must be a text or an array of texts, not empty");
        let list = match &members[name] {
            Value::Array(list) => list.clone(),
            one => vec![one.clone()],
        };
        let texts: Option<Vec<String>> = list
            .iter()
            .map(|text| text.as_str().filter(|text| !text.is_empty()).map(str::to_owned))
            .collect();
        texts.filter(|texts| !texts.is_empty()).ok_or_else(wrong)
    };
    let several = |name: &str| -> Result<Vec<Visibility>, String> {
        let list = members[name].as_array().filter(|list| !list.is_empty());
        let list = list.ok_or_else(|| format!("{name:?} must be an array, not empty"))?;
        list.iter().map(|one| parse(one, depth - 1)).collect()
    };
    match names[..] {
        ["scope"] => Ok(Visibility::Scope(texts("scope")?)),
        ["claim", "is"] => {
            let is = match &members["is"] {
                Value::Array(values) if values.is_empty() => return Err("\"is\" must not be empty".into()),
                Value::Array(values) => values.clone(),
                one => vec![one.clone()],
            };
            Ok(Visibility::Claim { path: texts("claim")?, is })
        }
        ["any"] => Ok(Visibility::Any(several("any")?)),
        ["all"] => Ok(Visibility::All(several("all")?)),
        ["not"] => Ok(Visibility::not(parse(&members["not"], depth - 1)?)),
        _ => Err(form()),
    }
}
