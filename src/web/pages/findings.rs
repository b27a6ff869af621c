//! `/findings`: what is known?

use askama::Template;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::coverage::Coverage;
use super::filters;
use super::frame::{Frame, Section, framed};
use super::present::{self, url_part};
use super::row::Row;
use crate::model::finding::{Finding, State};

/// What the address asks for; the same names as in the API.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
#[serde(default)]
pub struct FilterView {
    pub severity: Option<String>,
    pub rule: Option<String>,
    pub server: Option<String>,
    pub database: Option<String>,
    pub schema: Option<String>,
    pub table: Option<String>,
    pub state: Option<String>,
    pub q: Option<String>,
    pub sort: Option<String>,
}

impl FilterView {
    const NAMES: [&'static str; 9] = [
        "severity", "rule", "server", "database", "schema", "table", "state", "q", "sort",
    ];

    fn get(&self, name: &str) -> Option<&str> {
        let value = match name {
            "severity" => &self.severity,
            "rule" => &self.rule,
            "server" => &self.server,
            "database" => &self.database,
            "schema" => &self.schema,
            "table" => &self.table,
            "state" => &self.state,
            "q" => &self.q,
            "sort" => &self.sort,
            _ => &None,
        };
        value.as_deref().filter(|value| !value.is_empty())
    }

    /// The query of the address that differs from this one in one value; with its question mark, or empty.
    pub fn with(&self, name: &str, value: Option<&str>) -> String {
        let value_of = |key: &'static str| if key == name { value } else { self.get(key) };
        let pairs: Vec<String> = Self::NAMES
            .into_iter()
            .filter_map(|key| value_of(key).map(|value| format!("{key}={}", url_part(value))))
            .chain((name == "cursor").then(|| format!("cursor={}", url_part(value.unwrap_or("")))))
            .collect();
        if pairs.is_empty() {
            String::new()
        } else {
            format!("?{}", pairs.join("&"))
        }
    }

    /// What is filtered by, as pairs of name and value, without the order.
    fn active(&self) -> Vec<(&'static str, String)> {
        let names = Self::NAMES.into_iter().filter(|name| *name != "sort");
        names
            .filter_map(|name| self.get(name).map(|value| (name, value.to_owned())))
            .collect()
    }
}

/// What lists can be narrowed to, with the number of findings of each.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[allow(missing_docs)]
pub struct Facets {
    pub rules: Vec<(String, usize)>,
    pub servers: Vec<(String, usize)>,
    pub databases: Vec<(String, usize)>,
}

/// One link of a filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// What it says.
    pub label: String,
    /// How many findings it leaves.
    pub count: Option<usize>,
    /// Where it leads: the query of the address.
    pub query: String,
    /// Whether it holds now.
    pub current: bool,
    /// The severity whose shape it carries.
    pub class: &'static str,
}

/// One filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Its name for people.
    pub label: &'static str,
    /// What it is set to now.
    pub value: Option<String>,
    /// Its links.
    pub choices: Vec<Choice>,
}

/// A list of findings; its JSON is the API's answer.
#[derive(Clone, Debug, Template, Serialize, ToSchema)]
#[template(path = "findings.html")]
pub struct FindingsPage {
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) frame: Frame,
    /// The findings.
    pub items: Vec<Row>,
    /// Where the next page begins; null at the end.
    pub next_cursor: Option<String>,
    /// How many findings the filters leave, on all pages.
    pub total: usize,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) filter: FilterView,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) tabs: Vec<Filter>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) menus: Vec<Filter>,
    #[serde(skip)]
    #[schema(ignore)]
    pub(crate) coverage: Coverage,
}
framed!(FindingsPage);

const SEVERITIES: [(&str, &str); 3] = [("critical", "Critical"), ("warning", "Warning"), ("info", "Info")];
const STATES: [State; 5] = [
    State::Open,
    State::Acknowledged,
    State::Snoozed,
    State::Resolved,
    State::FalsePositive,
];
/// The orders that the API knows, the default first.
const SORTS: [(&str, &str); 3] = [
    ("impact", "Impact"),
    ("newest", "Newest"),
    ("last_seen", "Last seen"),
];

/// Links for values that are known beforehand; the first takes the filter away.
fn tabs(
    filter: &FilterView,
    name: &'static str,
    label: &'static str,
    all: &str,
    values: &[(&'static str, &str)],
) -> Filter {
    let now = filter.get(name);
    let choice = |value: Option<&'static str>, label: &str| Choice {
        label: label.to_owned(),
        count: None,
        query: filter.with(name, value),
        current: now == value,
        class: value.filter(|_| name == "severity").unwrap_or(""),
    };
    let first = std::iter::once(choice(None, all));
    let rest = values.iter().map(|(value, label)| choice(Some(value), label));
    Filter {
        label,
        value: now.map(str::to_owned),
        choices: first.chain(rest).collect(),
    }
}

/// A menu of values that were found; the first takes the filter away.
fn menu(filter: &FilterView, name: &'static str, label: &'static str, values: &[(String, usize)]) -> Filter {
    let now = filter.get(name);
    let choice = |value: Option<&str>, label: &str, count| Choice {
        label: label.to_owned(),
        count,
        query: filter.with(name, value),
        current: now == value,
        class: "",
    };
    let first = std::iter::once(choice(None, "All", None));
    let rest = values
        .iter()
        .map(|(value, count)| choice(Some(value), value, Some(*count)));
    Filter {
        label,
        value: now.map(str::to_owned),
        choices: first.chain(rest).collect(),
    }
}

impl FindingsPage {
    /// The page from one page of a list. Without a state in the filter the list holds open and acknowledged findings.
    pub fn build(
        now: DateTime<Utc>,
        list: Vec<Finding>,
        total: usize,
        next_cursor: Option<String>,
        filter: FilterView,
        facets: &Facets,
        coverage: Coverage,
    ) -> Self {
        let states = STATES.map(|state| (state.word(), present::capital(present::state_word(state))));
        let known = states.iter().map(|(word, label)| (*word, label.as_str()));
        let states: Vec<(&'static str, &str)> = known.chain([("all", "All")]).collect();
        let mut frame = Frame::new(now, Section::Findings, "Findings");
        frame.query = filter.q.clone().unwrap_or_default();
        Self {
            frame,
            items: Row::list(list),
            next_cursor,
            total,
            tabs: vec![
                tabs(&filter, "severity", "Severity", "All", &SEVERITIES),
                tabs(&filter, "state", "State", "Current", &states),
            ],
            menus: vec![
                menu(&filter, "rule", "Rule", &facets.rules),
                menu(&filter, "server", "Server", &facets.servers),
                menu(&filter, "database", "Database", &facets.databases),
            ],
            filter,
            coverage,
        }
    }

    /// `23 findings`.
    pub fn heading(&self) -> String {
        present::plural(self.total, "finding", "findings")
    }

    /// The table, or the schema, that the list is narrowed to: no menu has it.
    pub fn narrowed_to(&self) -> Option<String> {
        match (self.filter.get("schema"), self.filter.get("table")) {
            (Some(schema), Some(table)) => Some(format!("table {schema}.{table}")),
            (None, Some(table)) => Some(format!("table {table}")),
            (Some(schema), None) => Some(format!("schema {schema}")),
            (None, None) => None,
        }
    }

    /// The filters that hold, to be sent again by the search form.
    pub fn kept(&self) -> Vec<(&'static str, String)> {
        let sort = self.filter.get("sort").map(|sort| ("sort", sort.to_owned()));
        self.filter
            .active()
            .into_iter()
            .filter(|(name, _)| *name != "q")
            .chain(sort)
            .collect()
    }

    /// Whether any filter holds.
    pub fn filtered(&self) -> bool {
        !self.filter.active().is_empty()
    }

    /// The orders, as links.
    pub fn sorts(&self) -> Vec<Choice> {
        let now = self.filter.get("sort").unwrap_or(SORTS[0].0);
        let choice = |(word, label): (&str, &str)| Choice {
            label: label.to_owned(),
            count: None,
            query: self
                .filter
                .with("sort", Some(word).filter(|word| *word != SORTS[0].0)),
            current: now == word,
            class: "",
        };
        SORTS.into_iter().map(choice).collect()
    }

    /// The query of this very list.
    pub fn same(&self) -> String {
        self.filter.with("", None)
    }

    /// The query of the next page.
    pub fn next(&self) -> Option<String> {
        self.next_cursor
            .as_deref()
            .map(|cursor| self.filter.with("cursor", Some(cursor)))
    }

    /// Whether any row can be acknowledged.
    pub fn any_open(&self) -> bool {
        self.items.iter().any(|row| row.finding.state == State::Open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::pages::{frame::Page, sample};

    #[test]
    fn filters_live_in_the_address() {
        let filter = FilterView {
            server: Some("a b&c".into()),
            q: Some(String::new()),
            ..FilterView::default()
        };
        assert_eq!(
            filter.with("severity", Some("info")),
            "?severity=info&server=a%20b%26c"
        );
        assert_eq!(filter.with("server", None), "");
        assert_eq!(filter.with("cursor", Some("x=")), "?server=a%20b%26c&cursor=x%3D");
    }

    #[test]
    fn a_table_that_the_list_is_narrowed_to_is_said_and_kept() {
        let filter = FilterView {
            schema: Some("public".into()),
            table: Some(sample::HOSTILE.into()),
            ..FilterView::default()
        };
        let list = vec![sample::finding("index.missing", "orders")];
        let (facets, coverage) = (Facets::default(), Coverage::default());
        let page = FindingsPage::build(sample::now(), list, 1, None, filter, &facets, coverage);
        assert!(page.narrowed_to().unwrap().starts_with("table public.x"));
        assert!(
            page.same().starts_with("?schema=public&table=x%22"),
            "{}",
            page.same()
        );
        assert_eq!(page.kept().len(), 2, "a search goes on within it");
        let html = page.html("", "t").unwrap();
        assert!(
            html.contains("table public.x") && html.contains("clear filters"),
            "{html}"
        );
        assert!(!html.contains("<script>alert"), "{html}");
    }

    #[test]
    fn hostile_names_are_escaped_and_seen() {
        let list = vec![sample::finding("index.missing", sample::HOSTILE)];
        let facets = Facets {
            servers: vec![(sample::HOSTILE.into(), 3)],
            ..Facets::default()
        };
        let filter = FilterView {
            q: Some(sample::HOSTILE.into()),
            ..FilterView::default()
        };
        let html = FindingsPage::build(sample::now(), list, 1, None, filter, &facets, Coverage::default())
            .html("/pg", "t\"")
            .unwrap();
        assert!(!html.contains("<script>alert") && !html.contains("value=\"t\"\""));
        assert!(html.contains("action=\"/pg/findings/acknowledge\""));
        assert!(html.contains("3 h 40 min/day"));
    }

    #[test]
    fn nothing_found_says_what_to_do() {
        let list = |filter, coverage| {
            FindingsPage::build(
                sample::now(),
                vec![],
                0,
                None,
                filter,
                &Facets::default(),
                coverage,
            )
            .html("", "t")
            .unwrap()
        };
        let none = |filter| list(filter, Coverage::default());
        let calm = none(FilterView::default());
        assert!(calm.contains("Nothing is open") && calm.contains("class=\"seal\""));
        let mut never = sample::server("main");
        never.last_seen_at = None;
        let blind = list(FilterView::default(), Coverage::of(&[never], &[], &[]));
        assert!(blind.contains("Nothing is known yet.") && blind.contains("Never seen: main."));
        assert!(!blind.contains("class=\"seal\""));
        let searched = none(FilterView {
            q: Some("zz".into()),
            ..FilterView::default()
        });
        assert!(searched.contains("No finding fits"));
    }

    #[test]
    fn the_json_is_the_lists_answer() {
        let list = vec![sample::finding("index.missing", "a")];
        let page = FindingsPage::build(
            sample::now(),
            list,
            1,
            None,
            FilterView::default(),
            &Facets::default(),
            Coverage::default(),
        );
        let json = serde_json::to_value(&page).unwrap();
        let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(keys, ["items", "next_cursor", "total"]);
        assert_eq!(
            json["items"][0],
            serde_json::to_value(&page.items[0].finding).unwrap()
        );
    }
}
