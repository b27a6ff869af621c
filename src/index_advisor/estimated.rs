//! Indexes that no planner can price before they exist: GIN and GiST, which HypoPG does not know. What they are worth is
//! worked out from what the planner says of the rows, and told as *estimated*.

use std::collections::{BTreeMap, BTreeSet};

use super::candidate::{Candidate, IndexKey};
use super::clauses::{Key, RelationUse, Search};
use super::tables::{Column, Table};
use crate::model::plan::PlanTree;

/// An index of which the worth for one statement is estimated.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// The index.
    pub candidate: Candidate,
    /// About so many bytes.
    pub size_bytes: Option<f64>,
    /// What the statement should cost with it, in the planner's units.
    pub cost_after: f64,
    /// Whether it needs the extension pg_trgm.
    pub needs_trigrams: bool,
}

/// What a search in such an index costs before the first row: PostgreSQL's estimate for a few keys, in its own units.
const SEARCH_COST: f64 = 40.0;
/// The defaults of `random_page_cost`, `seq_page_cost` and `cpu_tuple_cost`, and of a condition that is checked again.
const RANDOM_PAGE_COST: f64 = 4.0;
const PAGE_COST: f64 = 1.0;
const ROW_COST: f64 = 0.0125;
/// The part of the rows that PostgreSQL takes a range for that it knows nothing of.
const RANGE_PART: f64 = 1.0 / 3.0;
/// What is saved must be at least this part of what the scans cost now: it is worked out, not proven.
const LEAST_SAVED: f64 = 0.25;

/// Which of these kinds are wanted.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Methods {
    pub gin: bool,
    pub gist: bool,
}

/// What such an index would be worth for one place of a plan, if it is worth anything.
pub fn estimate(
    tree: &PlanTree,
    asked: &RelationUse,
    table: &Table,
    trigram_class: &str,
    methods: Methods,
) -> Option<Estimate> {
    let classes = Classes { table, trigram_class };
    let (found, cost_after) = match classes.of_all(&asked.searched) {
        Some(found) => (found, searched(tree, asked, table)),
        // a filter beside it decides how far the index must be read
        None if asked.searched.is_empty() && !asked.is_filtered() => {
            let nearest = asked.nearest.first()?;
            (classes.nearest(nearest)?, nearest_first(tree))
        }
        None => return None,
    };
    let is_wanted = match found.method {
        "gin" => methods.gin,
        _ => methods.gist,
    };
    let cost_after = cost_after.filter(|_| is_wanted)?;
    let mut bytes = Some(0.0);
    for key in &found.keys {
        // measured on thirteen indexes that were built: bytes for each byte of text were 1.5 to 3.3 of trigrams (random letters
        // take most), 0.2 to 2.1 of words, arrays and jsonb, 2 to 4 of GiST and 7 of trigrams in it
        let factor = match (found.method, key.is_trigram) {
            ("gin", true) => 1.8,
            ("gin", false) => 1.0,
            (_, true) => 7.0,
            (_, false) => 2.5,
        };
        let each = table.width_of(&key.key.key).map(|width| width * factor + 4.0);
        bytes = bytes.zip(each).map(|(bytes, each)| bytes + each * table.rows);
    }
    Some(Estimate {
        needs_trigrams: found.keys.iter().any(|key| key.is_trigram),
        candidate: Candidate {
            schema: table.name.schema.clone(),
            table: table.name.name.clone(),
            method: found.method,
            keys: found.keys.into_iter().map(|key| key.key).collect(),
            include: Vec::new(),
            predicate: None,
        },
        size_bytes: bytes,
        cost_after,
    })
}

/// What the statement costs if the rows that its scans of this table give come by a bitmap, where now all of it is read.
fn searched(tree: &PlanTree, asked: &RelationUse, table: &Table) -> Option<f64> {
    let scans = tree.nodes().into_iter().filter(|node| {
        node.kind == "Seq Scan"
            && node.schema.as_deref() == Some(asked.schema.as_str())
            && node.relation.as_deref() == Some(asked.table.as_str())
    });
    // the rows that the scan gives passed all conditions; the index knows only some of them
    let mut passed = RANGE_PART.powi(i32::try_from(asked.ranged.len()).unwrap_or(i32::MAX));
    for key in &asked.equal {
        passed /= table.values_of(key).max(1.0);
    }
    let (mut saved, mut now) = (0.0, 0.0);
    for scan in scans {
        let rows = (scan.rows / passed).min(table.rows);
        saved += (scan.total_cost - SEARCH_COST - bitmap_cost(rows, table.pages)).max(0.0);
        now += scan.total_cost;
    }
    (saved >= LEAST_SAVED * now && now > 0.0).then(|| (tree.total_cost() - saved).max(0.0))
}

/// Rows of a table by a bitmap, as PostgreSQL's cost_bitmap_heap_scan reckons: their pages by Mackert and Lohman, and each of
/// them the cheaper the more they are.
fn bitmap_cost(rows: f64, pages: f64) -> f64 {
    let pages = pages.max(1.0);
    let fetched = (2.0 * pages * rows / (2.0 * pages + rows)).min(pages).max(1.0);
    let each = RANDOM_PAGE_COST - (RANDOM_PAGE_COST - PAGE_COST) * (fetched / pages).sqrt();
    fetched * each + rows * ROW_COST
}

/// What the statement costs if its first rows come in the order of their distance: only a LIMIT makes that worth something.
fn nearest_first(tree: &PlanTree) -> Option<f64> {
    let limit = tree.nodes().into_iter().find(|node| node.kind == "Limit")?;
    let cost = SEARCH_COST + limit.rows * (RANDOM_PAGE_COST + ROW_COST);
    let saved = limit.total_cost - cost;
    (saved >= LEAST_SAVED * tree.total_cost()).then(|| tree.total_cost() - saved)
}

/// The keys of an index, and its kind.
struct Found {
    method: &'static str,
    keys: Vec<FoundKey>,
}

struct FoundKey {
    key: IndexKey,
    is_trigram: bool,
}

struct Classes<'a> {
    table: &'a Table,
    trigram_class: &'a str,
}

impl Classes<'_> {
    /// The index that answers all of these searches; `None` if one cannot be answered so.
    fn of_all(&self, searched: &BTreeSet<Search>) -> Option<Found> {
        let mut by_key: BTreeMap<&Key, BTreeSet<&str>> = BTreeMap::new();
        for search in searched {
            by_key.entry(&search.key).or_default().insert(&search.operator);
        }
        let mut found: Option<Found> = None;
        for (key, operators) in by_key {
            let (method, class, is_trigram) = self.of(key, &operators)?;
            let key = FoundKey {
                key: IndexKey {
                    operator_class: class,
                    ..IndexKey::from(key.clone())
                },
                is_trigram,
            };
            let found = found.get_or_insert(Found {
                method,
                keys: Vec::new(),
            });
            if found.method != method {
                return None;
            }
            found.keys.push(key);
        }
        found
    }

    fn column(&self, key: &Key) -> Option<&Column> {
        match key {
            Key::Column(name) => self.table.columns.get(name),
            Key::Expression(_) => None,
        }
    }

    /// The method and the operator class under which these operators are answered (`None`: the type's own), and whether it is
    /// about trigrams.
    fn of(&self, key: &Key, operators: &BTreeSet<&str>) -> Option<(&'static str, Option<String>, bool)> {
        let all = |known: &[&str]| operators.iter().all(|operator| known.contains(operator));
        let column = self.column(key);
        let type_name = column.map_or("", |column| column.type_name.as_str());
        let is_text = match key {
            Key::Column(_) => column.is_some_and(Column::is_text),
            Key::Expression(text) => {
                ["lower(", "upper("].iter().any(|begin| text.starts_with(begin)) || text.contains("||")
            }
        };
        let is_vector = type_name == "tsvector"
            || matches!(key, Key::Expression(text) if text.starts_with("to_tsvector("));
        let class = |method, class: &str| Some((method, Some(class.to_owned()), false));
        if is_vector && all(&["@@"]) {
            return Some(("gin", None, false));
        }
        if type_name == "jsonb" && all(&["@>", "@?", "@@"]) {
            return class("gin", "jsonb_path_ops");
        }
        if type_name == "jsonb" && all(&["@>", "@?", "@@", "?", "?|", "?&"]) {
            return Some(("gin", None, false));
        }
        if column.is_some_and(|column| column.is_array) && all(&["@>", "<@", "&&", "="]) {
            return Some(("gin", None, false));
        }
        if is_text && !is_vector && all(&["~~", "~~*", "~", "~*", "%"]) {
            return Some(("gin", Some(self.trigram_class.to_owned()), true));
        }
        if column.is_some_and(|column| column.is_range)
            && all(&["&&", "@>", "<@", "<<", ">>", "&<", "&>", "-|-"])
        {
            return Some(("gist", None, false));
        }
        if matches!(type_name, "inet" | "cidr") && all(&["<<", "<<=", ">>", ">>=", "&&"]) {
            return class("gist", "inet_ops");
        }
        let is_shape = matches!(
            type_name,
            "point" | "box" | "circle" | "polygon" | "geometry" | "geography"
        );
        (is_shape && all(&["<@", "@>", "&&", "~=", "<<", ">>", "@", "~"])).then_some(("gist", None, false))
    }

    /// The index that gives rows in the order of their distance.
    fn nearest(&self, nearest: &Search) -> Option<Found> {
        let column = self.column(&nearest.key)?;
        let is_trigram = column.is_text();
        let knows = matches!(
            column.type_name.as_str(),
            "point" | "box" | "circle" | "polygon" | "geometry" | "geography"
        );
        if nearest.operator != "<->" || !knows && !is_trigram {
            return None;
        }
        let class = is_trigram.then(|| self.trigram_class.replace("gin_", "gist_"));
        let key = IndexKey {
            operator_class: class,
            ..IndexKey::from(nearest.key.clone())
        };
        Some(Found {
            method: "gist",
            keys: vec![FoundKey { key, is_trigram }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index_advisor::tables::TableName;
    use serde_json::json;

    fn table() -> Table {
        let column = |type_name: &str, is_array| Column {
            type_name: type_name.into(),
            is_array,
            is_range: type_name.ends_with("range"),
            width_bytes: Some(20.0),
            ..Column::default()
        };
        Table {
            oid: 1,
            name: TableName {
                schema: "s".into(),
                name: "t".into(),
            },
            is_partitioned: false,
            may_be_indexed: true,
            pages: 1000.0,
            rows: 50_000.0,
            was_analyzed: true,
            columns: [
                ("caption".to_owned(), column("varchar", false)),
                ("info".to_owned(), column("jsonb", false)),
                ("tags".to_owned(), column("_text", true)),
                ("id".to_owned(), column("int4", false)),
                ("during".to_owned(), column("tstzrange", false)),
                ("place".to_owned(), column("point", false)),
                ("from".to_owned(), column("inet", false)),
                ("code".to_owned(), column("bpchar", false)),
                ("mail".to_owned(), column("citext", false)),
                (
                    "kind".to_owned(),
                    Column {
                        values: Some(100.0),
                        ..column("int4", false)
                    },
                ),
            ]
            .into(),
            indexes: Vec::new(),
            partitions: Vec::new(),
        }
    }

    fn asked(searched: &[(Key, &str)]) -> RelationUse {
        RelationUse {
            schema: "s".into(),
            table: "t".into(),
            searched: searched
                .iter()
                .map(|(key, operator)| Search {
                    key: key.clone(),
                    operator: (*operator).into(),
                })
                .collect(),
            ..RelationUse::default()
        }
    }

    const BOTH: Methods = Methods {
        gin: true,
        gist: true,
    };

    fn definition(searched: &[(Key, &str)], rows: f64) -> Option<String> {
        let plan = json!([{"Plan": {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
                                    "Total Cost": 1625.0, "Plan Rows": rows}}]);
        let tree = PlanTree::read(&plan).unwrap();
        let estimate = estimate(&tree, &asked(searched), &table(), "gin_trgm_ops", BOTH)?;
        assert!(estimate.cost_after < 1000.0);
        Some(estimate.candidate.hypothetical())
    }

    #[test]
    fn each_kind_of_search_has_its_class() {
        let column = |name: &str| Key::Column(name.into());
        let words = Key::Expression("to_tsvector('english'::regconfig, caption)".into());
        for (searched, expected) in [
            (vec![(column("info"), "@>")], Some("gin (info jsonb_path_ops)")),
            (
                vec![(column("info"), "?"), (column("info"), "@>")],
                Some("gin (info)"),
            ),
            (vec![(column("tags"), "&&")], Some("gin (tags)")),
            (
                vec![(column("caption"), "~~*")],
                Some("gin (caption gin_trgm_ops)"),
            ),
            (
                vec![(words, "@@")],
                Some("gin ((to_tsvector('english'::regconfig, caption)))"),
            ),
            (
                vec![(column("during"), "&&"), (column("during"), "@>")],
                Some("gist (during)"),
            ),
            (vec![(column("place"), "<@")], Some("gist (place)")),
            (vec![(column("from"), "<<=")], Some("gist (\"from\" inet_ops)")),
            (vec![(column("during"), "&&"), (column("tags"), "&&")], None),
            (vec![(column("id"), "@>")], None),
            (vec![(column("code"), "~~")], None),
            (vec![(column("mail"), "~~*")], None),
            (vec![(column("info"), "@>"), (column("id"), "~~")], None),
        ] {
            let made = definition(&searched, 10.0);
            assert_eq!(
                made,
                expected.map(|keys| format!("CREATE INDEX ON s.t USING {keys}")),
                "{searched:?}"
            );
        }
        assert_eq!(
            definition(&[(column("info"), "@>")], 40_000.0),
            None,
            "most of the table"
        );
    }

    #[test]
    fn what_is_nearest_comes_first_where_a_limit_asks_for_it() {
        let plan = |kind: &str| {
            let tree = json!([{"Plan": {"Node Type": kind, "Total Cost": 5000.0, "Plan Rows": 5}}]);
            PlanTree::read(&tree).unwrap()
        };
        let nearest = |name: &str, kind: &str, operator: &str| {
            let asked = RelationUse {
                nearest: [Search {
                    key: Key::Column(name.into()),
                    operator: operator.into(),
                }]
                .into(),
                ..asked(&[])
            };
            let estimate = estimate(&plan(kind), &asked, &table(), "x.gin_trgm_ops", BOTH)?;
            Some((estimate.candidate.keys[0].sql(), estimate.cost_after < 100.0))
        };
        assert_eq!(nearest("place", "Limit", "<->"), Some(("place".into(), true)));
        assert_eq!(
            nearest("caption", "Limit", "<->"),
            Some(("caption x.gist_trgm_ops".into(), true))
        );
        assert_eq!(nearest("place", "Sort", "<->"), None, "all rows are wanted");
        assert_eq!(nearest("id", "Limit", "<->"), None);
        assert_eq!(nearest("place", "Limit", "<=>"), None);
    }

    #[test]
    fn what_other_conditions_pick_is_not_the_index_s_merit() {
        let plan = json!([{"Plan": {"Node Type": "Seq Scan", "Schema": "s", "Relation Name": "t", "Alias": "t",
                                    "Total Cost": 1625.0, "Plan Rows": 300}}]);
        let tree = PlanTree::read(&plan).unwrap();
        let mut asked = asked(&[(Key::Column("info".into()), "@>")]);
        let cost =
            |asked: &RelationUse| estimate(&tree, asked, &table(), "x", BOTH).map(|one| one.cost_after);
        let alone = cost(&asked).unwrap();
        asked.ranged.insert(Key::Column("id".into()));
        let beside_a_range = cost(&asked).unwrap();
        assert!(beside_a_range > 1.5 * alone, "{beside_a_range} {alone}");
        asked.equal.insert(Key::Column("kind".into()));
        assert_eq!(
            cost(&asked),
            None,
            "one of a hundred kinds is most of what picks the rows"
        );
    }
}
