use quotegate_document::{Document, DocumentShape, Field, FieldPath, Value};
use quotegate_market::{AssetClass, Quote, Symbol, UnixNanos};
use quotegate_sink::order_field;

/// The fields of a quote's document that no map makes. A side without a quote is null, and so is the mid.
pub(super) fn fields(shape: DocumentShape, symbol: &Symbol, quote: &Quote, asset_class: AssetClass) -> Vec<Field> {
    match shape {
        DocumentShape::Standard => standard(symbol, quote),
        DocumentShape::Streamer => streamer(symbol, quote, asset_class),
    }
}

/// The format that the tenants' web UIs have always read. `bid_price`, `ask_price` and `last_update_ts` repeat other fields
/// for older UIs.
fn standard(symbol: &Symbol, quote: &Quote) -> Vec<Field> {
    let (bid, ask) = (Value::from(quote.bid()), Value::from(quote.ask()));
    let event_time = Value::Timestamp(quote.event_time);
    vec![
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
    ]
}

/// The format of the old system's newer streamer.
fn streamer(symbol: &Symbol, quote: &Quote, asset_class: AssetClass) -> Vec<Field> {
    vec![
        field("symbol", Value::Text(symbol.as_str().to_owned().into())),
        field("bid_price", quote.bid().into()),
        field("ask_price", quote.ask().into()),
        field("bid_size", Value::Double(quote.bid_size)),
        field("ask_size", Value::Double(quote.ask_size)),
        field("last_update_ts", Value::Timestamp(quote.event_time)),
        field("ingest_ts", Value::Timestamp(quote.received_time)),
        field("asset_class", Value::Text(asset_class.as_str().into())),
    ]
}

fn field(path: &'static str, value: Value) -> Field {
    Field { path: FieldPath::literal(path), value }
}

/// Adds the event time to a map's document that does not tell it, so that the fence can compare it with what is stored.
pub(super) fn add_order(document: &mut Document, event_time: UnixNanos, path: Option<&FieldPath>) {
    let Some(path) = path.filter(|path| order_field(document, event_time, Some(path)).is_none()) else { return };
    // A map's own fields stay as they are.
    if document.fields.iter().all(|field| !overlap(&field.path, path)) {
        document.fields.push(Field { path: path.clone(), value: Value::Timestamp(event_time) });
    }
}

/// True if one path is the other or lies inside it.
fn overlap(left: &FieldPath, right: &FieldPath) -> bool {
    left.names().zip(right.names()).all(|(left, right)| left == right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quotegate_document::DocumentKey;

    #[test]
    fn the_order_is_added_where_no_field_tells_the_event_time() {
        let path = FieldPath::literal("_event_time");
        let with_order = |fields: &[(&'static str, Value)]| {
            let field =
                |(path, value): &(&'static str, Value)| Field { path: FieldPath::literal(path), value: value.clone() };
            let fields = fields.iter().map(field).collect();
            let mut document = Document { key: DocumentKey::new("mids", "A").unwrap(), fields };
            add_order(&mut document, 7, Some(&path));
            document.fields.into_iter().map(|field| (field.path.to_string(), field.value)).collect::<Vec<_>>()
        };
        let added = ("_event_time".to_owned(), Value::Timestamp(7));
        assert_eq!(with_order(&[])[0], added);
        assert_eq!(with_order(&[("ts", Value::Timestamp(6))])[1], added, "another time");
        assert_eq!(with_order(&[("ts", Value::Text("7".into()))])[1], added, "another type");
        for fields in [
            &[("ts", Value::Timestamp(7))][..],
            &[("_event_time", Value::Timestamp(7))],
            &[("_event_time", Value::Null)],
            &[("_event_time.inner", Value::Null)],
        ] {
            assert_eq!(with_order(fields).len(), 1, "{fields:?}");
        }
    }

    fn value(shape: DocumentShape, name: &str) -> Option<Value> {
        let symbol = Symbol::new("BTC/USD").unwrap();
        let quote = Quote { bid_price: 10.0, bid_size: 3.0, event_time: 5, received_time: 7, ..Quote::default() };
        let fields = fields(shape, &symbol, &quote, AssetClass::Crypto);
        fields.into_iter().find(|field| field.path.as_str() == name).map(|field| field.value)
    }

    #[test]
    fn a_side_without_a_quote_is_null_and_so_is_the_mid() {
        let value = |name| value(DocumentShape::Standard, name);
        assert_eq!((value("bid"), value("bid_price")), (Some(Value::Double(10.0)), Some(Value::Double(10.0))));
        for name in ["ask", "ask_price", "price"] {
            assert_eq!(value(name), Some(Value::Null), "{name}");
        }
        assert_eq!((value("ts"), value("updated_at")), (Some(Value::Timestamp(5)), Some(Value::Timestamp(7))));
    }

    #[test]
    fn the_streamer_s_times_are_those_of_the_exchange_and_of_the_arrival() {
        let value = |name| value(DocumentShape::Streamer, name);
        let times = (value("last_update_ts"), value("ingest_ts"));
        assert_eq!(times, (Some(Value::Timestamp(5)), Some(Value::Timestamp(7))));
        assert_eq!((value("bid_price"), value("ask_price")), (Some(Value::Double(10.0)), Some(Value::Null)));
        assert_eq!((value("asset_class"), value("price")), (Some(Value::Text("crypto".into())), None));
    }
}
