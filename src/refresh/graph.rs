//! What materialized views read: down through ordinary views to tables, and to other materialized views.

use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What one view or materialized view names in its definition.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct References {
    /// The row version of the definition.
    pub version: String,
    /// OIDs of relations of all kinds.
    pub relations: Vec<u32>,
    /// What answers differently by itself: `now`, `random`.
    pub changing: Vec<String>,
    /// Functions whose body nobody sees.
    pub unseen: Vec<String>,
}

/// What one materialized view reads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lineage {
    /// Versions of its definition and of the views that it reads through.
    pub definition: String,
    /// Materialized views that it reads, by OID.
    pub views: BTreeSet<u32>,
    /// Everything else that it reads and that is no view, by OID.
    pub relations: BTreeSet<u32>,
    /// Why it may have changed although nothing that it reads has.
    pub never_unchanged: BTreeSet<String>,
}

/// OIDs below this are PostgreSQL's own, whose counters tell nothing.
const FIRST_NORMAL_OID: u32 = 16_384;

/// The lineage of each of these materialized views.
pub fn lineages(views: &BTreeSet<u32>, references: &HashMap<u32, References>) -> BTreeMap<u32, Lineage> {
    views
        .iter()
        .map(|view| (*view, lineage(*view, views, references)))
        .collect()
}

fn lineage(view: u32, views: &BTreeSet<u32>, references: &HashMap<u32, References>) -> Lineage {
    let mut lineage = Lineage::default();
    let mut open = vec![view];
    let mut seen = BTreeSet::from([view]);
    while let Some(oid) = open.pop() {
        let Some(named) = references.get(&oid) else {
            let why = "its definition could not be read".to_owned();
            lineage.never_unchanged.insert(why);
            continue;
        };
        lineage.definition.push_str(&format!("{oid}:{} ", named.version));
        let changing = named.changing.iter().map(|name| format!("it calls {name}"));
        let unseen = named
            .unseen
            .iter()
            .map(|name| format!("{name} is not seen through"));
        lineage.never_unchanged.extend(changing.chain(unseen));
        for relation in &named.relations {
            if !seen.insert(*relation) {
                continue;
            }
            match relation {
                relation if views.contains(relation) => _ = lineage.views.insert(*relation),
                relation if references.contains_key(relation) => open.push(*relation),
                relation if *relation < FIRST_NORMAL_OID => {
                    lineage
                        .never_unchanged
                        .insert("it reads system catalogs".to_owned());
                }
                relation => _ = lineage.relations.insert(*relation),
            }
        }
    }
    lineage
}

/// The nodes in an order in which each follows all that it depends on; those of the same rank in their own order.
pub fn dependencies_first<N: Ord + Clone>(dependencies: &BTreeMap<N, BTreeSet<N>>) -> Vec<N> {
    let mut waiting: BTreeMap<&N, usize> = BTreeMap::new();
    let mut dependents: BTreeMap<&N, Vec<&N>> = BTreeMap::new();
    for (node, on) in dependencies {
        let known: Vec<&N> = on
            .iter()
            .filter(|other| dependencies.contains_key(*other))
            .collect();
        waiting.insert(node, known.len());
        for other in known {
            dependents.entry(other).or_default().push(node);
        }
    }
    let mut ready: BTreeSet<&N> = waiting
        .iter()
        .filter(|(_, count)| **count == 0)
        .map(|(node, _)| *node)
        .collect();
    let mut order = Vec::with_capacity(dependencies.len());
    while let Some(node) = ready.pop_first() {
        order.push(node.clone());
        for dependent in dependents.get(node).into_iter().flatten() {
            if let Some(count) = waiting.get_mut(*dependent) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(*dependent);
                }
            }
        }
    }
    // PostgreSQL has no circles of views; what would be in one comes last
    let placed: BTreeSet<&N> = order.iter().collect();
    let rest: Vec<N> = dependencies
        .keys()
        .filter(|node| !placed.contains(node))
        .cloned()
        .collect();
    order.extend(rest);
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(relations: &[u32]) -> References {
        References {
            version: "1".into(),
            relations: relations.to_vec(),
            ..References::default()
        }
    }

    #[test]
    fn tables_are_found_through_views_and_other_materialized_views_are_ends() {
        // 20001 reads view 20002 and materialized view 20003; the view reads table 20004 and, by another one, 20005
        let references = HashMap::from([
            (20_001, named(&[20_002, 20_003])),
            (
                20_002,
                References {
                    changing: vec!["now".into()],
                    ..named(&[20_004, 20_006])
                },
            ),
            (
                20_003,
                References {
                    unseen: vec!["public.f".into()],
                    ..named(&[20_007])
                },
            ),
            (20_006, named(&[20_005, 1259])),
        ]);
        let lineages = lineages(&BTreeSet::from([20_001, 20_003]), &references);
        let first = &lineages[&20_001];
        assert_eq!(first.views, BTreeSet::from([20_003]));
        assert_eq!(first.relations, BTreeSet::from([20_004, 20_005]));
        let why: Vec<&str> = first.never_unchanged.iter().map(String::as_str).collect();
        assert_eq!(why, ["it calls now", "it reads system catalogs"]);
        assert_eq!(
            lineages[&20_003].never_unchanged,
            BTreeSet::from(["public.f is not seen through".to_owned()])
        );
    }

    proptest! {
        #[test]
        fn everything_follows_what_it_depends_on(edges in proptest::collection::vec((0u32..40, 0u32..40), 0..200)) {
            let mut dependencies: BTreeMap<u32, BTreeSet<u32>> = (0..40).map(|node| (node, BTreeSet::new())).collect();
            for (a, b) in edges.into_iter().filter(|(a, b)| a != b) {
                dependencies.entry(a.max(b)).or_default().insert(a.min(b));
            }
            let order = dependencies_first(&dependencies);
            prop_assert_eq!(order.len(), 40);
            for (position, node) in order.iter().enumerate() {
                for on in &dependencies[node] {
                    prop_assert!(order[..position].contains(on));
                }
            }
        }
    }
}
