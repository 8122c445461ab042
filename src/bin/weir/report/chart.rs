//! Charts as SVG, with a title and a description. A table beside each chart holds the same figures.

use super::doc::{Chart, Kind, Tone};
use crate::figures::{grouped, utc};
use maud::{Markup, html};

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 240.0;
/// Margins: left, right, above and below.
const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 28.0;
const BELOW: f64 = 40.0;

pub fn svg(c: &Chart, id: &str) -> Markup {
    let height = match &c.kind {
        Kind::Behind { rows, .. } => 30.0 + 24.0 * rows.len() as f64,
        _ => HEIGHT,
    };
    html! {
        figure {
            figcaption { (c.title) }
            svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-labelledby=(format!("{id}-t {id}-d")) {
                title id=(format!("{id}-t")) { (c.title) }
                desc id=(format!("{id}-d")) { (c.says) }
                @match &c.kind {
                    Kind::Stacked { series, bars, unit } => (stacked(series, bars, unit)),
                    Kind::Lines { series, unit } => (lines(series, unit)),
                    Kind::Behind { rows, unit } => (behind(rows, unit)),
                }
            }
        }
    }
}

fn round(x: f64) -> String {
    format!("{x:.1}")
}

/// A step of 1, 2 or 5 times a power of ten, a few of which add up to `most`.
fn tick(most: u64) -> u64 {
    let mut step = 1u64;
    loop {
        for s in [step, step.saturating_mul(2), step.saturating_mul(5)] {
            if most / s < 5 {
                return s;
            }
        }
        step = step.saturating_mul(10);
    }
}

/// The axis of counts, with its unit above it.
fn counts(most: u64, unit: &str) -> Markup {
    let step = tick(most);
    let y = |v: u64| HEIGHT - BELOW - (HEIGHT - BELOW - TOP) * v as f64 / most.max(1) as f64;
    html! {
        text x="0" y="12" class="soft" { (unit) }
        @for v in (0..=most / step).map(|i| i * step) {
            line class="axis" x1=(LEFT) x2=(WIDTH - RIGHT) y1=(round(y(v))) y2=(round(y(v))) {}
            text class="soft" x=(LEFT - 6.0) y=(round(y(v) + 4.0)) text-anchor="end" { (grouped(v)) }
        }
    }
}

fn legend(names: &[(&str, Tone)]) -> Markup {
    html! {
        @for (i, (name, tone)) in names.iter().enumerate() {
            rect class=(tone.class()) x=(WIDTH - RIGHT - 110.0 * (names.len() - i) as f64) y="4" width="10" height="10" {}
            text x=(WIDTH - RIGHT - 110.0 * (names.len() - i) as f64 + 15.0) y="13" { (name) }
        }
    }
}

fn stacked(series: &[(&'static str, Tone)], bars: &[(String, Vec<u64>)], unit: &str) -> Markup {
    let most = bars.iter().map(|b| b.1.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    let wide = (WIDTH - LEFT - RIGHT) / bars.len().max(1) as f64;
    let full = HEIGHT - BELOW - TOP;
    // Names of bars where there is room for them.
    let every = bars.len().div_ceil(if bars.len() > 12 { 4 } else { 12 }).max(1);
    html! {
        (counts(most, unit))
        (legend(series))
        @for (i, (name, values)) in bars.iter().enumerate() {
            @let x = LEFT + wide * i as f64;
            @for (j, (_, tone)) in series.iter().enumerate() {
                @let below: u64 = values.iter().take(j).sum();
                @let v = values.get(j).copied().unwrap_or(0);
                @if v > 0 {
                    rect class=(tone.class()) x=(round(x + wide * 0.06)) width=(round((wide * 0.88).max(0.8)))
                        y=(round(HEIGHT - BELOW - full * (below + v) as f64 / most as f64)) height=(round((full * v as f64 / most as f64).max(0.5))) {}
                }
            }
            @if i % every == 0 {
                text class="soft" x=(round(x + wide / 2.0)) y=(HEIGHT - BELOW + if bars.len() <= 12 && i % 2 == 1 { 30.0 } else { 16.0 })
                    text-anchor=(if bars.len() > 12 && i == 0 { "start" } else { "middle" }) { (name) }
            }
        }
    }
}

fn lines(series: &[(String, Vec<(u64, u64)>)], unit: &str) -> Markup {
    let all = || series.iter().flat_map(|s| &s.1);
    let (from, to) = (all().map(|p| p.0).min().unwrap_or(0), all().map(|p| p.0).max().unwrap_or(1));
    let most = all().map(|p| p.1).max().unwrap_or(0).max(1);
    let x = |t: u64| LEFT + (WIDTH - LEFT - RIGHT) * (t - from) as f64 / (to - from).max(1) as f64;
    let y = |v: u64| HEIGHT - BELOW - (HEIGHT - BELOW - TOP) * v as f64 / most as f64;
    html! {
        (counts(most, unit))
        @for (i, (name, points)) in series.iter().enumerate() {
            path class=(format!("s{}", i % 4)) d=(path(points, x, y)) {}
            @let at = LEFT + 160.0 + 200.0 * i as f64;
            @if at < WIDTH - 150.0 {
                path class=(format!("s{}", i % 4)) d=(format!("M{at} 9h24")) {}
                text x=(at + 30.0) y="13" { (name) }
            }
        }
        text class="soft" x=(LEFT) y=(HEIGHT - BELOW + 16.0) { (utc(from)) }
        text class="soft" x=(WIDTH - RIGHT) y=(HEIGHT - BELOW + 16.0) text-anchor="end" { (utc(to)) }
    }
}

/// A path in which each value holds until the next one.
fn path(points: &[(u64, u64)], x: impl Fn(u64) -> f64, y: impl Fn(u64) -> f64) -> String {
    let mut out = String::new();
    for (i, (t, v)) in points.iter().enumerate() {
        out.push_str(&match i {
            0 => format!("M{} {}", round(x(*t)), round(y(*v))),
            _ => format!("H{}V{}", round(x(*t)), round(y(*v))),
        });
    }
    out
}

/// Horizontal bars: how far each is behind the likeliest.
fn behind(rows: &[(String, i64)], unit: &str) -> Markup {
    let most = rows.iter().map(|r| r.1.unsigned_abs()).max().unwrap_or(0).max(1);
    let room = WIDTH - 110.0 - 90.0;
    html! {
        text class="soft" x="110" y="12" { (unit) }
        @for (i, (name, value)) in rows.iter().enumerate() {
            @let y = 24.0 + 24.0 * i as f64;
            @let wide = (room * value.unsigned_abs() as f64 / most as f64).max(2.0);
            text x="104" y=(y + 13.0) text-anchor="end" { (name) }
            rect class=(if *value >= 0 { "block" } else { "allow" }) x="110" y=(y) height="17" width=(round(wide)) {}
            text x=(round(116.0 + wide)) y=(y + 13.0) { @if *value >= 0 { "likeliest" } @else { (value) } }
        }
    }
}
