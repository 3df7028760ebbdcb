//! Which documents are made of a quote, over all the places where the tenant's settings want it.

use quotegate_document::{Document, DocumentKey, DocumentShape};
use quotegate_market::{Quote, Symbol};

use super::TenantSpec;
use super::document::fields;

impl TenantSpec {
    /// How many documents the host makes of a quote that no map has seen.
    pub(super) fn documents_per_quote(&self) -> usize {
        self.destinations.len() + usize::from(self.mirror.is_some())
    }

    /// The documents of a quote without maps.
    pub(super) fn documents(&self, symbol: &Symbol, quote: &Quote) -> Vec<Document> {
        self.made_by_host(Some(DocumentShape::Standard), symbol, quote)
    }

    /// The documents of a quote of which maps made `mapped`.
    ///
    /// Collections without a shape get what the maps made for the first of them. Those with one get the host's document,
    /// unless a map made that very document itself.
    pub(super) fn with_mapped(&self, mut mapped: Vec<Document>, symbol: &Symbol, quote: &Quote) -> Vec<Document> {
        let mut without_shape = self.destinations.iter().filter(|destination| destination.shape.is_none());
        if let Some(first) = without_shape.next() {
            let originals = mapped.len();
            for copy in without_shape {
                for at in 0..originals {
                    if mapped[at].key.collection() == first.collection.as_str()
                        && let Ok(key) = DocumentKey::new(copy.collection.clone(), mapped[at].key.id())
                    {
                        let fields = mapped[at].fields.clone();
                        push_new(&mut mapped, Document { key, fields });
                    }
                }
            }
        }
        for document in self.made_by_host(None, symbol, quote) {
            push_new(&mut mapped, document);
        }
        mapped
    }

    /// The host's documents of a quote. Collections without a shape get one in the shape `without_shape`, or none.
    fn made_by_host(&self, without_shape: Option<DocumentShape>, symbol: &Symbol, quote: &Quote) -> Vec<Document> {
        let own = self.destinations.iter().filter_map(|destination| {
            let shape = destination.shape.or(without_shape)?;
            Some((DocumentKey::new(destination.collection.clone(), symbol.document_id()), shape))
        });
        let mirrored =
            self.mirror.iter().map(|mirror| (mirror.document(symbol.document_id()), DocumentShape::Standard));
        // The id of a symbol is always valid.
        let document = |(key, shape): (Result<_, _>, _)| {
            Some(Document { key: key.ok()?, fields: fields(shape, symbol, quote, self.asset_class) })
        };
        own.chain(mirrored).filter_map(document).collect()
    }
}

/// Two writes of one document in one attempt would be in a random order.
fn push_new(documents: &mut Vec<Document>, document: Document) {
    if documents.iter().all(|other| other.key != document.key) {
        documents.push(document);
    }
}
