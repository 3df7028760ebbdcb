//! `ops/ingest_hosts/instances/{instance}`: what each host says about itself.

use std::time::Duration;

use firestore::gcloud_sdk::google::firestore::v1 as proto;
use futures_util::StreamExt;
use proto::document_transform::FieldTransform;
use proto::document_transform::field_transform::{ServerValue, TransformType};
use proto::structured_query::{Direction, FieldReference, Order};
use quotegate_document::UnixNanos;
use quotegate_sink::FirestoreSettings;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::firestore::{Database, Fields, all_of, integer, optional_text, text, values};

/// What a host does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HostRole {
    /// It owns the feed.
    Owner,
    /// It waits.
    Standby,
    /// It does not compete for the feed, and writes the documents of its shards.
    Worker,
    /// It has ended.
    Stopped,
}

/// What a host says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostReport {
    /// Its name.
    pub instance: String,
    /// What it does.
    pub role: HostRole,
    /// Its feed.
    pub feed: String,
    /// The lease's epoch, as far as it knows.
    pub epoch: u64,
    /// Why it cannot do its work, if it cannot. A standby without a problem can take over.
    pub problem: Option<String>,
    /// Where its page is, if others can reach it.
    pub address: Option<String>,
    /// Its version.
    pub version: String,
    /// When it started, by its own clock.
    pub started: UnixNanos,
    /// Its work, if a relay divides it. Also an owner or a standby may be a worker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<WorkerReport>,
}

/// What a worker says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerReport {
    /// How many shards it holds.
    pub shards: u64,
    /// How many tenants it runs.
    pub tenants: u64,
    /// The longest time of the last seconds from publishing to arrival, in nanoseconds, by the clocks of two machines.
    pub lag: Option<i64>,
    /// How often batches of quotes were missing. A snapshot brought what they contained.
    pub gaps: u64,
    /// Quotes that it did not use, because they came late or twice, or could not be read.
    pub dropped: u64,
    /// Why it cannot do its work, if it cannot.
    pub problem: Option<String>,
}

/// A host's report, and its age.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportedHost {
    /// The report.
    #[serde(flatten)]
    pub report: HostReport,
    /// How old it was when it was read, by Firestore's clock alone.
    pub age_seconds: f64,
}

/// Where the reports are.
#[derive(Clone)]
pub struct HostReports {
    database: Database,
}

const PARENT: &str = "ops/ingest_hosts";
const COLLECTION: &str = "instances";
/// Each start of a container leaves a report; only the newest ones matter.
const MAX_REPORTS: i32 = 100;
/// Older reports are of hosts that are gone.
const MAX_AGE: Duration = Duration::from_secs(3600);

impl HostRole {
    /// The word in the document.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Standby => "standby",
            Self::Worker => "worker",
            Self::Stopped => "stopped",
        }
    }

    fn from_str(text: &str) -> Option<Self> {
        [Self::Owner, Self::Standby, Self::Worker, Self::Stopped].into_iter().find(|role| role.as_str() == text)
    }
}

impl HostReports {
    /// In the database of these settings. Nothing is sent yet.
    pub fn new(settings: &FirestoreSettings) -> Self {
        Self { database: Database::new(settings) }
    }

    /// Replaces the host's report.
    pub async fn write(&self, report: &HostReport) -> Result<(), StoreError> {
        let connection = self.database.connection().await?;
        let id = report.instance.replace('/', "%2F");
        let name = format!("{}/{PARENT}/{COLLECTION}/{id}", connection.documents_path());
        let now = FieldTransform {
            field_path: "ts".to_owned(),
            transform_type: Some(TransformType::SetToServerValue(ServerValue::RequestTime as i32)),
        };
        let write = proto::Write {
            operation: Some(proto::write::Operation::Update(proto::Document {
                name,
                fields: encode(report),
                ..Default::default()
            })),
            update_transforms: vec![now],
            ..Default::default()
        };
        let database = connection.database.clone();
        let request = proto::CommitRequest { database, writes: vec![write], ..Default::default() };
        match connection.client.get().commit(request).await {
            Ok(_) => Ok(()),
            Err(status) => Err(self.database.failed(&status).await),
        }
    }

    /// The reports of the last hour, newest first. Google bills one read each.
    pub async fn list(&self) -> Result<Vec<ReportedHost>, StoreError> {
        let connection = self.database.connection().await?;
        let order = Order {
            field: Some(FieldReference { field_path: "ts".to_owned() }),
            direction: Direction::Descending as i32,
        };
        let query = proto::StructuredQuery { order_by: vec![order], limit: Some(MAX_REPORTS), ..all_of(COLLECTION) };
        let request = proto::RunQueryRequest {
            parent: format!("{}/{PARENT}", connection.documents_path()),
            query_type: Some(proto::run_query_request::QueryType::StructuredQuery(query)),
            ..Default::default()
        };
        let mut answers = match connection.client.get().run_query(request).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return Err(self.database.failed(&status).await),
        };
        let mut hosts = Vec::new();
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(answer) => hosts.extend(decode(&answer).filter(|host| host.age_seconds < MAX_AGE.as_secs_f64())),
                Err(status) => return Err(self.database.failed(&status).await),
            }
        }
        Ok(hosts)
    }
}

fn encode(report: &HostReport) -> Fields {
    let mut fields = Fields::from([
        ("instance".to_owned(), text(&report.instance)),
        ("role".to_owned(), text(report.role.as_str())),
        ("feed".to_owned(), text(&report.feed)),
        ("epoch".to_owned(), count(report.epoch)),
        ("problem".to_owned(), optional_text(report.problem.as_deref())),
        ("address".to_owned(), optional_text(report.address.as_deref())),
        ("version".to_owned(), text(&report.version)),
        ("started_at".to_owned(), values::time(report.started)),
    ]);
    if let Some(worker) = &report.worker {
        fields.extend([
            ("shards".to_owned(), count(worker.shards)),
            ("tenants".to_owned(), count(worker.tenants)),
            ("gaps".to_owned(), count(worker.gaps)),
            ("dropped".to_owned(), count(worker.dropped)),
            ("worker_problem".to_owned(), optional_text(worker.problem.as_deref())),
        ]);
        fields.extend(worker.lag.map(|lag| ("lag_ns".to_owned(), integer(lag))));
    }
    fields
}

fn count(count: u64) -> proto::Value {
    integer(i64::try_from(count).unwrap_or(i64::MAX))
}

/// `None` if it is not a report of this program.
fn decode(answer: &proto::RunQueryResponse) -> Option<ReportedHost> {
    let document = answer.document.as_ref()?;
    let age = values::nanos(answer.read_time.as_ref()?) - values::nanos(document.update_time.as_ref()?);
    let report = report(&document.fields)?;
    Some(ReportedHost { report, age_seconds: age.max(0) as f64 / 1e9 })
}

fn report(fields: &Fields) -> Option<HostReport> {
    let word = |field| values::as_text(fields.get(field)).map(str::to_owned);
    let number = |field| values::as_integer(fields.get(field)).and_then(|count| u64::try_from(count).ok());
    let worker = number("shards").map(|shards| WorkerReport {
        shards,
        tenants: number("tenants").unwrap_or(0),
        lag: values::as_integer(fields.get("lag_ns")),
        gaps: number("gaps").unwrap_or(0),
        dropped: number("dropped").unwrap_or(0),
        problem: word("worker_problem"),
    });
    Some(HostReport {
        instance: word("instance")?,
        role: HostRole::from_str(&word("role")?)?,
        feed: word("feed")?,
        epoch: number("epoch")?,
        problem: word("problem"),
        address: word("address"),
        version: word("version")?,
        started: values::as_time(fields.get("started_at"))?,
        worker,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_reads_back_as_it_was_written() {
        let worker = WorkerReport { shards: 21, tenants: 330, lag: Some(400_000), gaps: 1, dropped: 2, problem: None };
        let of = |role, worker| HostReport {
            instance: "host-a".into(),
            role,
            feed: "iex".into(),
            epoch: 3,
            problem: None,
            address: Some("10.0.0.5:8700".into()),
            version: "0.1.0".into(),
            started: 1_700_000_000_123_456_000,
            worker,
        };
        for written in [of(HostRole::Standby, None), of(HostRole::Worker, Some(worker))] {
            assert_eq!(report(&encode(&written)), Some(written));
        }
    }
}
