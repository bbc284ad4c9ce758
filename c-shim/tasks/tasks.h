/*
 * tasks/tasks.h
 *	  What tasks need outside of the core's table: their files, their start at
 *	  a commit, and workers for those that are queued.
 */
#ifndef ASIDE_TASKS_H
#define ASIDE_TASKS_H

#include "module/module.h"

/* tasks/file.c */
extern aside_status aside_write_task_file(uint64_t task, aside_bytes bytes);
extern aside_status aside_append_task_file(uint64_t task, aside_bytes bytes);
extern aside_status aside_read_task_file(uint64_t task, uint64_t offset, uint8_t *into, size_t len);
extern void aside_drop_task_file(uint64_t task);
extern void aside_write_down_task(uint32_t index, aside_bytes record);
extern void aside_recover_tasks(void *table, size_t size, uint32 tasks);

/* tasks/kick.c */
extern void aside_kick_tasks(AsidePool *pool);

/* tasks/on_commit.c */
extern void aside_watch_submitter(void);

#endif							/* ASIDE_TASKS_H */
