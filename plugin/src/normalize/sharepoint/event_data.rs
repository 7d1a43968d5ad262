//! `EventData` of SharePoint: markup that is no XML, such as `<Type>Edit</Type><Permissions granted>Read</Permissions granted>`.
//!
//! Invariant: any text gives some pairs or none, in time linear in its length.

/// Most names that are looked at, and most bytes. Real ones are a few hundred bytes long.
const MAX_NAMES: usize = 256;
const MAX_BYTES: usize = 64 << 10;

/// Names and values, in order. A name may hold blanks; a value goes to the next end of the same name, and what has no end is left out.
pub fn pairs(text: &str) -> Vec<(&str, &str)> {
    let mut pairs = Vec::new();
    let mut rest = &text[..text.floor_char_boundary(MAX_BYTES)];
    // Real ones hold a handful; each name costs one look through the rest.
    for _ in 0..MAX_NAMES {
        let Some((_, after)) = rest.split_once('<') else { break };
        let Some((name, inside)) = after.split_once('>') else { break };
        let plain = !name.is_empty() && !name.starts_with(['/', '?', '!']) && !name.contains(['<', '=']);
        let end = if plain { inside.find(&format!("</{name}>")) } else { None };
        match end {
            Some(end) => {
                pairs.push((name, inside[..end].trim()));
                rest = &inside[end + name.len() + 3..];
            }
            None => rest = after,
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_blanks() {
        let text = "<Type>Edit</Type><Permissions granted>Limited Access</Permissions granted><MembersCanShareApplied>False</MembersCanShareApplied>";
        assert_eq!(
            pairs(text),
            [("Type", "Edit"), ("Permissions granted", "Limited Access"), ("MembersCanShareApplied", "False")]
        );
        assert_eq!(pairs("<Added to group>Site Members</Added to group>"), [("Added to group", "Site Members")]);
    }

    #[test]
    fn what_is_no_markup() {
        for text in ["", "plain", "<", "<>", "<a", "<a>no end", "</a>", "<<<<>>>>", "<a <b>>x</a <b>>", "é<"] {
            assert!(pairs(text).is_empty(), "{text}");
        }
        assert_eq!(pairs("<a>no end<b>x</b>"), [("b", "x")]);
    }
}
