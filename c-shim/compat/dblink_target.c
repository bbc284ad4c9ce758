/*
 * compat/dblink_target.c
 *	  What a connection string or a foreign server of dblink names: is it this
 *	  server, and which of its databases?
 *
 * The SQL function aside.dblink_target reads the string itself.
 */
#include "compat/dblink.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/dbcommands.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "libpq/ifaddr.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "parser/scansup.h"
#include "postmaster/postmaster.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/varlena.h"

PG_FUNCTION_INFO_V1(aside_dblink_is_own_address);

/* An address without its port. */
typedef struct Address
{
	int			family;			/* AF_UNSPEC: it is none */
	unsigned char bytes[16];
	bool		found;			/* it is an interface's */
} Address;

static Address
read_address(const char *text)
{
	Address		address = {.family = AF_UNSPEC};

	if (inet_pton(AF_INET, text, address.bytes) == 1)
		address.family = AF_INET;
	else if (inet_pton(AF_INET6, text, address.bytes) == 1)
		address.family = AF_INET6;
	return address;
}

static bool
same_address(const Address *a, const Address *b)
{
	return a->family == b->family && a->family != AF_UNSPEC &&
		memcmp(a->bytes, b->bytes, a->family == AF_INET ? 4 : 16) == 0;
}

static void
compare_interface(struct sockaddr *addr, struct sockaddr *netmask, void *arg)
{
	Address    *wanted = arg;
	Address		one = {.family = addr->sa_family};

	if (one.family == AF_INET)
		memcpy(one.bytes, &((struct sockaddr_in *) addr)->sin_addr, 4);
	else if (one.family == AF_INET6)
		memcpy(one.bytes, &((struct sockaddr_in6 *) addr)->sin6_addr, 16);
	wanted->found = wanted->found || same_address(&one, wanted);
}

/* Is it an address of this host? All of 127/8 are. */
static bool
is_of_host(Address *address)
{
	if (address->family == AF_INET && address->bytes[0] == 127)
		return true;
	(void) pg_foreach_ifaddr(compare_interface, address);
	return address->found;
}

static bool
is_of_everybody(const Address *address)
{
	Address		any = {.family = address->family};

	return same_address(address, &any);
}

/* Does this server listen on all addresses of the family, or on this one? */
static bool
listens_on(const char *host, const Address *address, const char *entry)
{
	Address		listens = read_address(entry);

	if (strcmp(entry, "*") == 0 || pg_strcasecmp(entry, host) == 0 || same_address(&listens, address))
		return true;
	return is_of_everybody(&listens) && (address->family == AF_UNSPEC || address->family == listens.family);
}

/* aside.dblink_is_own_address(host text) returns boolean: an address or this host's name, and the server listens there */
Datum
aside_dblink_is_own_address(PG_FUNCTION_ARGS)
{
	char	   *host = text_to_cstring(PG_GETARG_TEXT_PP(0));
	Address		address = read_address(host);
	char		own[256] = "";
	List	   *entries;
	ListCell   *cell;
	bool		here;

	if (address.family == AF_UNSPEC)
		here = gethostname(own, sizeof(own) - 1) == 0 && pg_strcasecmp(own, host) == 0;
	else
		here = is_of_host(&address);
	if (ListenAddresses == NULL || !SplitGUCList(pstrdup(ListenAddresses), ',', &entries))
		PG_RETURN_BOOL(false);
	foreach(cell, entries)
		if ((here && listens_on(host, &address, lfirst(cell))) || pg_strcasecmp(lfirst(cell), host) == 0)
			PG_RETURN_BOOL(true);
	PG_RETURN_BOOL(false);
}

static void
append_option(StringInfo out, const DefElem *option)
{
	/* The options that say where to connect, and as whom. Secrets are ignored. */
	static const char *const known[] = {"host", "hostaddr", "port", "dbname", "user", "options", "application_name",
	"service", "target_session_attrs"};

	for (int i = 0; i < lengthof(known); i++)
		if (strcmp(option->defname, known[i]) == 0)
		{
			appendStringInfo(out, "%s='", known[i]);
			for (const char *c = defGetString(unconstify(DefElem *, option)); *c != '\0'; c++)
			{
				if (*c == '\'' || *c == '\\')
					appendStringInfoChar(out, '\\');
				appendStringInfoChar(out, *c);
			}
			appendStringInfoString(out, "' ");
		}
}

/* The connection string of a foreign server of that name, for a user who may use it; NULL: there is none. */
static char *
server_string(const char *name)
{
	char	   *copy = pstrdup(name);
	ForeignServer *server;
	List	   *lists;
	ListCell   *list;
	ListCell   *cell;
	StringInfoData out;

	truncate_identifier(copy, strlen(copy), false);
	server = GetForeignServerByName(copy, true);
	if (server == NULL)
		return NULL;
	lists = list_make3(GetForeignDataWrapper(server->fdwid)->options, server->options,
					   GetUserMapping(GetUserId(), server->serverid)->options);
	if (aside_server_aclcheck(server->serverid, GetUserId()) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_SERVER, server->servername);
	initStringInfo(&out);
	foreach(list, lists)
		foreach(cell, (List *) lfirst(list))
			append_option(&out, lfirst(cell));
	return out.data;
}

static char *
text_field(HeapTupleHeader row, const char *name)
{
	bool		null;
	Datum		value = GetAttributeByName(row, name, &null);

	return null ? NULL : TextDatumGetCString(value);
}

static void
refuse(HeapTupleHeader row)
{
	char	   *state = text_field(row, "state");
	char	   *hint = text_field(row, "hint");

	if (state == NULL)
		return;
	ereport(ERROR,
			(errcode(MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])),
			 hint == NULL ? errmsg("could not establish connection") :
			 errmsg("connection string is not served by aside_dblink"),
			 errdetail_internal("%s", text_field(row, "detail")),
			 hint == NULL ? 0 : errhint("%s", hint)));
}

static List *
settings_field(HeapTupleHeader row)
{
	bool		null;
	Datum		value = GetAttributeByName(row, "settings", &null);
	List	   *settings = NIL;
	Datum	   *elements;
	int			count = 0;

	if (!null)
		deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	for (int i = 0; i < count; i++)
		settings = lappend(settings, TextDatumGetCString(elements[i]));
	return settings;
}

/* What a connection string, or the name of a foreign server, asks for. Raises an error if it cannot be had. */
Target
aside_dblink_target(const char *conninfo)
{
	Oid			types[1] = {TEXTOID};
	char	   *of_server = server_string(conninfo);
	HeapTupleHeader row;
	Target		target = {0};

	if (of_server != NULL)
		conninfo = of_server;
	row = aside_returned_row(OidFunctionCall1(
		LookupFuncName(list_make2(makeString("aside"), makeString("dblink_target")), 1, types, false),
		CStringGetTextDatum(conninfo)));
	refuse(row);
	target.name = text_field(row, "database");
	target.database = get_database_oid(target.name, false);
	target.setup = text_field(row, "setup");
	target.settings = settings_field(row);
	return target;
}
