//! config/firestore-check on the rules and indexes of projects that other people set up.

use std::path::Path;
use std::process::Command;

use quotegate_test_support::skip;

const SHIPPED_RULES: &str = include_str!("../../../config/firestore.rules");
const SHIPPED_INDEXES: &str = include_str!("../../../config/firestore.indexes.json");

fn check(rules: Option<&str>, indexes: Option<&str>, arguments: &[&str]) -> Option<(i32, String)> {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("python3");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/firestore-check")).args(arguments);
    for (flag, text) in [("--rules", rules), ("--indexes", indexes)] {
        if let Some(text) = text {
            let file = folder.path().join(flag);
            std::fs::write(&file, text).unwrap();
            command.arg(flag).arg(file);
        }
    }
    let Ok(output) = command.output() else {
        skip("tests of config/firestore-check: apt-get install python3");
        return None;
    };
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Some((output.status.code().unwrap(), said))
}

/// The rules of `text`, with the usual lines around them.
fn rules(text: &str) -> String {
    format!("rules_version = '2';\nservice cloud.firestore {{\nmatch /databases/{{db}}/documents {{\n{text}\n}}\n}}\n")
}

/// The shipped rules with more statements beside theirs.
fn shipped_rules_and(text: &str) -> String {
    SHIPPED_RULES.replace("    match /tenants/{tenant} {\n", &format!("{text}\n    match /tenants/{{tenant}} {{\n"))
}

#[track_caller]
fn finds(rules: Option<&str>, indexes: Option<&str>, expected: &[&str]) {
    let Some((code, said)) = check(rules, indexes, &[]) else { return };
    assert_eq!(code, 1, "{said}");
    for expected in expected {
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
}

#[test]
fn the_shipped_files_pass() {
    let Some((code, said)) = check(Some(SHIPPED_RULES), Some(SHIPPED_INDEXES), &[]) else { return };
    assert_eq!(code, 0, "{said}");
    assert!(said.ends_with("nothing to change\n"), "{said}");

    let high_rate = include_str!("../../../config/firestore.indexes.high-rate.json");
    finds(None, Some(high_rate), &["EXEMPT    live_quotes: ts has no ascending and descending index", "2 to change"]);
    assert_eq!(check(None, Some(high_rate), &["--high-rate"]).unwrap().0, 0);
}

#[test]
fn a_missing_grant_is_named() {
    finds(
        Some(&rules("")),
        None,
        &["MISSING   tenants/{tenant}/live_quotes/{symbol}: no statement allows get, list", "4 to change"],
    );
    let never = SHIPPED_RULES.replace("isMember(tenant);", "false;");
    finds(Some(&never), None, &["4 to change"]);
    let get_only = SHIPPED_RULES.replace("allow read", "allow get");
    finds(Some(&get_only), None, &["live_quotes/{symbol}: no statement allows list", "3 to change"]);
    let one_tenant = SHIPPED_RULES.replace("match /tenants/{tenant} {", "match /tenants/acme {");
    finds(Some(&one_tenant), None, &["4 to change", "match /tenants/acme/live_quotes/{symbol}: allow read"]);
    let storage =
        SHIPPED_RULES.replace("service cloud.firestore", "service cloud.firestore { } service firebase.storage");
    finds(Some(&storage), None, &["4 to change"]);
    // In version 1, a recursive wildcard does not stand for nothing.
    let text = rules("match /tenants/{t}/{path=**}/live_quotes/{s} { allow read: if m(t); }");
    finds(Some(&text), None, &["3 to change"]);
    finds(Some(&text.replace("rules_version = '2';", "")), None, &["4 to change"]);
}

#[test]
fn a_grant_to_write_is_dangerous_wherever_it_stands() {
    let dangers = [
        (
            "match /tenants/{t}/{document=**} { allow read, write: if isMember(t); }",
            "line 27: match /tenants/{t}/{document=**}: allow read, write if isMember(t)",
            4,
        ),
        (
            "match /{all=**} { allow delete: if request.auth.token.admin }",
            "line 27: match /{all=**}: allow delete if request.auth.token.admin",
            5,
        ),
        (
            "match /{path=**}/live/{id} { allow create; }",
            "line 27: match /{path=**}/live/{id}: allow create for everyone",
            1,
        ),
        (
            "match /tenants/acme/ops/{id} { allow update: if isMember('acme'); }",
            "line 27: match /tenants/acme/ops/{id}: allow update",
            1,
        ),
        (
            "match /ops/{id} {\n allow get: if f(\n ';}' /* ) */); // }\n allow write: if g(); }",
            "line 30: match /ops/{id}: allow write if g()",
            1,
        ),
    ];
    for (text, expected, count) in dangers {
        let text = shipped_rules_and(text);
        finds(Some(&text), None, &["WRITABLE", expected, &format!("\n{count} to change\n")]);
    }
    let harmless = shipped_rules_and(
        "match /{all=**} { allow write: if (false); }\nmatch /orders/{id} { allow write: if data.allow == 1; }\n\
         // match /{all=**} { allow write; }\nmatch /tenants/{t}/users/{u} { allow write: if isAdmin(t) }",
    );
    let Some((code, said)) = check(Some(&harmless), None, &[]) else { return };
    assert_eq!(code, 0, "{said}");
}

#[test]
fn quotes_that_everyone_can_read_are_reported() {
    let open = SHIPPED_RULES.replacen("allow read: if isMember(tenant)", "allow read: if true", 1);
    finds(Some(&open), None, &["OPEN      tenants/{tenant}/live_quotes/{symbol}: everyone can read it", "1 to change"]);
}

#[test]
fn a_missing_index_and_an_exempt_field_are_named() {
    finds(None, Some(r#"{"indexes": []}"#), &["MISSING   market_data_1m: composite index", "1 to change"]);
    let ascending = SHIPPED_INDEXES.replace("DESCENDING", "ASCENDING");
    finds(None, Some(&ascending), &["MISSING", "1 to change"]);
    let exempt =
        |field: &str| SHIPPED_INDEXES.replace("\"fieldOverrides\": []", &format!("\"fieldOverrides\": [{field}]"));
    let all = exempt(r#"{"collectionGroup": "live_quotes", "fieldPath": "*", "indexes": []}"#);
    finds(None, Some(&all), &["EXEMPT    live_quotes", "1 to change"]);
    let ascending = exempt(
        r#"{"collectionGroup": "market_data_1m", "fieldPath": "ts", "indexes": [{"order": "ASCENDING", "queryScope": "COLLECTION"}]}"#,
    );
    finds(None, Some(&ascending), &["EXEMPT    market_data_1m: ts has no descending index", "1 to change"]);
    let other = exempt(r#"{"collectionGroup": "live_quotes", "fieldPath": "updated_at", "indexes": []}"#);
    let Some((code, said)) = check(None, Some(&other), &[]) else { return };
    assert_eq!(code, 0, "{said}");
}

#[test]
fn other_collections_can_be_named() {
    let prices = SHIPPED_RULES.replace("/live_quotes/", "/prices/");
    finds(Some(&prices), None, &["MISSING   tenants/{tenant}/live_quotes/{symbol}"]);
    let Some((code, said)) = check(Some(&prices), Some(SHIPPED_INDEXES), &["--collection", "prices"]) else { return };
    assert_eq!(code, 0, "{said}");
}

#[test]
fn what_cannot_be_read_is_an_error_and_no_verdict() {
    let unreadable = [
        (Some("{}"), None, "no service cloud.firestore"),
        (
            Some("service cloud.firestore { match /a {"),
            None,
            "line 1: expected match, allow or function, found the end",
        ),
        (Some("service cloud.firestore {\nmatch a {} }"), None, "line 2: expected /"),
        (Some("service cloud.firestore { match /a { allow all; } }"), None, "expected read, write"),
        (None, Some("{\n"), "line 2"),
        (None, Some("[]"), "expected an object"),
        (None, None, "give --rules, --indexes, or both"),
    ];
    for (rules, indexes, expected) in unreadable {
        let Some((code, said)) = check(rules, indexes, &[]) else { return };
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(expected), "no {expected:?} in\n{said}");
    }
    let Some((code, said)) = check(None, None, &["--rules", "/dev/zero"]) else { return };
    assert!(code == 2 && said.contains("/dev/zero: it is larger than 4 MiB"), "{said}");
    let Some((code, said)) = check(None, None, &["--help"]) else { return };
    assert!(code == 0 && said.contains("examples:"), "{said}");
}
