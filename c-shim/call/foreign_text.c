/*
 * call/foreign_text.c
 *	  Text from another database of the cluster. It is refused where it would
 *	  become a value, and converted or escaped where a view shows it.
 *
 * All databases share the memory that holds commands, labels and messages.
 * Each text there is in the encoding of the database that it comes from, and
 * so is what the server shows of other processes.
 */
#include "call/call.h"

#include "catalog/namespace.h"
#include "catalog/pg_database.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

/* -1: there is no such database any more. */
static int
encoding_of(Oid database)
{
	HeapTuple	tuple;
	int			encoding;

	if (database == MyDatabaseId)
		return GetDatabaseEncoding();
	tuple = SearchSysCache1(DATABASEOID, ObjectIdGetDatum(database));
	if (!HeapTupleIsValid(tuple))
		return -1;
	encoding = ((Form_pg_database) GETSTRUCT(tuple))->encoding;
	ReleaseSysCache(tuple);
	return encoding;
}

/* Are values of that database valid in this one? Nothing converts them on their way. */
bool
aside_same_encoding(Oid database)
{
	return encoding_of(database) == GetDatabaseEncoding();
}

void
aside_refuse_encoding(Oid database, const char *message, const char *hint)
{
	int			encoding = encoding_of(database);

	if (encoding == GetDatabaseEncoding())
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg_internal("%s", message),
			 encoding < 0 ? errdetail("Its database has been dropped.") :
			 errdetail("Its encoding is %s, that of this database is %s.",
					   pg_encoding_to_char(encoding), GetDatabaseEncodingName()),
			 errhint("%s", hint)));
}

/* Append one character that is `len` bytes in the encoding `from`; false: this database's has none like it. */
static bool
append_character(StringInfo out, const unsigned char *at, int len, int from)
{
	unsigned char converted[MAX_CONVERSION_GROWTH * MAX_MULTIBYTE_CHAR_LEN + 1];
	int			to = GetDatabaseEncoding();
	Oid			conversion;

	if (from == to || (len == 1 && !IS_HIGHBIT_SET(*at)))
	{
		appendBinaryStringInfo(out, (const char *) at, len);
		return true;
	}
	conversion = FindDefaultConversionProc(from, to);
	if (!OidIsValid(conversion) ||
		pg_do_encoding_conversion_buf(conversion, from, to, unconstify(unsigned char *, at), len,
									  converted, sizeof(converted), true) != len)
		return false;
	appendStringInfoString(out, (char *) converted);
	return true;
}

/* In the encoding of this database: what it has no character for is in hexadecimal, as \xe4. */
aside_bytes
aside_shown_bytes(aside_bytes text, Oid database)
{
	int			from = encoding_of(database);
	StringInfoData out;
	aside_bytes bytes;

	/* Of such a text nothing is known; it must only be valid here. */
	if (from == PG_SQL_ASCII || GetDatabaseEncoding() == PG_SQL_ASCII)
		from = GetDatabaseEncoding();
	initStringInfo(&out);
	for (size_t i = 0; i < text.len;)
	{
		const unsigned char *at = text.data + i;
		int			len = from < 0 ? (IS_HIGHBIT_SET(*at) ? -1 : 1) :
			pg_encoding_verifymbchar(from, (const char *) at, text.len - i);

		if (*at != '\0' && len > 0 && append_character(&out, at, len, from))
			i += len;
		else
		{
			appendStringInfo(&out, "\\x%02x", *at);
			i++;
		}
	}
	bytes.data = (uint8_t *) out.data;
	bytes.len = out.len;
	return bytes;
}

/* The same as a text. */
Datum
aside_shown_text(aside_bytes text, Oid database)
{
	aside_bytes shown = aside_shown_bytes(text, database);

	return PointerGetDatum(cstring_to_text_with_len((const char *) shown.data, shown.len));
}
