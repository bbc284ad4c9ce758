//! Numbers of ours that must be the server's: asserted against its own by pgrx-pg-sys, at compile time, on each server that it
//! knows. c-shim/base/constants.c asserts the same without it.

use crate::abi;
use crate::constants::sqlstates;
use aside_core::report::{self, Severity};
use pgrx_pg_sys as pg;

macro_rules! same_as_the_servers {
    ($($ours:ident $abi:ident $server:ident,)*) => { $( assert!(report::$ours == pg::errcodes::PgSqlErrorCode::$server as u32); )* };
}

const _: () = {
    sqlstates!(same_as_the_servers);
    // Severities have numbers of their own, in the order of the server's.
    let severities = [
        (Severity::Debug, abi::aside_severity::ASIDE_DEBUG, pg::DEBUG1),
        (Severity::Log, abi::aside_severity::ASIDE_LOG, pg::LOG),
        (Severity::Info, abi::aside_severity::ASIDE_INFO, pg::INFO),
        (Severity::Notice, abi::aside_severity::ASIDE_NOTICE, pg::NOTICE),
        (Severity::Warning, abi::aside_severity::ASIDE_WARNING, pg::WARNING),
        (Severity::Error, abi::aside_severity::ASIDE_ERROR, pg::PGERROR),
        (Severity::Fatal, abi::aside_severity::ASIDE_FATAL, pg::FATAL),
    ];
    let mut n = 0;
    while n < severities.len() {
        assert!(severities[n].0 as u32 == severities[n].1);
        assert!(n == 0 || severities[n - 1].1 < severities[n].1 && severities[n - 1].2 < severities[n].2);
        n += 1;
    }
    // A referential action is known by what row security is told of it.
    assert!(abi::ASIDE_REFERENTIAL_ACTION == pg::SECURITY_NOFORCE_RLS);
    // A Datum crosses as eight bytes.
    assert!(size_of::<pg::Datum>() == 8);
    // Times are microseconds since 2000-01-01, whose Julian day this is.
    assert!(pg::POSTGRES_EPOCH_JDATE == 2_451_545);
};
