//! The report of a run: tables of figures, each with its median and its spread.

mod machine;
mod markdown;
mod numbers;

use serde::{Serialize, Serializer, ser::SerializeStruct as _};

pub(crate) use self::{
    machine::Machine,
    numbers::{as_f64, compact, counted, mebibytes, shown},
};
use crate::{database::Engine, latency::Latencies};

/// The report of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    /// When the run began: milliseconds of the wall clock since 1970.
    pub(crate) started_at: i64,
    pub(crate) runs: u32,
    pub(crate) seconds: u64,
    pub(crate) tables: Vec<Table>,
}

/// The figures of one scenario on one database.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    pub(crate) scenario: &'static str,
    pub(crate) database: Engine,
    pub(crate) title: String,
    /// The load of the scenario.
    pub(crate) load: String,
    /// What a row stands for: the head of the first column.
    pub(crate) rows_are: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) notes: Vec<String>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) figures: Vec<Figure>,
}

/// One figure, measured once or more.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    pub(crate) name: &'static str,
    pub(crate) runs: Vec<f64>,
}

impl Report {
    pub(crate) fn table(&self, scenario: &str, database: Engine) -> Option<&Table> {
        self.tables
            .iter()
            .find(|table| table.scenario == scenario && table.database == database)
    }
}

impl Table {
    pub(crate) fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }
}

impl Row {
    pub(crate) fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            figures: Vec::new(),
        }
    }

    /// Adds the value of one run.
    pub(crate) fn add(&mut self, name: &'static str, value: f64) {
        match self.figures.iter_mut().find(|figure| figure.name == name) {
            Some(figure) => figure.runs.push(value),
            None => self.figures.push(Figure {
                name,
                runs: vec![value],
            }),
        }
    }

    /// Adds the median, the 99th percentile and the longest of the latencies of one run, in milliseconds.
    pub(crate) fn add_latencies(&mut self, names: [&'static str; 3], latencies: &Latencies) {
        for (name, percent) in names.into_iter().zip([50.0, 99.0, 100.0]) {
            self.add(name, latencies.percentile(percent));
        }
    }

    pub(crate) fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }

    /// Divides each of these figures by that of another row, run by run. The two of a run are measured one after the
    /// other: a disturbance of the machine that lasts affects both.
    pub(crate) fn ratios_to(&self, name: impl Into<String>, other: &Self, figures: &[&'static str]) -> Self {
        let mut ratios = Self::named(name);
        for figure in figures {
            if let (Some(ours), Some(theirs)) = (self.figure(figure), other.figure(figure)) {
                for (ours, theirs) in ours.runs.iter().zip(&theirs.runs) {
                    ratios.add(figure, ours / theirs.max(f64::MIN_POSITIVE));
                }
            }
        }
        ratios
    }
}

impl Figure {
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.runs.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            count if count % 2 == 1 => sorted[count / 2],
            count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
        }
    }

    pub(crate) fn least(&self) -> f64 {
        self.runs.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn most(&self) -> f64 {
        self.runs.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }
}

impl Serialize for Figure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut figure = serializer.serialize_struct("Figure", 5)?;
        figure.serialize_field("name", self.name)?;
        figure.serialize_field("median", &self.median())?;
        figure.serialize_field("min", &self.least())?;
        figure.serialize_field("max", &self.most())?;
        figure.serialize_field("runs", &self.runs)?;
        figure.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64]) -> Row {
        let mut row = Row::named("a");
        for value in values {
            row.add("x", *value);
        }
        row
    }

    #[test]
    fn a_figure_is_its_median_and_its_spread() {
        let row = row(&[3.0, 1.0, 2.0]);
        let figure = row.figure("x").unwrap();
        assert_eq!([figure.median(), figure.least(), figure.most()], [2.0, 1.0, 3.0]);
        assert!((self::row(&[1.0, 2.0]).figures[0].median() - 1.5).abs() < 1e-9);
    }

    #[test]
    fn ratios_are_those_of_each_run() {
        let ratios = row(&[10.0, 30.0]).ratios_to("r", &row(&[5.0, 10.0]), &["x", "y"]);
        assert_eq!(ratios.figures[0].runs, [2.0, 3.0]);
        assert_eq!(ratios.figures.len(), 1);
    }
}
