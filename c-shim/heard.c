/*
 * heard.c
 *	  Notifications that a coordinator has heard, until it asks for them.
 *
 * The server hands out all that its queue holds, however much that is, before
 * anything can be done with it.  So beyond some memory they go to a temporary
 * file, and they are lent in pieces.
 */
#include "event.h"

#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

/* In memory; and at a time, to the core. */
#define HEARD_BYTES (4 * 1024 * 1024)
#define LENT_BYTES (1024 * 1024)

/* In front of each, its texts without an end after it. */
typedef struct HeardHead
{
	uint32		pid;
	uint32		channel_len;
	uint32		payload_len;
} HeardHead;

/* A channel is a name, and a payload less than 8000 bytes: any piece has room for one. */
#define LARGEST (sizeof(HeardHead) + NAMEDATALEN + BLCKSZ)

/* The file holds what came first; each of them as far as it was written, and lent. */
static File file = -1;
static off_t file_written = 0;
static off_t file_lent = 0;
static char *memory = NULL;
static size_t memory_written = 0;
static size_t memory_lent = 0;

/* An error leaves all as it was. */
static void
write_to_file(void)
{
	size_t		length = memory_written - memory_lent;

	if (file < 0)
		file = OpenTemporaryFile(true);
	/* Of a short write the server says that there is no space. */
	if (FileWrite(file, memory + memory_lent, length, file_written, WAIT_EVENT_BUFFILE_WRITE) != (int) length)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write notifications to a temporary file: %m")));
	file_written += length;
	memory_written = memory_lent = 0;
}

static void
append(const void *data, size_t length)
{
	memcpy(memory + memory_written, data, length);
	memory_written += length;
}

/*
 * Called by the server's own reading of notifications (coordinator.c).  An
 * error stops it, and comes after this one is kept: the rest stays with the
 * server until it is read again.
 */
void
aside_hear(int pid, const char *channel, const char *payload)
{
	HeardHead	head = {pid, strlen(channel), strlen(payload)};
	size_t		length = sizeof(head) + head.channel_len + head.payload_len;

	if (length > LARGEST)
		elog(ERROR, "notification is too long");
	if (memory == NULL)
		memory = MemoryContextAlloc(TopMemoryContext, HEARD_BYTES);
	if (memory_written + length > HEARD_BYTES)
		write_to_file();
	append(&head, sizeof(head));
	append(channel, head.channel_len);
	append(payload, head.payload_len);
	if (memory_written + LARGEST > HEARD_BYTES)
		write_to_file();
}

/* Copy the next piece: how long it is. It may end within a notification. */
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

/* The first so many bytes of the last piece are lent. */
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
}

/* Of this piece, those that are whole; what they take. */
static size_t
read_piece(const char *piece, size_t length, aside_note *notes, size_t *count)
{
	size_t		at = 0;
	HeardHead	head;

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

/* Lends some, until the next call: are there more? */
bool
aside_lend_heard(const aside_note **notes, size_t *count)
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
		piece = memory == NULL ? NULL : MemoryContextAlloc(lent, LENT_BYTES);
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
	return file_lent < file_written || memory_lent < memory_written;
}
