// SPDX-License-Identifier: MIT
//! The pictures.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::growth::{Point, WHATS};
use crate::rows::{Row, number};
use crate::{NAMES, OURS};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Of this module, the C module and the one that does nothing.
const COLOURS: [RGBColor; 3] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(120, 120, 120)];
const FONT: &str = "sans-serif";
const DRAWN: &str = "a picture";

/// Each row of this module as a bar from 1, which is the C module, with its quartiles and its goal.
pub fn rows(file: &Path, rows: &[Row], run: &str) {
    // From the top.
    let rows: Vec<&Row> = rows.iter().rev().filter(|row| row.of == NAMES[OURS]).collect();
    let area = canvas(file, (960, 100 + 34 * rows.len() as u32));
    let values = || rows.iter().map(|row| row.value / row.c_module);
    let (least, most) = (values().fold(0.5, f64::min) * 0.8, values().fold(2.0, f64::max) * 1.2);
    let mut chart = ChartBuilder::on(&area)
        .caption(
            "What this module costs, where the C module is 1: bar and quartiles; the cross is the goal",
            (FONT, 16),
        )
        .margin(10)
        .margin_bottom(30)
        .set_label_area_size(LabelAreaPosition::Left, 430)
        .set_label_area_size(LabelAreaPosition::Bottom, 30)
        .build_cartesian_2d((least..most).log_scale(), (0..rows.len() as i32 - 1).into_segmented())
        .expect(DRAWN);
    let name = |place: &SegmentValue<i32>| match place {
        SegmentValue::CenterOf(index) => rows.get(*index as usize).map(|row| label(row)).unwrap_or_default(),
        _ => String::new(),
    };
    chart
        .configure_mesh()
        .disable_y_mesh()
        .light_line_style(WHITE)
        .x_label_formatter(&figure)
        .label_style((FONT, 13))
        .y_labels(rows.len())
        .y_label_formatter(&name)
        .draw()
        .expect(DRAWN);
    let edges = [SegmentValue::Exact(0), SegmentValue::Exact(rows.len() as i32)];
    for (index, row) in (0..).zip(&rows) {
        let [from, to] = [index, index + 1].map(SegmentValue::Exact);
        let mut bar = Rectangle::new([(1.0, from), (row.value / row.c_module, to)], COLOURS[0].mix(0.6).filled());
        bar.set_margin(8, 8, 0, 0);
        chart.draw_series([bar]).expect(DRAWN);
        let middle = SegmentValue::CenterOf(index);
        if let (Some(low), Some(high)) = (row.lower_quartile, row.upper_quartile) {
            let [low, value, high] = [low, row.value, high].map(|value| value / row.c_module);
            let quartiles = ErrorBar::new_horizontal(middle.clone(), low, value, high, BLACK.filled(), 8);
            chart.draw_series([quartiles]).expect(DRAWN);
        }
        if let Some(goal) = row.goal {
            let goal = Cross::new((goal / row.c_module, middle), 5, COLOURS[1].stroke_width(2));
            chart.draw_series([goal]).expect(DRAWN);
        }
    }
    chart.draw_series([PathElement::new(edges.map(|edge| (1.0, edge)).to_vec(), BLACK)]).expect(DRAWN);
    below(&area, run);
}

/// What a row is, and its figure beside the C module's.
fn label(row: &Row) -> String {
    format!("{}: {}, C {}", row.what, number(row.value), number(row.c_module))
}

/// A chart for each thing that is counted.
pub fn growth(file: &Path, points: &[Point], run: &str) {
    let area = canvas(file, (1140, 420));
    for (chart, what) in area.split_evenly((1, WHATS.len())).iter().zip(WHATS) {
        let points: Vec<&Point> = points.iter().filter(|point| point.what == what).collect();
        growth_of(chart, what, &points);
    }
    below(
        &area,
        &format!(
            "Time, where the C module's first is 1; median and quartiles. All handles of a thread share the C module's \
             state; 10,000 sessions would take it more than a minute. {run}"
        ),
    );
}

fn growth_of(area: &Area, what: &str, points: &[&Point]) {
    let last = points.iter().map(|point| point.count).max().expect("points") as f64;
    let least = points.iter().map(|point| point.lower_quartile).fold(0.5, f64::min) * 0.8;
    let most = points.iter().map(|point| point.upper_quartile).fold(2.0, f64::max) * 1.2;
    let mut chart = ChartBuilder::on(area)
        .caption(what, (FONT, 15))
        .margin(10)
        .margin_bottom(30)
        .set_label_area_size(LabelAreaPosition::Left, 45)
        .set_label_area_size(LabelAreaPosition::Bottom, 30)
        .build_cartesian_2d((1.0..last * 1.1).log_scale(), (least..most).log_scale())
        .expect(DRAWN);
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .x_label_formatter(&figure)
        .y_label_formatter(&figure)
        .label_style((FONT, 12))
        .draw()
        .expect(DRAWN);
    for (name, colour) in NAMES.into_iter().zip(COLOURS) {
        let points: Vec<&&Point> = points.iter().filter(|point| point.of == name).collect();
        let line = LineSeries::new(points.iter().map(|point| (point.count as f64, point.cost)), colour.stroke_width(2));
        chart
            .draw_series(line)
            .expect(DRAWN)
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 15, y)], colour.stroke_width(2)));
        let quartiles = points.iter().map(|point| {
            let Point { count, cost, lower_quartile, upper_quartile, .. } = point;
            ErrorBar::new_vertical(*count as f64, *lower_quartile, *cost, *upper_quartile, colour.filled(), 6)
        });
        chart.draw_series(quartiles).expect(DRAWN);
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .label_font((FONT, 12))
        .draw()
        .expect(DRAWN);
}

/// A figure at an axis, without what binary fractions add.
fn figure(value: &f64) -> String {
    ((value * 100.0).round() / 100.0).to_string()
}

fn canvas(file: &Path, size: (u32, u32)) -> Area<'_> {
    let area = SVGBackend::new(file, size).into_drawing_area();
    area.fill(&WHITE).expect(DRAWN);
    area
}

/// A line at the bottom, and the picture is done.
fn below(area: &Area, text: &str) {
    let height = area.dim_in_pixel().1 as i32;
    area.draw(&Text::new(text, (10, height - 20), (FONT, 12))).expect(DRAWN);
    area.present().expect("a file in docs");
}
