//! URLs of stores.

use std::time::Duration;

use super::StoreError;

/// A URL, and its options that belong to the store rather than to the server. It holds a password, so it is
/// not shown.
pub(super) struct Address {
    base: String,
    /// The options as they were written.
    options: Vec<String>,
}

impl Address {
    pub(super) fn parse(url: &str) -> Address {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        let options = query.split('&').filter(|option| !option.is_empty());
        Address { base: base.to_owned(), options: options.map(str::to_owned).collect() }
    }

    /// Returns an option's value, and removes it from the URL.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let is_it =
            |option: &String| option.split_once('=').map_or(option.as_str(), |(name, _)| name) == name;
        let at = self.options.iter().position(is_it)?;
        let option = self.options.remove(at);
        let url = reqwest::Url::parse(&format!("store:?{option}")).ok()?;
        url.query_pairs().next().map(|(_, value)| value.into_owned())
    }

    pub(super) fn take_number(&mut self, name: &str) -> Result<Option<u64>, StoreError> {
        let Some(value) = self.take(name) else { return Ok(None) };
        let number = value.parse().ok().filter(|number| *number > 0);
        number.map(Some).ok_or_else(|| StoreError::new(format!("{name} must be a number, at least 1")))
    }

    /// Returns the time limit for the server.
    pub(super) fn take_timeout(&mut self) -> Result<Duration, StoreError> {
        Ok(Duration::from_millis(self.take_number("timeout_ms")?.unwrap_or(5000)))
    }

    /// Returns a word of letters, digits and underscores, for names in the server.
    pub(super) fn take_word(&mut self, name: &str, default: &str) -> Result<String, StoreError> {
        let word = self.take(name).unwrap_or_else(|| default.to_owned());
        let fits = word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if fits && word.len() <= 24 && !word.starts_with(|c: char| c.is_ascii_digit()) {
            return Ok(word);
        }
        Err(StoreError::new(format!("{name} must be 24 letters, digits and underscores at most")))
    }

    /// Returns the URL with the remaining options.
    pub(super) fn url(&self) -> String {
        match self.options.is_empty() {
            true => self.base.clone(),
            false => format!("{}?{}", self.base, self.options.join("&")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_taken_out() {
        let mut address = Address::parse(
            "postgres://u:p@h1,h2/db?options=-c%20a=b&prefix=x_&timeout_ms=20&sslmode=disable",
        );
        assert_eq!(address.take_timeout(), Ok(Duration::from_millis(20)));
        assert_eq!(address.take_word("prefix", "y").as_deref(), Ok("x_"));
        assert_eq!(address.take_word("schema", "y").as_deref(), Ok("y"));
        assert_eq!(address.url(), "postgres://u:p@h1,h2/db?options=-c%20a=b&sslmode=disable");
        let mut address = Address::parse("redis://h?prefix=a%20b&timeout_ms=0&file=%2Fa%20b");
        assert!(address.take_word("prefix", "").is_err() && address.take_timeout().is_err());
        assert_eq!(address.take("file").as_deref(), Some("/a b"));
        assert_eq!(address.url(), "redis://h");
    }
}
