//! What was measured, and what it says against the targets.

use std::time::Duration;

use crate::plan::Part;

/// The triggers are a fair competitor where inserts take them at most this many times what they take
/// without; else they are written too weakly, and being faster than they are means nothing.
const FAIR_TRIGGERS: f64 = 6.0;

/// Most resident memory of the daemon, in MiB.
const MEMORY: f64 = 64.0;

/// One thing measured in several rounds.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) part: Part,
    /// What was measured; figures of one group are compared.
    pub(crate) group: String,
    /// Who or what was measured.
    pub(crate) who: String,
    pub(crate) unit: &'static str,
    /// One value a round.
    pub(crate) values: Vec<f64>,
}

/// A figure beside another, or a limit.
#[derive(Debug, PartialEq)]
pub(crate) struct Judgement {
    /// Who of the same group it is compared with.
    pub(crate) versus: Option<String>,
    /// The quotient of the two medians.
    pub(crate) ratio: Option<f64>,
    /// The most that the ratio may be, or without a ratio the figure.
    pub(crate) limit: Option<f64>,
    pub(crate) verdict: Verdict,
}

/// What comes of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// There is none.
    Unjudged,
    Met,
    Missed,
    /// The competitor is too weak for the comparison.
    Void,
}

impl Verdict {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Unjudged => "",
            Self::Met => "yes",
            Self::Missed => "no",
            Self::Void => "void",
        }
    }
}

/// All figures, in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Results {
    figures: Vec<Figure>,
    failures: Vec<(Part, String)>,
}

impl Figure {
    /// The median, but the maximum of peaks.
    pub(crate) fn value(&self) -> f64 {
        if self.is_memory() {
            return self.values.iter().copied().fold(f64::NAN, f64::max);
        }
        median(&self.values)
    }

    fn is_memory(&self) -> bool {
        self.unit == "MiB"
    }
}

impl Results {
    /// Records one value, and says so.
    pub(crate) fn add(
        &mut self,
        part: Part,
        group: &str,
        who: &str,
        unit: &'static str,
        value: f64,
    ) {
        eprintln!("{group}: {who} {value:.3} {unit}");
        let same = |figure: &&mut Figure| figure.group == group && figure.who == who;
        if let Some(figure) = self.figures.iter_mut().find(same) {
            figure.values.push(value);
            return;
        }
        let (group, who) = (group.to_owned(), who.to_owned());
        self.figures.push(Figure { part, group, who, unit, values: vec![value] });
    }

    /// Records the peak memory of the daemon in bytes, where it is known.
    pub(crate) fn add_peak(&mut self, part: Part, during: &str, bytes: Option<u64>) {
        if let Some(bytes) = bytes {
            self.add(part, "peak memory of the daemon", during, "MiB", bytes as f64 / 1048576.0);
        }
    }

    pub(crate) fn fail(&mut self, part: Part, reason: &str) {
        self.failures.push((part, reason.to_owned()));
    }

    /// The parts that could not be measured, with the reason.
    pub(crate) fn failures(&self) -> &[(Part, String)] {
        &self.failures
    }

    /// Every figure with what it says, those of one group together.
    pub(crate) fn judged(&self) -> Vec<(&Figure, Judgement)> {
        let mut figures: Vec<&Figure> = self.figures.iter().collect();
        let first = |figure: &Figure| self.figures.iter().position(|f| f.group == figure.group);
        figures.sort_by_key(|figure| (figure.is_memory(), first(figure), rank(&figure.who)));
        figures.into_iter().map(|figure| (figure, self.judge(figure))).collect()
    }

    fn judge(&self, figure: &Figure) -> Judgement {
        if figure.is_memory() {
            let verdict = verdict(figure.value(), Some(MEMORY));
            return Judgement { versus: None, ratio: None, limit: Some(MEMORY), verdict };
        }
        let (versus, limit) = self.rule(figure);
        let ratio = versus.map(|versus| figure.value() / versus.value());
        let mut verdict = ratio.map_or(Verdict::Unjudged, |ratio| verdict(ratio, limit));
        if figure.who == "triggers" && verdict == Verdict::Missed {
            verdict = Verdict::Void;
        }
        if versus.is_some_and(|versus| self.is_too_weak(versus)) {
            verdict = Verdict::Void;
        }
        Judgement { versus: versus.map(|figure| figure.who.clone()), ratio, limit, verdict }
    }

    /// With whom a figure is compared, and the target of the ratio.
    fn rule(&self, figure: &Figure) -> (Option<&Figure>, Option<f64>) {
        let of = |who: &str| self.find(&figure.group, who);
        match (figure.part, figure.who.as_str()) {
            (Part::Inserts, "triggers") => (of("native"), Some(FAIR_TRIGGERS)),
            (_, "triggers") => (of("native"), None),
            (Part::Inserts | Part::Updates | Part::Live, "tributary") => {
                (of("triggers"), Some(1.0))
            }
            (Part::Latency, "tributary") => {
                let limit = if figure.group.contains("p99") { 5.0 } else { 8.0 };
                (of("native"), Some(limit))
            }
            (Part::Backfill, "tributary") => (of("script"), Some(1.5)),
            (Part::Growth, _) => {
                let smallest = self.figures.iter().find(|other| other.group == figure.group);
                let smaller = smallest.filter(|other| other.who != figure.who);
                (smaller, smaller.map(|_| 1.3))
            }
            _ => (None, None),
        }
    }

    /// Whether these are triggers that take too long for their inserts.
    fn is_too_weak(&self, figure: &Figure) -> bool {
        figure.part == Part::Inserts
            && figure.who == "triggers"
            && self.judge(figure).verdict == Verdict::Void
    }

    fn find(&self, group: &str, who: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.group == group && figure.who == who)
    }
}

fn verdict(value: f64, limit: Option<f64>) -> Verdict {
    match limit {
        None => Verdict::Unjudged,
        Some(limit) if value <= limit => Verdict::Met,
        Some(_) => Verdict::Missed,
    }
}

/// The order within a group: competitors before Tributary.
fn rank(who: &str) -> u8 {
    match who {
        "native" | "script" => 0,
        "triggers" => 1,
        _ => 2,
    }
}

pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.len() % 2, values.get(middle)) {
        (_, None) => f64::NAN,
        (1, Some(value)) => *value,
        (_, Some(value)) => f64::midpoint(values[middle - 1], *value),
    }
}

/// The time that this share of the sorted times does not exceed.
pub(crate) fn percentile(times: &[Duration], share: f64) -> Duration {
    let rank = (times.len() as f64 * share).ceil() as usize;
    times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(values: &[(Part, &str, &str, f64)]) -> Results {
        let mut results = Results::default();
        for &(part, group, who, value) in values {
            results.add(part, group, who, "s", value);
        }
        results
    }

    fn verdicts(results: &Results) -> Vec<(&str, Verdict)> {
        results.judged().iter().map(|(figure, j)| (figure.who.as_str(), j.verdict)).collect()
    }

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 0.5), Duration::from_millis(100));
        assert_eq!(percentile(&times, 0.99), Duration::from_millis(198));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_weak_competitor_makes_the_comparison_void() {
        let weak = [("tributary", 1.0), ("native", 1.0), ("triggers", 6.1)];
        let rows = weak.map(|(who, value)| (Part::Inserts, "inserts", who, value));
        let expected = [
            ("native", Verdict::Unjudged),
            ("triggers", Verdict::Void),
            ("tributary", Verdict::Void),
        ];
        assert_eq!(verdicts(&results(&rows)), expected);
        let fair = [("tributary", 6.1), ("native", 1.0), ("triggers", 6.0)];
        let rows = fair.map(|(who, value)| (Part::Inserts, "inserts", who, value));
        let expected = [
            ("native", Verdict::Unjudged),
            ("triggers", Verdict::Met),
            ("tributary", Verdict::Missed),
        ];
        assert_eq!(verdicts(&results(&rows)), expected);
    }

    #[test]
    fn growth_is_held_against_the_smallest_size_and_memory_against_its_limit() {
        let mut results = results(&[
            (Part::Growth, "change", "10 people", 10.0),
            (Part::Growth, "change", "20 people", 13.0),
            (Part::Growth, "change", "30 people", 13.1),
        ]);
        results.add_peak(Part::Growth, "growth", Some(64 << 20));
        results.add_peak(Part::Growth, "growth", Some(1 << 20));
        let expected = [
            ("10 people", Verdict::Unjudged),
            ("20 people", Verdict::Met),
            ("30 people", Verdict::Missed),
            ("growth", Verdict::Met),
        ];
        assert_eq!(verdicts(&results), expected);
        results.add_peak(Part::Growth, "growth", Some((64 << 20) + 1));
        assert_eq!(verdicts(&results).last(), Some(&("growth", Verdict::Missed)));
    }
}
