/*
 * compat/dblink_error.c
 *	  Errors of remote commands, as users of dblink know them: without what an
 *	  autonomous transaction adds, and as libpq would print them.
 */
#include "compat/dblink.h"

#include "mb/pg_wchar.h"

/* Columns of the line that is shown, as psql does. */
#define SHOWN_COLUMNS 60

/*
 * A remote error keeps only its remote context. A position in the command
 * itself arrived as a position in an internal query; this turns it back. A
 * query that code has run stays an internal query.
 */
void
aside_dblink_undress(ErrorData *edata, char **command, int *position)
{
	static const char added[] = "autonomous transaction";
	int			rest = edata->context == NULL ? -1 : (int) strlen(edata->context) - (int) strlen(added);

	*command = NULL;
	*position = 0;
	if (rest < 0 || strcmp(edata->context + rest, added) != 0)
		return;
	if (rest > 0)
	{
		/* With the end of the line before. */
		edata->context = pnstrdup(edata->context, rest - 1);
		return;
	}
	edata->context = NULL;
	*command = edata->internalquery;
	*position = edata->internalpos;
	edata->internalquery = NULL;
	edata->internalpos = 0;
}

/* The line with a position, counted in characters, and a mark below it. */
static void
append_position(StringInfo out, const char *query, int position)
{
	const char *start = query;
	const char *at = query;
	const char *end;
	int			line = 1;
	int			before = 0;
	int			prefix;

	for (int i = 1; i < position && *at != '\0'; i++, at += pg_mblen(at))
		if (*at == '\n')
		{
			start = at + 1;
			line++;
		}
	for (end = at; *end != '\0' && *end != '\n';)
		end += pg_mblen(end);
	for (const char *c = start; c < at; c += pg_mblen(c))
		before++;
	/* Long lines are cut around the position. */
	prefix = out->len;
	appendStringInfo(out, "LINE %d: ", line);
	if (before > SHOWN_COLUMNS / 2 && pg_mbstrlen_with_len(start, end - start) > SHOWN_COLUMNS)
	{
		for (; before > SHOWN_COLUMNS / 2; before--)
			start += pg_mblen(start);
		appendStringInfoString(out, "...");
	}
	prefix = out->len - prefix;
	if (pg_mbstrlen_with_len(start, end - start) > SHOWN_COLUMNS)
	{
		appendBinaryStringInfo(out, start, pg_mbcharcliplen(start, end - start, SHOWN_COLUMNS));
		appendStringInfoString(out, "...");
	}
	else
		appendBinaryStringInfo(out, start, end - start);
	appendStringInfo(out, "\n%*s^\n", prefix + before, "");
}

/* What libpq says of an error. */
char *
aside_dblink_message(const ErrorData *edata)
{
	ErrorData	bare = *edata;
	char	   *command;
	int			position;
	StringInfoData out;

	aside_dblink_undress(&bare, &command, &position);
	initStringInfo(&out);
	appendStringInfo(&out, "%s:  %s\n", bare.elevel > ERROR ? "FATAL" : "ERROR", bare.message);
	if (command != NULL && position > 0)
		append_position(&out, command, position);
	else if (bare.internalquery != NULL && bare.internalpos > 0)
		append_position(&out, bare.internalquery, bare.internalpos);
	if (bare.detail != NULL)
		appendStringInfo(&out, "DETAIL:  %s\n", bare.detail);
	if (bare.hint != NULL)
		appendStringInfo(&out, "HINT:  %s\n", bare.hint);
	if (bare.internalquery != NULL)
		appendStringInfo(&out, "QUERY:  %s\n", bare.internalquery);
	if (bare.context != NULL)
		appendStringInfo(&out, "CONTEXT:  %s\n", bare.context);
	while (out.len > 0 && out.data[out.len - 1] == '\n')
		out.data[--out.len] = '\0';
	return out.data;
}
