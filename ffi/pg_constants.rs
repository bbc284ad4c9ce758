//! Numbers of ours that must be the server's: asserted against its own, at compile time.

use aside_core::report;
use pgrx_pg_sys as pg;

/// The server's MAKE_SQLSTATE values, as bindgen renders them.
const _: () = {
    assert!(report::QUERY_CANCELED == pg::errcodes::PgSqlErrorCode::ERRCODE_QUERY_CANCELED as u32);
    assert!(report::DEADLOCK_DETECTED == pg::errcodes::PgSqlErrorCode::ERRCODE_T_R_DEADLOCK_DETECTED as u32);
    assert!(report::CONNECTION_FAILURE == pg::errcodes::PgSqlErrorCode::ERRCODE_CONNECTION_FAILURE as u32);
    assert!(report::CONFIGURATION_LIMIT_EXCEEDED == pg::errcodes::PgSqlErrorCode::ERRCODE_CONFIGURATION_LIMIT_EXCEEDED as u32);
    assert!(report::STATEMENT_TOO_COMPLEX == pg::errcodes::PgSqlErrorCode::ERRCODE_STATEMENT_TOO_COMPLEX as u32);
    assert!(report::NULL_VALUE_NOT_ALLOWED == pg::errcodes::PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED as u32);
    assert!(report::INSUFFICIENT_PRIVILEGE == pg::errcodes::PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE as u32);
    assert!(report::FEATURE_NOT_SUPPORTED == pg::errcodes::PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED as u32);
    assert!(report::SYNTAX_ERROR == pg::errcodes::PgSqlErrorCode::ERRCODE_SYNTAX_ERROR as u32);
    assert!(report::PROTOCOL_VIOLATION == pg::errcodes::PgSqlErrorCode::ERRCODE_PROTOCOL_VIOLATION as u32);
    assert!(report::INTERNAL_ERROR == pg::errcodes::PgSqlErrorCode::ERRCODE_INTERNAL_ERROR as u32);
    // A Datum crosses as eight bytes.
    assert!(size_of::<pg::Datum>() == 8);
};
