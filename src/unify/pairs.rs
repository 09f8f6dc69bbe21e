//! Who of the people with one canonical key is paired with whom (SPEC §6, `possible_duplicate`).

/// The partner of one member of a canonical group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nearest<'a> {
    /// The nearest earlier member that it is not separated from.
    Earlier(&'a str),
    /// There is none.
    Nobody,
    /// None among the members that are known: the answer lies before them.
    BeforeWindow,
}

/// The partner of each member, in byte order of their e-mail keys. `window` is a part of the group in that
/// order without gaps, `from_first` says that it begins with the first member. `separated` returns whether a
/// decision separates two, the earlier first.
#[must_use]
pub fn nearest_earlier<'a, T: AsRef<str>>(
    window: &'a [T],
    from_first: bool,
    separated: impl Fn(&str, &str) -> bool,
) -> Vec<Nearest<'a>> {
    let nearest = |position: usize| {
        let (earlier, later) = window.split_at(position);
        let later = later.first().map_or("", AsRef::as_ref);
        let mut free =
            earlier.iter().rev().map(AsRef::as_ref).filter(|earlier| !separated(earlier, later));
        match free.next() {
            Some(earlier) => Nearest::Earlier(earlier),
            None if from_first => Nearest::Nobody,
            None => Nearest::BeforeWindow,
        }
    };
    (0..window.len()).map(nearest).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Nearest::{BeforeWindow, Earlier, Nobody};
    use super::*;

    #[test]
    fn each_is_paired_with_the_nearest_earlier_one_spec_6() {
        let check =
            |window: &[&str], first: bool, apart: &[(&str, &str)], expected: &[Nearest<'_>]| {
                let separated = |a: &str, b: &str| apart.contains(&(a, b));
                assert_eq!(nearest_earlier(window, first, separated), expected);
            };
        check(&[], true, &[], &[]);
        check(&["a"], true, &[], &[Nobody]);
        check(&["a"], false, &[], &[BeforeWindow]);
        check(&["a", "b", "c"], true, &[], &[Nobody, Earlier("a"), Earlier("b")]);
        check(&["a", "b", "c"], true, &[("b", "c")], &[Nobody, Earlier("a"), Earlier("a")]);
        check(&["a", "b", "c"], true, &[("a", "b")], &[Nobody, Nobody, Earlier("b")]);
        let apart = [("a", "c"), ("b", "c")];
        check(&["a", "b", "c"], true, &apart, &[Nobody, Earlier("a"), Nobody]);
        check(&["a", "b", "c"], false, &apart, &[BeforeWindow, Earlier("a"), BeforeWindow]);
    }

    proptest! {
        #[test]
        fn a_window_says_the_same_as_the_whole_group(
            size in 0_usize..12,
            start in 0_usize..12,
            apart in proptest::collection::btree_set((0_usize..12, 0_usize..12), 0..30),
        ) {
            let members: Vec<String> = (0..size).map(|i| format!("{i:02}")).collect();
            let number = |key: &str| key.parse::<usize>().unwrap();
            let separated = |a: &str, b: &str| apart.contains(&(number(a), number(b)));
            let whole = nearest_earlier(&members, true, separated);
            let start = start.min(size);
            let part = nearest_earlier(&members[start..], start == 0, separated);
            for (of_part, of_whole) in part.iter().zip(&whole[start..]) {
                match of_part {
                    BeforeWindow => match of_whole {
                        Earlier(earlier) => prop_assert!(number(earlier) < start),
                        other => prop_assert_eq!(*other, Nobody),
                    },
                    known => prop_assert_eq!(known, of_whole),
                }
            }
        }
    }
}
