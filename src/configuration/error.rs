//! What is wrong in a file: every error with its place, the line itself and a caret under it.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::secret;

/// More errors than this help nobody, and would let a hostile file fill the memory with quoted lines.
const MOST_ERRORS: usize = 500;
/// Longer texts are not repeated: whether all of a password lies inside a part cannot be told.
const LONGEST_TEXT: usize = 4096;
/// How much of a long line is quoted.
const QUOTED_WIDTH: usize = 160;

/// Everything that is wrong with a configuration, in the order of the file.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigurationErrors {
    /// The file, where there was one.
    pub file: Option<PathBuf>,
    /// The errors, ordered by place; never empty.
    pub errors: Vec<ConfigurationError>,
    /// How many more there were than `errors` holds.
    pub unshown: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConfigurationError {
    /// Where it is, unless the file could not be read at all.
    pub place: Option<Place>,
    /// The path of the key, such as `servers[1].poll_every`; empty for errors of syntax.
    pub key: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

/// A place in the file, with the line that is there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line for people: passwords starred, control characters visible, a long line cut.
    pub source: String,
    /// Where in `source` the caret begins, in characters from 0.
    pub caret: usize,
    /// How many characters are underlined, at least 1.
    pub width: usize,
}

impl ConfigurationErrors {
    /// A single error about the file as a whole.
    pub(super) fn of_file(file: &Path, message: String) -> Self {
        let error = ConfigurationError {
            place: None,
            key: String::new(),
            message,
        };
        Self {
            file: Some(file.to_owned()),
            errors: vec![error],
            unshown: 0,
        }
    }
}

impl fmt::Display for ConfigurationErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = match &self.file {
            Some(file) => visible(&file.display().to_string()),
            None => "configuration".to_owned(),
        };
        for error in &self.errors {
            let key = if error.key.is_empty() {
                String::new()
            } else {
                format!("{}: ", error.key)
            };
            let Some(place) = &error.place else {
                writeln!(formatter, "{file}: {key}{}", error.message)?;
                continue;
            };
            let Place {
                line,
                column,
                source,
                caret,
                width,
            } = place;
            writeln!(formatter, "{file}:{line}:{column}: {key}{}", error.message)?;
            writeln!(formatter, "{line:>5} | {source}")?;
            writeln!(formatter, "      | {}{}", " ".repeat(*caret), "^".repeat(*width))?;
        }
        match self.errors.len() + self.unshown {
            1 => write!(formatter, "1 error"),
            count if self.unshown == 0 => write!(formatter, "{count} errors"),
            count => write!(
                formatter,
                "{count} errors, of which the first {} are shown",
                self.errors.len()
            ),
        }
    }
}

impl std::error::Error for ConfigurationErrors {}

/// An error before its place has been worked out, which is dear and done for the shown ones alone.
pub(super) struct RawError {
    pub(super) span: Range<usize>,
    pub(super) key: String,
    pub(super) message: String,
}

/// A text whose lines are known, so that places are found without reading it again from the start.
pub(super) struct Text<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let after_breaks = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_breaks).collect(),
        }
    }

    /// The line of an offset, from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// The text of a line without its end.
    pub(super) fn line_text(&self, line: usize) -> &'a str {
        let start = self
            .starts
            .get(line.saturating_sub(1))
            .copied()
            .unwrap_or(self.text.len());
        let end = self.starts.get(line).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let line = self.line(span.start);
        let text = self.line_text(line);
        let start = self.starts.get(line - 1).copied().unwrap_or(0);
        let before = characters(text, span.start - start);
        let through = characters(text, span.end.saturating_sub(start));
        let (source, caret) = excerpt(text, before);
        let room = source.chars().count().saturating_sub(caret).max(1);
        let width = through.saturating_sub(before).clamp(1, room);
        Place {
            line,
            column: before + 1,
            source,
            caret,
            width,
        }
    }
}

/// How many characters of a line begin before the byte.
fn characters(line: &str, byte: usize) -> usize {
    line.char_indices().take_while(|(at, _)| *at < byte).count()
}

/// The part of a line around a column, and where the column is in it.
fn excerpt(line: &str, column: usize) -> (String, usize) {
    if line.len() > LONGEST_TEXT {
        return ("(this line is too long to be shown)".to_owned(), 0);
    }
    let shown = visible(&secret::starred(line));
    if shown.chars().count() <= QUOTED_WIDTH {
        return (shown, column);
    }
    let first = column.saturating_sub(QUOTED_WIDTH / 2);
    let mut part: String = shown.chars().skip(first).take(QUOTED_WIDTH).collect();
    part.push('…');
    if first == 0 {
        (part, column)
    } else {
        (format!("…{part}"), column - first + 1)
    }
}

/// The errors with their places, in the order of the file.
pub(super) fn placed(text: &Text<'_>, file: Option<&Path>, mut raw: Vec<RawError>) -> ConfigurationErrors {
    raw.sort_by_key(|error| error.span.start);
    let unshown = raw.len().saturating_sub(MOST_ERRORS);
    let errors = raw.into_iter().take(MOST_ERRORS).map(|error| ConfigurationError {
        place: Some(text.place(&error.span)),
        key: visible(&error.key),
        message: match error.message.len() {
            0..=LONGEST_TEXT => visible(&secret::hidden(&error.message)),
            _ => "this value is much too long".to_owned(),
        },
    });
    ConfigurationErrors {
        file: file.map(Path::to_owned),
        errors: errors.collect(),
        unshown,
    }
}

/// Control characters and those that reorder text would let a file write on the reader's terminal.
/// Each becomes one other character, so that a caret stays where it belongs.
pub(super) fn visible(text: &str) -> String {
    let shown = |character: char| match character {
        '\t' => ' ',
        '\u{0}'..='\u{1f}' => char::from_u32(0x2400 + character as u32).unwrap_or('\u{fffd}'),
        '\u{7f}' => '\u{2421}',
        '\u{80}'..='\u{9f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' => '\u{fffd}',
        '\u{2060}'..='\u{206f}' | '\u{feff}' => '\u{fffd}',
        other => other,
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, span: Range<usize>) -> String {
        let error = RawError {
            span,
            key: "k".to_owned(),
            message: "wrong".to_owned(),
        };
        placed(&Text::new(text), Some(Path::new("c.toml")), vec![error]).to_string()
    }

    #[test]
    fn a_character_is_one_column_however_many_bytes_it_has() {
        let text = "a = 1\r\nbåé = 2\n";
        let at = text.find('2').unwrap();
        let expected = "c.toml:2:7: k: wrong\n    2 | båé = 2\n      |       ^\n1 error";
        assert_eq!(shown(text, at..at + 1), expected);
    }

    #[test]
    fn control_characters_and_passwords_are_not_repeated() {
        let shown = shown("x = \"\u{1b}[31m\u{202e}\" # postgres://u:hunter2@h\t.", 0..1);
        assert!(
            shown.contains("\"␛[31m\u{fffd}\" # postgres://u:*******@h ."),
            "{shown}"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_caret() {
        let line = format!("{}X{}", "é".repeat(500), "b".repeat(500));
        let place = Text::new(&line).place(&(1000..1001));
        assert_eq!((place.column, place.width), (501, 1));
        assert_eq!(place.source.chars().nth(place.caret), Some('X'));
        assert!(place.source.chars().count() < 170);
    }

    #[test]
    fn a_place_outside_the_text_is_still_a_place() {
        for (text, span) in [("", 0..0), ("", 7..9), ("a\n", 2..2), ("é", 1..1), ("a\nb", 0..3)] {
            assert!(shown(text, span).ends_with("^\n1 error"));
        }
    }
}
