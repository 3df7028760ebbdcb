//! Parses JSON numbers to the nearest `f64`: the same bits as `str::parse`.

/// Powers of ten that are exact in an `f64`, so that dividing by one rounds only once (Clinger 1990).
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Integers up to this are exact in an `f64`.
const EXACT: u64 = 1 << 53;

/// Parses the number at the start of `bytes` and returns its length. `None` if it is not a JSON number or too large for
/// an `f64`.
#[inline(always)]
pub(super) fn prefix(bytes: &[u8]) -> Option<(f64, usize)> {
    let negative = bytes.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut mantissa = 0_u64;
    let mut at = digits(bytes, start, &mut mantissa);
    let whole = at - start;
    if whole == 0 || (whole > 1 && bytes[start] == b'0') {
        return None;
    }
    let mut places = 0;
    if bytes.get(at) == Some(&b'.') {
        let end = digits(bytes, at + 1, &mut mantissa);
        places = end - at - 1;
        if places == 0 {
            return None;
        }
        at = end;
    }
    // Nineteen digits always fit a u64; with more, the mantissa has wrapped.
    if matches!(bytes.get(at), Some(b'e' | b'E')) || whole + places > 19 || mantissa > EXACT || places > 22 {
        return exponent_end(bytes, at).and_then(|end| fallback(&bytes[..end], end));
    }
    let value = if places == 0 { mantissa as f64 } else { mantissa as f64 / POWERS[places] };
    Some((if negative { -value } else { value }, at))
}

/// Parses all of `text`.
pub(super) fn whole(text: &[u8]) -> Option<f64> {
    prefix(text).filter(|&(_, taken)| taken == text.len()).map(|(value, _)| value)
}

#[inline(always)]
fn digits(bytes: &[u8], mut at: usize, mantissa: &mut u64) -> usize {
    while let Some(&byte) = bytes.get(at) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit));
        at += 1;
    }
    at
}

#[cold]
fn exponent_end(bytes: &[u8], at: usize) -> Option<usize> {
    if !matches!(bytes.get(at), Some(b'e' | b'E')) {
        return Some(at);
    }
    let start = at + 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
    let end = digits(bytes, start, &mut 0);
    (end > start).then_some(end)
}

#[cold]
fn fallback(text: &[u8], taken: usize) -> Option<(f64, usize)> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    value.is_finite().then_some((value, taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn invalid_json_numbers_are_rejected() {
        for text in ["", "-", "01", "-01", "1.", ".5", "+1", "1e", "1e+", "1.e5", "NaN", "1e999", "--1"] {
            assert_eq!(whole(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_ends_where_its_last_digit_does() {
        assert_eq!(prefix(b"12.5,"), Some((12.5, 4)));
        assert_eq!(prefix(b"136}"), Some((136.0, 3)));
        assert_eq!(prefix(b"1.5e3]"), Some((1500.0, 5)));
    }

    proptest! {
        #[test]
        fn every_number_has_the_bits_of_str_parse(text in r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?") {
            let expected: f64 = text.parse().unwrap();
            prop_assert_eq!(whole(text.as_bytes()).map(f64::to_bits), Some(expected.to_bits()));
        }

        #[test]
        fn what_rust_prints_comes_back(value in proptest::num::f64::NORMAL | proptest::num::f64::ZERO) {
            prop_assert_eq!(whole(format!("{value:e}").as_bytes()).map(f64::to_bits), Some(value.to_bits()));
        }
    }
}
