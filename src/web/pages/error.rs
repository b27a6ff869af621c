//! The page for what went wrong: one sentence and the next step.

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters;
use super::frame::{Frame, Section, framed};
use super::tabs::View;

/// What went wrong.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "error.html")]
pub struct ErrorPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// The HTTP status.
    pub status: u16,
    /// One sentence.
    pub sentence: String,
    /// What to do next.
    pub next: String,
    /// The list in which it would be: its name and its address.
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) list: Option<(&'static str, String)>,
}
framed!(ErrorPage);

impl ErrorPage {
    /// Any error.
    pub fn build(now: DateTime<Utc>, status: u16, sentence: &str, next: &str) -> Self {
        let mut frame = Frame::new(now, Section::None, sentence);
        frame.live = false;
        Self {
            frame,
            status,
            sentence: sentence.to_owned(),
            next: next.to_owned(),
            list: None,
        }
    }

    /// The same with a way to the list that this address lies below, as that of a statement below the statements.
    pub fn below(self, path: &str) -> Self {
        Self {
            list: View::list_above(path),
            ..self
        }
    }

    /// No such page or finding; the sentence says which.
    pub fn not_found(now: DateTime<Utc>, sentence: &str) -> Self {
        let next = "It may have been removed after its retention, or the address is mistyped. Search for it above, or go \
                    back to the list.";
        Self::build(now, 404, sentence, next)
    }

    /// A request that makes no sense, and why.
    pub fn bad_request(now: DateTime<Utc>, why: &str) -> Self {
        Self::build(
            now,
            400,
            &format!("This request cannot be answered: {why}."),
            "Go back and try again.",
        )
    }

    /// A mistake of ours; the log has the cause.
    pub fn internal(now: DateTime<Utc>) -> Self {
        let next =
            "The cause is in the advisor's log. The servers are still watched; reload the page in a moment.";
        Self::build(now, 500, "The advisor could not make this page.", next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::{frame::Page, sample};

    #[test]
    fn one_sentence_and_the_next_step() {
        let html = ErrorPage::not_found(sample::now(), sample::HOSTILE)
            .html("/pg", "t")
            .unwrap();
        assert!(html.contains("404") && html.contains("href=\"/pg/findings\""));
        assert!(!html.contains("<script>alert") && !html.contains('\u{202e}'));
        let statement = ErrorPage::build(sample::now(), 404, "It is not known.", "Wait for the next look.");
        let html = statement
            .below("/servers/a%2Fb/shop/statements/0123")
            .html("..", "t")
            .unwrap();
        assert!(
            html.contains("href=\"../servers/a%2Fb/shop/statements\">Statements</a>"),
            "{html}"
        );
    }
}
