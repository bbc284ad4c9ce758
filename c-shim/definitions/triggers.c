/*
 * definitions/triggers.c
 *	  Triggers on the tables of pg_aside: who may write which rows, and how
 *	  the proxy of a definition follows its row.
 *
 * The triggers fire for everybody who writes, including superusers and the
 * COPY of a restore, whatever session_replication_role says. A row of
 * definitions has the columns id, name, owner (text) and inert.
 */
#include "definitions/definition.h"
#include "events/events.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(aside_check_definition);
PG_FUNCTION_INFO_V1(aside_follow_definition);
PG_FUNCTION_INFO_V1(aside_check_writer);
PG_FUNCTION_INFO_V1(aside_definitions_changed);
PG_FUNCTION_INFO_V1(aside_discard_replicated);

typedef struct Row
{
	AsideDefinition definition;
	char	   *owner;			/* the role's name, as the row has it */
	bool		inert;			/* belongs to nobody */
} Row;

static Datum
column(HeapTuple tuple, TupleDesc desc, const char *name, bool *null)
{
	int			number = SPI_fnumber(desc, name);

	if (number <= 0)
		elog(ERROR, "table of definitions has no column \"%s\"", name);
	return SPI_getbinval(tuple, desc, number, null);
}

static char *
text_column(HeapTuple tuple, TupleDesc desc, const char *name)
{
	bool		null;
	Datum		value = column(tuple, desc, name, &null);

	/* The table's constraints refuse what no row may have, after its triggers. */
	return null ? pstrdup("") : TextDatumGetCString(value);
}

static Row
read_row(TriggerData *trigger, HeapTuple tuple)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	Row			row = {.definition.kind = trigger->tg_trigger->tgargs[0]};
	bool		null;
	Datum		value = column(tuple, desc, "id", &null);

	if (null)
		ereport(ERROR, (errcode(ERRCODE_NOT_NULL_VIOLATION), errmsg("id of a definition must not be null")));
	row.definition.id = SPI_gettypeid(desc, SPI_fnumber(desc, "id")) == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value);
	row.definition.name = text_column(tuple, desc, "name");
	row.owner = text_column(tuple, desc, "owner");
	value = column(tuple, desc, "inert", &null);
	row.inert = !null && DatumGetBool(value);
	return row;
}

/*
 * A user who writes a row that acts for a role must have that role's
 * privileges. For a row that acts for nobody, the user must have those of the
 * tables' owner.
 */
static void
check_rights(TriggerData *trigger, const Row *row, Oid owner)
{
	if (has_privs_of_role(GetUserId(), OidIsValid(owner) ? owner : trigger->tg_relation->rd_rel->relowner))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("permission denied for %s \"%s\"", row->definition.kind, row->definition.name),
			 OidIsValid(owner) ?
			 errdetail("It acts for role \"%s\", and role \"%s\" does not have its privileges.",
					   GetUserNameFromId(owner, false), GetUserNameFromId(GetUserId(), false)) :
			 errdetail("Its owner, \"%s\", is no role.", row->owner)));
}

static HeapTuple
with_owner(TriggerData *trigger, HeapTuple tuple, const char *owner, bool inert)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			columns[] = {SPI_fnumber(desc, "owner"), SPI_fnumber(desc, "inert")};
	Datum		values[] = {CStringGetTextDatum(owner), BoolGetDatum(inert)};
	bool		nulls[] = {false, false};

	return heap_modify_tuple_by_cols(tuple, desc, lengthof(columns), columns, values, nulls);
}

/*
 * A new row belongs to the user who writes it. When a dump is restored, it
 * belongs to the role that the row and the proxy name. The two differ if the
 * dump was made before the row followed a change of owner, or if the proxy
 * could not be given to its owner; the row then belongs to the user who
 * restores. If the role does not exist here, no other role stands in for it.
 */
static HeapTuple
check_new_row(TriggerData *trigger)
{
	Row			row = read_row(trigger, trigger->tg_trigtuple);
	Oid			restored = aside_definition_owner(&row.definition);
	Oid			owner = get_role_oid(row.owner, true);

	if (OidIsValid(restored) && restored != GetUserId())
		owner = restored;
	check_rights(trigger, &row, owner);
	if (!OidIsValid(owner))
		ereport(WARNING,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s \"%s\" belongs to nobody: role \"%s\" does not exist", row.definition.kind, row.definition.name,
						row.owner),
				 errhint("A superuser can give it an owner: update column \"owner\" of table \"%s\".",
						 RelationGetRelationName(trigger->tg_relation))));
	return with_owner(trigger, trigger->tg_trigtuple, OidIsValid(owner) ? GetUserNameFromId(owner, false) : row.owner,
					  !OidIsValid(owner));
}

/* The owner changes only if the update changes the row's owner. An unchanged name may be out of date. */
static HeapTuple
check_changed_row(TriggerData *trigger)
{
	Row			was = read_row(trigger, trigger->tg_trigtuple);
	Row			row = read_row(trigger, trigger->tg_newtuple);
	Oid			owner = was.inert ? InvalidOid : aside_definition_owner(&was.definition);

	check_rights(trigger, &was, owner);
	/* A row that was written without this trigger may stay, and then acts for nobody. */
	if (!OidIsValid(owner) && !was.inert && row.inert)
		return trigger->tg_newtuple;
	if (!OidIsValid(owner) && !was.inert)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s \"%s\" has ended", was.definition.kind, was.definition.name)));
	if (strcmp(was.owner, row.owner) != 0 || was.inert != row.inert)
	{
		if (row.inert && !was.inert)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s \"%s\" has an owner, and keeps one", row.definition.kind, row.definition.name)));
		owner = get_role_oid(row.owner, false);
		check_rights(trigger, &row, owner);
	}
	if (!OidIsValid(owner))
		return trigger->tg_newtuple;
	return with_owner(trigger, trigger->tg_newtuple, GetUserNameFromId(owner, false), false);
}

/* aside.check_definition(kind), before a row is written */
Datum
aside_check_definition(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Row			row;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1)
		elog(ERROR, "not called as a trigger of definitions");
	if (TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		return PointerGetDatum(check_new_row(trigger));
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		return PointerGetDatum(check_changed_row(trigger));
	row = read_row(trigger, trigger->tg_trigtuple);
	check_rights(trigger, &row, row.inert ? InvalidOid : aside_definition_owner(&row.definition));
	return PointerGetDatum(trigger->tg_trigtuple);
}

/* aside.follow_definition(kind), after a row was written */
Datum
aside_follow_definition(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Row			was;
	Row			row;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || trigger->tg_trigger->tgnargs != 1)
		elog(ERROR, "not called as a trigger of definitions");
	was = row = read_row(trigger, trigger->tg_trigtuple);
	if (TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
	{
		row = read_row(trigger, trigger->tg_newtuple);
		aside_rename_definition(&was.definition, &row.definition);
	}
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) || row.inert)
		aside_end_definition(&row.definition);
	else
	{
		Oid			owner = get_role_oid(row.owner, false);

		check_rights(trigger, &row, owner);
		aside_define(&row.definition, owner, !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) || was.inert);
	}
	return PointerGetDatum(NULL);
}

/* aside.check_writer(), before a statement writes to a table that none but its owner is to write to */
Datum
aside_check_writer(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	Form_pg_class table;

	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "not called as a trigger");
	table = trigger->tg_relation->rd_rel;
	if (GetUserId() != table->relowner && !has_privs_of_role(GetUserId(), table->relowner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table %s", NameStr(table->relname)),
				 errdetail("pg_aside acts on what the table says, so only its owner may write to it.")));
	return PointerGetDatum(NULL);
}

/* aside.definitions_changed(kind), after a row has changed: the coordinator hears of it when the transaction commits */
Datum
aside_definitions_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || trigger->tg_trigger->tgnargs != 1)
		elog(ERROR, "not called as a trigger of definitions");
	aside_announce_changes(aside_topic_of(trigger->tg_trigger->tgargs[0]));
	return PointerGetDatum(NULL);
}

/*
 * aside.discard_replicated(), a trigger on all tables of pg_aside that fires
 * for replicas only. What an apply worker writes to these tables belongs to
 * another server and stays out. What a trigger of a replicated table emits
 * belongs to this server.
 */
Datum
aside_discard_replicated(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"discard_replicated\" was not called by a trigger")));
	if (IsLogicalWorker() && DatumGetInt32(OidFunctionCall0(F_PG_TRIGGER_DEPTH)) == 1)
		return PointerGetDatum(NULL);
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple);
}
