/*
 * tasks/file.c
 *	  What tasks keep outside of memory: files for long requests and results,
 *	  and a journal that tells a restarted server which tasks it has
 *	  interrupted.
 *
 * A task's file lies where the server keeps temporary files, under a name that
 * the server deletes when it starts. The journal lies with the server's
 * statistics, which no backup copies. It is not flushed: it must survive the
 * server's processes, not the machine.
 */
#include "tasks/tasks.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "catalog/pg_tablespace_d.h"
#include "common/file_perm.h"
#include "common/file_utils.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/guc.h"

#define JOURNAL "pg_stat_tmp/pg_aside_tasks"

static int	journal = -1;

/* The tasks are the server's, so there is a journal. The postmaster sets this, and all processes inherit it. */
static bool has_journal = false;

static void
path_of(uint64 task, char *path)
{
	char		directory[MAXPGPATH];

	TempTablespacePath(directory, DEFAULTTABLESPACE_OID);
	snprintf(path, MAXPGPATH, "%s/%s_aside." UINT64_FORMAT, directory, PG_TEMP_FILE_PREFIX, task);
}

static int
open_file(uint64 task, int flags)
{
	char		path[MAXPGPATH];
	int			fd;

	path_of(task, path);
	fd = OpenTransientFile(path, flags | PG_BINARY);
	if (fd < 0 && errno == ENOENT && (flags & O_CREAT) != 0)
	{
		char		directory[MAXPGPATH];

		TempTablespacePath(directory, DEFAULTTABLESPACE_OID);
		(void) MakePGDirectory(directory);
		fd = OpenTransientFile(path, flags | PG_BINARY);
	}
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\" of a task: %m", path)));
	return fd;
}

static void
write_at(int fd, off_t at, const aside_bytes *bytes)
{
	size_t		done = 0;

	if (temp_file_limit >= 0 && (uint64) at + bytes->len > (uint64) temp_file_limit * 1024)
		ereport(ERROR,
				(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
				 errmsg("temporary file size exceeds temp_file_limit (%dkB)", temp_file_limit)));
	while (done < bytes->len)
	{
		ssize_t		count = pg_pwrite(fd, bytes->data + done, bytes->len - done, at + done);

		if (count < 0 && errno == EINTR)
			continue;
		if (count <= 0)
		{
			if (count == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write the result of a task: %m")));
		}
		done += count;
	}
}

aside_status
aside_write_task_file(uint64_t task, aside_bytes bytes)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		int			fd = open_file(task, O_RDWR | O_CREAT | O_TRUNC);

		write_at(fd, 0, &bytes);
		CloseTransientFile(fd);
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK)
		aside_drop_task_file(task);
	return status;
}

aside_status
aside_append_task_file(uint64_t task, aside_bytes bytes)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		int			fd = open_file(task, O_RDWR | O_CREAT);
		struct stat file;

		if (fstat(fd, &file) != 0)
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not stat the file of a task: %m")));
		write_at(fd, file.st_size, &bytes);
		CloseTransientFile(fd);
	}
	ASIDE_END_TRY();
	return status;
}

aside_status
aside_read_task_file(uint64_t task, uint64_t offset, uint8_t *into, size_t len)
{
	aside_status status = ASIDE_OK;

	ASIDE_TRY(status);
	{
		int			fd = open_file(task, O_RDONLY);
		size_t		done = 0;

		while (done < len)
		{
			ssize_t		count = pg_pread(fd, into + done, len - done, offset + done);

			if (count < 0 && errno == EINTR)
				continue;
			if (count <= 0)
				ereport(ERROR,
						(errcode(ERRCODE_DATA_CORRUPTED),
						 errmsg("could not read the file of a task: it ends too early")));
			done += count;
		}
		CloseTransientFile(fd);
		CHECK_FOR_INTERRUPTS();
	}
	ASIDE_END_TRY();
	return status;
}

/* Exit callbacks call this, too, so it raises no error. */
void
aside_drop_task_file(uint64_t task)
{
	char		path[MAXPGPATH];

	path_of(task, path);
	(void) unlink(path);
}

/* Transactions call this as they end, so it raises no error. */
void
aside_write_down_task(uint32_t index, aside_bytes record)
{
	if (!has_journal)
		return;
	if (journal < 0)
		journal = open(JOURNAL, O_RDWR | O_CREAT | PG_BINARY | O_CLOEXEC, pg_file_create_mode);
	if (journal >= 0)
		(void) !pwrite(journal, record.data, record.len, (off_t) index * ASIDE_TASK_RECORD);
}

/* The postmaster calls this when it has laid out shared memory. Tasks that were interrupted are lost. */
void
aside_recover_tasks(void *table, size_t size, uint32 tasks)
{
	struct stat file;
	size_t		room = (size_t) tasks * ASIDE_TASK_RECORD;
	size_t		len = 0;
	uint8	   *records;
	int			fd = open(JOURNAL, O_RDWR | O_CREAT | PG_BINARY | O_CLOEXEC, pg_file_create_mode);

	has_journal = true;
	if (fd < 0 || fstat(fd, &file) != 0)
	{
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", JOURNAL)));
		if (fd >= 0)
			close(fd);
		return;
	}
	records = palloc0(Max(room, (size_t) file.st_size));
	while (len < (size_t) file.st_size)
	{
		ssize_t		count = pg_pread(fd, records + len, file.st_size - len, len);

		if (count <= 0)
			break;
		len += count;
	}
	if (aside_tasks_recover(table, size, GetCurrentTimestamp(), records, Max(room, (size_t) file.st_size)) > 0)
		(void) !pg_pwrite(fd, records, room, 0);
	if (ftruncate(fd, room) != 0)
		ereport(LOG,
				(errcode_for_file_access(),
				 errmsg("could not truncate file \"%s\": %m", JOURNAL)));
	pfree(records);
	close(fd);
}
