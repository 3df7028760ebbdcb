use super::{BuildProblem, Say};
use crate::project::Project;

pub(super) const MADE: &[&str] = &[];
pub(super) const FIRST: Option<&str> = None;

pub(super) fn build(project: &Project, _say: &mut Say<'_>) -> Result<Vec<u8>, BuildProblem> {
    Err(BuildProblem::Source(format!("{}: components of Python are not built yet.", project.name)))
}
