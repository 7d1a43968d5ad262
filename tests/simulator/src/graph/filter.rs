//! The `$filter` forms that Microsoft documents for the four collections, and nothing else.
//!
//! Invariant: reading never panics and never recurses deeper than [`DEPTH`].

use crate::clock::{Ticks, parse as parse_time};

/// Most parentheses inside each other.
const DEPTH: usize = 16;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operator {
    GreaterOrEqual,
    Greater,
    LessOrEqual,
    Less,
    Equal,
}

/// One condition; a filter is their conjunction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// `createdDateTime ge 2026-01-15T09:30:00Z`
    Time { property: String, operator: Operator, at: Ticks },
    /// `signInEventTypes/any(t: t eq 'servicePrincipal')`
    EventType(String),
    /// `vendorInformation/provider eq 'IPC'`
    Provider(String),
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Open,
    Close,
    Word(String),
    Text(String),
}

fn tokens(filter: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = filter.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ' ' => {}
            '(' => found.push(Token::Open),
            ')' => found.push(Token::Close),
            '\'' => {
                let mut text = String::new();
                loop {
                    match rest.next() {
                        None => return Err("There is an unterminated string literal.".to_owned()),
                        // A quote is doubled inside a string.
                        Some('\'') if rest.peek() == Some(&'\'') => {
                            rest.next();
                            text.push('\'');
                        }
                        Some('\'') => break,
                        Some(c) => text.push(c),
                    }
                }
                found.push(Token::Text(text));
            }
            c if is_word(c) => {
                let mut word = String::from(c);
                while let Some(c) = rest.next_if(|c| is_word(*c)) {
                    word.push(c);
                }
                found.push(Token::Word(word));
            }
            c => return Err(format!("Syntax error: character '{}' is not valid.", c.escape_default())),
        }
    }
    Ok(found)
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '/' | ':' | '-' | '.' | '_')
}

/// Reads a decoded `$filter` value.
///
/// # Errors
/// A sentence that says what is not understood.
pub(crate) fn parse(filter: &str) -> Result<Vec<Condition>, String> {
    let tokens = tokens(filter)?;
    let mut reader = Reader { tokens: &tokens, at: 0, found: Vec::new() };
    reader.conjunction(0)?;
    match reader.tokens.get(reader.at) {
        None => Ok(reader.found),
        Some(_) => Err(reader.unexpected()),
    }
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    found: Vec<Condition>,
}

impl Reader<'_> {
    fn unexpected(&self) -> String {
        match self.tokens.get(self.at) {
            None => "Syntax error: the filter ends too early.".to_owned(),
            Some(Token::Word(word)) if word == "or" => {
                "Filters joined by 'or' are not supported on this resource.".to_owned()
            }
            Some(_) => format!("Syntax error at token {} of the filter.", self.at + 1),
        }
    }

    fn next_word(&mut self) -> Result<&str, String> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn next_text(&mut self) -> Result<String, String> {
        match self.tokens.get(self.at) {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(text.clone())
            }
            _ => Err(self.unexpected()),
        }
    }

    fn expect(&mut self, token: &Token) -> Result<(), String> {
        if self.tokens.get(self.at) == Some(token) {
            self.at += 1;
            return Ok(());
        }
        Err(self.unexpected())
    }

    fn conjunction(&mut self, depth: usize) -> Result<(), String> {
        loop {
            if self.tokens.get(self.at) == Some(&Token::Open) {
                if depth == DEPTH {
                    return Err("The filter is nested too deeply.".to_owned());
                }
                self.at += 1;
                self.conjunction(depth + 1)?;
                self.expect(&Token::Close)?;
            } else {
                self.condition()?;
            }
            match self.tokens.get(self.at) {
                Some(Token::Word(word)) if word == "and" => self.at += 1,
                _ => return Ok(()),
            }
        }
    }

    fn condition(&mut self) -> Result<(), String> {
        let property = self.next_word()?.to_owned();
        let condition = match property.as_str() {
            "signInEventTypes/any" => {
                self.expect(&Token::Open)?;
                self.lambda_variable()?;
                self.equals()?;
                let value = self.next_text()?;
                self.expect(&Token::Close)?;
                Condition::EventType(value)
            }
            "vendorInformation/provider" => {
                self.equals()?;
                Condition::Provider(self.next_text()?)
            }
            _ => {
                let operator = match self.next_word()? {
                    "ge" => Operator::GreaterOrEqual,
                    "gt" => Operator::Greater,
                    "le" => Operator::LessOrEqual,
                    "lt" => Operator::Less,
                    "eq" => Operator::Equal,
                    other => return Err(format!("The operator '{other}' is not supported.")),
                };
                let literal =
                    self.next_word().map_err(|_| format!("'{property}' cannot be compared with this value."))?;
                let at = literal.ends_with('Z').then(|| parse_time(literal)).flatten();
                let at = at.ok_or_else(|| format!("'{literal}' is not a time such as 2026-01-15T09:30:00Z."))?;
                Condition::Time { property, operator, at }
            }
        };
        self.found.push(condition);
        Ok(())
    }

    fn equals(&mut self) -> Result<(), String> {
        match self.next_word()? {
            "eq" => Ok(()),
            other => Err(format!("The operator '{other}' is not supported here.")),
        }
    }

    /// `t: t` or `t:t`, with any name.
    fn lambda_variable(&mut self) -> Result<(), String> {
        let word = self.next_word()?.to_owned();
        let (declared, used) = word.split_once(':').ok_or("A range variable is expected, as in any(t: t eq 'x').")?;
        let used = if used.is_empty() { self.next_word()?.to_owned() } else { used.to_owned() };
        if declared.is_empty() || declared != used {
            return Err(format!("The range variable '{used}' is not declared."));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time(property: &str, operator: Operator, at: &str) -> Condition {
        Condition::Time { property: property.to_owned(), operator, at: parse_time(at).unwrap() }
    }

    #[test]
    fn documented_forms() {
        let (from, to) = ("2024-01-13T14:13:32Z", "2024-01-14T17:43:26.1234567Z");
        let range = [
            time("createdDateTime", Operator::GreaterOrEqual, from),
            time("createdDateTime", Operator::LessOrEqual, to),
        ];
        assert_eq!(parse(&format!("createdDateTime ge {from} and createdDateTime le {to}")).unwrap(), range);
        for any in [
            "any(t: t eq 'nonInteractiveUser')",
            "any(t:t eq 'nonInteractiveUser')",
            "any(x: x eq 'nonInteractiveUser')",
        ] {
            let read =
                parse(&format!("(createdDateTime ge {from} and createdDateTime le {to}) and signInEventTypes/{any}"))
                    .unwrap();
            assert_eq!(read[..2], range);
            assert_eq!(read[2..], [Condition::EventType("nonInteractiveUser".to_owned())]);
        }
        assert_eq!(
            parse(&format!("vendorInformation/provider eq 'Azure Sentinel' and ((eventDateTime gt {from}) and eventDateTime lt {to})")).unwrap(),
            [
                Condition::Provider("Azure Sentinel".to_owned()),
                time("eventDateTime", Operator::Greater, from),
                time("eventDateTime", Operator::Less, to),
            ]
        );
        assert_eq!(parse("vendorInformation/provider eq 'it''s'").unwrap(), [Condition::Provider("it's".to_owned())]);
    }

    #[test]
    fn other_forms_are_refused() {
        for filter in [
            "",
            "and",
            "createdDateTime",
            "createdDateTime ge",
            "createdDateTime ge 2024-01-13",
            "createdDateTime ge '2024-01-13T14:13:32Z'",
            "createdDateTime ne 2024-01-13T14:13:32Z",
            "createdDateTime ge 2024-01-13T14:13:32+00:00",
            "createdDateTime ge 2024-01-13T14:13:32Z or createdDateTime le 2024-01-13T14:13:32Z",
            "(createdDateTime ge 2024-01-13T14:13:32Z",
            "createdDateTime ge 2024-01-13T14:13:32Z)",
            "createdDateTime ge 2024-01-13T14:13:32Z and",
            "signInEventTypes/any(t: s eq 'x')",
            "signInEventTypes/any(t eq 'x')",
            "signInEventTypes/any(t: t ne 'x')",
            "signInEventTypes eq 'x'",
            "signInEventTypes/any(t: t eq 'x' or t eq 'y')",
            "vendorInformation/provider eq 'open",
            "createdDateTime%20ge",
            "createdDateTime ge 2024-01-13T14:13:32Z;",
        ] {
            assert!(parse(filter).is_err(), "{filter}");
        }
        assert!(parse(&"(".repeat(100_000)).is_err());
    }

    proptest! {
        #[test]
        fn never_panics(filter in ".{0,200}") {
            let _ = parse(&filter);
        }

        #[test]
        fn never_panics_on_likely_text(parts in proptest::collection::vec(proptest::sample::select(vec![
            "(", ")", " ", "and", "or", "ge", "eq", "createdDateTime", "signInEventTypes/any", "t:", "t", "'x'", "'", "2024-01-13T14:13:32Z", "2024-01-13T14", "é",
        ]), 0..40)) {
            let _ = parse(&parts.concat());
            let _ = parse(&parts.join(" "));
        }
    }
}
