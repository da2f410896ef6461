//! Whose turn it is among several: smooth weighted round robin, as nginx does it.
//!
//! Weights 5, 1, 1 give `a a b a c a a` and not `a a a a a b c`. There is no chance in it, so the
//! shares are exact after as many turns as the weights add up to.

/// Turns among things with weights.
#[derive(Debug)]
pub(super) struct Turns(Vec<Claim>);

#[derive(Debug)]
struct Claim {
    weight: i64,
    owed: i64,
}

impl Turns {
    /// Everybody's weight, in order.
    pub(super) fn new(weights: impl IntoIterator<Item = u32>) -> Self {
        Self(weights.into_iter().map(|weight| Claim { weight: weight.max(1).into(), owed: 0 }).collect())
    }

    /// The next one's index, among those that may have a turn.
    pub(super) fn next(&mut self, may: impl Fn(usize) -> bool) -> Option<usize> {
        let mut total = 0;
        let mut next: Option<(usize, &mut Claim)> = None;
        for (index, claim) in self.0.iter_mut().enumerate().filter(|(index, _)| may(*index)) {
            claim.owed += claim.weight;
            total += claim.weight;
            if next.as_ref().is_none_or(|(_, best)| claim.owed > best.owed) {
                next = Some((index, claim));
            }
        }
        let (index, claim) = next?;
        claim.owed -= total;
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(turns: &mut Turns, count: usize, may: impl Fn(usize) -> bool) -> Vec<usize> {
        (0..count).filter_map(|_| turns.next(&may)).collect()
    }

    #[test]
    fn turns_follow_the_weights_and_are_spread() {
        let mut several = Turns::new([5, 1, 1]);
        assert_eq!(turns(&mut several, 7, |_| true), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(turns(&mut several, 7, |_| true), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn the_turns_of_one_that_is_out_go_to_the_others_by_their_weights() {
        let mut several = Turns::new([3, 2, 1]);
        let without_first = turns(&mut several, 6, |index| index != 0);
        assert_eq!(without_first.iter().filter(|index| **index == 1).count(), 4);
        assert_eq!(without_first.iter().filter(|index| **index == 2).count(), 2);
        assert!(turns(&mut several, 1, |_| false).is_empty());
    }
}
