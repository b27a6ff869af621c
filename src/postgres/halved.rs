//! Many things that are asked for together, of which one that is refused loses the answer about all. Halves of them are asked for
//! until what is refused is alone. Of `n` things that is never more than `2n - 1` questions, and of a single refused one about
//! twice the logarithm of that.

use std::ops::Range;

/// What is still to be asked for, the next part last.
pub(super) struct Parts {
    left: Vec<Range<usize>>,
}

impl Parts {
    /// So many things, at first all together.
    pub(super) fn of(count: usize) -> Self {
        Self {
            left: std::iter::once(0..count).filter(|all| !all.is_empty()).collect(),
        }
    }

    /// The positions of those that are asked for next; each comes up until it was answered, or was refused alone.
    pub(super) fn next_part(&mut self) -> Option<Range<usize>> {
        self.left.pop()
    }

    /// A part was refused; the position of what it holds if that is one thing alone, else its halves come up.
    pub(super) fn refused(&mut self, part: &Range<usize>) -> Option<usize> {
        if part.len() <= 1 {
            return Some(part.start);
        }
        let middle = part.start + part.len() / 2;
        self.left.push(middle..part.end);
        self.left.push(part.start..middle);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks for so many things of which these are refused: those that were answered, those that were refused, and how often it
    /// was asked.
    fn asked(count: usize, bad: &[usize]) -> (Vec<usize>, Vec<usize>, usize) {
        let (mut answered, mut refused, mut questions) = (Vec::new(), Vec::new(), 0);
        let mut parts = Parts::of(count);
        while let Some(part) = parts.next_part() {
            questions += 1;
            match bad.iter().any(|one| part.contains(one)) {
                true => refused.extend(parts.refused(&part)),
                false => answered.extend(part),
            }
        }
        (answered, refused, questions)
    }

    #[test]
    fn what_is_refused_is_found_and_the_others_are_answered_in_order() {
        assert_eq!(asked(0, &[]), (vec![], vec![], 0));
        assert_eq!(asked(500, &[]).2, 1, "all together");
        let (answered, refused, questions) = asked(500, &[137]);
        let others: Vec<usize> = (0..500).filter(|one| *one != 137).collect();
        assert_eq!((answered, refused), (others, vec![137]));
        assert!(questions <= 19, "{questions}");
        let (answered, refused, _) = asked(7, &[0, 6]);
        assert_eq!((answered, refused), (vec![1, 2, 3, 4, 5], vec![0, 6]));
        let all: Vec<usize> = (0..33).collect();
        assert_eq!(asked(33, &all), (vec![], all.clone(), 65));
    }
}
