//! What surrounds every page: where the dashboard is mounted, the token of its forms, the entry of the navigation.

use chrono::{DateTime, Utc};

/// The part of the navigation that a page belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Section {
    #[default]
    None,
    Overview,
    Findings,
    Servers,
    Activity,
    Statements,
    Tables,
    Refreshes,
    Rules,
    Status,
}

impl Section {
    /// Whether the navigation marks the entry of that word.
    pub fn is(&self, word: &str) -> bool {
        let own = match self {
            Self::None => "",
            Self::Overview => "overview",
            Self::Findings => "findings",
            Self::Servers => "servers",
            Self::Activity => "activity",
            Self::Statements => "statements",
            Self::Tables => "tables",
            Self::Refreshes => "refreshes",
            Self::Rules => "rules",
            Self::Status => "status",
        };
        own == word
    }
}

/// What every page shows around its content; no part of the API's answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The way up to the dashboard's root, as `..`, without a slash at the end: what every link begins with.
    pub base: String,
    /// The token that every form sends back.
    pub csrf: String,
    /// The marked entry of the navigation.
    pub active: Section,
    /// The page's title in the browser's tab.
    pub title: String,
    /// When the page was made; relative times are told from it.
    pub now: DateTime<Utc>,
    /// The same as text.
    pub now_label: String,
    /// What the search box holds.
    pub query: String,
    /// Whether the page follows the server's events.
    pub live: bool,
}

impl Frame {
    /// A frame that is not yet mounted anywhere.
    pub fn new(now: DateTime<Utc>, active: Section, title: impl Into<String>) -> Self {
        Self {
            active,
            title: title.into(),
            now,
            now_label: super::present::exact(&now),
            live: active != Section::None,
            ..Self::default()
        }
    }
}

/// A page that can be mounted and rendered.
pub trait Page: askama::Template + Sized {
    /// The page's frame.
    fn frame_mut(&mut self) -> &mut Frame;

    /// The page as HTML, with what its links begin with (without a slash at the end) and the token of its forms.
    fn html(mut self, base: &str, csrf: &str) -> Result<String, askama::Error> {
        let frame = self.frame_mut();
        base.trim_end_matches('/').clone_into(&mut frame.base);
        csrf.clone_into(&mut frame.csrf);
        self.render()
    }
}

/// Every page holds its frame in a field of that name.
macro_rules! framed {
    ($($page:ty),+) => {$(
        impl $crate::web::pages::frame::Page for $page {
            fn frame_mut(&mut self) -> &mut $crate::web::pages::frame::Frame {
                &mut self.frame
            }
        }
    )+};
}
pub(crate) use framed;
