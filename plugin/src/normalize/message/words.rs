//! The words that sentences are made of.
//!
//! Invariant: a name is said on one line and not at any length, whatever it holds.

/// A sentence that is being said.
#[derive(Debug)]
pub struct Words(String);

impl Default for Words {
    fn default() -> Self {
        Self(String::with_capacity(160))
    }
}

impl From<Words> for String {
    fn from(words: Words) -> Self {
        words.0
    }
}

/// Most characters of one name.
const MAX_NAME: usize = 160;

/// Most names of a list.
const MAX_LIST: usize = 4;

impl Words {
    /// Words of our own, with their blanks.
    pub fn say(&mut self, words: &str) -> &mut Self {
        self.0.push_str(words);
        self
    }

    /// A name or text of the record. Blanks for control characters, and `…` for what is over the limit.
    pub fn name(&mut self, name: &str) -> &mut Self {
        let name = name.trim();
        if name.len() <= MAX_NAME && !name.bytes().any(|b| b.is_ascii_control()) {
            self.0.push_str(name);
            return self;
        }
        let mut blank = false;
        for (count, c) in name.chars().enumerate() {
            if count == MAX_NAME {
                self.0.push('…');
                break;
            }
            // Line breaks come in twos.
            if !c.is_control() {
                self.0.push(c);
            } else if !blank {
                self.0.push(' ');
            }
            blank = c.is_control();
        }
        self
    }

    /// A text of a person's choice, such as a subject.
    pub fn quoted(&mut self, text: &str) -> &mut Self {
        self.say("\"").name(text).say("\"")
    }

    /// The kind of a thing. OCSF's own words and those of our mappings begin with a capital, which a sentence doesn't want; names of
    /// several capitals are somebody's.
    pub fn kind(&mut self, kind: &str) -> &mut Self {
        let mut chars = kind.chars();
        match chars.next() {
            Some(first) if !kind.starts_with("Teams ") && chars.as_str().chars().all(|c| !c.is_uppercase()) => {
                self.0.extend(first.to_lowercase());
                self.name(chars.as_str())
            }
            _ => self.name(kind),
        }
    }

    /// `a, b and c`, and how many more there are.
    pub fn list(&mut self, names: &[&str]) -> &mut Self {
        let shown = names.len().min(MAX_LIST);
        for (index, name) in names[..shown].iter().enumerate() {
            let last = index + 1 == names.len();
            self.say(if index == 0 {
                ""
            } else if last {
                " and "
            } else {
                ", "
            })
            .name(name);
        }
        if names.len() > shown {
            self.say(" and ").say(&(names.len() - shown).to_string()).say(" more");
        }
        self
    }
}

/// What is done by an activity of a class: in the infinitive and in the past.
pub fn deed(class_uid: u32, activity_id: i64) -> Option<(&'static str, &'static str)> {
    Some(match (class_uid, activity_id) {
        (3001 | 3004, 1) => ("create", "created"),
        (3001, 2) | (3004, 8) => ("enable", "enabled"),
        (3001, 3) => ("change", "changed"),
        (3001, 4) => ("reset", "reset"),
        (3001, 5) | (3004, 9) => ("disable", "disabled"),
        (3001, 6) | (3004, 4) | (3006, 5) | (6001 | 6006, 4) => ("delete", "deleted"),
        (3001, 9) => ("lock", "locked"),
        (3001, 10) => ("register", "registered"),
        (3001, 11) => ("remove", "removed"),
        (3001, 12) => ("unlock", "unlocked"),
        (3004, 2) | (6001, 2) => ("read", "read"),
        (3004, 3) | (6001, 3) | (6006, 3) => ("change", "changed"),
        (3004, 5) | (6006, 7) => ("move", "moved"),
        (3004, 6) => ("enroll", "enrolled"),
        (3004, 7) => ("unenroll", "unenrolled"),
        (3004, 10) => ("activate", "activated"),
        (3004, 11) => ("deactivate", "deactivated"),
        (3004, 12) => ("suspend", "suspended"),
        (3004, 13) => ("resume", "resumed"),
        (3005, 1) => ("give", "gave"),
        (3005, 2) => ("take", "took"),
        (3006, 1) => ("assign rights to", "assigned rights to"),
        (3006, 2) => ("take rights from", "took rights from"),
        (3006, 3) => ("add", "added"),
        (3006, 4) => ("remove", "removed"),
        (3006, 6) | (6001, 1) => ("create", "created"),
        (3006, 7) => ("add a group to", "added a group to"),
        (3006, 8) => ("remove a group from", "removed a group from"),
        (4009, 1) => ("send", "sent"),
        (6001, 5) => ("search", "searched"),
        (6001, 6) => ("import", "imported"),
        (6001, 7) => ("export", "exported"),
        (6001, 8) => ("share", "shared"),
        (6002, 1) => ("install", "installed"),
        (6002, 2) => ("remove", "removed"),
        (6002, 8) => ("update", "updated"),
        (6006, 1) => ("upload", "uploaded"),
        (6006, 2) => ("download", "downloaded"),
        (6006, 5) => ("rename", "renamed"),
        (6006, 6) => ("copy", "copied"),
        (6006, 8) => ("restore", "restored"),
        (6006, 9) => ("preview", "previewed"),
        (6006, 10) => ("lock", "locked"),
        (6006, 11) => ("unlock", "unlocked"),
        (6006, 12) => ("share", "shared"),
        (6006, 13) => ("stop sharing", "stopped sharing"),
        (6006, 14) => ("open", "opened"),
        (6006, 15) => ("synchronise", "synchronised"),
        _ => return None,
    })
}

/// What of a user an activity of Account Change is about, before the user's name.
pub fn of_user(activity_id: i64) -> &'static str {
    match activity_id {
        3 | 4 => "the password of ",
        2 | 5 | 9 | 12 => "the account of ",
        10 | 11 => "an authentication method of ",
        _ => "the user ",
    }
}

/// The same of the user who does it.
pub fn own(activity_id: i64) -> &'static str {
    match activity_id {
        3 | 4 => " password",
        10 | 11 => " authentication method",
        _ => " account",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(say: impl Fn(&mut Words) -> &mut Words) -> String {
        let mut words = Words::default();
        say(&mut words);
        words.into()
    }

    #[test]
    fn lists() {
        assert_eq!(said(|w| w.list(&["a"])), "a");
        assert_eq!(said(|w| w.list(&["a", "b"])), "a and b");
        assert_eq!(said(|w| w.list(&["a", "b", "c"])), "a, b and c");
        assert_eq!(said(|w| w.list(&["a", "b", "c", "d", "e", "f"])), "a, b, c, d and 2 more");
    }

    #[test]
    fn kinds() {
        assert_eq!(said(|w| w.kind("Email message")), "email message");
        assert_eq!(said(|w| w.kind("InboxRule")), "InboxRule");
        assert_eq!(said(|w| w.kind("")), "");
    }
}
