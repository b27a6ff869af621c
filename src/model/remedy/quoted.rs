//! Names and constants as SQL needs them.

/// PostgreSQL keeps so many bytes of a name (`NAMEDATALEN`, in its chapter "Lexical Structure").
pub const NAME_BYTES: usize = 63;

/// A name as SQL needs it: quoted wherever it must be, so that no name of whatever spelling can be anything but a name.
/// A NUL cannot occur in PostgreSQL and is left out.
pub fn quote_identifier(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !crate::sql::is_reserved(name);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
    }
}

/// A text as a constant; backslashes keep their meaning under `standard_conforming_strings`.
pub fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

/// `schema.name`, each part quoted where it must be.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_stay_bare() {
        assert_eq!(qualified("public", "orders"), "public.orders");
        assert_eq!(quote_identifier("select"), "\"select\"");
        assert_eq!(quote_identifier("name"), "name", "as pg_get_indexdef() has it");
        assert_eq!(quote_identifier("between"), "\"between\"");
        assert_eq!(quote_identifier("Users"), "\"Users\"");
        assert_eq!(
            quote_identifier("a\"; DROP TABLE x; --"),
            "\"a\"\"; DROP TABLE x; --\""
        );
    }
}
