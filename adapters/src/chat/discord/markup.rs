//! Discord's markup: texts that stay texts whatever is in them, times in each reader's own zone, and mentions.

use std::borrow::Cow;

use domain::{Timestamp, access::Who, commands};

use crate::chat::discord::limits::clip;

/// The longest text between backticks that is left as code: a command with a name behind it.
const LONGEST_CODE: usize = 80;

/// Returns one of the domain's sentences with everything in it that Discord would read as markup made plain. What stands
/// between backticks in it is a name or a command, and stays code; a command gets the slash that it is called with here.
pub fn plain(sentence: &str) -> String {
    let sentence = without_arns(sentence);
    let mut rest = sentence.as_ref();
    let mut plain = String::with_capacity(sentence.len() + 16);
    while let Some((before, from)) = rest.split_once('`') {
        push_escaped(&mut plain, before);
        match code_span(from) {
            Some((code, behind)) => {
                let slash = if is_command(code) { "/" } else { "" };
                plain.push_str(&format!("`{slash}{code}`"));
                rest = behind;
            }
            None => {
                plain.push_str("\\`");
                rest = from;
            }
        }
    }
    push_escaped(&mut plain, rest);
    plain
}

/// Returns `text` with `…` for each name of a resource in somebody's AWS account. Reasons that come from there are for
/// people already; this holds even for one that is not.
fn without_arns(text: &str) -> Cow<'_, str> {
    const START: &str = "arn:";
    if !text.contains(START) {
        return text.into();
    }
    let mut parts = text.split(START);
    let begin = parts.next().unwrap_or_default().to_owned();
    parts
        .fold(begin, |shown, part| {
            let end =
                part.find(|c: char| c.is_whitespace() || "`'\"<>)],;".contains(c)).unwrap_or(part.len());
            shown + "…" + &part[end..]
        })
        .into()
}

/// Returns what `from` begins with up to the next backtick, if that is a name or a command, and what is behind.
fn code_span(from: &str) -> Option<(&str, &str)> {
    let (code, behind) = from.split_once('`')?;
    let is_code = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_ :./".contains(&b);
    let fits = (1..=LONGEST_CODE).contains(&code.len()) && code.bytes().all(is_code);
    (fits && code.trim() == code).then_some((code, behind))
}

/// Tells whether `code` calls a command of two words. A world may be called `help`; no name has a space.
fn is_command(code: &str) -> bool {
    let mut words = code.split(' ');
    let path = [words.next().unwrap_or_default(), words.next().unwrap_or_default()].join(" ");
    commands::LIST.iter().any(|spec| spec.path == path)
}

fn push_escaped(plain: &mut String, text: &str) {
    let mut last = '\n';
    for (at, c) in text.char_indices() {
        let opens_list = |c| matches!(c, '-' | '+' | '#') && matches!(last, '\n');
        match c {
            '\\' | '*' | '_' | '~' | '|' | '<' | '>' | '[' | ']' => {
                plain.push('\\');
                plain.push(c);
            }
            // A scheme makes a link, and a link wants to be followed.
            ':' if text[at..].starts_with("://") => plain.push_str("\\:"),
            '@' => plain.push_str("@\u{200b}"),
            c if opens_list(c) => {
                plain.push('\\');
                plain.push(c);
            }
            c if c.is_control() => plain.push(' '),
            c => plain.push(c),
        }
        last = c;
    }
}

/// Returns a fragment of the domain's as a sentence: plain, with a capital and a full stop.
pub fn sentence(fragment: &str) -> String {
    let plain = plain(fragment.trim());
    let mut chars = plain.chars();
    let begun: String = chars.next().map(|c| c.to_uppercase().chain(chars).collect()).unwrap_or_default();
    let is_ended = begun.is_empty() || begun.ends_with(['.', '!', '?', '…']);
    if is_ended { begun } else { begun + "." }
}

/// Returns `text` as code, whatever is in it.
pub fn code(text: &str) -> String {
    let inside: String = text.chars().map(|c| if c == '`' || c.is_control() { ' ' } else { c }).collect();
    format!("`{}`", clip(&inside, 300))
}

/// Returns `at` as each reader's distance to it: "in 5 minutes", "3 hours ago".
pub fn relative(at: Timestamp) -> String {
    format!("<t:{}:R>", at.as_second())
}

/// Returns `at` as each reader's local time of day.
pub fn time(at: Timestamp) -> String {
    format!("<t:{}:t>", at.as_second())
}

/// Returns `at` as each reader's local date and time.
pub fn date(at: Timestamp) -> String {
    format!("<t:{}:f>", at.as_second())
}

/// Returns the mention of a role or a member. Nobody is notified: no message of ours allows that.
pub fn mention(who: &Who) -> String {
    match who {
        Who::Everyone => "everyone".into(),
        Who::Role(id) => format!("<@&{id}>"),
        Who::Member(id) => format!("<@{id}>"),
    }
}

/// Returns `text` as a link to `url`, which must be one of the web.
pub fn link(text: &str, url: &str) -> Option<String> {
    let is_web = ["https://", "http://"].iter().any(|scheme| url.starts_with(scheme));
    let url: String = url
        .chars()
        .map(|c| match c {
            '(' => "%28".into(),
            ')' => "%29".into(),
            '<' => "%3C".into(),
            '>' => "%3E".into(),
            c if c.is_whitespace() || c.is_control() => "%20".into(),
            c => c.to_string(),
        })
        .collect();
    is_web.then(|| format!("[{}]({url})", plain(text)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn names_and_commands_stay_code_and_all_else_is_plain() {
        let check = |text: &str, expected: expect_test::Expect| {
            expected.assert_eq(&plain(text).replace('\u{200b}', "¦"))
        };
        check("waking `valhalla`, about 40 s to go", expect!["waking `valhalla`, about 40 s to go"]);
        check("`world start rails` wakes it", expect!["`/world start rails` wakes it"]);
        check("`help` lists those; `world list` too", expect!["`help` lists those; `/world list` too"]);
        check("asked for by *x_X_sniper_X_x*", expect![[r"asked for by \*x\_X\_sniper\_X\_x\*"]]);
        check(
            "by <@&77> @everyone [free](https://evil.example)",
            expect![[r"by \<@¦&77\> @¦everyone \[free\](https\://evil.example)"]],
        );
        check("by ``` and `A B` and `", expect![[r"by \`\`\` and \`A B\` and \`"]]);
        check("# big\n> quoted", expect![[r"\# big \> quoted"]]);
    }

    #[test]
    fn names_of_resources_are_not_shown() {
        let text = "task arn:aws:ecs:eu-central-1:123456789012:task/x/7f, role arn:aws:iam::1:role/r denied";
        expect!["task …, role … denied"].assert_eq(&plain(text));
    }

    #[test]
    fn a_fragment_becomes_a_sentence() {
        let all = ["`valhalla` is asleep already", "nothing is lost; try again", "really?", ""].map(sentence);
        expect!["`valhalla` is asleep already.|Nothing is lost; try again.|Really?|"]
            .assert_eq(&all.join("|"));
    }

    #[test]
    fn a_link_holds_together() {
        assert_eq!(
            link("a.zip", "https://h/a(1) b.zip?x=<y>").unwrap(),
            "[a.zip](https://h/a%281%29%20b.zip?x=%3Cy%3E)"
        );
        assert_eq!(link("a", "javascript:alert(1)"), None);
    }

    #[test]
    fn code_has_no_way_out() {
        assert_eq!(code("a`b\nc"), "`a b c`");
    }
}
