/*
 * base/constants.c
 *	  Asserts at compile time, on each server, that the numbers in the ABI are
 *	  the server's own.
 *
 * A build therefore needs no Rust bindings of the server.
 */
#include "base/aside.h"

#include "miscadmin.h"
#include "utils/errcodes.h"

#define SAME_AS_THE_SERVERS(name, server, a, b, c, d, e) \
	StaticAssertDecl((int) ASIDE_SQLSTATE_##name == ERRCODE_##server, "SQLSTATE " #name " is the server's");

ASIDE_SQLSTATES(SAME_AS_THE_SERVERS)

/* A Datum crosses as eight bytes. */
StaticAssertDecl(ASIDE_REFERENTIAL_ACTION == SECURITY_NOFORCE_RLS, "a referential action is known by what row security is told of it");
StaticAssertDecl(sizeof(Datum) == 8, "a Datum has eight bytes");
