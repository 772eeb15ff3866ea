//! Answers to forms: fills in the defaults and checks the values against the restricted schema of elicitation
//! (2026-07-28, elicitation, "Requested Schema"; SEP-1034 for the defaults, SEP-1330 for the enums).

use serde_json::{Map, Value};

/// Fills in the defaults of fields that are missing from an accepted answer and checks every field. The error
/// is one sentence that names the field. Keywords beyond the restricted schema are not checked.
pub(super) fn complete(schema: &Value, content: &mut Map<String, Value>) -> Result<(), String> {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return Ok(()) };
    for (name, field) in properties {
        if content.contains_key(name) {
            continue;
        }
        // A default that breaks its own schema is the server's mistake and no answer of the user's.
        if let Some(default) = field.get("default").filter(|default| check(field, default).is_ok()) {
            content.insert(name.clone(), default.clone());
        }
    }
    let required = schema.get("required").and_then(Value::as_array);
    if let Some(missing) =
        required.into_iter().flatten().filter_map(Value::as_str).find(|name| !content.contains_key(*name))
    {
        return Err(format!("{missing:?} is required"));
    }
    for (name, value) in content.iter() {
        match properties.get(name) {
            Some(field) => check(field, value).map_err(|wrong| format!("{name:?} {wrong}"))?,
            None if !primitive(value) => {
                return Err(format!("{name:?} must be a string, a number, a boolean or strings"));
            }
            None => {}
        }
    }
    Ok(())
}

fn check(field: &Value, value: &Value) -> Result<(), String> {
    match field.get("type").and_then(Value::as_str) {
        Some("string") => check_string(field, value.as_str().ok_or("must be a string")?),
        Some("number") => check_number(field, value),
        Some("integer") => match value.as_f64() {
            Some(number) if number.fract() == 0.0 => check_number(field, value),
            _ => Err("must be an integer".into()),
        },
        Some("boolean") => value.as_bool().map(drop).ok_or_else(|| "must be true or false".into()),
        Some("array") => check_array(field, value),
        _ if primitive(value) => Ok(()),
        _ => Err("must be a string, a number, a boolean or strings".into()),
    }
}

fn primitive(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(Value::is_string),
        Value::Null | Value::Object(_) => false,
        Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn check_string(field: &Value, text: &str) -> Result<(), String> {
    if let Some(allowed) = choices(field, "oneOf") {
        return one_of(&allowed, text);
    }
    let length = text.chars().count() as u64;
    if let Some(least) = bound(field, "minLength").filter(|least| length < *least) {
        return Err(format!("must have at least {least} characters"));
    }
    if let Some(most) = bound(field, "maxLength").filter(|most| length > *most) {
        return Err(format!("must have at most {most} characters"));
    }
    let format = field.get("format").and_then(Value::as_str).unwrap_or_default();
    let (fits, what) = match format {
        "email" => (is_email(text), "an e-mail address"),
        "uri" => (is_uri(text), "a URI"),
        "date" => (is_date(text), "a date (YYYY-MM-DD)"),
        "date-time" => (is_date_time(text), "a date and time (RFC 3339)"),
        _ => (true, ""),
    };
    if fits { Ok(()) } else { Err(format!("must be {what}")) }
}

fn check_number(field: &Value, value: &Value) -> Result<(), String> {
    let number = value.as_f64().ok_or("must be a number")?;
    let limit = |key| field.get(key).and_then(Value::as_f64);
    if let Some(least) = limit("minimum").filter(|least| number < *least) {
        return Err(format!("must be at least {least}"));
    }
    match limit("maximum").filter(|most| number > *most) {
        Some(most) => Err(format!("must be at most {most}")),
        None => Ok(()),
    }
}

fn check_array(field: &Value, value: &Value) -> Result<(), String> {
    let items = value.as_array().ok_or("must be an array of strings")?;
    let count = items.len() as u64;
    if let Some(least) = bound(field, "minItems").filter(|least| count < *least) {
        return Err(format!("must have at least {least} entries"));
    }
    if let Some(most) = bound(field, "maxItems").filter(|most| count > *most) {
        return Err(format!("must have at most {most} entries"));
    }
    let allowed =
        field.get("items").and_then(|item| choices(item, "anyOf").or_else(|| choices(item, "oneOf")));
    for item in items {
        let text = item.as_str().ok_or("must be an array of strings")?;
        if let Some(allowed) = &allowed {
            one_of(allowed, text)?;
        }
    }
    Ok(())
}

fn bound(field: &Value, key: &str) -> Option<u64> {
    field.get(key).and_then(Value::as_u64)
}

/// The values of an enum, plain or with titles (`titled`: the keyword that holds those).
fn choices<'a>(schema: &'a Value, titled: &str) -> Option<Vec<&'a str>> {
    if let Some(plain) = schema.get("enum").and_then(Value::as_array) {
        return Some(plain.iter().filter_map(Value::as_str).collect());
    }
    let titled = schema.get(titled).and_then(Value::as_array)?;
    Some(titled.iter().filter_map(|choice| choice.get("const")?.as_str()).collect())
}

fn one_of(allowed: &[&str], text: &str) -> Result<(), String> {
    if allowed.contains(&text) {
        return Ok(());
    }
    let shown: Vec<String> = allowed.iter().take(10).map(|choice| format!("{choice:?}")).collect();
    let more = if allowed.len() > shown.len() { ", …" } else { "" };
    Err(format!("must be one of {}{more}", shown.join(", ")))
}

/// One `@` with text on both sides and no blanks; mail servers decide about the rest.
fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let clean = |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control());
    clean(local)
        && clean(domain)
        && !local.contains('@')
        && !domain.starts_with('.')
        && !domain.ends_with('.')
        && !domain.contains("..")
}

/// RFC 3986: a scheme, a colon, and no character that must be escaped.
fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else { return false };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
        && !rest.is_empty()
        && rest.chars().all(|c| c.is_ascii_graphic() && !"<>\"{}|\\^`".contains(c))
}

fn is_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return false;
    }
    let (Some(year), Some(month), Some(day)) =
        (digits(&bytes[..4]), digits(&bytes[5..7]), digits(&bytes[8..]))
    else {
        return false;
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return false,
    };
    (1..=days).contains(&day)
}

/// RFC 3339: a date, a time to the second or finer, and an offset.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    if !text.is_ascii()
        || bytes.len() < 20
        || !is_date(&text[..10])
        || !matches!(bytes[10], b'T' | b't' | b' ')
    {
        return false;
    }
    let time = |part: &[u8], limits: &[u32]| {
        part.len() == 3 * limits.len() - 1
            && part.chunks(3).zip(limits).enumerate().all(|(index, (chunk, limit))| {
                digits(&chunk[..2]).is_some_and(|value| value <= *limit)
                    && (index + 1 == limits.len() || chunk.get(2) == Some(&b':'))
            })
    };
    // A leap second is a second 60.
    if !time(&bytes[11..19], &[23, 59, 60]) {
        return false;
    }
    let mut rest = &bytes[19..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    match rest {
        b"Z" | b"z" => true,
        [b'+' | b'-', offset @ ..] => time(offset, &[23, 59]),
        _ => false,
    }
}

fn digits(text: &[u8]) -> Option<u32> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + u32::from(byte - b'0')))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(field: Value, value: Value) -> Result<(), String> {
        let schema = json!({"type": "object", "properties": {"f": field}});
        let mut content = json!({"f": value}).as_object().expect("an object").clone();
        complete(&schema, &mut content)
    }

    #[test]
    fn missing_fields_get_their_defaults() {
        let schema = json!({"type": "object", "required": ["name", "age"], "properties": {
            "name": {"type": "string", "default": "John"}, "age": {"type": "integer", "default": 30},
            "score": {"type": "number", "default": 95.5}, "status": {"type": "string", "enum": ["a", "b"], "default": "a"},
            "verified": {"type": "boolean", "default": true}, "broken": {"type": "integer", "default": "x"},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["x", "y"]}, "default": ["x"]},
            "plain": {"type": "string"}}});
        let mut content = json!({"name": "Ann"}).as_object().expect("an object").clone();
        complete(&schema, &mut content).expect("right");
        assert_eq!(
            Value::Object(content),
            json!({"name": "Ann", "age": 30, "score": 95.5, "status": "a", "verified": true, "tags": ["x"]})
        );
        let mut content = Map::new();
        let schema = json!({"properties": {"name": {"type": "string"}}, "required": ["name"]});
        assert_eq!(complete(&schema, &mut content), Err(r#""name" is required"#.into()));
        assert_eq!(complete(&json!({}), &mut content), Ok(()));
    }

    #[test]
    fn every_form_of_enum_is_checked() {
        let titled = json!([{"const": "a", "title": "A"}, {"const": "b", "title": "B"}]);
        for field in [
            json!({"type": "string", "enum": ["a", "b"]}),
            json!({"type": "string", "enum": ["a", "b"], "enumNames": ["A", "B"]}),
            json!({"type": "string", "oneOf": titled}),
        ] {
            assert_eq!(verdict(field.clone(), json!("b")), Ok(()));
            assert_eq!(verdict(field.clone(), json!("c")), Err(r#""f" must be one of "a", "b""#.into()));
            assert!(verdict(field, json!(["a"])).is_err());
        }
        for items in [json!({"type": "string", "enum": ["a", "b"]}), json!({"anyOf": titled})] {
            let field = json!({"type": "array", "items": items, "minItems": 1, "maxItems": 2});
            assert_eq!(verdict(field.clone(), json!(["a", "b"])), Ok(()));
            for bad in [json!([]), json!(["a", "b", "a"]), json!(["c"]), json!([1]), json!("a")] {
                assert!(verdict(field.clone(), bad.clone()).is_err(), "{bad}");
            }
        }
    }

    #[test]
    fn numbers_strings_and_booleans_are_checked() {
        let age = json!({"type": "integer", "minimum": 18, "maximum": 99});
        for (value, right) in [
            (json!(18), true),
            (json!(99.0), true),
            (json!(17), false),
            (json!(100), false),
            (json!(20.5), false),
            (json!("20"), false),
        ] {
            assert_eq!(verdict(age.clone(), value.clone()).is_ok(), right, "{value}");
        }
        assert_eq!(verdict(json!({"type": "number"}), json!(1.5)), Ok(()));
        assert!(verdict(json!({"type": "boolean"}), json!("true")).is_err());
        let name = json!({"type": "string", "minLength": 2, "maxLength": 3});
        assert_eq!(verdict(name.clone(), json!("éé")), Ok(()));
        assert!(verdict(name.clone(), json!("é")).is_err());
        assert!(verdict(name, json!("éééé")).is_err());
        assert!(verdict(json!({"type": "novel"}), json!({})).is_err());
        assert_eq!(verdict(json!({"type": "novel"}), json!("x")), Ok(()));
    }

    #[test]
    fn formats_are_checked() {
        let cases: &[(&str, &[&str], &[&str])] = &[
            ("email", &["a@b.c", "ä+x@host"], &["a", "@b", "a@", "a b@c", "a@@b", "a@.b", "a@b..c"]),
            ("uri", &["https://a/b?c#d", "urn:x"], &["a", ":x", "1a:b", "a:", "http://a b", "http://é"]),
            (
                "date",
                &["2024-02-29", "2000-02-29"],
                &["2023-02-29", "1900-02-29", "2024-13-01", "2024-1-01", "2024-04-31", "2024-01-00"],
            ),
            (
                "date-time",
                &["2024-01-01T00:00:00Z", "2024-01-01t23:59:60.123+02:00"],
                &[
                    "2024-01-01",
                    "2024-01-01T00:00:00",
                    "2024-01-01T24:00:00Z",
                    "2024-01-01T00:00:00.Z",
                    "2024-01-01T00-00-00Z",
                    "2024-01-01T00:00:00+2:00",
                    "2024-01-01T00:00:00é",
                ],
            ),
            ("novel", &["anything"], &[]),
        ];
        for (format, right, wrong) in cases {
            let field = json!({"type": "string", "format": format});
            for text in *right {
                assert_eq!(verdict(field.clone(), json!(text)), Ok(()), "{format} {text}");
            }
            for text in *wrong {
                assert!(verdict(field.clone(), json!(text)).is_err(), "{format} {text}");
            }
        }
    }
}
