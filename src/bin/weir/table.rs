//! Tables for the terminal: each column as wide as its widest cell.

use comfy_table::{CellAlignment, Table, presets};

/// A table with these heads: `left` columns of words, then columns of figures, which are aligned to the
/// right.
pub fn new(left: usize, heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(heads.iter().copied());
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if at >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
