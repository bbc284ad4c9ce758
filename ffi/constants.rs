//! Numbers of the core, SQLSTATEs above all, that must be those of `aside_abi.h`: asserted at compile time, without a server.
//! `c-shim/base/constants.c` asserts those of the ABI against the server's own.

use crate::abi::{aside_sqlstate as abi, aside_sqlstate_count::ASIDE_SQLSTATE_COUNT};
use aside_core::report;

const _: () = {
    assert!(aside_core::host::REFERENTIAL_ACTION == crate::abi::ASIDE_REFERENTIAL_ACTION);
    assert!(report::NULL_VALUE_NOT_ALLOWED == abi::ASIDE_SQLSTATE_NULL_VALUE_NOT_ALLOWED);
    assert!(report::FEATURE_NOT_SUPPORTED == abi::ASIDE_SQLSTATE_FEATURE_NOT_SUPPORTED);
    assert!(report::CONNECTION_DOES_NOT_EXIST == abi::ASIDE_SQLSTATE_CONNECTION_DOES_NOT_EXIST);
    assert!(report::OBJECT_NOT_IN_PREREQUISITE_STATE == abi::ASIDE_SQLSTATE_OBJECT_NOT_IN_PREREQUISITE_STATE);
    assert!(report::DUPLICATE_OBJECT == abi::ASIDE_SQLSTATE_DUPLICATE_OBJECT);
    assert!(report::UNDEFINED_OBJECT == abi::ASIDE_SQLSTATE_UNDEFINED_OBJECT);
    assert!(report::FAILED_TRANSACTION == abi::ASIDE_SQLSTATE_FAILED_TRANSACTION);
    assert!(report::CONNECTION_FAILURE == abi::ASIDE_SQLSTATE_CONNECTION_FAILURE);
    assert!(report::DEADLOCK_DETECTED == abi::ASIDE_SQLSTATE_DEADLOCK_DETECTED);
    assert!(report::INSUFFICIENT_PRIVILEGE == abi::ASIDE_SQLSTATE_INSUFFICIENT_PRIVILEGE);
    assert!(report::SYNTAX_ERROR == abi::ASIDE_SQLSTATE_SYNTAX_ERROR);
    assert!(report::UNDEFINED_PARAMETER == abi::ASIDE_SQLSTATE_UNDEFINED_PARAMETER);
    assert!(report::ADMIN_SHUTDOWN == abi::ASIDE_SQLSTATE_ADMIN_SHUTDOWN);
    assert!(report::CANNOT_CONNECT_NOW == abi::ASIDE_SQLSTATE_CANNOT_CONNECT_NOW);
    assert!(report::OUT_OF_MEMORY == abi::ASIDE_SQLSTATE_OUT_OF_MEMORY);
    assert!(report::CONFIGURATION_LIMIT_EXCEEDED == abi::ASIDE_SQLSTATE_CONFIGURATION_LIMIT_EXCEEDED);
    assert!(report::STATEMENT_TOO_COMPLEX == abi::ASIDE_SQLSTATE_STATEMENT_TOO_COMPLEX);
    assert!(report::QUERY_CANCELED == abi::ASIDE_SQLSTATE_QUERY_CANCELED);
    assert!(report::PROTOCOL_VIOLATION == abi::ASIDE_SQLSTATE_PROTOCOL_VIOLATION);
    assert!(report::INTERNAL_ERROR == abi::ASIDE_SQLSTATE_INTERNAL_ERROR);
    // None is left out.
    assert!(report::SQLSTATES.len() == ASIDE_SQLSTATE_COUNT as usize);
};
