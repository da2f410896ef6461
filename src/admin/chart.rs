//! Small bar charts of the last hour, as SVG within the page.

use maud::{Markup, html};

use super::samples::MINUTES;

/// Bars of one kind, and on top of them bars of another one, which is bad news.
pub(super) fn bars(name: &str, good: &[i64], bad: &[i64]) -> Markup {
    let both = || good.iter().zip(bad.iter().chain(std::iter::repeat(&0)));
    let highest = both().map(|(good, bad)| good + bad).max().unwrap_or(0).max(1);
    let (sum, failed) = (good.iter().sum::<i64>(), bad.iter().sum::<i64>());
    let of_them = if failed > 0 { format!("; {failed} failed") } else { String::new() };
    let label = format!("{name} in the last hour: {}{of_them}; at most {highest} in a minute", sum + failed);
    let label = if sum + failed == 0 { format!("{name} in the last hour: none") } else { label };
    let width = MINUTES * STEP;
    html! {
        svg.chart role="img" aria-label=(label) viewBox=(format!("0 0 {width} {HEIGHT}")) preserveAspectRatio="none" {
            title { (label) }
            line.base x1="0" x2=(width) y1=(HEIGHT) y2=(HEIGHT) {}
            @for (place, (good, bad)) in both().enumerate() {
                @let (low, high) = (height(*good, highest), height(*good + *bad, highest));
                @if low > 0 { (bar("good", place, low, 0)) }
                @if high > low { (bar("bad", place, high - low, low)) }
            }
        }
    }
}

fn bar(class: &str, place: usize, height: i64, above: i64) -> Markup {
    html! { rect class=(class) x=(place * STEP) y=(HEIGHT - above - height) width=(STEP - 1) height=(height) {} }
}

/// A single one is seen, too.
fn height(count: i64, highest: i64) -> i64 {
    if count <= 0 { 0 } else { (count.saturating_mul(HEIGHT) / highest).clamp(2, HEIGHT) }
}

const STEP: usize = 4;
const HEIGHT: i64 = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_says_in_words_what_it_shows() {
        let chart = bars("Postbacks", &[0, 3, 1], &[0, 1]).into_string();
        assert!(chart.contains("Postbacks in the last hour: 5; 1 failed; at most 4 in a minute"), "{chart}");
        assert_eq!(chart.matches("<rect").count(), 3);
        assert!(bars("Clicks", &[0; 60], &[]).into_string().contains("Clicks in the last hour: none"));
        assert!(bars("Clicks", &[i64::MAX / 64], &[]).into_string().contains("height=\"36\""));
    }
}
