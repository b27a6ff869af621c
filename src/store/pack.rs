//! Counts in few bytes: numbers of seven bits a byte, the last one with its eighth bit clear (LEB128).

use crate::model::history::Counts;

fn put(body: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        body.push(number as u8 | 0x80);
        number >>= 7;
    }
    body.push(number as u8);
}

/// Takes a number from the front; none where the bytes end within it or it is no number of ours.
fn take(body: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = body.split_first()?;
        *body = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Counts under ascending keys: of subjects in a minute, or of hours in a day.
pub fn pack<C: Counts>(points: &[(u64, C)]) -> Vec<u8> {
    let mut body = Vec::with_capacity(points.len() * 2 * C::NUMBERS);
    let mut last = 0;
    for (key, counts) in points {
        put(&mut body, key - last);
        last = *key;
        for number in counts.numbers() {
            put(&mut body, number);
        }
    }
    body
}

/// The same again; of a body that is broken only what comes before the break.
pub fn unpack<C: Counts>(body: &[u8]) -> impl Iterator<Item = (u64, C)> {
    let mut rest = body;
    let mut last = 0u64;
    std::iter::from_fn(move || {
        last = last.checked_add(take(&mut rest)?)?;
        Some((last, C::of(|| take(&mut rest))?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::history::{StatementCounts, TableCounts};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_comes_out_again(numbers in prop::collection::vec((0..u64::MAX, any::<[u64; 6]>()), 0..20)) {
            let mut points: Vec<(u64, StatementCounts)> = numbers.into_iter().map(|(key, [a, b, c, d, e, f])| {
                let counts = StatementCounts {
                    calls: a, microseconds: b, rows: c, shared_blocks_hit: d, shared_blocks_read: e, temp_blocks_written: f,
                };
                (key, counts)
            }).collect();
            points.sort_by_key(|(key, _)| *key);
            let body = pack(&points);
            prop_assert_eq!(unpack::<StatementCounts>(&body).collect::<Vec<_>>(), points.clone());
            // broken anywhere, it gives a beginning of it
            for end in 0..body.len() {
                let part: Vec<_> = unpack(&body[..end]).collect();
                prop_assert_eq!(&points[..part.len()], &part[..]);
            }
        }

        #[test]
        fn no_bytes_are_too_strange(body in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(unpack::<TableCounts>(&body).count() <= body.len());
        }
    }

    #[test]
    fn a_usual_point_is_small() {
        let usual = StatementCounts {
            calls: 60,
            microseconds: 1_500_000,
            rows: 600,
            shared_blocks_hit: 20_000,
            shared_blocks_read: 12,
            temp_blocks_written: 0,
        };
        let points: Vec<_> = (1..=1000).map(|key| (key * 10, usual)).collect();
        assert!(pack(&points).len() <= 14 * 1000, "{}", pack(&points).len());
    }
}
