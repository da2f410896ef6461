//! Who may take one of the places that all destinations share.
//!
//! Networks that hang keep their places until their time runs out, so a fair turn is not enough: many
//! that hang would take all. Two rules prevent it. No destination has more places than are free, so the
//! more are taken, the less one alone may take. And the last places are for those that answer; one that
//! has not been asked yet finds out with a single request, unless most places are free. Only many that
//! answered until a moment ago and begin to hang together can take all, once, until their time runs out.
//!
//! Pure: what is known of the destinations is an argument.

/// How a destination has answered lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its last request was answered, with whatever, and none has been waiting for long.
    Answers,
    /// It has not been asked yet.
    Unknown,
    /// Its last request was not answered, or one has been waiting for too long.
    Silent,
}

/// Whether a destination with so many requests under way may begin another one.
#[must_use]
pub const fn may_begin(standing: Standing, under_way: usize, taken: usize) -> bool {
    let free = PLACES.saturating_sub(taken);
    let kept_from_it = match (standing, under_way) {
        (Standing::Answers, _) => 0,
        (Standing::Unknown, 0) => FOR_THE_ANSWERING,
        (Standing::Silent, _) => FOR_THE_ANSWERING + FOR_THE_NEW,
        (Standing::Unknown, _) => MOST,
    };
    free > kept_from_it && under_way < free
}

/// Requests at the same time, over all destinations.
pub const PLACES: usize = 64;
const FOR_THE_ANSWERING: usize = 8;
const FOR_THE_NEW: usize = 8;
/// Free places above which even an unknown destination gets several.
const MOST: usize = PLACES * 3 / 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Destinations that hang begin as much as they may, one after the other; 8 at most each.
    fn hanging(destinations: usize, standing: Standing) -> (usize, usize) {
        let mut under_way = vec![0; destinations];
        let mut taken = 0;
        for own in &mut under_way {
            while *own < 8 && may_begin(standing, *own, taken) {
                *own += 1;
                taken += 1;
            }
        }
        (taken, under_way.into_iter().max().unwrap_or(0))
    }

    #[test]
    fn one_destination_alone_has_its_concurrency() {
        assert_eq!(hanging(1, Standing::Unknown), (8, 8));
        assert_eq!(hanging(1, Standing::Answers), (8, 8));
    }

    #[test]
    fn however_many_hang_places_are_left_for_those_that_answer() {
        for destinations in [1, 2, 7, 8, 9, 20, 63, 64, 65, 200, 1000] {
            for standing in [Standing::Unknown, Standing::Silent] {
                let (taken, _) = hanging(destinations, standing);
                assert!(taken <= PLACES - 8, "{destinations} destinations take {taken}");
                assert!(may_begin(Standing::Answers, 0, taken));
            }
        }
    }

    #[test]
    fn however_many_have_begun_to_hang_one_that_is_new_finds_a_place() {
        for destinations in [8, 9, 20, 64, 1000] {
            let (taken, _) = hanging(destinations, Standing::Silent);
            assert!(may_begin(Standing::Unknown, 0, taken), "{destinations} destinations take {taken}");
        }
        for destinations in [8, 9, 20, 40] {
            let (taken, _) = hanging(destinations, Standing::Unknown);
            assert!(may_begin(Standing::Unknown, 0, taken), "{destinations} destinations take {taken}");
        }
    }

    #[test]
    fn even_some_that_answered_until_now_leave_places() {
        for destinations in [7, 8, 9] {
            let (taken, most) = hanging(destinations, Standing::Answers);
            assert!(taken < PLACES && most <= 8, "{destinations} destinations take {taken}");
        }
    }
}
