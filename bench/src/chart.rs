//! Bar charts as SVG: panels side by side, with groups of bars in each. A line on a bar goes from the least to the most
//! that was measured. A chart has a background of its own and follows the reader's preference for light or dark: it can
//! be read on every page.

mod scale;
mod svg;

pub(crate) use self::scale::Scale;
use crate::report::Figure;

#[derive(Debug)]
pub(crate) struct Chart {
    pub(crate) title: &'static str,
    pub(crate) subtitle: &'static str,
    /// The label below the groups: what a group stands for.
    pub(crate) groups_are: &'static str,
    pub(crate) scale: Scale,
    /// The legend: what each bar of a group stands for, in order.
    pub(crate) series: Vec<&'static str>,
    pub(crate) panels: Vec<Panel>,
}

#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) title: &'static str,
    pub(crate) groups: Vec<BarGroup>,
}

#[derive(Debug)]
pub(crate) struct BarGroup {
    pub(crate) name: String,
    /// A bar for each series; `None` where it was not measured.
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
