use serde::de::DeserializeOwned;

use crate::{Document, QuoteView};

/// Turns a quote into documents. It sees only quotes that are about to be written.
pub trait Map: Sized {
    /// The plugin's `config` table.
    type Config: DeserializeOwned;

    /// Called once, before anything else.
    ///
    /// # Errors
    /// A sentence that names the bad setting and how to fix it.
    fn new(tenant: &str, config: Self::Config) -> Result<Self, String>;

    /// Returns the documents to write for this quote; an empty list leaves it to the next map. `earlier` has the documents
    /// of the previous map, if that map has `chain = true`.
    fn map(&mut self, quote: &QuoteView<'_>, earlier: &[Document]) -> Vec<Document>;
}
