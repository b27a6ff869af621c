//! What PostgreSQL 15 and 18 say against texts of pg_stat_statements, where `¦` stands.

use super::*;

fn typed(marked: &str, code: &str, message: &str) -> Option<String> {
    let place = marked.find('¦').map(|byte| marked[..byte].chars().count());
    let said = Objection {
        code: code.to_owned(),
        message: message.to_owned(),
        characters_before: place,
    };
    with_types(&marked.replace('¦', ""), &said)
}

fn check(cases: &[(&str, &str, &str, &str)]) {
    for (marked, code, message, expected) in cases {
        assert_eq!(
            typed(marked, code, message).as_deref(),
            Some(*expected),
            "{marked}"
        );
    }
}

#[test]
fn what_is_computed_with_is_a_number() {
    check(&[
        (
            "SELECT a FROM t WHERE d >= $1::date ¦+ $2",
            SEVERAL,
            "operator is not unique: date + unknown",
            "SELECT a FROM t WHERE d >= $1::date + $2::integer",
        ),
        (
            "SELECT a FROM t WHERE d ¦>= current_date - $1",
            NO_OPERATOR,
            "operator does not exist: date >= integer",
            "SELECT a FROM t WHERE d >= current_date - $1::integer",
        ),
        (
            "SELECT a FROM t WHERE a = $1 ORDER BY id LIMIT $2 OFFSET ($3 ¦- $4) * $5",
            SEVERAL,
            "Operator ist nicht eindeutig: unknown - unknown",
            "SELECT a FROM t WHERE a = $1 ORDER BY id LIMIT $2 OFFSET ($3::integer - $4::integer) * $5",
        ),
        (
            "SELECT g FROM ¦generate_series($1, $2) g, t WHERE t.a = $3",
            SEVERAL,
            "function generate_series(unknown, unknown) is not unique",
            "SELECT g FROM generate_series($1::integer, $2::integer) g, t WHERE t.a = $3",
        ),
        (
            "SELECT ¦sum(CASE WHEN a > $1 THEN $2 ELSE $3 END) FROM t WHERE k = $4",
            NO_OPERATOR,
            "function sum(text) does not exist",
            "SELECT sum(CASE WHEN a > $1 THEN $2::integer ELSE $3::integer END) FROM t WHERE k = $4",
        ),
        (
            "SELECT 'äö', q.one ¦+ $1 FROM (SELECT $2 AS one, a FROM t WHERE a = $3) q",
            NO_OPERATOR,
            "operator does not exist: text + unknown",
            "SELECT 'äö', q.one + $1::integer FROM (SELECT $2::integer AS one, a FROM t WHERE a = $3) q",
        ),
    ]);
}

#[test]
fn what_is_compared_has_the_type_of_the_other_side() {
    check(&[
        (
            "MERGE INTO t USING (SELECT $1 AS id, $2 AS v) s ON t.id ¦= s.id WHEN MATCHED THEN UPDATE SET v = s.v",
            NO_OPERATOR,
            "operator does not exist: integer = text",
            "MERGE INTO t USING (SELECT $1::integer AS id, $2 AS v) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET v = s.v",
        ),
        (
            "UPDATE t SET a = w.y FROM (VALUES ($1, $2), ($3, $4)) AS w(x, y) WHERE t.k ¦= w.x",
            NO_OPERATOR,
            "operator does not exist: bigint = text",
            "UPDATE t SET a = w.y FROM (VALUES ($1::bigint, $2), ($3::bigint, $4)) AS w(x, y) WHERE t.k = w.x",
        ),
        (
            "SELECT a FROM t, (VALUES ($1, $2)) w WHERE t.u ¦= w.column2",
            NO_OPERATOR,
            "operator does not exist: uuid = text",
            "SELECT a FROM t, (VALUES ($1, $2::uuid)) w WHERE t.u = w.column2",
        ),
        (
            "WITH p(lo, hi) AS (SELECT $1, $2) SELECT a FROM t, p WHERE t.ts ¦BETWEEN p.lo AND p.hi",
            NO_OPERATOR,
            "operator does not exist: timestamp without time zone >= text",
            "WITH p(lo, hi) AS (SELECT $1::timestamp without time zone, $2::timestamp without time zone) SELECT a FROM t, p \
             WHERE t.ts BETWEEN p.lo AND p.hi",
        ),
        (
            "SELECT a FROM t WHERE arr ¦&& ARRAY[$1 /*, ... */]",
            NO_OPERATOR,
            "operator does not exist: integer[] && text[]",
            "SELECT a FROM t WHERE arr && ARRAY[$1::integer /*, ... */]",
        ),
        (
            "SELECT a FROM t, unnest(ARRAY[$1, $2]) x WHERE t.a ¦= x",
            NO_OPERATOR,
            "operator does not exist: integer = text",
            "SELECT a FROM t, unnest(ARRAY[$1::integer, $2::integer]) x WHERE t.a = x",
        ),
        (
            "SELECT a FROM t WHERE k ¦IN (SELECT $1 UNION ALL SELECT $2)",
            NO_OPERATOR,
            "operator does not exist: bigint = text",
            "SELECT a FROM t WHERE k IN (SELECT $1::bigint UNION ALL SELECT $2::bigint)",
        ),
        (
            "SELECT a FROM t WHERE a ¦= (SELECT max(x) FROM (SELECT $1 AS x UNION ALL SELECT $2) q)",
            NO_OPERATOR,
            "operator does not exist: integer = text",
            "SELECT a FROM t WHERE a = (SELECT max(x) FROM (SELECT $1::integer AS x UNION ALL SELECT $2::integer) q)",
        ),
        (
            "UPDATE t SET a = ¦w.y FROM (VALUES ($1::integer, $2)) AS w(x, y) WHERE t.a = w.x",
            OTHER_TYPE,
            "column \"a\" is of type smallint but expression is of type text",
            "UPDATE t SET a = w.y FROM (VALUES ($1::integer, $2::smallint)) AS w(x, y) WHERE t.a = w.x",
        ),
        (
            "INSERT INTO t (id, a) SELECT ¦* FROM (SELECT $1 AS id, $2 AS a) s ON CONFLICT (id) DO NOTHING",
            OTHER_TYPE,
            "column \"id\" is of type integer but expression is of type text",
            "INSERT INTO t (id, a) SELECT * FROM (SELECT $1::integer AS id, $2 AS a) s ON CONFLICT (id) DO NOTHING",
        ),
    ]);
}

#[test]
fn what_may_be_anything_is_text() {
    check(&[
        (
            "SELECT a FROM t WHERE a = $1 AND ($2 IS NULL OR v = $3)",
            NO_TYPE,
            "could not determine data type of parameter $2",
            "SELECT a FROM t WHERE a = $1 AND ($2::text IS NULL OR v = $3)",
        ),
        (
            "SELECT jsonb_build_object($1, $2, $3, a) FROM t WHERE v = $3 AND a = $4",
            NO_TYPE,
            "could not determine data type of parameter $1",
            "SELECT jsonb_build_object($1::text, $2::text, $3, a) FROM t WHERE v = $3 AND a = $4",
        ),
        (
            "SELECT a FROM t WHERE (¦$1 IS NULL OR a = $1) AND v = $2",
            NO_TYPE_HERE,
            "could not determine data type of parameter $1",
            "SELECT a FROM t WHERE ($3::text IS NULL OR a = $1) AND v = $2",
        ),
    ]);
}

#[test]
fn a_variable_is_a_parameter_where_numbers_are_free_for_it() {
    check(&[
        (
            "SELECT count(*) FROM t WHERE 'ä' <> v AND id = ¦my_var AND a > $4 AND k = my_var AND t.my_var = $5",
            NO_SUCH_COLUMN,
            "column \"my_var\" does not exist",
            "SELECT count(*) FROM t WHERE 'ä' <> v AND id = $1 AND a > $4 AND k = $1 AND t.my_var = $5",
        ),
        (
            "SELECT a FROM t WHERE id = ¦rec . \"Id\" AND v = $2",
            NO_SUCH_TABLE,
            "missing FROM-clause entry for table \"rec\"",
            "SELECT a FROM t WHERE id = $1 AND v = $2",
        ),
        (
            "SELECT a FROM t WHERE id = ¦rec /* the row */ . -- its key\n id AND v = $2",
            NO_SUCH_TABLE,
            "missing FROM-clause entry for table \"rec\"",
            "SELECT a FROM t WHERE id = $1 AND v = $2",
        ),
        (
            "SELECT count(*) FROM t WHERE id = $1 AND a > $4",
            NO_TYPE,
            "could not determine data type of parameter $2",
            "WITH pgadvisor_unread AS (SELECT $2, $3) SELECT count(*) FROM t WHERE id = $1 AND a > $4",
        ),
        (
            "DELETE FROM t WHERE id = $1 AND a > $3",
            NO_TYPE,
            "could not determine data type of parameter $2",
            "WITH pgadvisor_unread AS (SELECT $2) DELETE FROM t WHERE id = $1 AND a > $3",
        ),
    ]);
    for text in [
        "SELECT a FROM t WHERE ¦dropped = $1",
        "SELECT a FROM t WHERE id = ¦my_var",
    ] {
        assert_eq!(
            typed(text, NO_SUCH_COLUMN, "column does not exist"),
            None,
            "{text}"
        );
    }
}

#[test]
fn what_has_all_its_types_is_left_alone() {
    for (marked, code, message) in [
        (
            "SELECT a FROM t WHERE a ¦= v AND k = $1",
            NO_OPERATOR,
            "operator does not exist: integer = text",
        ),
        (
            "SELECT a FROM t WHERE d >= $1::date ¦+ $2::integer",
            SEVERAL,
            "operator is not unique: date + integer",
        ),
        (
            "SELECT a FROM (SELECT x AS y FROM (SELECT y AS x FROM t) q) r WHERE $1 ¦= y",
            NO_OPERATOR,
            "operator does not exist: integer = text",
        ),
        (
            "SELECT a FROM t WHERE a = $1::text ¦IS NULL",
            NO_TYPE,
            "could not determine data type of parameter $1",
        ),
        ("SELECT a FROM t WHERE $1 = ¦b", "42601", "syntax error"),
        ("SELECT ¦a FROM t; SELECT $1", NO_OPERATOR, "integer = text"),
        ("SELECT a FROM t WHERE b = $1000000000", NO_TYPE, "parameter $1"),
        ("SELECT a FROM t¦", NO_OPERATOR, "integer = text"),
        (
            "SELECT a FROM t WHERE b = $1",
            NO_OPERATOR,
            "operator does not exist",
        ),
    ] {
        assert_eq!(typed(marked, code, message), None, "{marked}");
    }
}

#[test]
fn a_type_of_a_message_is_a_name_and_nothing_else() {
    let marked = "SELECT a FROM t, (SELECT $1 AS x) s WHERE t.a ¦= s.x";
    for hostile in ["\"x) UNION SELECT 1; --\"", "app.\"a b\"", "", "unknown", "a;b"] {
        let message = format!("operator does not exist: {hostile} = text");
        let expected = "SELECT a FROM t, (SELECT $1::integer AS x) s WHERE t.a = s.x";
        assert_eq!(
            typed(marked, NO_OPERATOR, &message).as_deref(),
            Some(expected),
            "{hostile}"
        );
    }
    let message = "operator does not exist: app.state = text";
    let expected = "SELECT a FROM t, (SELECT $1::app.state AS x) s WHERE t.a = s.x";
    assert_eq!(typed(marked, NO_OPERATOR, message).as_deref(), Some(expected));
}
