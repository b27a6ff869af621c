//! Functions of PostgreSQL itself that must not run with the advisor's rights on what somebody else wrote. IMMUTABLE ones
//! are run while planning if their arguments are constants, STABLE ones in a comparison whose selectivity is estimated;
//! VOLATILE ones never.

/// Names with `*` at one end, and why they are refused.
const REFUSED: &[(&str, &str)] = &[
    (
        "*_to_xml",
        "runs a query over what it is given: views, and functions in them, run for real",
    ),
    (
        "*_to_xmlschema",
        "asks the catalog in the search_path of the statement",
    ),
    (
        "*_to_xml_and_xmlschema",
        "runs a query over what it is given: views, and functions in them, run for real",
    ),
    ("*_validator", "parses the body of a function of somebody else"),
    ("satisfies_hash_partition", "opens a table of somebody else"),
    ("txid_current", "takes a transaction id"),
    (
        "pg_*",
        "looks into the server: some of these ask the catalog in the search_path of the statement (pg_get_viewdef), evaluate \
         expressions of any table (pg_get_partition_constraintdef), read values of any type (pg_input_is_valid), take locks or \
         a transaction id",
    ),
];

/// Names that begin like refused ones, and do nothing but compute.
const HARMLESS: &[&str] = &[
    "pg_backend_pid",
    "pg_client_encoding",
    "pg_collation_for",
    "pg_column_compression",
    "pg_column_size",
    "pg_conf_load_time",
    "pg_encoding_to_char",
    "pg_lsn",
    "pg_postmaster_start_time",
    "pg_size_bytes",
    "pg_size_pretty",
    "pg_trigger_depth",
    "pg_typeof",
    "pg_wal_lsn_diff",
];

/// Why a function of this name must not run while planning; `None` if it may.
pub(super) fn refused(name: &str) -> Option<&'static str> {
    if HARMLESS.contains(&name) {
        return None;
    }
    let fits = |pattern: &str| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => name == pattern,
    };
    REFUSED
        .iter()
        .find(|(pattern, _)| fits(pattern))
        .map(|(_, why)| *why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reads_or_runs_is_refused_and_what_computes_is_not() {
        for name in [
            "table_to_xml",
            "database_to_xml_and_xmlschema",
            "schema_to_xmlschema",
            "pg_get_viewdef",
            "fmgr_sql_validator",
            "txid_current",
        ] {
            assert!(refused(name).is_some(), "{name}");
        }
        for name in ["lower", "now", "pg_typeof", "to_char", "txid_current_snapshot"] {
            assert!(refused(name).is_none(), "{name}");
        }
    }
}
