use crate::config::Limits;

/// The state of a symbol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Its quotes pass.
    Open,
    /// Its quotes are refused; `narrow` counts the last narrow ones in a row.
    Shut { narrow: u32 },
}

impl Gate {
    /// The state after a quote with this spread, or without a spread.
    pub(crate) fn after(self, spread_bps: Option<f64>, limits: &Limits) -> Self {
        match (self, spread_bps) {
            (_, Some(spread)) if spread > limits.close_above_bps => Self::Shut { narrow: 0 },
            (Self::Open, _) => Self::Open,
            (Self::Shut { narrow }, Some(spread)) if spread < limits.open_below_bps => {
                if narrow + 1 >= limits.open_after { Self::Open } else { Self::Shut { narrow: narrow + 1 } }
            }
            (Self::Shut { .. }, _) => Self::Shut { narrow: 0 },
        }
    }

    pub(crate) fn is_open(self) -> bool {
        self == Self::Open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_equal_to_a_limit_changes_nothing() {
        let limits = Limits { close_above_bps: 30.0, open_below_bps: 15.0, open_after: 1 };
        assert_eq!(Gate::Open.after(Some(30.0), &limits), Gate::Open);
        let shut = Gate::Shut { narrow: 0 };
        assert_eq!(shut.after(Some(15.0), &limits), shut);
        assert_eq!(shut.after(Some(14.9), &limits), Gate::Open);
    }
}
