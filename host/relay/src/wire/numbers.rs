//! Columns of numbers.

macro_rules! numbers {
    ($($kind:ty, $put:ident, $take:ident;)*) => {$(
        pub(super) fn $put(body: &mut Vec<u8>, column: &[$kind]) {
            const SIZE: usize = size_of::<$kind>();
            let start = body.len();
            body.resize(start + SIZE * column.len(), 0);
            for (to, value) in body[start..].chunks_exact_mut(SIZE).zip(column) {
                to.copy_from_slice(&value.to_le_bytes());
            }
        }

        pub(super) fn $take(bytes: &[u8]) -> impl Iterator<Item = $kind> + '_ {
            let (values, _) = bytes.as_chunks::<{ size_of::<$kind>() }>();
            values.iter().map(|value| <$kind>::from_le_bytes(*value))
        }
    )*};
}

numbers! {
    f64, put_f64, take_f64;
    u32, put_u32, take_u32;
    i64, put_i64, take_i64;
    u64, put_u64, take_u64;
}
