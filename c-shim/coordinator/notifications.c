/*
 * coordinator/notifications.c
 *	  Keeps the notifications that a coordinator has received until the core
 *	  asks for them.
 *
 * The server hands out everything that its queue holds before the coordinator
 * can work on any of it. So notifications beyond a fixed amount of memory go
 * to a temporary file, and the core gets them in pieces.
 */
#include "coordinator/coordinator.h"

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* Bytes in memory; bytes in memory if there can be no file; bytes that the core gets at a time. */
#define MEMORY_BYTES (4 * 1024 * 1024)
#define MOST_MEMORY_BYTES (16 * MEMORY_BYTES)
#define LENT_BYTES (1024 * 1024)

/* Stands in front of each notification. Its texts follow, without terminators. */
typedef struct NotificationHead
{
	uint32		pid;
	uint32		channel_len;
	uint32		payload_len;
} NotificationHead;

/* A channel is a name, and a payload has less than 8000 bytes, so any piece has room for a notification. */
#define LARGEST (sizeof(NotificationHead) + NAMEDATALEN + BLCKSZ)

/* The file holds what came first. Of both file and memory: how much was written, and how much the core has got. */
static File file = -1;
static off_t file_written = 0;
static off_t file_lent = 0;
static char *memory = NULL;
static size_t memory_size = 0;
static size_t memory_written = 0;
static size_t memory_lent = 0;

/* The log has said that notifications are lost, since the core last had them all. */
static bool said_lost = false;

static void
write_to_file(void)
{
	size_t		length = memory_written - memory_lent;

	if (file < 0)
		file = OpenTemporaryFile(true);
	/* The server sets errno to ENOSPC after a short write. */
	if (FileWrite(file, memory + memory_lent, length, file_written, WAIT_EVENT_BUFFILE_WRITE) != (int) length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write notifications to a temporary file: %m")));
	file_written += length;
	memory_written = memory_lent = 0;
}

/*
 * If the write fails, memory stays as it was. An error here would end the
 * process, because the server is reading its queue.
 */
static bool
could_write(void)
{
	bool		before = ExitOnAnyError;
	aside_status status = ASIDE_OK;

	ExitOnAnyError = false;
	ASIDE_TRY(status);
	{
		write_to_file();
	}
	ASIDE_END_TRY();
	ExitOnAnyError = before;
	return status == ASIDE_OK;
}

static bool
could_grow(void)
{
	size_t		size = memory == NULL ? MEMORY_BYTES : memory_size * 2;
	char	   *larger = size > MOST_MEMORY_BYTES ? NULL : MemoryContextAllocExtended(TopMemoryContext, size, MCXT_ALLOC_NO_OOM);

	if (larger == NULL)
		return false;
	if (memory != NULL)
	{
		memcpy(larger, memory, memory_written);
		pfree(memory);
	}
	memory = larger;
	memory_size = size;
	return true;
}

static void
append(const void *data, size_t length)
{
	memcpy(memory + memory_written, data, length);
	memory_written += length;
}

/* The server calls this while it reads its queue (coordinator/listen.c). An error must not break that off. */
void
aside_keep_notification(int pid, const char *channel, const char *payload)
{
	NotificationHead	head = {pid, strlen(channel), strlen(payload)};
	size_t		length = sizeof(head) + head.channel_len + head.payload_len;

	Assert(length <= LARGEST);
	if (memory_written + length > memory_size && !(memory != NULL && could_write()) && !could_grow())
	{
		if (!said_lost)
			ereport(LOG,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("notifications are lost: %s",
							aside_kept_error() == NULL ? "out of memory" : aside_kept_error()->message)));
		said_lost = true;
		return;
	}
	append(&head, sizeof(head));
	append(channel, head.channel_len);
	append(payload, head.payload_len);
}

/* Copy the next piece; returns its length. It may end within a notification. */
static size_t
next_piece(char *piece)
{
	size_t		length = Min(memory_written - memory_lent, LENT_BYTES);

	if (file_lent < file_written)
	{
		length = Min(file_written - file_lent, LENT_BYTES);
		if (FileRead(file, piece, length, file_lent, WAIT_EVENT_BUFFILE_READ) != (int) length)
		{
			file_lent = file_written;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not read notifications from a temporary file, they are lost: %m")));
		}
	}
	else if (length > 0)
		memcpy(piece, memory + memory_lent, length);
	return length;
}

static bool
more_to_lend(void)
{
	return file_lent < file_written || memory_lent < memory_written;
}

/* The core gets the first `length` bytes of the last piece. */
static void
advance(size_t length)
{
	if (file_lent < file_written)
		file_lent += length;
	else
		memory_lent += length;
	if (memory_lent == memory_written)
		memory_written = memory_lent = 0;
	if (file >= 0 && file_lent == file_written)
	{
		FileClose(file);
		file = -1;
		file_written = file_lent = 0;
	}
	if (more_to_lend())
		return;
	said_lost = false;
	if (memory_size > MEMORY_BYTES)
	{
		pfree(memory);
		memory = NULL;
		memory_size = 0;
	}
}

/* Find the notifications that this piece holds as a whole; returns how many bytes they take. */
static size_t
read_piece(const char *piece, size_t length, aside_note *notes, size_t *count)
{
	size_t		at = 0;
	NotificationHead	head;

	for (*count = 0; at + sizeof(head) <= length; (*count)++)
	{
		const char *texts = piece + at + sizeof(head);

		memcpy(&head, piece + at, sizeof(head));
		if (head.channel_len + head.payload_len > length - at - sizeof(head))
			break;
		if (notes != NULL)
		{
			notes[*count].pid = head.pid;
			notes[*count].channel = (aside_bytes) {(const uint8_t *) texts, head.channel_len};
			notes[*count].payload = (aside_bytes) {(const uint8_t *) texts + head.channel_len, head.payload_len};
		}
		at += sizeof(head) + head.channel_len + head.payload_len;
	}
	return at;
}

/* Lends some notifications until the next call. Are there more? */
bool
aside_lend_notifications(const aside_note **notes, size_t *count)
{
	static MemoryContext lent = NULL;
	aside_status status = ASIDE_OK;

	*count = 0;
	ASIDE_TRY(status);
	{
		char	   *piece;
		aside_note *all;
		size_t		length;
		size_t		lends;

		if (lent == NULL)
			lent = AllocSetContextCreate(TopMemoryContext, "pg_aside notifications", ALLOCSET_DEFAULT_SIZES);
		MemoryContextReset(lent);
		piece = more_to_lend() ? MemoryContextAlloc(lent, LENT_BYTES) : NULL;
		length = next_piece(piece);
		(void) read_piece(piece, length, NULL, &lends);
		all = MemoryContextAllocZero(lent, sizeof(aside_note) * Max(lends, 1));
		advance(read_piece(piece, length, all, &lends));
		*notes = all;
		*count = lends;
	}
	ASIDE_END_TRY();
	if (status != ASIDE_OK && aside_kept_error() != NULL)
		ereport(LOG,
				(errcode(aside_kept_error()->sqlerrcode),
				 errmsg("coordinator of events failed: %s", aside_kept_error()->message)));
	return more_to_lend();
}
