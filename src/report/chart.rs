//! Charts as inline SVG. Pure: numbers and labels in, one `<svg>` out. Colours and fonts are those of the page, by class, so
//! that a chart follows light, dark and paper.

use std::fmt::Write as _;

/// Width of every chart in its own units; the page scales it.
const WIDTH: f64 = 640.0;
/// Height of a pair of bars, and of each bar.
const PAIR: f64 = 36.0;
const BAR: f64 = 12.0;
/// Where bars begin: to the left are their labels.
const LABELS: f64 = 150.0;
/// Room for the number at the end of a bar.
const NUMBERS: f64 = 76.0;

/// A quantity before and after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What is counted.
    pub label: String,
    /// Before; `None` where that is not known.
    pub before: Option<u64>,
    /// After.
    pub after: u64,
}

/// One pair of horizontal bars for each quantity, with the numbers at their ends.
#[must_use]
pub fn bars(title: &str, pairs: &[Pair]) -> String {
    let most = pairs.iter().flat_map(|pair| [pair.before.unwrap_or(0), pair.after]).max();
    let scale = (WIDTH - LABELS - NUMBERS) / most.unwrap_or(0).max(1) as f64;
    let height = PAIR * pairs.len() as f64;
    let mut svg = open(title, height);
    for (at, pair) in pairs.iter().enumerate() {
        let top = at as f64 * PAIR + 4.0;
        let middle = top + if pair.before.is_some() { BAR + 4.0 } else { BAR / 2.0 + 4.0 };
        let label = shortened(&pair.label);
        text(&mut svg, "label", "end", LABELS - 8.0, middle, &label);
        if let Some(before) = pair.before {
            bar(&mut svg, "before", top, before, scale);
            bar(&mut svg, "after", top + BAR + 1.0, pair.after, scale);
        } else {
            bar(&mut svg, "after", top, pair.after, scale);
        }
    }
    svg + "</svg>"
}

fn bar(svg: &mut String, class: &str, top: f64, value: u64, scale: f64) {
    // What is there at all is seen.
    let width = if value == 0 { 0.0 } else { (value as f64 * scale).max(1.0) };
    let _ = write!(
        svg,
        "<rect class=\"{class}\" x=\"{LABELS}\" y=\"{top}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>"
    );
    text(svg, "number", "start", LABELS + width + 6.0, top + BAR - 2.0, &thousands(value));
}

/// A column for each quantity in its order, with a tick for before.
#[must_use]
pub fn columns(title: &str, pairs: &[Pair]) -> String {
    const HEIGHT: f64 = 200.0;
    const BASE: f64 = 170.0;
    const TOP: f64 = 18.0;
    const LEFT: f64 = 52.0;
    let most = pairs.iter().flat_map(|pair| [pair.before.unwrap_or(0), pair.after]).max();
    let most = rounded(most.unwrap_or(0).max(1));
    let y = |value: u64| BASE - (BASE - TOP) * value as f64 / most as f64;
    let mut svg = open(title, HEIGHT);
    let lines = if most < 4 { vec![0, most] } else { vec![0, most / 2, most] };
    for value in lines {
        let at = y(value);
        let _ = write!(
            svg,
            "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{WIDTH}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"
        );
        text(&mut svg, "number", "end", LEFT - 6.0, at + 4.0, &thousands(value));
    }
    let step = (WIDTH - LEFT) / pairs.len().max(1) as f64;
    let width = (step * 0.7).min(28.0);
    // As many labels as there is room for, the last one always.
    let every = (pairs.len() * 62).div_ceil(580).max(1);
    for (at, pair) in pairs.iter().enumerate() {
        let (middle, top) = (LEFT + step * (at as f64 + 0.5), y(pair.after));
        let (left, height) = (middle - width / 2.0, BASE - top);
        let _ = write!(
            svg,
            "<rect class=\"after\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"1\">\
             <title>{}: {}</title></rect>",
            escaped(&pair.label),
            thousands(pair.after)
        );
        if let Some(before) = pair.before {
            let (at, from, to) = (y(before), left - 2.0, left + width + 2.0);
            let _ = write!(
                svg,
                "<line class=\"tick\" x1=\"{from:.1}\" x2=\"{to:.1}\" y1=\"{at:.1}\" y2=\"{at:.1}\"/>"
            );
        }
        if (pairs.len() - 1 - at).is_multiple_of(every) {
            text(&mut svg, "label", "middle", middle, BASE + 18.0, &pair.label);
        }
    }
    svg + "</svg>"
}

/// A line through shares from 0 to 1, oldest first, with a dot on the newest. Empty for fewer than two.
#[must_use]
pub fn sparkline(title: &str, shares: &[f64]) -> String {
    const W: f64 = 120.0;
    const H: f64 = 26.0;
    if shares.len() < 2 {
        return String::new();
    }
    // From the worst that there was, so that small changes show, but never less than a point of percent.
    let (low, high) = shares.iter().fold((1.0_f64, 0.0_f64), |(a, b), s| (a.min(*s), b.max(*s)));
    let span = (high - low).max(0.01);
    let x = |at: usize| 4.0 + (W - 10.0) * at as f64 / (shares.len() - 1) as f64;
    let y = |share: f64| 4.0 + (H - 8.0) * (high - share) / span;
    let points: Vec<String> =
        shares.iter().enumerate().map(|(at, s)| format!("{:.1},{:.1}", x(at), y(*s))).collect();
    let (last_x, last_y) = (x(shares.len() - 1), y(shares[shares.len() - 1]));
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {W} {H}\" role=\"img\" aria-label=\"{}\">\
         <polyline points=\"{}\"/><circle cx=\"{last_x:.1}\" cy=\"{last_y:.1}\" r=\"3\"/></svg>",
        escaped(title),
        points.join(" ")
    )
}

/// A share from 0 to 1 as a filled bar.
#[must_use]
pub fn meter(title: &str, share: f64) -> String {
    let class = if share >= 0.98 {
        "good"
    } else if share >= 0.9 {
        "fair"
    } else {
        "poor"
    };
    let width = 120.0 * share.clamp(0.0, 1.0);
    format!(
        "<svg class=\"meter\" viewBox=\"0 0 120 8\" role=\"img\" aria-label=\"{}\">\
         <rect class=\"rest\" width=\"120\" height=\"8\" rx=\"4\"/>\
         <rect class=\"{class}\" width=\"{width:.1}\" height=\"8\" rx=\"4\"/></svg>",
        escaped(title)
    )
}

fn open(title: &str, height: f64) -> String {
    let title = escaped(title);
    format!(
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"{title}\"><title>{title}</title>"
    )
}

fn text(svg: &mut String, class: &str, anchor: &str, x: f64, y: f64, content: &str) {
    let content = escaped(content);
    let _ = write!(
        svg,
        "<text class=\"{class}\" text-anchor=\"{anchor}\" x=\"{x:.1}\" y=\"{y:.1}\">{content}</text>"
    );
}

fn shortened(label: &str) -> String {
    const MOST: usize = 20;
    if label.chars().count() <= MOST {
        return label.to_owned();
    }
    label.chars().take(MOST - 1).chain(['…']).collect()
}

/// The next number of one digit and zeros, or half of one.
fn rounded(most: u64) -> u64 {
    let mut unit = 1_u64;
    while unit.saturating_mul(10) < most {
        unit *= 10;
    }
    let steps = [1, 2, 3, 4, 5, 6, 8, 10];
    steps.iter().map(|step| step * unit).find(|value| *value >= most).unwrap_or(most)
}

/// A number with its thousands apart.
#[must_use]
pub fn thousands(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(label: &str, before: u64, after: u64) -> Pair {
        Pair { label: label.to_owned(), before: Some(before), after }
    }

    #[test]
    fn a_label_cannot_leave_its_text() {
        let evil = [pair("</text><script>\"&", 1, 2)];
        for svg in [bars("a\"b", &evil), columns("a\"b", &evil)] {
            assert!(!svg.contains("<script") && !svg.contains("a\"b"), "{svg}");
            assert!(svg.contains("&lt;/text&gt;") && svg.ends_with("</svg>"), "{svg}");
        }
    }

    #[test]
    fn the_largest_fills_the_chart_and_nothing_is_no_bar() {
        let svg = bars("rows", &[pair("a", 0, 100), pair("b", 50, 1)]);
        assert!(svg.contains("width=\"414.0\"") && svg.contains("width=\"207.0\""), "{svg}");
        assert!(svg.contains("width=\"0.0\"") && svg.contains("width=\"4.1\""), "{svg}");
        assert!(bars("nothing", &[]).ends_with("</svg>"));
        assert!(columns("nothing", &[]).ends_with("</svg>"));
    }

    #[test]
    fn an_axis_ends_at_a_round_number() {
        for (most, expected) in [(1, 1), (7, 8), (10, 10), (11, 20), (99, 100), (433, 500)] {
            assert_eq!(rounded(most), expected, "{most}");
        }
        assert_eq!((thousands(0), thousands(1_234_567)), ("0".into(), "1,234,567".into()));
    }

    #[test]
    fn a_trend_needs_two_points_and_stays_inside() {
        assert_eq!(sparkline("t", &[0.5]), "");
        let svg = sparkline("t", &[1.0, 0.5, 1.0]);
        assert!(svg.contains("4.0,4.0 59.0,22.0 114.0,4.0"), "{svg}");
        assert!(sparkline("t", &[1.0, 1.0]).contains("4.0,4.0 114.0,4.0"));
    }
}
