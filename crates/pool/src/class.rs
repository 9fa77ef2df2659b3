//! Size classes: which sizes slices are rounded up to.
//!
//! Pure arithmetic. The unit is the *granule*, the smallest slice. Up to four granules each number is a class; above,
//! every doubling has four, so that less than a fifth of a slice is rounding once it is larger than that.

/// The class of slices that have up to `last + 1` granules.
#[inline]
pub(crate) fn class_of(last: u32) -> usize {
    if last < 4 {
        return last as usize;
    }
    let step = 29 - last.leading_zeros();
    (4 * step + (last >> step)) as usize
}

/// How many granules a slice of a class takes.
#[inline]
pub(crate) fn granules_of(class: usize) -> u32 {
    match class {
        0..4 => class as u32 + 1,
        _ => (class as u32 % 4 + 5) << (class / 4 - 1),
    }
}

/// The order of the block that a class is carved from: it takes at most `1 << order` granules.
#[inline]
pub(crate) fn order_of(granules: u32) -> u32 {
    granules.next_power_of_two().trailing_zeros()
}

/// The blocks that a slice of `granules` at a block's begin is made of, as (offset, order): the largest first, so
/// each is aligned to its size.
pub(crate) fn pieces(granules: u32) -> impl Iterator<Item = (u32, u32)> {
    let mut rest = granules;
    let mut offset = 0;
    std::iter::from_fn(move || {
        let order = rest.checked_ilog2()?;
        let piece = (offset, order);
        offset += 1 << order;
        rest -= 1 << order;
        Some(piece)
    })
}

/// The blocks that are left of a block of `1 << order` granules when its first `granules` are taken.
pub(crate) fn remainder(granules: u32, order: u32) -> impl Iterator<Item = (u32, u32)> {
    let end = 1u32 << order;
    let mut offset = granules;
    std::iter::from_fn(move || {
        if offset == end {
            return None;
        }
        let order = offset.trailing_zeros();
        let piece = (offset, order);
        offset += 1 << order;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_the_smallest_that_fits() {
        for granules in 1..100_000u32 {
            let class = class_of(granules - 1);
            assert!(granules_of(class) >= granules, "{granules}");
            assert!(class == 0 || granules_of(class - 1) < granules, "{granules}");
            assert_eq!(class_of(granules_of(class) - 1), class);
            if granules > 4 {
                assert!((granules_of(class) - granules) * 5 < granules_of(class), "{granules}");
            }
        }
        assert_eq!(granules_of(class_of((1 << 25) - 1)), 1 << 25);
    }

    #[test]
    fn pieces_and_remainder_fill_the_block_and_are_aligned() {
        for granules in 1..5000u32 {
            let order = order_of(granules);
            let mut at = 0;
            for (offset, order) in pieces(granules).chain(remainder(granules, order)) {
                assert_eq!(offset, at);
                assert!(offset.is_multiple_of(1 << order));
                at += 1 << order;
            }
            assert_eq!(at, 1 << order);
        }
    }
}
