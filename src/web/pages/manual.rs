//! The manual of a rule: a little Markdown read into blocks, which the template shows; never raw HTML.

use serde::Serialize;
use utoipa::ToSchema;

/// A piece of a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Piece {
    /// The text.
    pub text: String,
    /// Whether it stood between backticks.
    pub code: bool,
}

/// A block of the manual.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(tag = "kind", content = "content", rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Block {
    Heading(String),
    Paragraph(Vec<Piece>),
    List(Vec<Vec<Piece>>),
    Code(String),
}

/// Cuts a line at its backticks.
fn pieces(line: &str) -> Vec<Piece> {
    line.split('`')
        .enumerate()
        .filter(|(_, text)| !text.is_empty())
        .map(|(at, text)| Piece {
            text: text.to_owned(),
            code: at % 2 == 1,
        })
        .collect()
}

/// What has been read of the block that is not yet closed.
#[derive(Default)]
struct Reader {
    blocks: Vec<Block>,
    paragraph: Vec<String>,
    list: Vec<String>,
}

impl Reader {
    fn close(&mut self) {
        if !self.paragraph.is_empty() {
            self.blocks
                .push(Block::Paragraph(pieces(&self.paragraph.join(" "))));
            self.paragraph.clear();
        }
        if !self.list.is_empty() {
            self.blocks
                .push(Block::List(self.list.iter().map(|item| pieces(item)).collect()));
            self.list.clear();
        }
    }

    fn line(&mut self, line: &str) {
        let text = line.trim();
        if text.is_empty() {
            self.close();
        } else if text.starts_with('#') {
            self.close();
            self.blocks
                .push(Block::Heading(text.trim_start_matches('#').trim().to_owned()));
        } else if let Some(item) = text.strip_prefix("- ").or_else(|| text.strip_prefix("* ")) {
            if self.list.is_empty() {
                self.close();
            }
            self.list.push(item.to_owned());
        } else if let Some(last) = self.list.last_mut() {
            last.push(' ');
            last.push_str(text);
        } else {
            self.paragraph.push(text.to_owned());
        }
    }
}

/// Reads paragraphs, `## headings`, `- lists` and blocks between lines of three backticks.
pub fn read(text: &str) -> Vec<Block> {
    let mut reader = Reader::default();
    let mut code: Option<Vec<&str>> = None;
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        match (&mut code, fence) {
            (None, true) => {
                reader.close();
                code = Some(Vec::new());
            }
            (None, false) => reader.line(line),
            (Some(lines), true) => {
                reader.blocks.push(Block::Code(lines.join("\n")));
                code = None;
            }
            (Some(lines), false) => lines.push(line),
        }
    }
    reader.close();
    reader
        .blocks
        .extend(code.map(|lines| Block::Code(lines.join("\n"))));
    reader.blocks
}

/// Takes the first sentence off a manual that begins with a paragraph; empty where it does not.
pub fn take_title(blocks: &mut Vec<Block>) -> String {
    let Some(Block::Paragraph(pieces)) = blocks.first_mut() else {
        return String::new();
    };
    let whole: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    let title = super::present::first_sentence(&whole, usize::MAX);
    let mut taken = title.len();
    while let Some(piece) = pieces.first_mut() {
        if taken < piece.text.len() {
            piece.text = piece
                .text
                .get(taken..)
                .unwrap_or_default()
                .trim_start()
                .to_owned();
            break;
        }
        taken -= piece.text.len();
        pieces.remove(0);
    }
    if pieces.is_empty() {
        blocks.remove(0);
    }
    title
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_read() {
        let blocks = read("What `idx_scan`\nsays.\n\n## Why\n- one\n  more\n- two\n\n```\nSELECT 1\n```");
        assert_eq!(blocks.len(), 4);
        assert_eq!(blocks[1], Block::Heading("Why".into()));
        assert!(
            matches!(&blocks[0], Block::Paragraph(p) if p.len() == 3 && p[1].code && p[1].text == "idx_scan")
        );
        assert!(
            matches!(&blocks[2], Block::List(items) if items.len() == 2 && items[0][0].text == "one more")
        );
        assert_eq!(blocks[3], Block::Code("SELECT 1".into()));
        assert!(read("").is_empty());
    }

    #[test]
    fn the_first_sentence_is_taken_off() {
        let mut blocks = read("Finds `idx_scan = 0` for weeks. It costs.\n\nMore.");
        assert_eq!(take_title(&mut blocks), "Finds idx_scan = 0 for weeks.");
        assert_eq!(
            blocks[0],
            Block::Paragraph(vec![Piece {
                text: "It costs.".into(),
                code: false
            }])
        );
        let mut only = read("One sentence.");
        assert_eq!(take_title(&mut only), "One sentence.");
        assert!(only.is_empty());
        assert_eq!(take_title(&mut read("## Heading")), "");
    }
}
