/*
 * events/row.h
 *	  A row of the tables of events: its columns, and how to write one.
 */
#ifndef ASIDE_EVENT_ROW_H
#define ASIDE_EVENT_ROW_H

#include "events/events.h"

/* Columns, in their order: how C calls them, how SQL does, and their types. All are copied as they are but TXID. */
#define ASIDE_EVENT_ID(COLUMN) \
	COLUMN(ID, "id", INT8OID)
#define ASIDE_EVENT_TXID(COLUMN) \
	COLUMN(TXID, "txid", XID8OID)
#define ASIDE_EVENT_CONTENT(COLUMN) \
	COLUMN(CHANNEL, "channel", TEXTOID) \
	COLUMN(PAYLOAD, "payload", JSONBOID) \
	COLUMN(KEY, "key", TEXTOID) \
	COLUMN(PRIORITY, "priority", INT4OID) \
	COLUMN(RUN_AT, "run_at", TIMESTAMPTZOID) \
	COLUMN(UNIQUE_KEY, "unique_key", TEXTOID) \
	COLUMN(HEADERS, "headers", JSONBOID) \
	COLUMN(EMITTED, "emitted", TIMESTAMPTZOID) \
	COLUMN(EMITTED_BY, "emitted_by", OIDOID) \
	COLUMN(TARGET, "target", INT8OID) \
	COLUMN(ATTEMPTS, "attempts", INT4OID) \
	COLUMN(COMMAND, "command", TEXTOID) \
	COLUMN(DEPTH, "depth", INT4OID) \
	COLUMN(MAX_ATTEMPTS, "max_attempts", INT4OID) \
	COLUMN(TIMEOUT_MS, "timeout_ms", INT4OID) \
	COLUMN(EXPIRES, "expires", TIMESTAMPTZOID) \
	COLUMN(FIRST_TXID, "first_txid", XID8OID) \
	COLUMN(TIMED_TXID, "timed_txid", XID8OID) \
	COLUMN(KEY_UNTIL_START, "key_until_start", BOOLOID) \
	COLUMN(GROUP, "of_group", INT8OID)

#define ASIDE_EVENT_COLUMN(name, sql, type) EVENT_##name,
enum
{
	ASIDE_EVENT_ID(ASIDE_EVENT_COLUMN)
	ASIDE_EVENT_TXID(ASIDE_EVENT_COLUMN)
	ASIDE_EVENT_CONTENT(ASIDE_EVENT_COLUMN)
	EVENT_COLUMNS
};

#define ASIDE_EVENT_NAME(name, sql, type) ", " sql
#define ASIDE_EVENT_CONTENT_NAMES ASIDE_EVENT_CONTENT(ASIDE_EVENT_NAME)

/* A row, but for what its writer has not said: nothing. */
typedef struct AsideEventRow
{
	Datum		values[EVENT_COLUMNS];
	bool		nulls[EVENT_COLUMNS];
} AsideEventRow;

/* events/row.c */
extern void aside_start_event(AsideEventRow *row, int64 id, Datum channel);
extern void aside_set_event(AsideEventRow *row, int column, Datum value);
extern void aside_insert_event(Oid table, const AsideEventRow *row);
extern Datum aside_json_string(const char *text, int len);
extern Datum aside_sender_headers(uint32 pid);

#endif							/* ASIDE_EVENT_ROW_H */
