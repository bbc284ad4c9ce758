/*
 * jobs/jobs.h
 *	  Jobs in chunks. A coordinator reads and writes their tables. A worker
 *	  records that a chunk is done.
 */
#ifndef ASIDE_JOBS_H
#define ASIDE_JOBS_H

#include "base/aside.h"

/* jobs/record.c */
extern aside_status aside_record_jobs(const aside_job_entry *entries, size_t count, int64_t *numbers);

/* jobs/measure.c */
extern aside_status aside_measure_jobs(const int64_t *jobs, size_t count, aside_measured *measured, int64_t *seconds);

/* jobs/done.c */
extern aside_status aside_host_record_chunk(aside_bytes attempt, uint64_t processed);

/* jobs/store.c */
extern const aside_job_host *aside_get_job_host(void);

#endif							/* ASIDE_JOBS_H */
