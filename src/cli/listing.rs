//! Lists as the command line writes them: a line for each thing, in columns, and a word if there may be more.

use super::say;

/// A column of a list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Column {
    /// Texts, at least so wide.
    Text(usize),
    /// Numbers, which end below each other.
    Number(usize),
}

/// One line of a list.
pub(super) fn line<const N: usize>(columns: [Column; N], cells: [&str; N]) -> String {
    let cells = columns.into_iter().zip(cells).map(|(column, cell)| match (column, plain(cell)) {
        (Column::Text(width), cell) => format!("{cell:<width$}"),
        (Column::Number(width), cell) => format!("{cell:>width$}"),
    });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}

/// A text in one line: what a stranger wrote does not begin another.
pub(super) fn plain(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Says that a list was cut, unless somebody asked for that.
pub(super) fn say_if_more(asked: Option<usize>, shown: usize) {
    if asked.is_none() && shown == LISTED {
        say("… there may be more: --limit");
    }
}

/// What a list shows unless told otherwise.
pub(super) const LISTED: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_stand_below_each_other_and_stay_in_their_line() {
        let columns = [Column::Text(5), Column::Number(4), Column::Text(0)];
        assert_eq!(line(columns, ["a", "7", "x\ny"]), "a         7  x y");
        assert_eq!(line(columns, ["longer", "12345", ""]), "longer  12345");
    }
}
