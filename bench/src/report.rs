//! The table of figures.

use std::fmt;

/// One figure.
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    aim: Option<f64>,
    note: String,
}

/// All figures of a run.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a figure that has an aim: a value it should not exceed.
    pub fn aimed(&mut self, what: &str, value: f64, unit: &'static str, aim: f64, note: impl Into<String>) {
        self.rows.push(Row { what: what.to_owned(), value, unit, aim: Some(aim), note: note.into() });
    }

    /// Adds a figure for information, such as a floor.
    pub fn plain(&mut self, what: &str, value: f64, unit: &'static str, note: impl Into<String>) {
        self.rows.push(Row { what: what.to_owned(), value, unit, aim: None, note: note.into() });
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| what | measured | aim | met | note |\n|---|---|---|---|---|")?;
        for row in &self.rows {
            let aim = row.aim.map_or("".to_owned(), |aim| format!("≤ {aim} {}", row.unit));
            let met = row.aim.map_or("", |aim| if row.value <= aim { "yes" } else { "**no**" });
            writeln!(f, "| {} | {:.2} {} | {aim} | {met} | {} |", row.what, row.value, row.unit, row.note)?;
        }
        Ok(())
    }
}

/// The value below which `share` (0 to 1) of the samples lie. The samples are sorted by this.
pub fn percentile(samples: &mut [f64], share: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let last = samples.len().saturating_sub(1);
    samples.get((last as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}
