use std::borrow::Cow;

use quotegate_document::{Document, DocumentKey, Field, FieldPath, IdError, Value};
use quotegate_market::{Quote, Symbol};

/// The document of a quote without a map plugin, in the format that the tenants' web UIs have always read.
///
/// A side without a quote is null, and so is the mid. `bid_price`, `ask_price` and `last_update_ts` repeat other fields
/// for older UIs.
pub(crate) fn default_document(
    collection: Cow<'static, str>,
    symbol: &Symbol,
    quote: &Quote,
) -> Result<Document, IdError> {
    let key = DocumentKey::new(collection, symbol.document_id())?;
    let (bid, ask) = (Value::from(quote.bid()), Value::from(quote.ask()));
    let event_time = Value::Timestamp(quote.event_time);
    let field = |path, value| Field { path: FieldPath::literal(path), value };
    let fields = vec![
        field("symbol", Value::Text(symbol.as_str().to_owned().into())),
        field("bid", bid.clone()),
        field("ask", ask.clone()),
        field("price", quote.mid().into()),
        field("bid_size", Value::Double(quote.bid_size)),
        field("ask_size", Value::Double(quote.ask_size)),
        field("ts", event_time.clone()),
        field("updated_at", Value::Timestamp(quote.received_time)),
        field("source", Value::Text("alpaca".into())),
        field("bid_price", bid),
        field("ask_price", ask),
        field("last_update_ts", event_time),
    ];
    Ok(Document { key, fields })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_without_a_quote_is_null_and_so_is_the_mid() {
        let symbol = Symbol::new("BTC/USD").unwrap();
        let quote = Quote { bid_price: 10.0, bid_size: 3.0, event_time: 5, received_time: 7, ..Quote::default() };
        let document = default_document("live_quotes".into(), &symbol, &quote).unwrap();
        assert_eq!(document.key.to_string(), "live_quotes/BTC%2FUSD");
        let value = |name: &str| &document.fields.iter().find(|field| field.path.as_str() == name).unwrap().value;
        assert_eq!((value("bid"), value("bid_price")), (&Value::Double(10.0), &Value::Double(10.0)));
        for name in ["ask", "ask_price", "price"] {
            assert_eq!(value(name), &Value::Null, "{name}");
        }
        assert_eq!((value("ts"), value("updated_at")), (&Value::Timestamp(5), &Value::Timestamp(7)));
    }
}
