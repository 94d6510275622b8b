//! The words of a command line: some by their place, some as `name=value`.

use std::fmt::Display;
use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail};

/// What follows the name of a subcommand.
pub struct Arguments {
    words: std::vec::IntoIter<String>,
    values: Vec<(String, String)>,
}

impl Arguments {
    /// Only those names count as names: a URL or a text may have a `=`, too.
    pub fn new(words: impl IntoIterator<Item = String>, names: &[&str]) -> Self {
        let mut values = Vec::new();
        let mut placed = Vec::new();
        for word in words {
            match word.split_once('=') {
                Some((name, value)) if names.contains(&name) => {
                    values.push((name.to_owned(), value.to_owned()));
                }
                _ => placed.push(word),
            }
        }
        Self {
            words: placed.into_iter(),
            values,
        }
    }

    /// The next word, which must be there.
    pub fn next<T: FromStr<Err: Display>>(&mut self, what: &str) -> Result<T> {
        self.next_or_none(what)?
            .with_context(|| format!("{what} is missing"))
    }

    /// The next word, if there is one.
    pub fn next_or_none<T: FromStr<Err: Display>>(&mut self, what: &str) -> Result<Option<T>> {
        self.words.next().map(|word| parse(what, &word)).transpose()
    }

    /// All words that are left.
    pub fn rest(&mut self) -> Vec<String> {
        self.words.by_ref().collect()
    }

    /// The value of a name.
    pub fn get<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>> {
        let found = self.values.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| parse(name, value)).transpose()
    }

    /// The value of a name, or what stands for it.
    pub fn get_or<T: FromStr<Err: Display>>(&self, name: &str, otherwise: T) -> Result<T> {
        Ok(self.get(name)?.unwrap_or(otherwise))
    }

    /// The value of a name, which must be there.
    pub fn need<T: FromStr<Err: Display>>(&self, name: &str) -> Result<T> {
        self.get(name)?
            .with_context(|| format!("{name}=… is missing"))
    }

    /// Nothing may be left that nobody has asked for.
    pub fn end(&mut self) -> Result<()> {
        match self.words.next() {
            Some(word) => bail!("{word:?} is not understood"),
            None => Ok(()),
        }
    }
}

fn parse<T: FromStr<Err: Display>>(what: &str, word: &str) -> Result<T> {
    word.parse()
        .map_err(|error| anyhow!("{what} cannot be {word:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_names_and_what_is_left() {
        let words = ["eth0", "count=3", "http://a/?b=c", "7"].map(str::to_owned);
        let mut found = Arguments::new(words, &["count", "mac"]);
        assert_eq!(found.next::<String>("the card").unwrap(), "eth0");
        assert_eq!(found.get_or("count", 1).unwrap(), 3);
        assert_eq!(found.get::<u8>("mac").unwrap(), None);
        assert_eq!(found.next::<String>("url").unwrap(), "http://a/?b=c");
        assert!(found.need::<u8>("mac").is_err());
        assert!(found.end().is_err(), "7 is left");
        assert!(found.next::<u8>("another").is_err());
    }

    #[test]
    fn nonsense_is_named() {
        let mut found = Arguments::new(["x".to_owned()], &[]);
        let error = found.next::<u16>("the port").unwrap_err().to_string();
        assert!(error.contains("the port") && error.contains("\"x\""));
    }
}
