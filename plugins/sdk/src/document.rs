/// What a field can hold.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Null: the field exists but has no value.
    Null,
    /// True or false.
    Boolean(bool),
    /// A 64-bit integer.
    Integer(i64),
    /// A double; the host refuses NaN and infinities.
    Double(f64),
    /// UTF-8 text.
    Text(String),
    /// Nanoseconds since 1970 UTC; Firestore stores microseconds.
    Timestamp(i64),
    /// Raw bytes.
    Bytes(Vec<u8>),
    /// A list of doubles.
    Doubles(Vec<f64>),
    /// A list of strings.
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
    /// One of the collections that the tenant's settings allow; `None` means the first of them.
    pub collection: Option<String>,
    /// Its id; `None` means the quote's symbol.
    pub id: Option<String>,
    /// Its fields by path: names separated by dots, one per level.
    pub fields: Vec<(String, Value)>,
}

impl Document {
    /// An empty document in the first collection, with the symbol as its id.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the collection.
    #[must_use]
    pub fn collection(mut self, collection: impl Into<String>) -> Self {
        self.collection = Some(collection.into());
        self
    }

    /// Sets the id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Adds a field; each dot in the path is one level of nesting.
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
