//! Things of one database by their OID, in its order: half of the memory of a map, and to walk along several of them at
//! once costs next to nothing.

use serde::{Deserialize, Serialize};

/// Something that has an OID.
pub trait HasOid {
    /// Its OID, which does not change.
    fn oid(&self) -> u32;
}

/// Things in the order of their OIDs, each OID once.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<T>", bound(deserialize = "T: HasOid + Deserialize<'de>"))]
pub struct ByOid<T>(Vec<T>);

impl<T> Default for ByOid<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: HasOid> From<Vec<T>> for ByOid<T> {
    fn from(mut things: Vec<T>) -> Self {
        things.sort_by_key(T::oid);
        things.dedup_by_key(|thing| thing.oid());
        things.shrink_to_fit();
        Self(things)
    }
}

impl<T: HasOid> FromIterator<T> for ByOid<T> {
    fn from_iter<I: IntoIterator<Item = T>>(things: I) -> Self {
        things.into_iter().collect::<Vec<T>>().into()
    }
}

impl<T: HasOid> ByOid<T> {
    /// Where the thing is, or where it would be.
    fn search(&self, oid: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&oid, T::oid)
    }

    /// Where the thing is.
    pub fn place(&self, oid: u32) -> Option<usize> {
        self.search(oid).ok()
    }

    /// The thing of that OID.
    pub fn get(&self, oid: u32) -> Option<&T> {
        self.place(oid).map(|place| &self.0[place])
    }

    /// The thing of that OID, to be changed.
    pub fn get_mut(&mut self, oid: u32) -> Option<&mut T> {
        self.place(oid).map(|place| &mut self.0[place])
    }

    /// The thing at a place in their order.
    pub fn at(&self, place: usize) -> Option<&T> {
        self.0.get(place)
    }

    /// All of them.
    pub fn values(&self) -> impl Iterator<Item = &T> + Clone {
        self.0.iter()
    }

    /// All of them, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes one in, in the place of another one of its OID. Cheap in the order of OIDs.
    pub fn insert(&mut self, thing: T) {
        let is_last = self.0.last().is_none_or(|last| last.oid() < thing.oid());
        match is_last
            .then_some(self.0.len())
            .ok_or(())
            .or(self.search(thing.oid()))
        {
            Ok(place) if place == self.0.len() => self.0.push(thing),
            Ok(place) => self.0[place] = thing,
            Err(place) => self.0.insert(place, thing),
        }
    }

    /// Gives back the memory that is kept for more of them: worth it once many were taken in.
    pub fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Takes those out that are meant.
    pub fn extract_if(&mut self, mut is_meant: impl FnMut(&T) -> bool) -> Vec<T> {
        self.0.extract_if(.., |thing| is_meant(thing)).collect()
    }

    /// Finds one after the other, fastest in the order of OIDs.
    pub fn finder(&self) -> Finder<'_, T> {
        Finder {
            things: self,
            next: 0,
        }
    }

    /// Where the thing is, which is mostly at `expected`.
    pub fn place_near(&self, expected: usize, oid: u32) -> Option<usize> {
        let is_at = |place: usize| self.0.get(place).is_some_and(|thing| thing.oid() == oid);
        let near = (expected..expected + 2).find(|place| is_at(*place));
        near.or_else(|| self.place(oid))
    }

    /// The thing at that place, which must be one that was found.
    pub fn at_mut(&mut self, place: usize) -> &mut T {
        &mut self.0[place]
    }
}

/// Finds one after the other.
pub struct Finder<'a, T> {
    things: &'a ByOid<T>,
    next: usize,
}

impl<'a, T: HasOid> Finder<'a, T> {
    /// The thing of that OID.
    pub fn find(&mut self, oid: u32) -> Option<&'a T> {
        let place = self.things.place_near(self.next, oid)?;
        self.next = place + 1;
        Some(&self.things.0[place])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Debug, PartialEq)]
    struct Thing(u32, u32);

    impl HasOid for Thing {
        fn oid(&self) -> u32 {
            self.0
        }
    }

    proptest! {
        /// In whatever order things come and are asked for, it answers as a map does.
        #[test]
        fn it_is_a_map(first in prop::collection::vec(0u32..40, 0..40), later in prop::collection::vec(0u32..40, 0..40),
                       asked in prop::collection::vec(0u32..45, 0..80)) {
            let mut things: ByOid<Thing> = first.iter().map(|oid| Thing(*oid, 1)).collect();
            let mut map: BTreeMap<u32, Thing> = first.iter().map(|oid| (*oid, Thing(*oid, 1))).collect();
            for oid in later {
                things.insert(Thing(oid, 2));
                map.insert(oid, Thing(oid, 2));
            }
            prop_assert!(things.values().eq(map.values()));
            let mut finder = things.finder();
            for oid in asked {
                prop_assert_eq!(finder.find(oid), map.get(&oid));
                prop_assert_eq!(things.get(oid), map.get(&oid));
            }
            let even: Vec<Thing> = things.extract_if(|thing| thing.0 % 2 == 0);
            prop_assert!(even.iter().all(|thing| thing.0 % 2 == 0) && things.values().all(|thing| thing.0 % 2 == 1));
            prop_assert_eq!(even.len() + things.len(), map.len());
        }
    }
}
