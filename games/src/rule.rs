//! What a value may be: a function that reads it, and the words for what it takes.

use std::{ops::RangeInclusive, time::Duration};

use domain::game::Pattern;
use jiff::SignedDuration;
use toml::de::DeValue;

/// What a value may be.
pub(crate) struct Rule<T> {
    /// Completes "use …"; names the type, so that it also answers a value of the wrong one.
    pub(crate) allowed: String,
    /// Returns the value if it is allowed.
    pub(crate) read: Reader<T>,
}

type Reader<T> = Box<dyn Fn(&DeValue<'_>) -> Option<T>>;

/// Allows texts for which `ok` holds.
pub(crate) fn text(allowed: &str, ok: fn(&str) -> bool) -> Rule<String> {
    let read = move |v: &DeValue<'_>| v.as_str().filter(|t| ok(t)).map(str::to_owned);
    Rule { allowed: allowed.into(), read: Box::new(read) }
}

/// Allows the words of `choices`, each of which means the value beside it.
pub(crate) fn word<T: Clone + 'static>(choices: &'static [(&'static str, T)]) -> Rule<T> {
    let read = |v: &DeValue<'_>| choices.iter().find(|(w, _)| v.as_str() == Some(w)).map(|(_, t)| t.clone());
    Rule { allowed: either(choices.iter().map(|(w, _)| *w)), read: Box::new(read) }
}

/// Allows the texts of `choices`, which are known only now.
pub(crate) fn one_of(choices: Vec<String>) -> Rule<String> {
    let allowed = either(&choices);
    let read =
        move |v: &DeValue<'_>| choices.iter().find(|choice| v.as_str() == Some(choice.as_str())).cloned();
    Rule { allowed, read: Box::new(read) }
}

/// Allows whole numbers in `range`.
pub(crate) fn number(range: RangeInclusive<u32>) -> Rule<u32> {
    let allowed = format!("a number from {} to {}", range.start(), range.end());
    Rule { allowed, read: Box::new(move |v| whole(v).filter(|n| range.contains(n))) }
}

/// Allows the numbers of `choices`.
pub(crate) fn number_of(choices: &'static [u32]) -> Rule<u32> {
    let allowed = format!("one of the numbers {}", either(choices));
    Rule { allowed, read: Box::new(|v| whole(v).filter(|n| choices.contains(n))) }
}

fn whole(value: &DeValue<'_>) -> Option<u32> {
    let integer = value.as_integer()?;
    u32::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Allows `true` and `false`.
pub(crate) fn truth() -> Rule<bool> {
    Rule { allowed: "true or false".into(), read: Box::new(|v| v.as_bool()) }
}

/// Allows `true`, and says why.
pub(crate) fn only_true(why: &str) -> Rule<()> {
    Rule { allowed: format!("true: {why}"), read: Box::new(|v| v.as_bool()?.then_some(())) }
}

/// Allows everything.
pub(crate) fn anything() -> Rule<()> {
    Rule { allowed: "anything".into(), read: Box::new(|_| Some(())) }
}

/// Allows patterns of first bytes.
pub(crate) fn pattern(allowed: &str) -> Rule<Pattern> {
    Rule { allowed: allowed.into(), read: Box::new(|v| Pattern::parse(v.as_str()?)) }
}

/// Allows durations in `range`.
pub(crate) fn duration_within(range: RangeInclusive<Duration>) -> Rule<Duration> {
    let allowed = format!("a duration from {} to {}, {LIKE}", length(*range.start()), length(*range.end()));
    Rule { allowed, read: Box::new(move |v| span(v).filter(|d| range.contains(d))) }
}

/// Allows any duration.
pub(crate) fn duration() -> Rule<Duration> {
    Rule { allowed: format!("a duration {LIKE}"), read: Box::new(span) }
}

const LIKE: &str = r#"written like "90s", "15m" or "1h30m""#;

/// Reads whole hours, minutes and seconds, in this order. jiff reads much more than that, but cdk must read it too.
fn span(value: &DeValue<'_>) -> Option<Duration> {
    let text = value.as_str()?;
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b"hms".contains(&b)) && !text.contains("ms");
    plain.then(|| text.parse::<SignedDuration>().ok()?.try_into().ok()).flatten()
}

/// Returns `duration` as it is written in an entry.
pub(crate) fn length(duration: Duration) -> String {
    format!("{:#}", SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX))
}

/// Returns `a, b or c`.
pub(crate) fn either<W: ToString>(words: impl IntoIterator<Item = W>) -> String {
    let mut words: Vec<_> = words.into_iter().map(|w| w.to_string()).collect();
    match (words.pop(), words.is_empty()) {
        (None, _) => "nothing".into(),
        (Some(only), true) => only,
        (Some(last), false) => format!("{} or {last}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_whole_hours_minutes_and_seconds_and_nothing_else() {
        let read = |text: &str| span(&DeValue::String(text.into())).map(|d| d.as_secs());
        for (good, seconds) in
            [("90s", 90), ("15m", 900), ("12h", 43200), ("1h30m", 5400), ("1h2m3s", 3723), ("0s", 0)]
        {
            assert_eq!(read(good), Some(seconds), "{good}");
        }
        let long = format!("{}h", "9".repeat(30));
        let bad = [
            "", "s", "90", "1.5h", "-1s", "+1s", "1d", "5 m", "5min", "500ms", "1000ms", "30m1h", "1h30",
            "PT1H", &long,
        ];
        for bad in bad.into_iter().chain(["1s ago", "00:01:00", "1m1m", "1hm"]) {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
