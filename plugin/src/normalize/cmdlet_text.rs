//! Parameters of a cmdlet in one text, as Purview writes them: `-Name "Payment cards" -Mode "Enable" -Force`.
//!
//! Invariant: every character of the text is in a name or a value, besides blanks and the quotation marks around a value; a text that is
//! none of parameters gives nothing.

/// The value of a parameter.
#[derive(Debug, PartialEq, Eq)]
pub enum Given<'t> {
    /// A switch, or `$true` and `$false`.
    Flag(bool),
    /// Anything else, without the quotation marks around the whole of it.
    Text(&'t str),
}

/// Real cmdlets take a few dozen.
const MAX_PARAMETERS: usize = 256;

/// Names and values, in order. A value goes to the next `-Name` that is in no quotation marks and no brackets.
pub fn parameters(text: &str) -> Option<Vec<(&str, Given<'_>)>> {
    let mut rest = text.trim();
    let mut all = Vec::new();
    while !rest.is_empty() {
        if all.len() == MAX_PARAMETERS {
            return None;
        }
        let after = rest.strip_prefix('-').filter(|after| after.starts_with(|c: char| c.is_ascii_alphabetic()))?;
        let (name, behind) =
            after.split_at(after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len()));
        let behind = behind.strip_prefix(':').unwrap_or(behind);
        let (value, next) = behind.split_at(end(behind));
        all.push((name, given(value.trim())));
        rest = next.trim_start();
    }
    (!all.is_empty()).then_some(all)
}

/// Where the value at the beginning ends: before a blank and the next name.
fn end(text: &str) -> usize {
    let (mut quote, mut depth, mut blank) = (None, 0_u32, false);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(c),
            (None, '(' | '{' | '[') => depth += 1,
            (None, ')' | '}' | ']') => depth = depth.saturating_sub(1),
            (None, '-') if blank && depth == 0 && text[at + 1..].starts_with(|c: char| c.is_ascii_alphabetic()) => {
                return at;
            }
            _ => {}
        }
        blank = c.is_whitespace();
    }
    text.len()
}

fn given(value: &str) -> Given<'_> {
    if value.is_empty() || value.eq_ignore_ascii_case("$true") {
        return Given::Flag(true);
    }
    if value.eq_ignore_ascii_case("$false") {
        return Given::Flag(false);
    }
    let inside = ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote).filter(|v| !v.contains(*quote)));
    Given::Text(inside.unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{
        Given::{Flag, Text},
        parameters,
    };

    #[test]
    fn names_and_values() {
        let text = r#"-Name "Teams - policy -rule" -Disabled $false -Workload "Exchange","SharePoint" -Force -Content (@{a="-b"} -Join) -Mode:Enable"#;
        assert_eq!(
            parameters(text).unwrap(),
            [
                ("Name", Text("Teams - policy -rule")),
                ("Disabled", Flag(false)),
                ("Workload", Text(r#""Exchange","SharePoint""#)),
                ("Force", Flag(true)),
                ("Content", Text(r#"(@{a="-b"} -Join)"#)),
                ("Mode", Text("Enable")),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text(text in "(-?[a-z\"'(){} :$é]{0,6}){0,12}") {
            for (name, value) in parameters(&text).unwrap_or_default() {
                prop_assert!(text.contains(name));
                if let Text(value) = value {
                    prop_assert!(text.contains(value));
                }
            }
        }
    }

    #[test]
    fn what_is_no_list_of_parameters() {
        for text in ["", "Name x", "-", "- x", "-1", "{\"a\":1}"] {
            assert_eq!(parameters(text), None, "{text}");
        }
        assert_eq!(parameters("-Name \"no end").unwrap(), [("Name", Text("\"no end"))]);
        assert_eq!(parameters(&"-a ".repeat(10_000)), None);
        assert_eq!(parameters(&format!("-a{}", " ".repeat(1_000_000))).unwrap(), [("a", Flag(true))]);
    }
}
