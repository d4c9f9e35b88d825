//! Bar charts as SVG: panels side by side, groups of bars in each, with a line from the least to the most that was
//! measured. The colours follow the reader's preference for light or dark, on a ground of their own, so that they
//! can be read whatever page they stand on.

mod scale;
mod svg;

pub(crate) use self::scale::Scale;
use crate::report::Figure;

#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) subtitle: &'static str,
    /// What the groups of bars are, below them.
    pub(crate) groups_are: &'static str,
    pub(crate) scale: Scale,
    /// What the bars of each group are, in their order.
    pub(crate) series: Vec<&'static str>,
    pub(crate) panels: Vec<Panel>,
}

#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) groups: Vec<Group>,
}

#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// One for each series; none where it was not measured.
    pub(crate) bars: Vec<Option<Bar>>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Bar {
    pub(crate) value: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl From<&Figure> for Bar {
    fn from(figure: &Figure) -> Self {
        Self {
            value: figure.median(),
            least: figure.least(),
            most: figure.most(),
        }
    }
}
