//! Where history belongs: places, which are looked at as a whole, and the subjects in them.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, PoisonError};

use rusqlite::{CachedStatement, OptionalExtension as _, Transaction, params};

use crate::limits;
use crate::store::error::StoreError;

/// What a place is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    Statement,
    Table,
    Index,
    Wait,
}

impl Family {
    const ALL: [Self; 4] = [Self::Statement, Self::Table, Self::Index, Self::Wait];

    pub fn word(self) -> &'static str {
        match self {
            Self::Statement => "statement",
            Self::Table => "table",
            Self::Index => "index",
            Self::Wait => "wait",
        }
    }

    /// The family of a word of the store's, which has no other words.
    pub fn of(word: &str) -> Self {
        let found = Self::ALL.into_iter().find(|family| family.word() == word);
        found.unwrap_or(Self::Statement)
    }
}

/// The number of a place; none where nothing was recorded there.
pub fn known(
    tx: &Transaction<'_>,
    server: &str,
    family: Family,
    database: &str,
) -> Result<Option<i64>, StoreError> {
    Ok(tx
        .prepare_cached("SELECT id FROM history_place WHERE server = ?1 AND family = ?2 AND database = ?3")?
        .query_row(params![server, family.word(), database], |row| row.get(0))
        .optional()?)
}

/// The number of a place, which is made where it is new.
pub fn of(tx: &Transaction<'_>, server: &str, family: Family, database: &str) -> Result<i64, StoreError> {
    if let Some(place) = known(tx, server, family, database)? {
        return Ok(place);
    }
    Ok(tx
        .prepare_cached(
            "INSERT INTO history_place (server, family, database) VALUES (?1, ?2, ?3) RETURNING id",
        )?
        .query_row(params![server, family.word(), database], |row| row.get(0))?)
}

/// The numbers of subjects that were found before: a look names thousands.
#[derive(Default)]
pub struct Numbers {
    hasher: RandomState,
    /// By a hash of place, database and name.
    known: Mutex<HashMap<u64, u64>>,
}

impl Numbers {
    fn key(&self, place: i64, database: &str, name: &str) -> u64 {
        self.hasher.hash_one((place, database, name))
    }

    fn get(&self, key: u64) -> Option<u64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&key).copied()
    }

    fn remember(&self, key: u64, number: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= limits::SUBJECTS_REMEMBERED {
            known.clear();
        }
        known.insert(key, number);
    }

    /// Forgets all of them, since some are gone.
    pub fn clear(&self) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = HashMap::new();
    }
}

/// The subjects of a place, by name.
pub struct Subjects<'a> {
    place: i64,
    numbers: &'a Numbers,
    find: CachedStatement<'a>,
    insert: CachedStatement<'a>,
}

/// The number of a subject, if it has one.
pub fn subject(
    tx: &Transaction<'_>,
    place: i64,
    database: &str,
    name: &str,
) -> Result<Option<i64>, StoreError> {
    let mut find = tx.prepare_cached(FIND)?;
    Ok(find
        .query_row(params![place, database, name], |row| row.get(0))
        .optional()?)
}

/// The numbers of all subjects of a place in one database: for readers who ask for thousands of them.
pub struct AllNumbers {
    hasher: RandomState,
    /// By a hash of the name.
    known: HashMap<u64, u64>,
}

impl AllNumbers {
    pub fn of(tx: &Transaction<'_>, place: i64, database: &str) -> Result<Self, StoreError> {
        let hasher = RandomState::new();
        let mut known = HashMap::new();
        let mut all =
            tx.prepare_cached("SELECT name, id FROM history_subject WHERE place = ?1 AND database = ?2")?;
        let mut rows = all.query(params![place, database])?;
        while let Some(row) = rows.next()? {
            let name = row.get_ref(0)?.as_str().unwrap_or_default();
            known.insert(hasher.hash_one(name), row.get::<_, i64>(1)?.unsigned_abs());
        }
        Ok(Self { hasher, known })
    }

    /// That of a subject; none where nothing of it is remembered.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.known.get(&self.hasher.hash_one(name)).copied()
    }
}

const FIND: &str = "SELECT id FROM history_subject WHERE place = ?1 AND database = ?2 AND name = ?3";

impl<'a> Subjects<'a> {
    pub fn of(tx: &'a Transaction<'_>, numbers: &'a Numbers, place: i64) -> Result<Self, StoreError> {
        Ok(Self {
            place,
            numbers,
            find: tx.prepare_cached(FIND)?,
            insert: tx.prepare_cached(
                "INSERT INTO history_subject (place, database, name, text) VALUES (?1, ?2, ?3, ?4) RETURNING id",
            )?,
        })
    }

    /// The number of a subject, if it has one.
    pub fn known(&mut self, database: &str, name: &str) -> Result<Option<u64>, StoreError> {
        let key = self.numbers.key(self.place, database, name);
        if let Some(number) = self.numbers.get(key) {
            return Ok(Some(number));
        }
        let found = self
            .find
            .query_row(params![self.place, database, name], |row| row.get::<_, i64>(0));
        let found = found.optional()?.map(i64::unsigned_abs);
        if let Some(number) = found {
            // what is given in this transaction may be taken back with it: only what was there before is remembered
            self.numbers.remember(key, number);
        }
        Ok(found)
    }

    /// The number of a subject, which is given where it is new.
    pub fn number(&mut self, database: &str, name: &str, text: &str) -> Result<u64, StoreError> {
        if let Some(number) = self.known(database, name)? {
            return Ok(number);
        }
        let number: i64 = self
            .insert
            .query_row(params![self.place, database, name, text], |row| row.get(0))?;
        Ok(number.unsigned_abs())
    }
}
