//! The one spelling under which operation names are compared, at build time and at run time.

/// Lower case, blanks collapsed, an en dash as a hyphen, no blank and no full stop at the end.
pub fn normalize(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    if name.bytes().all(|b| b.is_ascii_graphic()) {
        // Most names are one word.
        out.push_str(name);
        out.make_ascii_lowercase();
        out.truncate(out.trim_end_matches('.').len());
        return out;
    }
    for word in name.split(char::is_whitespace).filter(|w| !w.is_empty()) {
        if !out.is_empty() {
            out.push(' ');
        }
        for c in word.chars() {
            match c {
                '\u{2013}' => out.push('-'),
                // U+200B is invisible and comes from copied text.
                '\u{200b}' => {}
                _ => out.extend(c.to_lowercase()),
            }
        }
    }
    out.truncate(out.trim_end_matches(['.', ' ']).len());
    out
}
