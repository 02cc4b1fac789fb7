//! Columns.

/// Rows of cells as aligned columns, two spaces apart, with a heading. Cells are made harmless and put on one line.
pub fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = std::iter::once(heading.map(str::to_owned))
        .chain(rows.iter().map(|row| row.clone().map(|cell| one_line(&cell))))
        .collect();
    let widths: [usize; N] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let lines: Vec<String> = rows
        .iter()
        .map(|row| {
            let cells: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            cells.join("  ").trim_end().to_owned()
        })
        .collect();
    lines.join("\n")
}

fn one_line(text: &str) -> String {
    daemon::terminal::neutral(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_aligned_and_lines_stay_lines() {
        let rows = [["1".to_owned(), "fix\nit".to_owned()], ["12".to_owned(), String::new()]];
        assert_eq!(table(["ID", "TITLE"], &rows), "ID  TITLE\n1   fix it\n12");
    }
}
