//! Command-line arguments: flags, options with a value, and the rest.

/// The arguments after the command's name.
pub struct Args(Vec<String>);

impl Args {
    /// Takes the arguments of the process.
    pub fn new(args: impl Iterator<Item = String>) -> Self {
        Self(args.collect())
    }

    /// The next word.
    pub fn next(&mut self) -> Option<String> {
        if self.0.is_empty() { None } else { Some(self.0.remove(0)) }
    }

    /// Returns true if the flag was given.
    pub fn flag(&mut self, name: &str) -> bool {
        let before = self.0.len();
        self.0.retain(|arg| arg != name);
        self.0.len() < before
    }

    /// The value of `name VALUE` or `name=VALUE`.
    pub fn option(&mut self, name: &str) -> Result<Option<String>, String> {
        let with_equals = format!("{name}=");
        let Some(at) = self.0.iter().position(|arg| arg == name || arg.starts_with(&with_equals)) else {
            return Ok(None);
        };
        let arg = self.0.remove(at);
        if let Some(value) = arg.strip_prefix(&with_equals) {
            return Ok(Some(value.to_owned()));
        }
        if at < self.0.len() { Ok(Some(self.0.remove(at))) } else { Err(format!("{name} needs a value")) }
    }

    /// The rest, which must hold no option.
    pub fn rest(&mut self) -> Result<Vec<String>, String> {
        match self.0.iter().find(|arg| arg.starts_with('-')) {
            Some(unknown) => Err(format!("unknown option {unknown}")),
            None => Ok(std::mem::take(&mut self.0)),
        }
    }

    /// Nothing may be left.
    pub fn done(&mut self) -> Result<(), String> {
        match self.rest()?.first() {
            Some(extra) => Err(format!("unexpected argument {extra}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Args;

    fn args(text: &str) -> Args {
        Args::new(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_options_and_rest() {
        let mut given = args("--quick a --json=x --filter y b");
        assert!(given.flag("--quick") && !given.flag("--quick"));
        assert_eq!(given.option("--json"), Ok(Some("x".into())));
        assert_eq!(given.option("--filter"), Ok(Some("y".into())));
        assert_eq!(given.rest(), Ok(vec!["a".into(), "b".into()]));
        assert!(args("--json").option("--json").is_err());
        assert!(args("--nope").done().is_err());
    }
}
