use serde::de::DeserializeOwned;

use crate::{Document, QuoteView};

/// Says what documents a quote becomes. It sees only quotes that are about to be written.
pub trait Map: Sized {
    /// The plugin's `config` table.
    type Config: DeserializeOwned;

    /// Called once, first.
    ///
    /// # Errors
    /// A sentence that names the setting and the remedy.
    fn new(tenant: &str, config: Self::Config) -> Result<Self, String>;

    /// The documents to write for this quote; none leave it to the next map. `earlier` is what the map before this one
    /// made of it, if its settings say `chain = true`.
    fn map(&mut self, quote: &QuoteView<'_>, earlier: &[Document]) -> Vec<Document>;
}
