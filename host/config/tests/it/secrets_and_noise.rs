//! No output holds a secret, and no text makes the loader panic.

use crate::support;

use proptest::prelude::*;
use quotegate_config::render;
use support::Case;

/// Everything that can be printed of a load.
fn everything_shown(case: &Case) -> String {
    match case.try_load() {
        Ok(loaded) => format!("{}{loaded:?}{:?}", render(&loaded.rows), &loaded.rows),
        Err(error) => format!("{error}{error:?}"),
    }
}

/// Settings with `secret` in one of the places that a secret can be in, right and wrong ones.
fn case_with(secret: &str, place: usize) -> Case {
    let case = Case::new();
    match place {
        0 => case.env("ALPACA_KEY_ID", secret).env("ALPACA_SECRET_KEY", secret),
        1 => case.file(format!("[feed]\nkey_id = {secret:?}\nsecret_key = {secret:?}\n")),
        2 => case.flag("feed.key_id", secret).flag("feed.secret_key", secret),
        3 => case.env("ALPACA_KEY_ID", secret).env("ALPACA_API_KEY", "other").env("GLOBAL_BURST", "x"),
        4 => case.file(format!("[feed]\nsecret_key = \"{secret}\n")),
        5 => case.file(format!("[feed]\nsecret_key = [{secret:?}]\nkey_id = {{ a = {secret:?} }}\n")),
        6 => case.file(format!("[feed]\nsecret_kye = {secret:?}\n[sink]\nsecret_key = {secret:?}\n")),
        7 => case.env("QUOTEGATE_FEED__SECRET_KYE", secret).env("QUOTEGATE_SECRET", secret),
        8 => case.flag("feed.secret", secret),
        9 => case.file(format!("feed.secret_key = {secret}\n")),
        10 => case.file(format!("[feed]\nsecret_key = \"\"\"\n{secret}\n\"\"\" x\n")),
        11 => case.env("QUOTEGATE_FEED__URL", &format!("wss://me:{secret}@example.com/")),
        12 => case.env("ALPACA_SECRET_KEY", secret),
        13 => case.file(format!("[feed]\nsecret_key =\n{secret}\n")),
        14 => case.beside("tenants/a.toml", format!("secret_key = {secret}")).file(""),
        _ => {
            let case = case.beside("secret", secret);
            let path = case.path("secret").to_str().unwrap().to_owned();
            case.env("ALPACA_KEY_ID_FILE", &path).env("ALPACA_SECRET_KEY_FILE", &path)
        }
    }
}

proptest! {
    #[test]
    fn a_secret_is_in_no_output(secret in "[A-Za-z0-9+/]{12,40}={0,2}", place in 0_usize..16) {
        let shown = everything_shown(&case_with(&secret, place));
        prop_assert!(!shown.contains(&secret), "{shown}");
        prop_assert!(!shown.is_empty());
    }

    #[test]
    fn no_text_makes_the_loader_panic(text in any::<String>(), tenant in any::<String>()) {
        everything_shown(&Case::new().file(text).beside("tenants/x.toml", tenant));
    }

    #[test]
    fn no_toml_of_known_words_makes_the_loader_panic(
        lines in prop::collection::vec(
            (
                prop::sample::select(vec!["[feed]", "[sink]", "[tenants.a]", "[[tenants.a.x]]", "[feed.sim]", "tenants"]),
                prop::sample::select(vec!["symbols", "burst", "id", "rate", "kind", "key_id", "a.b.c", "\"\"", "url"]),
                prop::sample::select(vec![
                    "1", "-1", "nan", "-inf", "1e400", "9223372036854775807", "\"x\"", "\"\"", "[]", "[[]]", "{}",
                    "true", "1979-05-27", "[1, \"*\"]", "{ a = { b = [] } }",
                ]),
            ),
            0..12,
        ),
    ) {
        let text: String = lines.iter().map(|(section, key, value)| format!("{section}\n{key} = {value}\n")).collect();
        let case = Case::new().file(text);
        everything_shown(&case);
        // An editor must not complain about settings that load.
        if case.try_load().is_ok() {
            prop_assert_eq!(case.schema_errors(), [] as [String; 0]);
        }
    }

    #[test]
    fn no_environment_and_no_flag_makes_the_loader_panic(
        name in prop::sample::select(vec![
            "TENANT_ID", "DRY_RUN", "MONITORED_SYMBOLS", "GLOBAL_WRITES_PER_SEC", "GLOBAL_BURST", "STOP_AFTER_SECONDS",
            "ALPACA_DATA_FEED", "FIRESTORE_EMULATOR_HOST", "QUOTEGATE_FEED__URL", "QUOTEGATE_FEED__SIM__RATE", "QUOTEGATE_",
            "QUOTEGATE_TENANTS__ACME__SYMBOLS", "QUOTEGATE_LOG__LEVEL",
        ]),
        value in any::<String>(),
        key in "[a-z_.\"]{0,12}|tenants\\.[a-z_/]{1,6}\\.symbols",
    ) {
        everything_shown(&Case::new().env(name, &value).env(&value, name).flag(&key, &value));
    }
}
