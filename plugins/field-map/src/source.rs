use quotegate_plugin_sdk::QuoteView;

/// A value of a quote, stored or computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Text(Text),
    Number(Number),
    Time(Time),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    Symbol,
    BidExchange,
    AskExchange,
    Tape,
    Conditions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Number {
    BidPrice,
    BidSize,
    AskPrice,
    AskSize,
    Mid,
    Spread,
    SpreadBps,
    Imbalance,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    Event,
    Received,
}

const NAMES: [(&str, Source); 15] = [
    ("symbol", Source::Text(Text::Symbol)),
    ("bid_exchange", Source::Text(Text::BidExchange)),
    ("ask_exchange", Source::Text(Text::AskExchange)),
    ("tape", Source::Text(Text::Tape)),
    ("conditions", Source::Text(Text::Conditions)),
    ("bid_price", Source::Number(Number::BidPrice)),
    ("bid_size", Source::Number(Number::BidSize)),
    ("ask_price", Source::Number(Number::AskPrice)),
    ("ask_size", Source::Number(Number::AskSize)),
    ("mid", Source::Number(Number::Mid)),
    ("spread", Source::Number(Number::Spread)),
    ("spread_bps", Source::Number(Number::SpreadBps)),
    ("imbalance", Source::Number(Number::Imbalance)),
    ("event_time", Source::Time(Time::Event)),
    ("received_time", Source::Time(Time::Received)),
];

impl Source {
    pub(crate) fn new(name: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(known, _)| *known == name).map(|(_, source)| *source);
        found.ok_or_else(|| {
            let known = NAMES.map(|(name, _)| name).join(", ");
            format!("There is no source `{name}`; there are {known}.")
        })
    }
}

impl Text {
    pub(crate) fn of(self, quote: &QuoteView<'_>) -> Option<String> {
        match self {
            Self::Symbol => Some(quote.symbol.into()),
            Self::BidExchange => quote.bid_exchange.map(String::from),
            Self::AskExchange => quote.ask_exchange.map(String::from),
            Self::Tape => quote.tape.map(String::from),
            Self::Conditions => Some(quote.conditions.letters().collect()),
        }
    }
}

impl Number {
    /// None where the sides that it needs have no quote.
    pub(crate) fn of(self, quote: &QuoteView<'_>) -> Option<f64> {
        match self {
            Self::BidPrice => Some(quote.bid_price).filter(|price| *price > 0.0),
            Self::BidSize => Some(quote.bid_size),
            Self::AskPrice => Some(quote.ask_price).filter(|price| *price > 0.0),
            Self::AskSize => Some(quote.ask_size),
            Self::Mid => quote.mid(),
            Self::Spread => quote.spread(),
            Self::SpreadBps => quote.spread_bps(),
            Self::Imbalance => quote.imbalance(),
        }
    }

    pub(crate) fn is_usd(self) -> bool {
        matches!(self, Self::BidPrice | Self::AskPrice | Self::Mid | Self::Spread)
    }
}

impl Time {
    pub(crate) fn of(self, quote: &QuoteView<'_>) -> i64 {
        match self {
            Self::Event => quote.event_time,
            Self::Received => quote.received_time,
        }
    }
}
