//! `/refreshes/{server}/{database}/{schema}/{name}`: one materialized view, its refreshes, and what can be done with it.

use askama::Template;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use super::filters;
use super::frame::{Frame, Section, framed};
use super::refreshes::ViewLine;
use super::run_chart::{Ages, Durations};
use crate::model::refresh::{RefreshAction, Run};

/// One materialized view.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "refresh.html")]
pub struct RefreshPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// What is known of it.
    pub view: ViewLine,
    /// Its runs, newest first.
    pub runs: Vec<Run>,
    #[serde(skip)]
    #[schema(ignore)]
    durations: Durations,
    #[serde(skip)]
    #[schema(ignore)]
    ages: Ages,
}
framed!(RefreshPage);

impl RefreshPage {
    /// The page from what the store knows.
    pub fn build(now: DateTime<Utc>, view: ViewLine, runs: Vec<Run>) -> Self {
        Self {
            frame: Frame::new(now, Section::Refreshes, view.name()),
            durations: Durations::of(&runs),
            ages: Ages::of(now, &runs, view.status.max_age_seconds),
            view,
            runs,
        }
    }

    /// What is worth a number.
    fn if_any(&self, number: &Option<f64>) -> Option<f64> {
        number.filter(|number| *number > 0.0)
    }

    /// What a person can ask for: the word, the label, why.
    fn offers(&self) -> Vec<(&'static str, &'static str, &'static str)> {
        let status = &self.view.status;
        if !status.exists || status.schedule.is_none() {
            return Vec::new();
        }
        let pause = match status.is_paused {
            true => (
                RefreshAction::Resume.word(),
                "Resume",
                "It is refreshed when it is due, again.",
            ),
            false => (
                RefreshAction::Pause.word(),
                "Pause",
                "Nothing is refreshed by itself until it is resumed.",
            ),
        };
        let now = (
            RefreshAction::Refresh.word(),
            "Refresh now",
            "Whether something has changed or not, as gently as ever.",
        );
        match self.view.is_running {
            true => vec![pause],
            false => vec![now, pause],
        }
    }
}
