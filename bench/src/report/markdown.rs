//! Reports and tables in Markdown.

use std::fmt;

use super::{Figure, Report, Table, shown};

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# Measured\n\n{}\n", self.machine)?;
        writeln!(
            f,
            "Figures are the median of {} runs, in brackets the least and the most; where there was one run, the \
             figure alone. Load, receivers, server and database share the machine. CPU is seconds per 1,000 events \
             published. Closed loop: a connection publishes when its last event is acknowledged. Open loop: events \
             leave at their time, and latency counts from then.",
            self.runs
        )?;
        for table in &self.tables {
            write!(f, "\n{table}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "## {}, {}\n", self.title, self.database.name())?;
        writeln!(f, "{}.\n", self.load)?;
        let columns = self.columns();
        writeln!(f, "| {} | {} |", self.rows_are, columns.join(" | "))?;
        writeln!(f, "| --- |{}", " ---: |".repeat(columns.len()))?;
        for row in &self.rows {
            write!(f, "| {} |", row.name)?;
            for column in &columns {
                let cell = row.figure(column).map_or_else(|| "–".to_owned(), cell);
                write!(f, " {cell} |")?;
            }
            writeln!(f)?;
        }
        for note in &self.notes {
            writeln!(f, "\n{note}")?;
        }
        Ok(())
    }
}

impl Table {
    /// The figures of all rows, in the order in which they first appear.
    fn columns(&self) -> Vec<&'static str> {
        let mut columns = Vec::new();
        for figure in self.rows.iter().flat_map(|row| &row.figures) {
            if !columns.contains(&figure.name) {
                columns.push(figure.name);
            }
        }
        columns
    }
}

fn cell(figure: &Figure) -> String {
    let median = shown(figure.median());
    if figure.runs.len() < 2 {
        return median;
    }
    format!("{median} ({}–{})", shown(figure.least()), shown(figure.most()))
}
