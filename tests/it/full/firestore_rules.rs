//! config/firestore.rules, tested in the emulator as users of a web UI.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use quotegate_test_support::{Emulator, emulator_with_rules_or_skip};
use serde_json::{Value, json};

const PROJECT: &str = "rules";
const QUOTE: &str = r#"{"fields":{"bid":{"doubleValue":1.5}}}"#;
const OK: u16 = 200;
const FORBIDDEN: u16 = 403;

/// A user's token. The emulator accepts unsigned ones.
fn token(claims: &Value) -> String {
    let mut payload = json!({"sub": "user", "user_id": "user", "aud": PROJECT, "iat": 0, "iss": format!("https://securetoken.google.com/{PROJECT}")});
    payload.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "type": "JWT"})), part(&payload))
}

struct Database {
    emulator: Emulator,
}

impl Database {
    fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> u16 {
        let path = format!("/v1/projects/{PROJECT}/databases/(default)/documents{path}");
        self.emulator.request_status(method, &path, token, body)
    }

    fn get(&self, path: &str, token: Option<&str>) -> u16 {
        self.ask("GET", path, token, "")
    }
}

#[test]
fn only_members_read_their_quotes_and_heartbeat_and_no_user_writes() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/firestore.rules");
    let Some(emulator) = emulator_with_rules_or_skip(&rules) else { return };
    let database = Database { emulator };
    let documents = ["/tenants/acme/live_quotes/SPY", "/tenants/acme/ops/market_ingest"];
    let hidden = ["/ops/ingest_control", "/tenants/acme/ops/other", "/tenants/acme/secrets/one", "/tenants/acme"];
    for path in documents.iter().chain(&hidden) {
        assert_eq!(database.ask("PATCH", path, Some("owner"), QUOTE), OK, "{path}");
    }

    let member = token(&json!({"tenant": "acme"}));
    let of_several = token(&json!({"tenants": ["globex", "acme"]}));
    for user in [&member, &of_several] {
        for path in documents {
            assert_eq!(database.get(path, Some(user)), OK, "{path}");
        }
        assert_eq!(database.get("/tenants/acme/live_quotes", Some(user)), OK);
        for path in hidden {
            assert_eq!(database.get(path, Some(user)), FORBIDDEN, "{path}");
        }
    }

    let strangers = [
        json!({}),
        json!({"tenant": "globex"}),
        json!({"tenants": ["globex"]}),
        json!({"tenants": "acme and others"}),
        json!({"tenant": ["acme"]}),
        json!({"tenant": null, "tenants": null}),
        json!({"tenant": ""}),
    ];
    let strangers = strangers.map(|claims| Some(token(&claims)));
    for user in strangers.iter().chain([&None]) {
        for path in documents.iter().chain(&hidden).chain(&["/tenants/acme/live_quotes"]) {
            assert_eq!(database.get(path, user.as_deref()), FORBIDDEN, "{path} as {user:?}");
        }
    }

    for user in [Some(&member), Some(&of_several), strangers[0].as_ref(), None] {
        let user = user.map(String::as_str);
        for path in documents.iter().chain(&hidden).chain(&["/tenants/acme/live_quotes/NEW"]) {
            assert_eq!(database.ask("PATCH", path, user, QUOTE), FORBIDDEN, "{path} as {user:?}");
            assert_eq!(database.ask("DELETE", path, user, ""), FORBIDDEN, "{path} as {user:?}");
        }
    }
}

#[test]
fn the_fields_that_only_grow_are_not_indexed() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/firestore.indexes.json");
    let indexes: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let overrides = indexes["fieldOverrides"].as_array().unwrap();
    let mut fields: Vec<&str> = overrides
        .iter()
        .map(|field| {
            assert_eq!((&field["collectionGroup"], &field["indexes"]), (&json!("live_quotes"), &json!([])));
            field["fieldPath"].as_str().unwrap()
        })
        .collect();
    fields.sort_unstable();
    assert_eq!(fields, ["last_update_ts", "ts", "updated_at"]);
}
