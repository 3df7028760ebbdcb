//! config/firestore.rules, tried in the emulator as the users of a web UI would.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use quotegate_test_support::{Emulator, emulator_with_rules_or_skip};
use serde_json::{Value, json};

const PROJECT: &str = "rules";
const QUOTE: &str = r#"{"fields":{"bid":{"doubleValue":1.5}}}"#;
const OK: u16 = 200;
const FORBIDDEN: u16 = 403;

/// A user's token. The emulator believes whatever an unsigned one says.
fn token(claims: &Value) -> String {
    let mut payload =
        json!({"sub": "user", "aud": PROJECT, "iat": 0, "iss": format!("https://securetoken.google.com/{PROJECT}")});
    payload.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.", part(&json!({"alg": "none", "type": "JWT"})), part(&payload))
}

struct Rules {
    emulator: Emulator,
}

impl Rules {
    fn ask(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> u16 {
        let path = format!("/v1/projects/{PROJECT}/databases/(default)/documents{path}");
        self.emulator.request_status(method, &path, token, body)
    }

    fn get(&self, path: &str, token: Option<&str>) -> u16 {
        self.ask("GET", path, token, "")
    }

    fn refuse_writes(&self, token: Option<&str>, claims: &Value) {
        for path in READABLE.iter().chain(&HIDDEN) {
            assert_eq!(self.ask("PATCH", path, token, QUOTE), FORBIDDEN, "{path} as {claims}");
            assert_eq!(self.ask("DELETE", path, token, ""), FORBIDDEN, "{path} as {claims}");
        }
        for path in COLLECTIONS.map(|collection| format!("{collection}/NEW")) {
            assert_eq!(self.ask("PATCH", &path, token, QUOTE), FORBIDDEN, "{path} as {claims}");
        }
    }
}

/// The four kinds of documents that members read, and their collections.
const READABLE: [&str; 4] = [
    "/tenants/acme/live_quotes/SPY",
    "/tenants/acme/market_intelligence/quotes/live/SPY",
    "/tenants/acme/market_data_1m/SPY-1",
    "/tenants/acme/ops/market_ingest",
];
const COLLECTIONS: [&str; 3] =
    ["/tenants/acme/live_quotes", "/tenants/acme/market_intelligence/quotes/live", "/tenants/acme/market_data_1m"];
const HIDDEN: [&str; 10] = [
    "/ops/ingest_control",
    "/ops/ingest_lease_iex",
    "/ops/ingest_hosts/instances/host-a",
    "/ops/market_ingest",
    "/live_quotes/SPY",
    "/tenants/acme",
    "/tenants/acme/ops/other",
    "/tenants/acme/secrets/one",
    "/tenants/acme/market_intelligence/quotes",
    "/tenants/acme/users/user",
];

/// An emulator with the documents of the tenant acme, of which the user `user` is a member by document.
fn emulator() -> Option<Rules> {
    emulator_with(&Path::new(env!("CARGO_MANIFEST_DIR")).join("config/firestore.rules"))
}

fn emulator_with(rules: &Path) -> Option<Rules> {
    let rules = Rules { emulator: emulator_with_rules_or_skip(rules)? };
    for path in READABLE.iter().chain(&HIDDEN) {
        assert_eq!(rules.ask("PATCH", path, Some("owner"), QUOTE), OK, "{path}");
    }
    Some(rules)
}

#[test]
fn members_by_claim_or_by_claim_and_document_read_quotes_bars_and_heartbeat_and_write_nothing() {
    let Some(rules) = emulator() else { return };
    let members = [
        json!({"tenant": "acme"}),
        json!({"tenants": ["globex", "acme"]}),
        json!({"tenant": "acme", "sub": "no document"}),
        json!({"tenant_id": "acme"}),
        json!({"tenantId": "acme"}),
        json!({"tenant_id": "globex", "tenantId": "acme"}),
        json!({"tenant": "globex", "tenant_id": "acme"}),
    ];
    for claims in members {
        let user = token(&claims);
        for path in READABLE.iter().chain(&COLLECTIONS) {
            assert_eq!(rules.get(path, Some(&user)), OK, "{path} as {claims}");
        }
        for path in HIDDEN {
            assert_eq!(rules.get(path, Some(&user)), FORBIDDEN, "{path} as {claims}");
        }
        assert_eq!(rules.get("/tenants/acme/users", Some(&user)), FORBIDDEN, "as {claims}");
        rules.refuse_writes(Some(&user), &claims);
    }
}

#[test]
fn strangers_read_and_write_nothing() {
    let Some(rules) = emulator() else { return };
    let strangers = [
        json!({}),
        json!({"tenant": "globex"}),
        json!({"tenants": ["globex"]}),
        json!({"tenants": "acme and others"}),
        json!({"tenant": ["acme"]}),
        json!({"tenant": null, "tenants": null}),
        json!({"tenant": ""}),
        // The claim without the document, the document without the claim, and the document of another tenant.
        json!({"tenant_id": "acme", "sub": "stranger"}),
        json!({"tenantId": "acme", "sub": "stranger"}),
        json!({"tenant_id": "globex", "tenantId": "globex"}),
        json!({"tenant_id": ["acme"]}),
        json!({"tenant_id": null, "tenantId": ""}),
    ];
    for claims in &strangers {
        let user = token(claims);
        for path in READABLE.iter().chain(&HIDDEN).chain(&COLLECTIONS) {
            assert_eq!(rules.get(path, Some(&user)), FORBIDDEN, "{path} as {claims}");
        }
        rules.refuse_writes(Some(&user), claims);
    }
    for path in READABLE.iter().chain(&HIDDEN).chain(&COLLECTIONS) {
        assert_eq!(rules.get(path, None), FORBIDDEN, "{path} without a token");
    }
    rules.refuse_writes(None, &json!(null));
}

#[test]
fn a_member_by_document_stops_being_one_when_the_document_is_removed() {
    let Some(rules) = emulator() else { return };
    let user = token(&json!({"tenant_id": "acme"}));
    assert_eq!(rules.get(READABLE[0], Some(&user)), OK);
    assert_eq!(rules.ask("DELETE", "/tenants/acme/users/user", Some("owner"), ""), OK);
    assert_eq!(rules.get(READABLE[0], Some(&user)), FORBIDDEN);
}

#[test]
fn the_documented_merge_lets_members_write_their_own_collections_and_not_those_of_the_host() {
    let readme = include_str!("../../../config/README.md");
    let statement = readme.split("```").find(|block| block.contains("{collection}/{document=**}")).unwrap();
    let shipped = include_str!("../../../config/firestore.rules");
    let merged = shipped.replacen("    match /tenants", &format!("{statement}    match /tenants"), 1);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("firestore.rules");
    std::fs::write(&file, merged).unwrap();

    let Some(rules) = emulator_with(&file) else { return };
    let user = token(&json!({"tenant_id": "acme"}));
    assert_eq!(rules.ask("PATCH", "/tenants/acme/orders/one", Some(&user), QUOTE), OK);
    for path in READABLE {
        assert_eq!(rules.get(path, Some(&user)), OK, "{path}");
        assert_eq!(rules.ask("PATCH", path, Some(&user), QUOTE), FORBIDDEN, "{path}");
        assert_eq!(rules.ask("DELETE", path, Some(&user), ""), FORBIDDEN, "{path}");
    }
}
