//! Invariant 8 with real processes: two hosts, one owner.

use crate::harness::{Cluster, LEASE, Sim, eventually, finish, quotegate};
use quotegate_sim::{Rate, SimSettings};

#[test]
fn a_standby_takes_over_when_the_owner_is_stopped() {
    let sim = Sim::with(SimSettings { rate: Rate::PerSecond(1000.0), ..SimSettings::default() });
    let Some(cluster) = Cluster::or_skip("demo-lease", &sim) else { return };
    let mut members = vec![cluster.start("host-a"), cluster.start("host-b")];
    let owner = cluster.wait_for_owner(&members);
    eventually("quotes", || cluster.newest_write());
    let owner = members.remove(owner);
    let mut standby = members.remove(0);

    // The standby is ready, says who the owner is, and has not connected.
    let ready = eventually("a ready standby", || standby.readyz().filter(|answer| answer.status == 200));
    assert!(ready.body.contains("a standby") && ready.body.contains(&owner.name), "{}", ready.body);
    assert_eq!(sim.handle().connections(), 1);
    let url = format!("http://127.0.0.1:{}", standby.port);
    let status = finish(&mut quotegate(["status", &url]));
    assert_eq!(status.code, 0, "{}", status.stdout);
    assert!(status.stdout.starts_with("STANDBY") && status.stdout.contains(&owner.name), "{}", status.stdout);
    // Each page shows both hosts.
    eventually("both reports", || {
        let hosts = standby.state()?["hosts"].clone();
        let roles = |role: &str| hosts.as_array().unwrap().iter().filter(|host| host["role"] == role).count();
        ((roles("owner"), roles("standby")) == (1, 1)).then_some(())
    });
    eventually("the owner's heartbeat", || {
        (cluster.heartbeat()?["instance_id"]["stringValue"] == owner.name.as_str()).then_some(())
    });

    owner.running.signal("TERM");
    assert_eq!(owner.running.wait().code, 0);
    standby.running.wait_for_event("lease_taken");
    eventually("its heartbeat", || {
        let heartbeat = cluster.heartbeat()?;
        let runs = heartbeat["status"]["stringValue"] == "running";
        (runs && heartbeat["instance_id"]["stringValue"] == standby.name.as_str()).then_some(())
    });
    assert_eq!(cluster.wait_for_owner(std::slice::from_ref(&standby)), 0);
    let written = cluster.newest_write().unwrap();
    cluster.wait_for_write_after(written);

    // Nobody is left to hand over to: everything is written, and the heartbeat says that ingest has stopped.
    standby.running.signal("TERM");
    let ended = standby.running.wait();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let heartbeat = cluster.heartbeat().unwrap();
    assert_eq!(heartbeat["status"]["stringValue"], "stopped");
    let lease = cluster.emulator.document(cluster.project, LEASE).unwrap();
    assert!(lease["fields"]["owner"].get("nullValue").is_some(), "{lease}");
    // More if a busy machine lost the lease in between.
    let epoch = lease["fields"]["epoch"]["integerValue"].as_str().unwrap();
    assert!(epoch.parse::<u64>().unwrap() >= 2, "{epoch}");
}

#[test]
fn a_dry_run_needs_no_lease() {
    let mut command = quotegate(["run", "--stop-after", "1"]);
    command.env("TENANT_ID", "acme").env("DRY_RUN", "1").env("QUOTEGATE_LEASE__ENABLED", "true");
    let finished = finish(command.env("QUOTEGATE_LOG__FORMAT", "json"));
    assert_eq!(finished.code, 0);
    assert!(
        finished.stderr.contains("lease_off") && finished.stderr.contains("firestore_write"),
        "{}",
        finished.stderr
    );
}
