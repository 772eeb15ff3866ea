//! The variables of a URI template (RFC 6570), to check the names of arguments.

/// Returns true if a URI is a template: no URI has a brace in it (RFC 3986, 2).
pub fn is_template(uri: &str) -> bool {
    uri.contains('{')
}

/// The names of the variables. What is no template is the builder's to refuse.
pub fn variables(template: &str) -> Vec<&str> {
    let expressions = template.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    expressions
        .flat_map(|(expression, _)| {
            expression.trim_start_matches(['+', '#', '.', '/', ';', '?', '&']).split(',')
        })
        .map(|variable| variable.split_once(':').map_or(variable, |(name, _)| name).trim_end_matches('*'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{is_template, variables};

    #[test]
    fn variables_of_every_form() {
        assert!(is_template("a://{b}") && !is_template("a://b"));
        assert_eq!(
            variables("a://{+path}/{name:3}{/rest*}{?q,limit}{#part}"),
            ["path", "name", "rest", "q", "limit", "part"]
        );
        assert_eq!(variables("a://plain"), [""; 0]);
        assert_eq!(variables("a://{open"), [""; 0]);
    }
}
