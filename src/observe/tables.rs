//! Facts about tables that several rules share.

use crate::model::catalog::TableFacts;
use crate::model::snapshot::ServerFacts;

/// When autovacuum comes for tables that have no storage parameters of their own.
pub struct Autovacuum {
    threshold: f64,
    scale_factor: f64,
    max_threshold: f64,
    analyze_threshold: f64,
    analyze_scale_factor: f64,
}

impl Autovacuum {
    /// By the server's settings, or the defaults of PostgreSQL where they are not known.
    pub fn of(server: &ServerFacts) -> Self {
        let number = |name: &str, default: f64| server.setting_number(name).unwrap_or(default);
        Self {
            threshold: number("autovacuum_vacuum_threshold", 50.0),
            scale_factor: number("autovacuum_vacuum_scale_factor", 0.2),
            // -1 switches the ceiling off; versions before 18 have none
            max_threshold: number("autovacuum_vacuum_max_threshold", -1.0),
            analyze_threshold: number("autovacuum_analyze_threshold", 50.0),
            analyze_scale_factor: number("autovacuum_analyze_scale_factor", 0.1),
        }
    }

    /// Dead row versions at which autovacuum comes for a table: base + scale × rows, by the table's own storage parameters
    /// where it has some, and from 18 never more than autovacuum_vacuum_max_threshold (chapter "Routine Vacuuming").
    pub fn threshold_rows(&self, table: &TableFacts) -> f64 {
        let base = own(table, "autovacuum_vacuum_threshold", self.threshold);
        let scale = own(table, "autovacuum_vacuum_scale_factor", self.scale_factor);
        let ceiling = own(table, "autovacuum_vacuum_max_threshold", self.max_threshold);
        let threshold = base + scale * table.rows.max(0.0);
        if ceiling >= 0.0 {
            threshold.min(ceiling)
        } else {
            threshold
        }
    }

    /// Changed rows at which autovacuum comes to ANALYZE a table.
    pub fn analyze_threshold_rows(&self, table: &TableFacts) -> f64 {
        let base = own(table, "autovacuum_analyze_threshold", self.analyze_threshold);
        let scale = own(
            table,
            "autovacuum_analyze_scale_factor",
            self.analyze_scale_factor,
        );
        base + scale * table.rows.max(0.0)
    }
}

/// The table's own storage parameter, or what holds without one.
fn own(table: &TableFacts, name: &str, default: f64) -> f64 {
    let own = table.option(name).and_then(|value| value.parse().ok());
    own.unwrap_or(default)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::snapshot::Setting;

    #[test]
    fn the_formula_of_every_version() {
        let mut server = ServerFacts::default();
        let mut table = TableFacts {
            rows: 1e9,
            ..TableFacts::default()
        };
        assert_eq!(Autovacuum::of(&server).threshold_rows(&table), 50.0 + 2e8);
        let ceiling = Setting {
            value: "100000000".into(),
            ..Setting::default()
        };
        server
            .settings
            .insert("autovacuum_vacuum_max_threshold".into(), ceiling);
        assert_eq!(Autovacuum::of(&server).threshold_rows(&table), 1e8);
        table.options = vec![
            "autovacuum_vacuum_scale_factor=0.01".into(),
            "autovacuum_vacuum_threshold=0".into(),
        ];
        assert_eq!(Autovacuum::of(&server).threshold_rows(&table), 1e7);
        assert_eq!(Autovacuum::of(&server).analyze_threshold_rows(&table), 50.0 + 1e8);
        table.rows = -1.0;
        assert_eq!(
            Autovacuum::of(&server).threshold_rows(&table),
            0.0,
            "a table that was never analyzed"
        );
    }
}
