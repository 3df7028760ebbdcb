//! Compares the decoder with a simple reference decoder, and tests it with garbage.

use proptest::prelude::*;
use quotegate_market::{Quote, QuoteColumns, conditions};
use serde_json::{Map, Value, json};

use super::*;

const NOW: UnixNanos = 1_690_000_000_000_000_000;

fn decoded(payload: Payload<'_>) -> Decoder {
    let mut decoder = Decoder::default();
    decoder.decode(payload, NOW);
    decoder
}

fn rows(decoder: &Decoder) -> Vec<(String, Quote)> {
    let quotes = decoder.quotes();
    let name = |row: usize| decoder.symbols().symbol(quotegate_market::SymbolId(quotes.symbol[row])).to_string();
    (0..quotes.len()).map(|row| (name(row), quotes.quote(row))).collect()
}

/// A reference decoder, without regard to speed. `Err` says how the message must be counted.
fn reference(message: &Value) -> Result<(String, Quote), Skipped> {
    let malformed = Skipped { malformed: 1, ..Skipped::default() };
    let number = |key: &str| match message.get(key) {
        None | Some(Value::Null) => Ok(0.0),
        Some(value) => value.as_f64().ok_or(malformed),
    };
    let letter = |key: &str| match message.get(key) {
        None | Some(Value::Null) => Ok(0),
        Some(Value::String(text)) => Ok(text.bytes().next().filter(u8::is_ascii).unwrap_or(0)),
        Some(_) => Err(malformed),
    };
    match message.get("T").and_then(Value::as_str) {
        Some("q") => {}
        Some(_) => return Err(Skipped { unknown_type: 1, ..Skipped::default() }),
        None => return Err(malformed),
    }
    let conditions = match message.get("c") {
        None | Some(Value::Null) => 0,
        Some(Value::String(text)) => conditions::pack([text.as_bytes()]),
        Some(Value::Array(texts)) => {
            let texts: Option<Vec<&str>> = texts.iter().map(Value::as_str).collect();
            conditions::pack(texts.ok_or(malformed)?.into_iter().map(str::as_bytes))
        }
        Some(_) => return Err(malformed),
    };
    let symbol = message.get("S").and_then(Value::as_str).ok_or(malformed)?;
    let time = message.get("t").and_then(Value::as_str).ok_or(malformed)?;
    let quote = Quote {
        bid_price: number("bp")?,
        bid_size: number("bs")?,
        ask_price: number("ap")?,
        ask_size: number("as")?,
        bid_exchange: letter("bx")?,
        ask_exchange: letter("ax")?,
        tape: letter("z")?,
        conditions,
        event_time: timestamp::rfc3339(time.as_bytes(), &mut DateCache::default()).ok_or(malformed)?,
        received_time: NOW,
    };
    quotegate_market::Symbol::new(symbol).map_err(|_| Skipped { refused_symbol: 1, ..Skipped::default() })?;
    Ok((symbol.to_owned(), quote))
}

fn reference_frame(messages: &[Value]) -> (Vec<(String, Quote)>, Skipped) {
    let (mut rows, mut skipped) = (Vec::new(), Skipped::default());
    for message in messages {
        match reference(message) {
            Ok(row) => rows.push(row),
            Err(why) => {
                skipped.malformed += why.malformed;
                skipped.unknown_type += why.unknown_type;
                skipped.refused_symbol += why.refused_symbol;
            }
        }
    }
    (rows, skipped)
}

fn price() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => (0_u32..9_999_999).prop_map(|cents| json!(f64::from(cents) / 100.0)),
        2 => any::<u64>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        2 => (proptest::num::f64::NORMAL).prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn letter_value() -> impl Strategy<Value = Value> {
    prop_oneof![5 => "[A-Z]", 1 => "[A-Z]{2}", 1 => Just(String::new()), 1 => "\\PC{1,2}"].prop_map(Value::from)
}

fn conditions_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!(["R"])),
        2 => proptest::collection::vec("[ -~]{0,2}", 0..6).prop_map(Value::from),
        1 => letter_value(),
        1 => Just(Value::Null),
    ]
}

fn time_value() -> impl Strategy<Value = Value> {
    let offset = prop_oneof![4 => Just("Z".to_owned()), 1 => Just("-04:00".to_owned())];
    ((1_u32..=12), (1_u32..=31), (0_u32..24), (0_u32..60), "(\\.[0-9]{1,9})?", offset).prop_map(
        |(month, day, hour, minute, fraction, offset)| {
            json!(format!("2022-{month:02}-{day:02}T{hour:02}:{minute:02}:59{fraction}{offset}"))
        },
    )
}

/// Any value, for an unknown key or as an invalid value of a known one.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        Just(json!({"a": [1, {"b": "]}"}], "T": "q"})),
        Just(json!([[], ["x", 1]])),
    ]
}

/// Members of a message in any order, some missing, sometimes one invalid.
fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    let kind = prop_oneof![12 => Just("q"), 1 => Just("t"), 1 => Just("quote"), 1 => Just("")].prop_map(Value::from);
    let symbol = prop_oneof![8 => "[A-Z]{1,5}", 1 => "[A-Z]{3}/USD", 1 => "\\PC{0,40}"].prop_map(Value::from);
    let known = (
        (kind, symbol, time_value(), conditions_value()),
        (price(), price(), price(), price()),
        (letter_value(), letter_value(), letter_value()),
    );
    let wrong = proptest::option::weighted(0.1, (0_usize..11, any_value()));
    let extra = proptest::collection::vec(("[a-zA-Z]{1,3}|\\PC{0,4}", any_value()), 0..3);
    let dropped = proptest::option::weighted(0.3, 0_usize..11);
    (known, wrong, extra, dropped)
        .prop_map(|(((kind, s, t, c), (bp, bs, ap, as_), (bx, ax, z)), wrong, extra, dropped)| {
            let values = [kind, s, t, c, bp, bs, ap, as_, bx, ax, z];
            let keys = ["T", "S", "t", "c", "bp", "bs", "ap", "as", "bx", "ax", "z"];
            let mut members: Vec<(String, Value)> = keys.iter().map(|key| (*key).to_owned()).zip(values).collect();
            if let Some((index, value)) = wrong {
                members[index].1 = value;
            }
            if let Some(index) = dropped {
                members.remove(index);
            }
            let known: Vec<String> = members.iter().map(|(key, _)| key.clone()).collect();
            members.extend(extra.into_iter().filter(|(key, _)| !known.contains(key) && !keys.contains(&key.as_str())));
            members
        })
        .prop_shuffle()
}

fn message(members: &[(String, Value)]) -> Value {
    Value::Object(members.iter().cloned().collect::<Map<_, _>>())
}

/// JSON with the members in order, `space` wherever whitespace is allowed, and optionally escaped keys.
fn spell(members: &[(String, Value)], space: &str, escape: bool) -> String {
    let spelled = members.iter().map(|(key, value)| {
        let key = if escape && key.len() == 1 && key.is_ascii() {
            format!("\"\\u{:04x}\"", key.as_bytes()[0])
        } else {
            Value::from(key.as_str()).to_string()
        };
        format!("{space}{key}{space}:{space}{value}{space}")
    });
    format!("{{{}}}", spelled.collect::<Vec<_>>().join(","))
}

fn pack(value: &Value, out: &mut Vec<u8>) {
    let length = |length: usize| u32::try_from(length).unwrap().to_be_bytes();
    match value {
        Value::Null => out.push(0xc0),
        Value::Bool(value) => out.push(0xc2 + u8::from(*value)),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(small @ 0..=127), _) => out.push(small as u8),
            (Some(value @ 128..=255), _) => out.extend([0xcc, value as u8]),
            (Some(value @ 256..=65_535), _) => {
                out.push(0xcd);
                out.extend((value as u16).to_be_bytes());
            }
            (Some(value), _) => {
                out.push(0xcf);
                out.extend(value.to_be_bytes());
            }
            (None, Some(value @ -32..=-1)) => out.push(value as u8),
            (None, Some(value)) => {
                out.push(0xd3);
                out.extend(value.to_be_bytes());
            }
            (None, None) => {
                out.push(0xcb);
                out.extend(number.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::String(text) => {
            match text.len() {
                short @ 0..=31 => out.push(0xa0 | short as u8),
                _ => {
                    out.push(0xdb);
                    out.extend(length(text.len()));
                }
            }
            out.extend(text.as_bytes());
        }
        Value::Array(values) => {
            out.push(0xdd);
            out.extend(length(values.len()));
            values.iter().for_each(|value| pack(value, out));
        }
        Value::Object(members) => {
            out.push(0xdf);
            out.extend(length(members.len()));
            for (key, value) in members {
                pack(&Value::from(key.as_str()), out);
                pack(value, out);
            }
        }
    }
}

fn packed_frame(frame: &[Vec<(String, Value)>]) -> Vec<u8> {
    let mut out = vec![0xdd];
    out.extend(u32::try_from(frame.len()).unwrap().to_be_bytes());
    for members in frame {
        out.push(0xdf);
        out.extend(u32::try_from(members.len()).unwrap().to_be_bytes());
        for (key, value) in members {
            pack(&Value::from(key.as_str()), &mut out);
            pack(value, &mut out);
        }
    }
    out
}

/// As bits, so that zero and negative zero differ.
fn bits(rows: &[(String, Quote)]) -> Vec<(String, [u64; 4], Quote)> {
    let prices = |quote: &Quote| [quote.bid_price, quote.bid_size, quote.ask_price, quote.ask_size].map(f64::to_bits);
    rows.iter().map(|(name, quote)| (name.clone(), prices(quote), *quote)).collect()
}

fn assert_whole(quotes: &QuoteColumns) {
    let mut copy = quotes.clone();
    copy.truncate(0);
    (0..quotes.len()).for_each(|row| copy.push(quotes.symbol[row], &quotes.quote(row)));
    assert_eq!(&copy, quotes, "a column is longer than the others");
}

proptest! {
    #[test]
    fn json_decodes_like_the_reference_decoder(
        frame in proptest::collection::vec(members(), 0..5),
        space in "[ \\n\\t\\r]{0,2}",
        escape in proptest::bool::weighted(0.2),
    ) {
        let spelled: Vec<String> = frame.iter().map(|members| spell(members, &space, escape)).collect();
        let text = format!("{space}[{space}{}{space}]{space}", spelled.join(","));
        let messages: Vec<Value> = frame.iter().map(|members| message(members)).collect();
        let (expected, skipped) = reference_frame(&messages);
        let mut decoder = decoded(Payload::Text(&text));
        prop_assert_eq!(bits(&rows(&decoder)), bits(&expected), "{}", text);
        prop_assert_eq!(decoder.take_skipped(), skipped, "{}", text);
    }

    #[test]
    fn msgpack_decodes_like_the_reference_decoder(frame in proptest::collection::vec(members(), 0..5)) {
        let messages: Vec<Value> = frame.iter().map(|members| message(members)).collect();
        let (expected, skipped) = reference_frame(&messages);
        let mut decoder = decoded(Payload::Binary(&packed_frame(&frame)));
        prop_assert_eq!(bits(&rows(&decoder)), bits(&expected));
        prop_assert_eq!(decoder.take_skipped(), skipped);
    }

    #[test]
    fn a_truncated_frame_keeps_the_messages_before_the_cut(frame in proptest::collection::vec(members(), 1..5), cut in any::<proptest::sample::Index>()) {
        let spelled: Vec<String> = frame.iter().map(|members| spell(members, "", false)).collect();
        let text = format!("[{}]", spelled.join(","));
        let cut = (1..cut.index(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(1);
        let (mut whole, mut end) = (0, 1);
        while whole < spelled.len() && end + spelled[whole].len() <= cut {
            end += spelled[whole].len() + 1;
            whole += 1;
        }
        let messages: Vec<Value> = frame[..whole].iter().map(|members| message(members)).collect();
        let (expected, skipped) = reference_frame(&messages);
        let mut decoder = decoded(Payload::Text(&text[..cut]));
        prop_assert_eq!(bits(&rows(&decoder)), bits(&expected));
        prop_assert_eq!(decoder.take_skipped().total(), skipped.total() + 1);
        let packed = packed_frame(&frame);
        let mut decoder = decoded(Payload::Binary(&packed[..cut.min(packed.len() - 1)]));
        assert_whole(decoder.quotes());
        prop_assert!(decoder.take_skipped().malformed > 0);
    }

    #[test]
    fn garbage_never_panics_and_never_leaves_a_partial_row(
        text in r#"[\[\]{}:,"TSqbxpasczt0-9.eE\\ nul+-]{0,80}|\PC{0,60}"#,
        bytes in proptest::collection::vec(any::<u8>(), 0..120),
        frame in proptest::collection::vec(members(), 1..3),
        spots in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
    ) {
        assert_whole(decoded(Payload::Text(&text)).quotes());
        assert_whole(decoded(Payload::Text(&format!("[{text}"))).quotes());
        assert_whole(decoded(Payload::Binary(&bytes)).quotes());
        let mut packed = packed_frame(&frame);
        for (spot, byte) in spots {
            let at = spot.index(packed.len());
            packed[at] = byte;
        }
        assert_whole(decoded(Payload::Binary(&packed)).quotes());
    }
}

#[test]
fn the_documented_samples_are_decoded() {
    // docs.alpaca.markets/docs/real-time-stock-pricing-data and its pages for crypto and options.
    let mut decoder = decoded(Payload::Text(
        r#"[{"T":"q","S":"AMD","bx":"U","bp":87.66,"bs":1,"ax":"Q","ap":87.68,"as":4,"t":"2021-02-22T15:51:45.335689322Z","c":["R"],"z":"C"},
            {"T":"q","S":"BAT/USD","bp":0.35718,"bs":13445.46,"ap":0.3581,"as":13561.902,"t":"2023-03-12T10:29:43.111588173Z"},
            {"T":"q","S":"SPXW240327P04925000","t":"2023-03-12T11:59:38.897261568Z","bx":"C","bp":9.46,"bs":53,"ax":"C","ap":9.66,"as":38,"c":"A"},
            {"T":"b","S":"SPY","o":388.985,"h":389.13,"l":388.975,"c":389.12,"v":49378,"n":461,"vw":389.062639,"t":"2021-02-22T19:15:00Z"},
            {"T":"o","S":"BTC/USD","b":[{"p":65128.1,"s":1.6542}],"a":[]}]"#,
    ));
    let rows = rows(&decoder);
    assert_eq!(
        rows.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["AMD", "BAT/USD", "SPXW240327P04925000"]
    );
    assert_eq!((rows[0].1.ask_size, rows[0].1.tape, rows[0].1.event_time % 1_000_000_000), (4.0, b'C', 335_689_322));
    assert_eq!((rows[1].1.bid_size, rows[1].1.conditions, rows[1].1.bid_exchange), (13445.46, 0, 0));
    assert_eq!(rows[2].1.conditions, u32::from(b'A'));
    assert_eq!(decoder.take_skipped(), Skipped { unknown_type: 2, ..Skipped::default() });
}

#[test]
fn a_quote_from_the_future_is_skipped() {
    let quote = |time: &str| format!(r#"{{"T":"q","S":"A","t":"{time}"}}"#);
    // NOW is 2023-07-22T04:26:40Z.
    let text = format!("[{},{}]", quote("2023-07-22T04:27:40Z"), quote("2023-07-22T04:27:40.000000001Z"));
    let mut decoder = decoded(Payload::Text(&text));
    assert_eq!((decoder.quotes().len(), decoder.take_skipped().from_future), (1, 1));
}

#[test]
fn control_messages_are_decoded_in_both_encodings_beside_quotes() {
    let frame = json!([
        {"T": "success", "msg": "connected"},
        {"msg": "connection limit exceeded", "code": 406, "T": "error"},
        {"T": "q", "S": "A", "t": "2022-01-01T00:00:00Z"},
        {"T": "subscription", "trades": [], "quotes": ["A", "*"]},
        {"T": "error"},
    ]);
    let mut packed = Vec::new();
    pack(&frame, &mut packed);
    for payload in [Payload::Text(&frame.to_string()), Payload::Binary(&packed)] {
        let mut decoder = decoded(payload);
        let error = ControlMessage::Error { code: 406, message: "connection limit exceeded".into() };
        let subscription = ControlMessage::Subscription(vec!["A".into(), "*".into()]);
        assert_eq!(decoder.take_control_messages(), [ControlMessage::Connected, error, subscription]);
        assert_eq!((decoder.quotes().len(), decoder.take_skipped().malformed), (1, 1));
    }
}

#[test]
fn a_control_message_with_deep_nesting_is_malformed() {
    let mut frame = vec![0x91, 0x83, 0xa1, b'T', 0xa7];
    frame.extend(*b"success\xa3msg\xa9connected\xa1x");
    frame.extend([0x91; 100_000]);
    frame.push(0xc0);
    let mut decoder = decoded(Payload::Binary(&frame));
    assert_eq!(decoder.take_control_messages(), []);
    assert_eq!(decoder.take_skipped().malformed, 1);
}

#[test]
fn msgpack_timestamps_and_narrow_floats_are_decoded() {
    let mut frame = vec![0x91, 0x84, 0xa1, b'S', 0xa1, b'A', 0xa1, b't', 0xd7, 0xff];
    frame.extend((7_u64 << 34 | 1_600_000_000).to_be_bytes());
    frame.extend([0xa2, b'b', b'p', 0xca]);
    frame.extend(1.5_f32.to_be_bytes());
    frame.extend([0xa1, b'T', 0xa1, b'q']);
    let rows = rows(&decoded(Payload::Binary(&frame)));
    assert_eq!((rows[0].1.event_time, rows[0].1.bid_price), (1_600_000_000_000_000_007, 1.5));
}

#[test]
fn json_in_a_binary_frame_is_json() {
    let frame = br#"[{"T":"success","msg":"connected"}]"#;
    assert_eq!(decoded(Payload::Binary(frame)).take_control_messages(), [ControlMessage::Connected]);
}

#[test]
fn anything_but_a_list_of_messages_is_malformed() {
    for text in ["", "null", "{}", r#"{"T":"success","msg":"connected"}"#, "[1]", "[{},]", "[] []", "[[{}]]"] {
        let mut decoder = decoded(Payload::Text(text));
        assert!(decoder.take_skipped().malformed > 0, "{text:?}");
        assert_eq!(decoder.take_control_messages(), [], "{text:?}");
    }
}
