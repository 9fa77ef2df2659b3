//! Numbers as text. The standard way of formatting is made for more than heads need, and costs a server accordingly.

/// Appends a number in decimal.
pub fn decimal(out: &mut Vec<u8>, number: u64) {
    append::<10>(out, number);
}

/// Appends a number in lower-case hexadecimal.
pub fn hexadecimal(out: &mut Vec<u8>, number: u64) {
    append::<16>(out, number);
}

fn append<const BASE: u64>(out: &mut Vec<u8>, mut number: u64) {
    // The longest is u64::MAX in decimal.
    let mut digits = [0; 20];
    let mut start = digits.len();
    while let Some(place) = start.checked_sub(1) {
        start = place;
        digits[place] = b"0123456789abcdef"[(number % BASE) as usize];
        number /= BASE;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_the_standard_way_writes_them() {
        for number in
            [0, 1, 9, 10, 15, 16, 99, 100, 255, 256, 4096, u64::from(u32::MAX), u64::MAX - 1, u64::MAX]
        {
            let mut out = Vec::new();
            decimal(&mut out, number);
            out.push(b' ');
            hexadecimal(&mut out, number);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number} {number:x}"));
        }
    }
}
