//! Draws a chart as SVG.

use std::fmt::Write as _;

use super::{Bar, BarGroup, Chart, Panel, scale::Axis};
use crate::report::{as_f64, compact};

const WIDTH: f64 = 880.0;
const HEIGHT: f64 = 380.0;
const MARGIN: f64 = 24.0;
/// Room for the numbers of the axis.
const AXIS: f64 = 44.0;
/// Above the panels: title, subtitle, legend.
const HEAD: f64 = 112.0;
/// Below the panels: the names of the groups, and their label.
const FOOT: f64 = 58.0;
const PLOT: f64 = HEIGHT - HEAD - FOOT;
const WIDEST_BAR: f64 = 44.0;

const STYLE: &str = "
    text { font: 12px system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif; fill: #1f2328; }
    .ground { fill: #ffffff; stroke: #d1d9e0; }
    .title { font-size: 17px; font-weight: 600; }
    .panel { font-size: 13px; font-weight: 600; }
    .quiet { fill: #59636e; }
    .value { font-size: 10.5px; }
    .mark { stroke: #ffffff; stroke-width: 3px; paint-order: stroke; }
    .line { stroke: #d1d9e0; }
    .spread { stroke: #1f2328; stroke-opacity: .65; stroke-width: 1.3; }
    .s0 { fill: #2f74d0; } .s1 { fill: #9aa4b0; } .s2 { fill: #d97b29; }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc; }
      .ground { fill: #0d1117; stroke: #3d444d; }
      .quiet { fill: #9198a1; }
      .mark { stroke: #0d1117; }
      .mark { stroke: #ffffff; stroke-width: 3px; paint-order: stroke; }
    .line { stroke: #3d444d; }
      .spread { stroke: #f0f6fc; }
      .s0 { fill: #4c8fe8; } .s1 { fill: #7d8793; } .s2 { fill: #e08b3f; }
    }
";

impl Chart {
    /// Draws the chart; `None` if nothing was measured.
    pub(crate) fn svg(&self) -> Option<String> {
        let bars = || {
            self.panels
                .iter()
                .flat_map(|panel| &panel.groups)
                .flat_map(|group| &group.bars)
                .flatten()
        };
        let most = bars().map(|bar| bar.most).fold(0.0, f64::max);
        let least = bars().map(|bar| bar.least).fold(f64::INFINITY, f64::min);
        (most > 0.0).then(|| draw(self, &self.scale.axis(least, most)))
    }
}

fn draw(chart: &Chart, axis: &Axis) -> String {
    let mut svg = Svg::default();
    svg.head(chart);
    let width = (WIDTH - 2.0 * MARGIN) / as_f64(chart.panels.len().max(1) as u64);
    for (index, panel) in chart.panels.iter().enumerate() {
        svg.panel(chart, panel, axis, MARGIN + width * as_f64(index as u64), width);
    }
    svg.put("</svg>\n");
    svg.0
}

#[derive(Default)]
struct Svg(String);

impl Svg {
    fn put(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn text(&mut self, class: &str, anchor: &str, x: f64, y: f64, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(
            self.0,
            r#"<text class="{class}" text-anchor="{anchor}" x="{x:.1}" y="{y:.1}">{text}</text>"#
        );
    }

    fn line(&mut self, class: &str, [x1, y1]: [f64; 2], [x2, y2]: [f64; 2]) {
        let _ = writeln!(
            self.0,
            r#"<line class="{class}" x1="{x1:.1}" y1="{y1:.1}" x2="{x2:.1}" y2="{y2:.1}"/>"#
        );
    }

    fn rectangle(&mut self, class: &str, x: f64, y: f64, width: f64, height: f64) {
        let _ = writeln!(
            self.0,
            r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" rx="2"/>"#
        );
    }

    fn head(&mut self, chart: &Chart) {
        let _ = writeln!(
            self.0,
            r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}"
role="img" aria-label="{}">
<style>{STYLE}</style>
<rect class="ground" x="0.5" y="0.5" width="{}" height="{}" rx="8"/>"#,
            chart.title,
            WIDTH - 1.0,
            HEIGHT - 1.0
        );
        self.text("title", "start", MARGIN, 34.0, chart.title);
        self.text("quiet", "start", MARGIN, 54.0, chart.subtitle);
        if chart.series.len() > 1 {
            self.legend(chart);
        }
    }

    fn legend(&mut self, chart: &Chart) {
        let mut x = MARGIN;
        for (number, name) in chart.series.iter().enumerate() {
            self.rectangle(&format!("s{number}"), x, 67.0, 11.0, 11.0);
            self.text("", "start", x + 17.0, 77.0, name);
            // An estimate: the width of a text is not known here.
            x += 42.0 + 6.6 * as_f64(name.chars().count() as u64);
        }
    }

    fn panel(&mut self, chart: &Chart, panel: &Panel, axis: &Axis, left: f64, width: f64) {
        let (from, to) = (left + AXIS, left + width - 8.0);
        self.text("panel", "start", from, HEAD - 12.0, panel.title);
        for tick in &axis.ticks {
            let y = place(axis, *tick);
            self.line("line", [from, y], [to, y]);
            self.text("quiet value", "end", from - 6.0, y + 3.5, &compact(*tick));
        }
        let each = (to - from) / as_f64(panel.groups.len().max(1) as u64);
        for (index, group) in panel.groups.iter().enumerate() {
            self.group(group, axis, from + each * as_f64(index as u64), each);
        }
        let middle = f64::midpoint(from, to);
        self.text("quiet", "middle", middle, HEIGHT - FOOT + 38.0, chart.groups_are);
    }

    fn group(&mut self, group: &BarGroup, axis: &Axis, left: f64, width: f64) {
        let count = as_f64(group.bars.len().max(1) as u64);
        let bar = (width * 0.86 / count).min(WIDEST_BAR);
        let first = left + (width - bar * count) / 2.0;
        for (number, measured) in group.bars.iter().enumerate() {
            if let Some(measured) = measured {
                let x = first + bar * as_f64(number as u64);
                self.bar(&format!("s{number}"), *measured, axis, x, bar);
            }
        }
        let middle = left + width / 2.0;
        self.text("", "middle", middle, HEIGHT - FOOT + 18.0, &group.name);
    }

    fn bar(&mut self, class: &str, bar: Bar, axis: &Axis, x: f64, width: f64) {
        let (bottom, top) = (HEAD + PLOT, place(axis, bar.value));
        self.rectangle(class, x + 1.5, top, width - 3.0, (bottom - top).max(1.0));
        let (middle, least, most) = (x + width / 2.0, place(axis, bar.least), place(axis, bar.most));
        if bar.most > bar.least {
            self.line("spread", [middle, least], [middle, most]);
        }
        self.text(
            "value mark",
            "middle",
            middle,
            top.min(most) - 4.0,
            &compact(bar.value),
        );
    }
}

fn place(axis: &Axis, value: f64) -> f64 {
    HEAD + PLOT * (1.0 - axis.height(value))
}
