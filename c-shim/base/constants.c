/*
 * base/constants.c
 *	  Asserts at compile time, on each server, that the numbers in the ABI are
 *	  the server's own.
 *
 * A build therefore needs no Rust bindings of the server.
 */
#include "base/aside.h"

#include "datatype/timestamp.h"
#include "miscadmin.h"
#include "utils/errcodes.h"

#define SAME_AS_THE_SERVERS(name, server, a, b, c, d, e) \
	StaticAssertDecl((int) ASIDE_SQLSTATE_##name == ERRCODE_##server, "SQLSTATE " #name " is the server's");

ASIDE_SQLSTATES(SAME_AS_THE_SERVERS)

/* Severities have numbers of their own, in the order of the server's. */
StaticAssertDecl(ASIDE_DEBUG < ASIDE_LOG && ASIDE_LOG < ASIDE_INFO && ASIDE_INFO < ASIDE_NOTICE && ASIDE_NOTICE < ASIDE_WARNING &&
				 ASIDE_WARNING < ASIDE_ERROR && ASIDE_ERROR < ASIDE_FATAL, "severities are in order");
StaticAssertDecl(DEBUG1 < LOG && LOG < INFO && INFO < NOTICE && NOTICE < WARNING && WARNING < ERROR && ERROR < FATAL,
				 "the server's severities are in that order");
StaticAssertDecl(ASIDE_REFERENTIAL_ACTION == SECURITY_NOFORCE_RLS, "a referential action is known by what row security is told of it");
StaticAssertDecl(sizeof(Datum) == 8, "a Datum crosses as eight bytes");
StaticAssertDecl(POSTGRES_EPOCH_JDATE == 2451545, "times are microseconds since 2000-01-01, whose Julian day this is");
