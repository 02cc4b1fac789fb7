//! The table of figures.

use std::fmt;

/// One figure.
struct Row {
    what: String,
    value: f64,
    unit: &'static str,
    aim: Option<Aim>,
    note: String,
}

/// What a value should be.
#[derive(Clone, Copy)]
enum Aim {
    AtMost(f64),
    AtLeast(f64),
}

/// All figures of a run.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds a figure that has an aim: a value it should not exceed.
    pub fn aimed(&mut self, what: &str, value: f64, unit: &'static str, aim: f64, note: impl Into<String>) {
        self.rows.push(Row { what: what.to_owned(), value, unit, aim: Some(Aim::AtMost(aim)), note: note.into() });
    }

    /// Adds a figure that has an aim: a value it should reach.
    pub fn at_least(&mut self, what: &str, value: f64, unit: &'static str, aim: f64, note: impl Into<String>) {
        self.rows.push(Row { what: what.to_owned(), value, unit, aim: Some(Aim::AtLeast(aim)), note: note.into() });
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
            let aim = match row.aim {
                None => String::new(),
                Some(Aim::AtMost(aim)) => format!("≤ {aim} {}", row.unit),
                Some(Aim::AtLeast(aim)) => format!("≥ {aim} {}", row.unit),
            };
            let is_met = row.aim.map(|aim| match aim {
                Aim::AtMost(aim) => row.value <= aim,
                Aim::AtLeast(aim) => row.value >= aim,
            });
            let met = is_met.map_or("", |met| if met { "yes" } else { "**no**" });
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
