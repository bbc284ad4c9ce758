/*
 * call/type_layout.c
 *	  Makes sure that this transaction sees the types of values that cross as
 *	  the caller does, and that they stay as they are.
 *
 * A value is read by the layout that its type has here. So composite types
 * anywhere within it are locked as tables are: a caller whose transaction has
 * altered such a type meets a deadlock, and not nonsense. This transaction
 * itself may have created or altered a type, too.
 */
#include "call/call.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* What only this transaction sees of a type. */
#define SEES_TYPE 1				/* that it is there, or something of it */
#define SEES_LAYOUT 2			/* the columns of a row in it */

typedef struct Known
{
	Oid			type;
	int			alone;
} Known;

/* A statement looks at each type once, however many other types contain it. */
static HTAB *known = NULL;
static MemoryContext known_context = NULL;

static int	look_at(Oid type);

/* Call this before a statement. What the statement learns of types is kept in this memory context. */
void
aside_forget_layouts(MemoryContext context)
{
	known = NULL;
	known_context = context;
}

static bool
is_own(HeapTuple tuple)
{
	return TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
}

static int
look_at_row(Oid type, Oid relation)
{
	TupleDesc	desc;
	int			alone = 0;

	LockRelationOid(relation, AccessShareLock);
	desc = lookup_rowtype_tupdesc(type, -1);
	for (int i = 0; i < desc->natts; i++)
	{
		HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relation), Int16GetDatum(i + 1));

		if (!HeapTupleIsValid(tuple))
			continue;
		if (is_own(tuple))
			alone |= SEES_LAYOUT;
		ReleaseSysCache(tuple);
		if (!TupleDescAttr(desc, i)->attisdropped)
			alone |= look_at(TupleDescAttr(desc, i)->atttypid);
	}
	ReleaseTupleDesc(desc);
	return alone;
}

static int
look_inside(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Form_pg_type form;
	Oid			relation;
	Oid			inner;
	int			alone;

	if (!HeapTupleIsValid(tuple))
		return 0;
	form = (Form_pg_type) GETSTRUCT(tuple);
	relation = form->typrelid;
	inner = form->typtype == TYPTYPE_DOMAIN ? form->typbasetype :
		IsTrueArrayType(form) ? form->typelem : InvalidOid;
	alone = is_own(tuple) ? SEES_TYPE : 0;
	ReleaseSysCache(tuple);
	if (OidIsValid(inner) || OidIsValid(inner = get_range_subtype(type)) ||
		OidIsValid(inner = get_multirange_range(type)))
		return alone | look_at(inner);
	return OidIsValid(relation) ? alone | look_at_row(type, relation) : alone;
}

static void
begin_to_know(void)
{
	HASHCTL		control = {
		.keysize = sizeof(Oid),
		.entrysize = sizeof(Known),
		.hcxt = known_context,
	};

	known = hash_create("pg_aside layouts", 32, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static int
look_at(Oid type)
{
	Known	   *entry;
	bool		found;

	if (type < FirstNormalObjectId)
		return 0;
	check_stack_depth();
	CHECK_FOR_INTERRUPTS();
	if (known == NULL)
		begin_to_know();
	entry = hash_search(known, &type, HASH_ENTER, &found);
	if (!found)
	{
		entry->alone = 0;
		entry->alone = look_inside(type);
	}
	return entry->alone;
}

/* Would a value of this type mean nothing to a caller, who does not see what this transaction has done? */
bool
aside_sees_type_alone(Oid type)
{
	return look_at(type) != 0;
}

/*
 * A type that the caller names and this transaction does not see was made by
 * the caller's own transaction, or dropped.  what and name: of what thing.
 */
void
aside_check_type_visible(Oid type, const char *what, const char *name)
{
	if (type < FirstNormalObjectId)
		return;
	if (!SearchSysCacheExists1(TYPEOID, ObjectIdGetDatum(type)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("type of %s %s does not exist for the autonomous transaction", what, name),
				 errhint("A type made by a transaction that has not committed is seen by that transaction alone.")));
	if ((look_at(type) & SEES_LAYOUT) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("type %s of %s %s was altered by the autonomous transaction, which has not committed",
						format_type_be(type), what, name),
				 errhint("Commit first, or cast the value to text.")));
}
