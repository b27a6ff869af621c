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
}
