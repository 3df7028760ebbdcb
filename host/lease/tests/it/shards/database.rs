//! What is stored, and what it was before.

use quotegate_lease::{Assignment, Document, Expected, Record, StoreError, StoredAssignment, Version, Workers};

/// Nobody hears of what is older.
const REMEMBERED: usize = 10;

pub(crate) struct Database {
    /// The last states of the workers' leases, oldest first.
    workers: Vec<Workers>,
    /// Every assignment that was ever stored, oldest first.
    assignments: Vec<StoredAssignment>,
    versions: i64,
}

impl Database {
    pub(crate) fn new() -> Self {
        Self { workers: vec![Workers::new()], assignments: Vec::new(), versions: 0 }
    }

    pub(crate) fn worker(&self, session: &str) -> Option<Document> {
        self.workers.last()?.get(session).cloned()
    }

    /// The workers' leases before the last `age` changes, without those that are forgotten.
    pub(crate) fn workers(&self, age: usize) -> Workers {
        let workers = &self.workers[self.workers.len().saturating_sub(age + 1)];
        let listed = workers.iter().filter(|(_, document)| document.record.worker.is_some());
        listed.map(|(session, document)| (session.clone(), document.clone())).collect()
    }

    /// The assignment before its last `age` changes.
    pub(crate) fn assignment(&self, age: usize) -> Option<&StoredAssignment> {
        self.assignments.len().checked_sub(age + 1).map(|at| &self.assignments[at])
    }

    pub(crate) fn write_worker(
        &mut self,
        session: &str,
        record: &Record,
        expected: Expected,
    ) -> Result<Version, StoreError> {
        if expected != expects(self.worker(session).map(|document| document.version)) {
            return Err(StoreError::Conflict);
        }
        let version = self.new_version();
        let document = Document { record: record.clone(), version };
        self.change_workers(|workers| workers.insert(session.to_owned(), document));
        Ok(version)
    }

    pub(crate) fn delete_worker(&mut self, session: &str) {
        self.change_workers(|workers| workers.remove(session));
    }

    pub(crate) fn write_assignment(
        &mut self,
        assignment: &Assignment,
        expected: Expected,
    ) -> Result<Version, StoreError> {
        if expected != expects(self.assignment(0).map(|found| found.version)) {
            return Err(StoreError::Conflict);
        }
        let version = self.new_version();
        self.assignments.push(StoredAssignment { assignment: assignment.clone(), version });
        Ok(version)
    }

    fn change_workers<T>(&mut self, change: impl FnOnce(&mut Workers) -> T) {
        let mut workers = self.workers.last().cloned().unwrap_or_default();
        change(&mut workers);
        self.workers.push(workers);
        let old = self.workers.len().saturating_sub(REMEMBERED);
        self.workers.drain(..old);
    }

    fn new_version(&mut self) -> Version {
        self.versions += 1;
        Version { seconds: self.versions, nanos: 0 }
    }
}

fn expects(found: Option<Version>) -> Expected {
    found.map_or(Expected::Absent, Expected::Version)
}
