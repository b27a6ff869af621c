//! What reads what, as a picture made on the server: tables on the left, each materialized view to the right of all that it
//! reads.

use std::collections::{BTreeMap, BTreeSet};

use super::present::{clip, plural};

/// Measures of the picture in its own units.
const BOX_WIDTH: f64 = 190.0;
const BOX_HEIGHT: f64 = 26.0;
const COLUMN: f64 = 250.0;
const ROW: f64 = 36.0;
const MARGIN: f64 = 8.0;
/// Characters of a name that fit into a box.
const CHARACTERS: usize = 25;
/// A picture with more is none; the tables go first.
const BOXES: usize = 150;

/// What is drawn: a view with what it reads.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Vertex {
    pub name: String,
    /// The class of its box.
    pub tone: &'static str,
    pub href: String,
    pub views: Vec<String>,
    pub tables: Vec<String>,
}

/// A box with a name.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs)]
pub struct Node {
    pub x: f64,
    pub y: f64,
    pub text: String,
    pub name: String,
    pub tone: &'static str,
    /// Empty for a table.
    pub href: String,
}

/// The picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    /// Its width and height.
    pub size: (f64, f64),
    /// The boxes.
    pub nodes: Vec<Node>,
    /// Lines from what is read to what reads it.
    pub edges: Vec<String>,
    /// What a person who does not see it hears.
    pub label: String,
    /// What was left out of it.
    pub left_out: Option<String>,
}

impl Node {
    /// Where the text begins.
    pub fn text_x(&self) -> f64 {
        self.x + 10.0
    }
    /// Its base line.
    pub fn text_y(&self) -> f64 {
        self.y + 17.0
    }
    /// The box's width.
    pub fn width(&self) -> f64 {
        BOX_WIDTH
    }
    /// The box's height.
    pub fn height(&self) -> f64 {
        BOX_HEIGHT
    }
}

impl Graph {
    /// Draws the views of one database; none where there is nothing to see.
    pub fn of(vertices: &[Vertex]) -> Option<Self> {
        let mut tables: BTreeSet<&str> = vertices
            .iter()
            .flat_map(|vertex| vertex.tables.iter().map(String::as_str))
            .collect();
        let mut left_out = None;
        if vertices.len() + tables.len() > BOXES {
            left_out = Some(format!(
                "{} left out, since there are so many",
                plural(tables.len(), "table is", "tables are")
            ));
            tables.clear();
        }
        if vertices.is_empty() || vertices.len() > BOXES {
            return None;
        }
        let ranks = ranks(vertices);
        let mut columns: BTreeMap<usize, Vec<Node>> = BTreeMap::new();
        let node = |name: &str, tone, href: &str| Node {
            text: clip(name, CHARACTERS),
            name: name.to_owned(),
            tone,
            href: href.to_owned(),
            ..Node::default()
        };
        for table in &tables {
            columns.entry(0).or_default().push(node(table, "table", ""));
        }
        for vertex in vertices {
            let rank = ranks.get(vertex.name.as_str()).copied().unwrap_or(1);
            let own = node(&vertex.name, vertex.tone, &vertex.href);
            columns.entry(rank).or_default().push(own);
        }
        let placed = place(columns, vertices);
        let at: BTreeMap<&str, &Node> = placed.iter().map(|node| (node.name.as_str(), node)).collect();
        let mut edges = Vec::new();
        for vertex in vertices {
            let Some(to) = at.get(vertex.name.as_str()) else {
                continue;
            };
            let read = vertex.views.iter().chain(&vertex.tables);
            edges.extend(
                read.filter_map(|name| at.get(name.as_str()))
                    .map(|from| curve(from, to)),
            );
        }
        let width = placed.iter().map(|node| node.x + BOX_WIDTH).fold(0.0, f64::max) + MARGIN;
        let height = placed.iter().map(|node| node.y + BOX_HEIGHT).fold(0.0, f64::max) + MARGIN;
        Some(Self {
            size: (width, height),
            label: format!(
                "which of {} materialized views reads what; the table below says the same",
                vertices.len()
            ),
            nodes: placed,
            edges,
            left_out,
        })
    }
}

/// How many views are between a view and its tables, at most, and one more.
fn ranks(vertices: &[Vertex]) -> BTreeMap<&str, usize> {
    let mut ranks: BTreeMap<&str, usize> = vertices.iter().map(|vertex| (vertex.name.as_str(), 1)).collect();
    // as often as the longest way is long, and no more
    for _ in 0..vertices.len() {
        let mut has_changed = false;
        for vertex in vertices {
            let above = vertex
                .views
                .iter()
                .filter_map(|name| ranks.get(name.as_str()))
                .max();
            let rank = above.map_or(1, |above| above + 1).min(vertices.len());
            has_changed |= ranks.insert(&vertex.name, rank) != Some(rank);
        }
        if !has_changed {
            break;
        }
    }
    ranks
}

/// Gives each node its place; within a column near the middle of what it reads.
fn place(columns: BTreeMap<usize, Vec<Node>>, vertices: &[Vertex]) -> Vec<Node> {
    let reads: BTreeMap<&str, Vec<&str>> = vertices
        .iter()
        .map(|vertex| {
            let all = vertex.views.iter().chain(&vertex.tables).map(String::as_str);
            (vertex.name.as_str(), all.collect())
        })
        .collect();
    let mut rows: BTreeMap<String, f64> = BTreeMap::new();
    let mut placed = Vec::new();
    // without tables there is no first column
    for (column, (_, mut nodes)) in columns.into_iter().enumerate() {
        let middle = |node: &Node| {
            let of = reads.get(node.name.as_str()).into_iter().flatten();
            let known: Vec<f64> = of.filter_map(|name| rows.get(*name).copied()).collect();
            match known.len() {
                0 => f64::MAX,
                count => known.iter().sum::<f64>() / count as f64,
            }
        };
        if column > 0 {
            nodes.sort_by(|a, b| middle(a).total_cmp(&middle(b)).then_with(|| a.name.cmp(&b.name)));
        }
        for (row, mut node) in nodes.into_iter().enumerate() {
            node.x = MARGIN + column as f64 * COLUMN;
            node.y = MARGIN + row as f64 * ROW;
            rows.insert(node.name.clone(), row as f64);
            placed.push(node);
        }
    }
    placed
}

fn curve(from: &Node, to: &Node) -> String {
    let (x1, y1) = (from.x + BOX_WIDTH, from.y + BOX_HEIGHT / 2.0);
    let (x2, y2) = (to.x, to.y + BOX_HEIGHT / 2.0);
    let bend = ((x2 - x1) / 2.0).abs().max(20.0);
    format!(
        "M{x1:.0} {y1:.0}C{:.0} {y1:.0} {:.0} {y2:.0} {x2:.0} {y2:.0}",
        x1 + bend,
        x2 - bend
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(name: &str, views: &[&str], tables: &[&str]) -> Vertex {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Vertex {
            name: name.to_owned(),
            views: owned(views),
            tables: owned(tables),
            ..Vertex::default()
        }
    }

    #[test]
    fn everything_stands_right_of_what_it_reads() {
        let vertices = [
            vertex("s.c", &["s.b", "s.a"], &["s.t"]),
            vertex("s.b", &["s.a"], &[]),
            vertex("s.a", &[], &["s.t"]),
            vertex("s.lonely", &[], &[]),
        ];
        let graph = Graph::of(&vertices).unwrap();
        assert_eq!((graph.nodes.len(), graph.edges.len()), (5, 5));
        let x = |name: &str| graph.nodes.iter().find(|node| node.name == name).unwrap().x;
        assert!(x("s.t") < x("s.a") && x("s.a") < x("s.b") && x("s.b") < x("s.c"));
        let places: BTreeSet<(u64, u64)> = graph
            .nodes
            .iter()
            .map(|node| (node.x as u64, node.y as u64))
            .collect();
        assert_eq!(places.len(), 5, "no box over another");
    }

    #[test]
    fn too_much_to_see_is_no_picture() {
        assert_eq!(Graph::of(&[]), None);
        let many: Vec<Vertex> = (0..151)
            .map(|number| vertex(&format!("s.v{number}"), &[], &[]))
            .collect();
        assert_eq!(Graph::of(&many), None);
        let names: Vec<String> = (0..150).map(|number| format!("s.t{number}")).collect();
        let tables: Vec<&str> = names.iter().map(String::as_str).collect();
        let graph = Graph::of(&[vertex("s.v", &[], &tables)]).unwrap();
        assert_eq!((graph.nodes.len(), graph.left_out.is_some()), (1, true));
        // what cannot be, ends all the same
        assert!(Graph::of(&[vertex("a", &["b"], &[]), vertex("b", &["a"], &[])]).is_some());
    }
}
