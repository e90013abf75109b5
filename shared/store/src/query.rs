//! Statements that a start can prepare.

use tokio_postgres::types::{ToSql, Type};

/// A statement with `N` parameters, which have the same types in each call.
#[derive(Debug)]
pub(crate) struct Query<const N: usize> {
    pub(crate) sql: &'static str,
    pub(crate) types: [Type; N],
}

impl<const N: usize> Query<N> {
    /// The parameters with their types.
    pub(crate) fn with<'a>(
        &self,
        values: [&'a (dyn ToSql + Sync); N],
    ) -> [(&'a (dyn ToSql + Sync), Type); N] {
        std::array::from_fn(|at| (values[at], self.types[at].clone()))
    }
}

/// A [`Query`] with any number of parameters.
pub(crate) trait Prepare: Sync {
    /// The statement, and the types of its parameters.
    fn text(&self) -> (&'static str, &[Type]);
}

impl<const N: usize> Prepare for Query<N> {
    fn text(&self) -> (&'static str, &[Type]) {
        (self.sql, &self.types)
    }
}
