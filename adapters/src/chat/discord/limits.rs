//! Discord's limits, and cutting texts to them.
//!
//! Discord's documentation counts "characters" and does not say which. Texts are measured in UTF-16 units here: no text
//! has fewer of those than code points, so what fits by this measure fits by either.

/// The longest content of a message.
pub const CONTENT: usize = 2000;

/// The longest title of an embed.
pub const EMBED_TITLE: usize = 256;

/// The longest description of an embed.
pub const EMBED_DESCRIPTION: usize = 4096;

/// The most characters in all embeds of a message together.
pub const EMBEDS_TOTAL: usize = 6000;

/// The most embeds in a message.
pub const EMBEDS: usize = 10;

/// The most fields of an embed.
pub const EMBED_FIELDS: usize = 25;

/// The most rows of components in a message.
pub const ROWS: usize = 5;

/// The most buttons in a row.
pub const BUTTONS_IN_ROW: usize = 5;

/// The longest label of a button.
pub const BUTTON_LABEL: usize = 80;

/// The longest id of a component or a modal.
pub const CUSTOM_ID: usize = 100;

/// The longest address behind a button. A signed link is longer, so links stand in texts.
pub const BUTTON_URL: usize = 512;

/// The longest title of a modal.
pub const MODAL_TITLE: usize = 45;

/// The longest label in a modal.
pub const MODAL_LABEL: usize = 45;

/// The longest description below a label in a modal.
pub const LABEL_DESCRIPTION: usize = 100;

/// The longest placeholder of a text input.
pub const PLACEHOLDER: usize = 100;

/// The most choices of an option, or of one autocompletion.
pub const CHOICES: usize = 25;

/// The longest name of a choice, and the longest value of one that is a text.
pub const CHOICE: usize = 100;

/// The longest name of a command or an option.
pub const COMMAND_NAME: usize = 32;

/// The longest description of a command or an option.
pub const COMMAND_DESCRIPTION: usize = 100;

/// The most options of a command, or commands of a group.
pub const OPTIONS: usize = 25;

/// The most characters in names, descriptions and values of one command with all below it.
pub const COMMAND_TOTAL: usize = 8000;

/// The most commands of an application in one scope.
pub const COMMANDS: usize = 100;

/// The longest text that somebody can give for an option.
pub const OPTION_TEXT: usize = 6000;

/// The longest nonce of a message.
pub const NONCE: usize = 25;

/// Returns the length of `text` in UTF-16 units.
pub fn length(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// Returns `text` cut to `most` units, with `…` where something is missing. Never cuts a character in two.
pub fn clip(text: &str, most: usize) -> String {
    if length(text) <= most {
        return text.to_owned();
    }
    let mut left = most.saturating_sub('…'.len_utf16());
    let mut clipped: String = text
        .chars()
        .take_while(|c| {
            let fits = c.len_utf16() <= left;
            left = left.saturating_sub(if fits { c.len_utf16() } else { left });
            fits
        })
        .collect();
    // A backslash that escaped what is missing would escape the ellipsis, or show.
    while clipped.ends_with('\\') {
        clipped.pop();
    }
    if most > 0 {
        clipped.push('…');
    }
    clipped
}

/// Returns the lines that fit into `most` units, joined, with `…` on a line of its own where lines are missing.
pub fn clip_lines(lines: &[String], most: usize) -> String {
    let whole = lines.join("\n");
    if length(&whole) <= most {
        return whole;
    }
    let mut kept = String::new();
    for line in lines {
        if length(&kept) + length(line) + 1 + "…".len() > most {
            break;
        }
        kept.push_str(line);
        kept.push('\n');
    }
    clip(&format!("{kept}…"), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_fits_is_left_as_it_is() {
        assert_eq!(clip("valhalla", 8), "valhalla");
        assert_eq!(clip("", 0), "");
    }

    #[test]
    fn a_cut_says_so_and_is_between_characters() {
        assert_eq!(clip("valhalla", 5), "valh…");
        // A beaver is two units of UTF-16 and four of UTF-8.
        assert_eq!(clip("🦫🦫🦫", 4), "🦫…");
        assert_eq!(clip("ab\\*cd", 4), "ab…");
        assert_eq!(clip("abc", 0), "");
    }

    #[test]
    fn nothing_is_longer_than_it_may_be() {
        let all: String = (0..=0x10_FFFFu32).step_by(97).filter_map(char::from_u32).collect();
        for most in 0..200 {
            assert!(length(&clip(&all, most)) <= most, "{most}");
        }
    }

    #[test]
    fn lines_are_left_out_whole() {
        let lines: Vec<_> = (0..10).map(|n| format!("line {n}")).collect();
        assert_eq!(clip_lines(&lines[..2], 100), "line 0\nline 1");
        assert_eq!(clip_lines(&lines, 20), "line 0\nline 1\n…");
        assert_eq!(clip_lines(&["x".repeat(50)], 10), "…");
    }
}
