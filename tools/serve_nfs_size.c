/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * How large the NFS server may get, by the memory of the machine. Figures: docs/nfs-bench.md.
 *
 *	entries	 objects it remembers, 2 KiB each with the plugin's and the engine's part: an eighth of the
 *		 memory, for with many clients it goes beyond. Fewer make it look things up again, which
 *		 is cheap here.
 *	threads	 each is busy for as long as the disk takes and may hold a buffer of 1 MiB: a sixteenth
 *	keep	 memory that malloc keeps when such buffers are freed, as long as it is below this: without
 *		 it each READ maps and unmaps its own. A sixteenth, too
 */
#include "serve_text.h"

#define KIB_PER_ENTRY 2
#define KIB_PER_THREAD 1024
#define ENTRIES_MIN 20000
#define ENTRIES_MAX 300000
#define THREADS_MIN 16
#define THREADS_MAX 200
#define KEEP_MIN (32u << 10)
#define KEEP_MAX (256u << 10)

static unsigned within(uint64_t v, unsigned least, unsigned most)
{
	return v < least ? least : v > most ? most : (unsigned)v;
}

void cow_nfs_size(uint64_t memory_kib, struct cow_nfs_size *ret)
{
	ret->entries = within(memory_kib / 8 / KIB_PER_ENTRY, ENTRIES_MIN, ENTRIES_MAX);
	ret->threads = within(memory_kib / 16 / KIB_PER_THREAD, THREADS_MIN, THREADS_MAX);
	ret->keep_kib = within(memory_kib / 16, KEEP_MIN, KEEP_MAX);
}
