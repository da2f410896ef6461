//! How ids stand in the database: UUIDs for people who look into it, bytes for hashes.

use std::error::Error;

use bytes::BytesMut;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use uuid::Uuid;

use crate::tracking::event::EventId;

/// A UUID as a parameter or a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(pub(super) [u8; 16]);

impl Id {
    pub(super) fn event(self) -> EventId {
        EventId::new(Uuid::from_bytes(self.0))
    }
}

impl From<EventId> for Id {
    fn from(id: EventId) -> Self {
        Self(*id.as_bytes())
    }
}

impl From<Uuid> for Id {
    fn from(id: Uuid) -> Self {
        Self(id.into_bytes())
    }
}

impl ToSql for Id {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }

    to_sql_checked!();
}

impl<'a> FromSql<'a> for Id {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(raw.try_into()?))
    }

    fn accepts(ty: &Type) -> bool {
        *ty == Type::UUID
    }
}
