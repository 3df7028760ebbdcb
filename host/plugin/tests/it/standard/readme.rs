//! The pages of the two plugins have a row for every setting.

use super::{PLUGINS, start};

const QUOTE_FILTER: &str = include_str!("../../../../../plugins/quote-filter/README.md");
const FIELD_MAP: &str = include_str!("../../../../../plugins/field-map/README.md");

#[test]
fn every_key_is_on_its_page() {
    // What the plugins themselves say they know, in the sentence about a key that they do not.
    let words = start(&PLUGINS.2, r#"{"standard": true, "": 1}"#).unwrap_err();
    let keys: Vec<&str> = words.split('`').skip(1).step_by(2).filter(|key| !key.is_empty()).collect();
    assert_eq!(keys.len(), 6, "{words}");
    for (key, page) in
        keys.into_iter().map(|key| (key, FIELD_MAP)).chain(quotegate_quote_filter::KEYS.map(|key| (key, QUOTE_FILTER)))
    {
        assert!(page.contains(&format!("| `{key}` |")), "`{key}` has no row on its page");
    }
}
