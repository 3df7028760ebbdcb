//! `plugins/README.md` has a row for every setting.

use crate::{PLUGINS, start};

const README: &str = include_str!("../../../../plugins/README.md");

#[test]
fn every_key_is_on_the_page() {
    // What the plugins themselves say they know, in the sentence about a key that they do not.
    let words = start(&PLUGINS.2, r#"{"standard": true, "": 1}"#).unwrap_err();
    let keys: Vec<&str> = words.split('`').skip(1).step_by(2).filter(|key| !key.is_empty()).collect();
    assert_eq!(keys.len(), 6, "{words}");
    for key in keys.into_iter().chain(quotegate_quote_filter::KEYS) {
        assert!(README.contains(&format!("| `{key}` |")), "`{key}` has no row in plugins/README.md");
    }
}
