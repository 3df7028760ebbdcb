/// What a field can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, but present.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number; the host refuses NaN and the infinities.
    Double(f64),
    /// UTF-8 text.
    Text(String),
    /// Nanoseconds since 1970 UTC; Firestore keeps microseconds.
    Timestamp(i64),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A list of numbers.
    Doubles(Vec<f64>),
    /// A list of texts.
    Texts(Vec<String>),
}

macro_rules! values {
    ($($kind:ty => $case:ident),*) => {$(
        impl From<$kind> for Value {
            fn from(value: $kind) -> Self {
                Self::$case(value.into())
            }
        }
    )*};
}
values!(bool => Boolean, i64 => Integer, i32 => Integer, u32 => Integer, f64 => Double, String => Text, &str => Text,
    Vec<u8> => Bytes, Vec<f64> => Doubles, Vec<String> => Texts);

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A document to write: `Document::new().id("SPY").field("price.bid", 1.5)`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Document {
    /// One of the collections that the tenant's settings allow; none: the first of them.
    pub collection: Option<String>,
    /// Its id; none: the quote's symbol.
    pub id: Option<String>,
    /// Its fields, by path: names joined by dots, each dot one level deeper.
    pub fields: Vec<(String, Value)>,
}

impl Document {
    /// An empty document in the first collection, with the symbol for an id.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts it into this collection.
    #[must_use]
    pub fn collection(mut self, collection: impl Into<String>) -> Self {
        self.collection = Some(collection.into());
        self
    }

    /// Gives it this id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Adds a field; a dot in the path is one level deeper.
    #[must_use]
    pub fn field(mut self, path: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.push((path.into(), value.into()));
        self
    }

    /// The field with this path.
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.fields.iter().find(|(known, _)| known == path).map(|(_, value)| value)
    }
}
