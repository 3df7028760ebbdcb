//! Every variable of the old job, and the spellings of its values.

use crate::support;

use support::{Case, row};

/// Variable, a value, the key, what the report shows.
const OLD_NAMES: &[(&str, &str, &str, &str)] = &[
    ("MONITORED_SYMBOLS", "spy, aapl SPY", "tenants.acme.symbols", r#"["SPY", "AAPL"]"#),
    ("ALPACA_SYMBOLS", "qqq", "tenants.acme.symbols", r#"["QQQ"]"#),
    ("ALPACA_DATA_FEED", "SIP", "feed.name", r#""sip""#),
    ("PER_SYMBOL_MIN_INTERVAL_MS", "500", "tenant_defaults.per_symbol_min_interval_ms", "500"),
    ("GLOBAL_WRITES_PER_SEC", "2.5", "pace.writes_per_second", "2.5"),
    ("GLOBAL_BURST", "41", "pace.burst", "41"),
    ("FLUSH_INTERVAL_MS", "201", "pace.flush_interval_ms", "201"),
    ("HEARTBEAT_INTERVAL_S", "16", "heartbeat.interval_s", "16"),
    ("FIRESTORE_PROJECT_ID", "acme-prod", "sink.project_id", r#""acme-prod""#),
    ("FIRESTORE_LIVE_QUOTES_COLLECTION", "live", "tenant_defaults.collection", r#""live""#),
    ("FIRESTORE_LATEST_COLLECTION", "latest", "tenant_defaults.collection", r#""latest""#),
    ("RECONNECT_BACKOFF_BASE_S", "0.5", "feed.reconnect_backoff_base_s", "0.5"),
    ("RECONNECT_BACKOFF_MAX_S", "61", "feed.reconnect_backoff_max_s", "61"),
    ("STOP_AFTER_SECONDS", "90", "run.stop_after_s", "90"),
    ("DRY_RUN", "YES", "sink.kind", r#""dry-run""#),
    ("GOOGLE_APPLICATION_CREDENTIALS", "key.json", "sink.credentials_file", r#""key.json""#),
    ("FIRESTORE_EMULATOR_HOST", "localhost:8080", "sink.emulator_host", r#""localhost:8080""#),
    ("ALPACA_KEY_ID", "x", "feed.key_id", "set"),
    ("ALPACA_API_KEY", "x", "feed.key_id", "set"),
    ("APCA_API_KEY_ID", "x", "feed.key_id", "set"),
    ("ALPACA_SECRET_KEY", "x", "feed.secret_key", "set"),
    ("APCA_API_SECRET_KEY", "x", "feed.secret_key", "set"),
];

/// A dry run whose source is set, so that half of the credentials is enough.
fn base() -> Case {
    Case::empty()
        .env("TENANT_ID", "acme")
        .env("QUOTEGATE_FEED__SOURCE", "sim")
        .file("[sink]\nkind = \"dry-run\"\n[tenants.acme]\n")
}

#[test]
fn every_name_of_the_old_job_works() {
    for (name, value, key, shown) in OLD_NAMES {
        let loaded = base().env(name, value).load();
        assert_eq!(row(&loaded, key), format!("{shown} (environment variable {name})"));
    }
}

#[test]
fn every_secret_has_a_name_for_a_file() {
    for name in ["ALPACA_KEY_ID", "ALPACA_API_KEY", "APCA_API_KEY_ID", "ALPACA_SECRET_KEY", "APCA_API_SECRET_KEY"] {
        let case = base().beside("secret", "hush\n");
        let path = case.path("secret");
        let variable = format!("{name}_FILE");
        let loaded = case.env(&variable, path.to_str().unwrap()).load();
        let key = if name.contains("SECRET") { "feed.secret_key" } else { "feed.key_id" };
        assert_eq!(row(&loaded, key), format!("set (environment variable {variable})"));
    }
}

#[test]
fn either_variable_adds_a_tenant() {
    for name in ["TENANT_ID", "FIRESTORE_TENANT_ID"] {
        let loaded = Case::empty().env(name, " acme ").env("DRY_RUN", "1").load();
        assert_eq!(loaded.settings.tenants[0].id.as_str(), "acme");
    }
    assert_eq!(base().load().settings.tenants.len(), 1, "the tenant of the file is not added again");
}

#[test]
fn without_a_tenant_in_the_environment_the_symbols_are_defaults() {
    let case = Case::empty().env("DRY_RUN", "1").env("MONITORED_SYMBOLS", "QQQ");
    let loaded = case.file("[tenants.a]\n[tenants.b]\nsymbols = [\"SPY\"]\n").load();
    assert_eq!(
        row(&loaded, "tenants.a.symbols"),
        r#"["QQQ"] (tenant_defaults, environment variable MONITORED_SYMBOLS)"#
    );
    assert!(row(&loaded, "tenants.b.symbols").starts_with(r#"["SPY"]"#));
}

#[test]
fn booleans_have_many_spellings_and_an_empty_variable_is_ignored() {
    let kind = |value: &str| row(&base().env("DRY_RUN", value).load(), "sink.kind");
    for yes in ["1", "true", "Yes", "ON", " 1 "] {
        assert_eq!(kind(yes), "\"dry-run\" (environment variable DRY_RUN)");
    }
    for no in ["0", "false", "No", "OFF"] {
        assert_eq!(kind(no), "\"firestore\" (environment variable DRY_RUN)");
    }
    for empty in ["", "  "] {
        assert!(kind(empty).contains("quotegate.toml"), "the file's value stays");
    }
}

#[test]
fn aliases_with_the_same_value_are_accepted() {
    let case = base().env("MONITORED_SYMBOLS", "SPY,QQQ").env("ALPACA_SYMBOLS", "spy qqq");
    assert!(row(&case.load(), "tenants.acme.symbols").ends_with("(environment variable MONITORED_SYMBOLS)"));
}

#[test]
fn a_variable_of_this_program_can_set_one_tenant() {
    let loaded = base().env("QUOTEGATE_TENANTS__ACME__BURST", "3").load();
    assert_eq!(row(&loaded, "tenants.acme.burst"), "3 (environment variable QUOTEGATE_TENANTS__ACME__BURST)");
    assert!(base().env("QUOTEGATE_TENANTS__NOBODY__BURST", "3").try_load().is_err());
}

#[test]
fn variables_of_other_programs_are_ignored() {
    base().env("PATH", "/bin").env("HOME", "").env("ALPACA", "x").load();
}

#[test]
fn kubernetes_service_links_are_not_settings() {
    let mut case = Case::new();
    for name in ["QUOTEGATE_SERVICE_HOST", "QUOTEGATE_SERVICE_PORT", "QUOTEGATE_PORT", "QUOTEGATE_PORT_80_TCP_ADDR"] {
        case = case.env(name, "10.0.0.7");
    }
    assert_eq!(case.load().settings.tenants.len(), 1);
}
