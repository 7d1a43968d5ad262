//! Plain text tables for people: columns as wide as their content, numbers to the right.

use crate::foreign_text::{SENTENCE, readable};

/// Lays out rows under a header. A column whose cells are all numbers is aligned to the right. Cells may be anybody's text.
pub(super) fn layout(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = header.len();
    let shown = |row: &Vec<String>| row.iter().map(|cell| readable(cell, SENTENCE)).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(shown).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .chain([header[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let numeric: Vec<bool> = (0..columns)
        .map(|column| {
            !rows.is_empty()
                && rows.iter().all(|row| {
                    row.get(column)
                        .is_some_and(|cell| !cell.is_empty() && cell.chars().all(|c| c.is_ascii_digit() || c == '.'))
                })
        })
        .collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = String::new();
        for (column, cell) in cells.enumerate() {
            if column > 0 {
                out.push_str("  ");
            }
            let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            if numeric[column] {
                out.push_str(&pad);
                out.push_str(cell);
            } else {
                out.push_str(cell);
                out.push_str(&pad);
            }
        }
        text.push_str(out.trim_end());
        text.push('\n');
    };
    line(&mut header.iter().copied());
    for row in &rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_to_the_right() {
        let rows = vec![vec!["a".to_owned(), "1".to_owned()], vec!["bbb".to_owned(), "100".to_owned()]];
        assert_eq!(layout(&["name", "n"], &rows), "name    n\na       1\nbbb   100\n");
    }
}
