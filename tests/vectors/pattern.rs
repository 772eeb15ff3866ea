// A reader of the golden transcripts of this folder, for every runner that is written in Rust.

use serde_json::Value;

/// Every case, with the name of its file.
pub fn cases() -> Vec<(String, Value)> {
    let folder = std::path::Path::new(file!()).parent().expect("a folder");
    // The path is relative to the workspace; the test runs in its package.
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .find(|root| root.join(folder).is_dir())
        .expect("tests/vectors");
    let mut files: Vec<_> = std::fs::read_dir(root.join(folder))
        .expect("readable")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("readable");
        let transcript: Value = serde_json::from_str(&text).expect("JSON");
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        for case in transcript["cases"].as_array().expect("cases") {
            cases.push((name.clone(), case.clone()));
        }
    }
    cases
}

/// The frame of a `repeat` step.
pub fn repeated(step: &Value) -> Option<String> {
    let repeat = step.get("repeat")?;
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let count = repeat[1].as_u64().expect("a count") as usize;
    Some(format!(
        "{}{}{}",
        text(&step["around"][0]),
        text(&repeat[0]).repeat(count),
        text(&step["around"][1])
    ))
}

/// See "A pattern fits a message" in `tests/vectors/README.md`.
pub fn fits(pattern: &Value, value: &Value, at: &str) -> Result<(), String> {
    match (pattern, value) {
        (Value::String(any), _) if any == "*" => Ok(()),
        (Value::Object(pattern), Value::String(text)) if pattern.contains_key("contains") => {
            let part = pattern["contains"].as_str().expect("a string");
            if text.contains(part) {
                Ok(())
            } else {
                Err(format!("{at}: {text:?} does not contain {part:?}"))
            }
        }
        (Value::Object(pattern), Value::Object(members)) => {
            for (key, pattern) in pattern {
                if key == "absent" {
                    let there = pattern.as_array().expect("a list").iter().filter_map(Value::as_str);
                    if let Some(key) = there.into_iter().find(|key| members.contains_key(*key)) {
                        return Err(format!("{at}.{key} is there"));
                    }
                    continue;
                }
                let value = members.get(key).ok_or_else(|| format!("{at}.{key} is missing"))?;
                fits(pattern, value, &format!("{at}.{key}"))?;
            }
            Ok(())
        }
        (Value::Array(patterns), Value::Array(values)) if patterns.len() == values.len() => patterns
            .iter()
            .zip(values)
            .enumerate()
            .try_for_each(|(i, (p, v))| fits(p, v, &format!("{at}[{i}]"))),
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => Ok(()),
        (a, b) if a == b => Ok(()),
        (a, b) => Err(format!("{at}: expected {a}, got {b}")),
    }
}
