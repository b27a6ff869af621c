//! Facts about tables that several rules share.

use crate::model::snapshot::{ServerFacts, TableFacts};

/// Dead row versions at which autovacuum comes for a table: base + scale × rows, by the table's own storage parameters
/// where it has some, and from 18 never more than autovacuum_vacuum_max_threshold (chapter "Routine Vacuuming").
pub fn vacuum_threshold_rows(server: &ServerFacts, table: &TableFacts) -> f64 {
    let number = |name: &str, default: f64| {
        let own = table.option(name).and_then(|value| value.parse().ok());
        own.or_else(|| server.setting_number(name)).unwrap_or(default)
    };
    let base = number("autovacuum_vacuum_threshold", 50.0);
    let scale = number("autovacuum_vacuum_scale_factor", 0.2);
    let threshold = base + scale * table.rows.max(0.0);
    // -1 switches the ceiling off; versions before 18 have none
    let ceiling = number("autovacuum_vacuum_max_threshold", -1.0);
    if ceiling >= 0.0 {
        threshold.min(ceiling)
    } else {
        threshold
    }
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
        assert_eq!(vacuum_threshold_rows(&server, &table), 50.0 + 2e8);
        let ceiling = Setting {
            value: "100000000".into(),
            ..Setting::default()
        };
        server
            .settings
            .insert("autovacuum_vacuum_max_threshold".into(), ceiling);
        assert_eq!(vacuum_threshold_rows(&server, &table), 1e8);
        table.options = vec![
            "autovacuum_vacuum_scale_factor=0.01".into(),
            "autovacuum_vacuum_threshold=0".into(),
        ];
        assert_eq!(vacuum_threshold_rows(&server, &table), 1e7);
        table.rows = -1.0;
        assert_eq!(
            vacuum_threshold_rows(&server, &table),
            0.0,
            "a table that was never analyzed"
        );
    }
}
