use super::*;
use quotegate_config::Sources;
use quotegate_pipeline::simulation::TenantReport;

fn settings(file: &str) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("quotegate.toml");
    std::fs::write(&path, format!("[sink]\nkind = \"dry-run\"\n{file}")).unwrap();
    Settings::load(&Sources { file: Some(path), ..Sources::default() }).unwrap().settings
}

fn writes(session: u64, day: u64) -> Writes {
    Writes { session, day }
}

#[test]
fn the_lowest_limit_of_a_tenant_decides() {
    let settings = settings(
        r#"
        [tenants.all]
        symbols = ["*"]
        [tenants.own]
        symbols = ["A", "B", "C"]
        writes_per_second = 0.5
        [tenants.plain]
        symbols = ["A", "B"]
        [tenants.slow]
        symbols = ["A"]
        per_symbol_min_interval_ms = 60000
        [tenants.unpaced]
        symbols = ["A"]
        per_symbol_min_interval_ms = 0
        "#,
    );
    let estimate = estimate(&settings, None, None);
    let found: Vec<_> = estimate.tenants.iter().map(|tenant| (tenant.limited_by, tenant.highest)).collect();
    let everything = writes(20 * 23_400, 20 * 86_400);
    let expected = [
        (LimitedBy::GlobalRate, everything),
        (LimitedBy::OwnRate, writes(11_700, 43_200)),
        (LimitedBy::Symbols, writes(46_800, 172_800)),
        (LimitedBy::Symbols, writes(390, 1440)),
        (LimitedBy::GlobalRate, everything),
    ];
    assert_eq!(found, expected);
    // The global limit bounds the sum. Five heartbeats every 15 s are added.
    assert_eq!((estimate.highest_quotes, estimate.heartbeats), (everything, 5 * 5760));
    assert_eq!(estimate.highest, writes(468_000 + 28_800, 1_728_000 + 28_800));
    assert_eq!((estimate.likely, estimate.control_reads), (None, 8640));
    // One for each symbol and one for the heartbeat; how many documents "all" has is not known.
    let reads: Vec<_> = estimate.tenants.iter().map(|tenant| tenant.start_reads).collect();
    assert_eq!((reads, estimate.start_reads), (vec![None, Some(4), Some(3), Some(2), Some(2)], 11));
}

#[test]
fn a_custom_map_may_make_as_many_documents_as_its_limit_allows() {
    let settings = settings(
        r#"
        [tenants.acme]
        symbols = ["A"]
        [[tenants.acme.plugins]]
        standard = "field-map"
        [[tenants.acme.plugins]]
        path = "map.wasm"
        limits = { documents_per_quote = 3 }
        "#,
    );
    let acme = &estimate(&settings, None, None).tenants[0];
    assert_eq!((acme.documents_per_quote, acme.highest), (3, writes(70_200, 259_200)));
    assert_eq!(acme.start_reads, Some(4));
}

#[test]
fn every_collection_and_the_mirror_count() {
    let settings = settings(
        r#"
        root_mirror = "plain"
        [tenants.mapped]
        symbols = ["A"]
        collections = ["a", "b/c/d", { path = "live", shape = "streamer" }]
        plugins = [{ path = "map.wasm", limits = { documents_per_quote = 3 } }]
        [tenants.plain]
        symbols = ["A"]
        collections = ["a", { path = "live", shape = "streamer" }]
        "#,
    );
    let documents: Vec<_> =
        estimate(&settings, None, None).tenants.iter().map(|tenant| tenant.documents_per_quote).collect();
    assert_eq!(documents, [3 + 3 + 1, 1 + 1 + 1]);
}

#[test]
fn a_recording_is_scaled_to_a_day_within_the_limits() {
    let settings = settings(
        r#"
        [tenants.bursts]
        symbols = ["A", "B"]
        writes_per_second = 0.1
        [tenants.steady]
        symbols = ["A", "B"]
        "#,
    );
    let tenants = settings.tenants.iter().zip([30, 15]).map(|(tenant, writes)| TenantReport {
        tenant: tenant.id.clone(),
        writes,
        plugins: Vec::new(),
        fuel: None,
        stopped: None,
    });
    let estimate = estimate(&settings, Some(&SimulationReport { seconds: 20.0, tenants: tenants.collect() }), None);
    assert_eq!(estimate.tenants[0].likely, Some(writes(2340, 8640)));
    assert_eq!(estimate.tenants[1].likely, Some(writes(17_550, 64_800)));
    assert_eq!(estimate.likely_quotes, Some(writes(19_890, 73_440)));
    let [session, day] = estimate.likely.unwrap().cost(0.09);
    assert!((session - 0.028_269).abs() < 1e-9 && (day - 0.076_464).abs() < 1e-9, "{session} {day}");
}

#[test]
fn without_the_fence_nothing_is_read() {
    let settings = settings("fence = false\n[tenants.acme]\nsymbols = [\"*\"]");
    let estimate = estimate(&settings, None, None);
    assert_eq!((estimate.tenants[0].start_reads, estimate.start_reads), (Some(0), 0));
}

#[test]
fn the_lease_is_renewed_three_times_in_its_time_to_live() {
    let tenant = "[tenants.acme]\nsymbols = [\"A\"]";
    let without = estimate(&settings(tenant), None, None);
    assert_eq!((without.lease_renewals, without.reports_per_host), (0, 0));
    let with = estimate(&settings(&format!("[lease]\nenabled = true\n{tenant}")), None, None);
    assert_eq!((with.lease_renewals, with.reports_per_host), (86_400, 5760));
    assert_eq!(with.highest, without.highest.plus(86_400));
}
