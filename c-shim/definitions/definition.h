/*
 * definitions/definition.h
 *	  Definitions: rows that have something run for a role later, such as
 *	  handlers of events.  Each has a proxy in the catalog, which its role owns.
 */
#ifndef ASIDE_DEFINITION_H
#define ASIDE_DEFINITION_H

#include "base/aside.h"

/* What a definition is known by: the kind of its table, its id there, and its name. */
typedef struct AsideDefinition
{
	const char *kind;
	int64		id;
	const char *name;
} AsideDefinition;

/* definitions/definition.c */
extern uint32 aside_topic_of(const char *kind);
extern uint32 aside_topics_of_definitions(void);
extern Oid	aside_definition_owner(const AsideDefinition *definition);
extern void aside_define(const AsideDefinition *definition, Oid owner, bool is_new);
extern void aside_rename_definition(const AsideDefinition *from, const AsideDefinition *to);
extern void aside_end_definition(const AsideDefinition *definition);
extern const char *aside_definition_obstacle(Oid owner);
extern void aside_check_tables_owner(Oid owner);
extern bool aside_is_proxy(Oid type);
extern void aside_fill_standing(const AsideDefinition *definition, aside_standing *standing);

/* definitions/owners.c */
extern void aside_check_one_owner(Oid owner);

#endif							/* ASIDE_DEFINITION_H */
