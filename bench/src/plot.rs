//! Results as a picture: throughput against backlog, and over time under a held snapshot.

use std::{fs, path::PathBuf};

use clap::Parser;
use plotters::{
    coord::{
        Shift,
        ranged1d::{AsRangedCoord, ValueFormatter},
    },
    prelude::*,
};
use serde_json::Value;
use service::exit::Failure;

const SIZE: (u32, u32) = (1000, 380);
const FONT: (&str, u32) = ("sans-serif", 13);
const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const OTHER: RGBColor = RGBColor(0x99, 0x99, 0x99);

/// Draw results as SVG: throughput against backlog, and over time under a held snapshot.
#[derive(Parser, Clone, Debug)]
pub(crate) struct Plot {
    /// A file that `--json` wrote, with the scenarios backlog and held_snapshot.
    results: PathBuf,
    /// Where to write the picture.
    #[arg(long, default_value = "docs/performance.svg")]
    out: PathBuf,
}

/// The points of a line.
type Points = Vec<(f64, f64)>;

impl Plot {
    /// Draws.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", self.results.display()));
        let text = fs::read_to_string(&self.results).map_err(|error| failed(&error))?;
        let results: Value = serde_json::from_str(&text).map_err(|error| failed(&error))?;
        let backlog = points(&results, "backlog", "tasks_per_s_by_backlog")?;
        let held = points(&results, "held_snapshot", "tasks_per_s_by_second_held")?;
        let clean = points(&results, "held_snapshot", "tasks_per_s_by_second_clean")?;
        let picture = SVGBackend::new(&self.out, SIZE).into_drawing_area();
        draw(&picture, &backlog, &held, &clean).map_err(Failure::software)
    }
}

fn points(results: &Value, scenario: &str, curve: &str) -> Result<Points, Failure> {
    let missing = || Failure::usage(format!("no curve {curve} of scenario {scenario} in these results"));
    let curve = results["scenarios"][scenario]["curves"].get(curve).cloned().ok_or_else(missing)?;
    serde_json::from_value(curve).ok().filter(|points: &Points| !points.is_empty()).ok_or_else(missing)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), DrawingAreaErrorKind<<SVGBackend<'static> as DrawingBackend>::ErrorType>>;

fn draw(picture: &Area<'_>, backlog: &Points, held: &Points, clean: &Points) -> Drawn {
    picture.fill(&WHITE)?;
    let (left, right) = picture.split_horizontally(SIZE.0 / 2);
    let first = backlog.iter().map(|point| point.0).fold(f64::INFINITY, f64::min);
    let backlogs = (first..largest(backlog, |point| point.0)).log_scale();
    panel(
        &left,
        "tasks/s in front of a backlog",
        "tasks waiting",
        backlogs,
        &|tasks| short(*tasks),
        &[("", OURS, backlog)],
    )?;
    let seconds = 0.0..largest(held, |point| point.0).max(largest(clean, |point| point.0));
    let lines = [("snapshot held", OURS, held), ("no snapshot", OTHER, clean)];
    panel(
        &right,
        "tasks/s while an old snapshot is held",
        "seconds",
        seconds,
        &|second| format!("{second:.1}"),
        &lines,
    )?;
    picture.present()
}

/// One chart, from zero up.
fn panel<X>(
    area: &Area<'_>,
    title: &str,
    below: &str,
    across: X,
    label: &dyn Fn(&f64) -> String,
    lines: &[(&str, RGBColor, &Points)],
) -> Drawn
where
    X: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
{
    let top = lines.iter().map(|(_, _, points)| largest(points, |point| point.1)).fold(0.0, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT.0, 17))
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(52)
        .build_cartesian_2d(across, 0.0..top)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(OTHER.mix(0.25))
        .label_style(FONT)
        .x_desc(below)
        .x_label_formatter(label)
        .y_label_formatter(&|rate| short(*rate))
        .draw()?;
    for (name, colour, points) in lines {
        let colour = *colour;
        let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(3);
        let series = chart.draw_series(line)?;
        if !name.is_empty() {
            series.label(*name).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
        }
    }
    if lines.len() > 1 {
        let style = (FONT.0, FONT.1).into_text_style(area);
        chart.configure_series_labels().position(SeriesLabelPosition::LowerRight).label_font(style).draw()?;
    }
    Ok(())
}

fn largest(points: &Points, of: fn(&(f64, f64)) -> f64) -> f64 {
    points.iter().map(of).fold(0.0, f64::max)
}

/// `150k`, `10M`.
fn short(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{}M", value / 1e6),
        value if value >= 1e3 => format!("{}k", value / 1e3),
        value => value.to_string(),
    }
}
