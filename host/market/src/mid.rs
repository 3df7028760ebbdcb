/// Prices of at least this many units have too many digits to be decimals in a double.
const MOST_UNITS: f64 = (1_u64 << 51) as f64;

/// The midpoint of two prices as decimal numbers: the double nearest to it, so 148.395 between 148.39 and 148.40. The mean
/// of the two doubles would be 148.39499999999998.
///
/// The same as in the plugin SDKs, where a map may compute it.
pub(crate) fn mid(bid: f64, ask: f64) -> f64 {
    // Powers of ten are exact doubles up to 10^22.
    let mut scale = 100.0;
    while scale <= 1e15 {
        if let (Some(bid), Some(ask)) = (units(bid, scale), units(ask, scale)) {
            // Sum and divisor are exact, and a division of exact numbers is rounded once.
            return (bid + ask) / (2.0 * scale);
        }
        scale *= 10.0;
    }
    f64::midpoint(bid, ask)
}

/// How many times 1/`scale` a price is, if it is the double nearest to a whole multiple.
fn units(price: f64, scale: f64) -> Option<f64> {
    let units = (price * scale).round_ties_even();
    (units < MOST_UNITS && units / scale == price).then_some(units)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `units` hundredths, thousandths and so on, as a feed would write them.
    fn decimal(units: u64, decimals: usize) -> String {
        let digits = format!("{units:0width$}", width = decimals + 1);
        let (whole, fraction) = digits.split_at(digits.len() - decimals);
        format!("{whole}.{fraction}0")
    }

    #[test]
    fn the_mid_has_no_more_digits_than_the_quote_calls_for() {
        for (bid, ask, expected) in [
            (148.39, 148.40, "148.395"),
            (0.1, 0.2, "0.15"),
            (501.25, 501.27, "501.26"),
            (64_000.123_456_789, 64_000.2, "64000.1617283945"),
            (0.000_012_34, 0.000_012_35, "0.000012345"),
            (100.0, 101.0, "100.5"),
        ] {
            assert_eq!(mid(bid, ask).to_string(), expected);
        }
        // More digits than a decimal in a double has: nothing to round to.
        assert_eq!(mid(1.0 / 3.0, 1.0).to_bits(), f64::midpoint(1.0 / 3.0, 1.0).to_bits());
        assert_eq!(mid(f64::MAX, f64::MAX), f64::MAX);
    }

    proptest! {
        /// The mid of two decimals, done with whole numbers and read as a feed's number is read, is the same double.
        #[test]
        fn the_mid_is_the_double_nearest_to_the_decimal_mid(
            decimals in 0_usize..13,
            bid in prop_oneof![1_u64..100_000_000, 1_u64..2_000_000_000_000],
            spread in 0_u64..100_000,
        ) {
            let ask = bid + spread;
            let price = |units| decimal(units, decimals).parse::<f64>().unwrap();
            let expected: f64 = decimal((bid + ask) * 5, decimals + 1).parse().unwrap();
            prop_assert_eq!(mid(price(bid), price(ask)).to_bits(), expected.to_bits());
            prop_assert_eq!(mid(price(ask), price(bid)).to_bits(), expected.to_bits());
        }
    }
}
