use proptest::prelude::*;
use quotegate_market::{Quote, QuoteColumns, Symbol};

use super::decoder::MAX_BODY;
use super::encoder::message;
use super::*;
use crate::settings::Compression;

fn quote() -> impl Strategy<Value = Quote> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(a, b, c, d)| {
        // Any bits but those of NaN, which is not equal to itself.
        [a, b, c, d].map(|bits| Some(f64::from_bits(bits)).filter(|number| !number.is_nan()).unwrap_or(0.5))
    });
    (numbers, any::<[u8; 3]>(), any::<u32>(), any::<(i64, i64)>()).prop_map(|(numbers, letters, conditions, times)| {
        Quote {
            bid_price: numbers[0],
            bid_size: numbers[1],
            ask_price: numbers[2],
            ask_size: numbers[3],
            bid_exchange: letters[0],
            ask_exchange: letters[1],
            tape: letters[2],
            conditions,
            event_time: times.0,
            received_time: times.1,
        }
    })
}

fn header(kind: MessageKind) -> impl Strategy<Value = Header> {
    any::<(u16, u64, u64, i64)>().prop_map(move |(bucket, epoch, sequence, published)| Header {
        kind,
        bucket,
        epoch,
        sequence,
        published,
    })
}

fn columns(rows: &[(u16, Quote)]) -> QuoteColumns {
    let mut columns = QuoteColumns::default();
    for (index, quote) in rows {
        columns.push(u32::from(*index), quote);
    }
    columns
}

type Contents = (Header, Vec<(u16, String)>, QuoteColumns);

/// Everything that can be read of a message, or that it cannot be read.
fn read(message: &[u8], decoder: &mut Decoder) -> Option<Contents> {
    let received = Received::read(message).ok()?;
    let quotes = decoder.quotes(&received).ok()?;
    let name = |(index, name): (u16, &[u8])| (index, String::from_utf8_lossy(name).into_owned());
    let mut columns = QuoteColumns::default();
    columns.symbol.extend(quotes.indexes().map(u32::from));
    quotes.append_columns(&mut columns);
    Some((received.header, quotes.names().map(name).collect(), columns))
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        header in prop_oneof![header(MessageKind::Batch), header(MessageKind::Snapshot)],
        rows in prop::collection::vec((any::<u16>(), quote()), 0..200),
        names in prop::collection::vec("[A-Z./]{1,32}", 0..20),
        first_name in 0_u16..60_000,
        skipped in 0_usize..3,
        compression in prop_oneof![Just(Compression::None), Just(Compression::Zstd)],
    ) {
        let symbols: Vec<Symbol> = names.iter().map(|name| Symbol::new(name).unwrap()).collect();
        let skipped = skipped.min(rows.len());
        let range = skipped..rows.len();
        let message = Encoder::new().quotes(&header, first_name, &symbols, &columns(&rows), range, compression);
        let (read_header, read_names, read_columns) = read(&message, &mut Decoder::new()).unwrap();
        prop_assert_eq!(read_header, header);
        prop_assert_eq!(read_names, (first_name..).zip(names).collect::<Vec<_>>());
        prop_assert_eq!(read_columns, columns(&rows[skipped..]));
        if compression == Compression::None && symbols.is_empty() {
            prop_assert_eq!(message.len(), HEADER + ROW * (rows.len() - skipped));
        }
    }

    #[test]
    fn a_status_is_read_back(
        header in header(MessageKind::Status),
        heads in prop::collection::vec(any::<u64>(), 0..100),
        conflated: u64,
        payload in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let message = Encoder::new().status(&header, &heads, conflated, &payload);
        let received = Received::read(&message).unwrap();
        let status = received.status().unwrap();
        prop_assert_eq!((received.header, status.conflated, status.payload), (header, conflated, &payload[..]));
        prop_assert_eq!(status.heads().collect::<Vec<_>>(), heads);
    }

    /// A panic here would end a worker.
    #[test]
    fn garbage_is_refused_or_read_and_never_more_memory_than_the_limit(
        start in prop::option::of((1_u8..3, 0_u8..4, 0_u8..3, 0_u8..3)),
        garbage in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut message = Vec::new();
        if let Some((version, kind, columns, compression)) = start {
            message.extend_from_slice(&MAGIC);
            message.extend_from_slice(&[version, kind, columns, compression]);
        }
        message.extend_from_slice(&garbage);
        let mut decoder = Decoder::new();
        read(&message, &mut decoder);
        let _ = Received::read(&message).and_then(|received| received.status().map(|status| status.heads().count()));
        prop_assert!(decoder.body.capacity() <= MAX_BODY);
    }

    /// What a faulty network or an attacker makes of a valid message.
    #[test]
    fn a_changed_or_cut_message_is_never_a_panic(
        rows in prop::collection::vec((any::<u16>(), quote()), 1..50),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        compression in prop_oneof![Just(Compression::None), Just(Compression::Zstd)],
    ) {
        let header = Header { kind: MessageKind::Batch, bucket: 1, epoch: 2, sequence: 3, published: 4 };
        let names = [Symbol::new("SPY").unwrap()];
        let message = Encoder::new().quotes(&header, 0, &names, &columns(&rows), 0..rows.len(), compression);
        let mut changed = message.to_vec();
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        changed.truncate(cut.index(changed.len()) + 1);
        let mut decoder = Decoder::new();
        read(&changed, &mut decoder);
        prop_assert!(decoder.body.capacity() <= MAX_BODY);
        // Whatever it was, the decoder still works.
        prop_assert!(read(&message, &mut decoder).is_some());
    }
}

#[test]
fn another_version_is_told_from_damage() {
    let header = Header { kind: MessageKind::Batch, bucket: 1, epoch: 2, sequence: 3, published: 4 };
    let message = Encoder::new().quotes(&header, 0, &[], &QuoteColumns::default(), 0..0, Compression::None);
    let error = |at: usize, byte: u8| {
        let mut message = message.to_vec();
        message[at] = byte;
        Received::read(&message).map(|_| ()).unwrap_err()
    };
    assert_eq!((error(0, b'X'), error(2, 9)), (WireError::Foreign, WireError::Version(9)));
    assert_eq!((error(3, 9), error(4, 2), error(5, 2)), (WireError::Unknown, WireError::Unknown, WireError::Unknown));
    assert_eq!(Received::read(&message[..20]).map(|_| ()), Err(WireError::Damaged));
}

/// A few bytes must not make a worker reserve gigabytes.
#[test]
fn a_message_that_announces_too_much_is_refused_before_anything_is_reserved() {
    let header = Header { kind: MessageKind::Batch, bucket: 1, epoch: 2, sequence: 3, published: 4 };
    let huge = Counts { rows: 1 << 20, body: u32::MAX as usize, ..Counts::default() };
    for compression in [Compression::None, Compression::Zstd] {
        let message = message(&header, huge, compression, &[0; 100]);
        assert_eq!(Received::read(&message).map(|_| ()), Err(WireError::Damaged));
    }
}
