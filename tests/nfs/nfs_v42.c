/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * NFSv4.2, what libnfs does not speak: extended attributes, SEEK, ALLOCATE, DEALLOCATE, share
 * reservations, unchecked create, READ_PLUS.
 *	nfs_v42 ADDR PORT EXPORT
 */
#include <string.h>
#include <unistd.h>

#include "raw4.h"

static struct session root, root2, user;
static struct fh top;

static void read_plus_is_refused_and_read_answers(void)
{
	struct fh h;
	struct stateid st;
	char buf[64];
	uint32_t eof = 0;
	struct open_how how = {.access = READ};
	WANT("OPEN", n4_open(&root, &top, "hello", how, &h, &st), NFS4_OK);
	n4_begin(&root);
	n4_put_fh(&h);
	n4_op(OP_READ_PLUS);
	x_raw(&n4_args, st.b, sizeof(st.b));
	x_u64(&n4_args, 0);
	x_u32(&n4_args, 64);
	WANT("READ_PLUS", n4_send_on_fh(&root), ERR_NOTSUPP);
	WANT("READ", n4_read(&root, &h, &st, 0, buf, sizeof(buf), &eof), 7);
	WANT("content", memcmp(buf, "golden\n", 7), 0);
	WANT("end of file", eof, 1);
	WANT("READ up to the end", n4_read(&root, &h, &st, 0, buf, 7, &eof), 7);
	WANT("end of file", eof, 1);
	WANT("READ before the end", n4_read(&root, &h, &st, 0, buf, 6, &eof), 6);
	WANT("end of file", eof, 0);
	WANT("CLOSE", n4_close(&root, &h, &st), NFS4_OK);
}

static void an_unchecked_create_opens_what_is_there(void)
{
	struct fh h, again;
	struct stateid st, st2;
	char buf[8];
	uint32_t eof = 0;
	struct open_how how = {.access = BOTH, .create = CREATE_UNCHECKED};
	WANT("create", n4_open(&root, &top, "v42", how, &h, &st), NFS4_OK);
	WANT("WRITE", n4_write(&root, &h, &st, 0, "keep", 4), NFS4_OK);
	WANT("create again", n4_open(&root, &top, "v42", how, &again, &st2), NFS4_OK);
	WANT("same file", h.len == again.len && !memcmp(h.b, again.b, h.len), 1);
	WANT("content", n4_read(&root, &h, &st2, 0, buf, sizeof(buf), &eof), 4);
	how.size_zero = 1;
	WANT("create with size 0", n4_open(&root, &top, "v42", how, &again, &st2), NFS4_OK);
	WANT("content gone", n4_read(&root, &h, &st2, 0, buf, sizeof(buf), &eof), 0);
	WANT("CLOSE", n4_close(&root, &h, &st2), NFS4_OK);
	WANT("REMOVE", n4_remove(&root, &top, "v42"), NFS4_OK);
}

static void a_create_that_is_not_allowed_truncates_nothing(void)
{
	struct fh h;
	struct stateid st;
	char buf[8];
	uint32_t eof = 0;
	struct open_how create = {.access = BOTH, .create = CREATE_UNCHECKED};
	struct open_how wipe = {.access = WRITE, .create = CREATE_UNCHECKED, .size_zero = 1};
	WANT("create", n4_open(&root, &top, "v42", create, &h, &st), NFS4_OK);
	WANT("WRITE", n4_write(&root, &h, &st, 0, "keep", 4), NFS4_OK);
	WANT("as another user", n4_open(&user, &top, "v42", wipe, &h, &(struct stateid){0}),
	     ERR_ACCESS);
	WANT("content", n4_read(&root, &h, &st, 0, buf, sizeof(buf), &eof), 4);
	WANT("new file of another user",
	     n4_open(&user, &top, "v42new", create, &(struct fh){0}, &(struct stateid){0}),
	     ERR_ACCESS);
	WANT("CLOSE", n4_close(&root, &h, &st), NFS4_OK);
	WANT("REMOVE", n4_remove(&root, &top, "v42"), NFS4_OK);
}

/* Who may only read, opens a second time, for writing: the same state gets more access. */
static void an_open_gains_no_access_that_is_not_allowed(void)
{
	struct fh h;
	struct stateid st, reader, writer;
	char buf[8];
	uint32_t eof = 0;
	struct open_how create = {.access = BOTH, .create = CREATE_UNCHECKED};
	struct open_how read = {.access = READ};
	struct open_how write = {.access = WRITE};
	WANT("create", n4_open(&root, &top, "v42", create, &h, &st), NFS4_OK);
	WANT("WRITE", n4_write(&root, &h, &st, 0, "keep", 4), NFS4_OK);
	WANT("another user reads", n4_open(&user, &top, "v42", read, &h, &reader), NFS4_OK);
	WANT("and would write", n4_open(&user, &top, "v42", write, &h, &writer), ERR_ACCESS);
	WANT("what it has is for reading", n4_read(&user, &h, &reader, 0, buf, sizeof(buf), &eof),
	     4);
	WANT("CLOSE", n4_close(&user, &h, &reader), NFS4_OK);
	WANT("the owner reads", n4_open(&root2, &top, "v42", read, &h, &reader), NFS4_OK);
	WANT("and writes", n4_open(&root2, &top, "v42", write, &h, &writer), NFS4_OK);
	WANT("WRITE", n4_write(&root2, &h, &writer, 0, "more", 4), NFS4_OK);
	WANT("CLOSE", n4_close(&root2, &h, &writer), NFS4_OK);
	WANT("CLOSE", n4_close(&root, &h, &st), NFS4_OK);
	WANT("REMOVE", n4_remove(&root, &top, "v42"), NFS4_OK);
}

static void big_writes_read_back(void)
{
	static uint8_t out[256 * 1024], in[256 * 1024];
	struct fh h;
	struct stateid st;
	uint32_t eof = 0;
	struct open_how how = {.access = BOTH, .create = CREATE_UNCHECKED};
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (uint8_t)(i * 2654435761u >> 13);
	WANT("create", n4_open(&root, &top, "v42", how, &h, &st), NFS4_OK);
	for (uint64_t off = 0; off < 8 * sizeof(out); off += sizeof(out))
		WANT("WRITE", n4_write(&root, &h, &st, off, out, sizeof(out)), NFS4_OK);
	for (uint64_t off = 0; off < 8 * sizeof(out); off += sizeof(out)) {
		WANT("READ", n4_read(&root, &h, &st, off, in, sizeof(in), &eof), sizeof(in));
		WANT("content", memcmp(in, out, sizeof(in)), 0);
		WANT("end of file", eof, off == 7 * sizeof(out));
	}
	WANT("CLOSE", n4_close(&root, &h, &st), NFS4_OK);
	WANT("REMOVE", n4_remove(&root, &top, "v42"), NFS4_OK);
}

static void share_reservations_deny_and_end(void)
{
	struct fh h;
	struct stateid st, denier, writer;
	struct open_how create = {.access = BOTH, .create = CREATE_UNCHECKED};
	struct open_how deny = {.access = READ, .deny = DENY_WRITE};
	struct open_how write = {.access = WRITE};
	uint8_t buf[4];
	uint32_t eof = 0;
	WANT("create", n4_open(&root, &top, "v42", create, &h, &st), NFS4_OK);
	WANT("WRITE", n4_write(&root, &h, &st, 0, "keep", 4), NFS4_OK);
	WANT("deny while open for writing", n4_open(&root2, &top, "v42", deny, &h, &denier),
	     ERR_SHARE_DENIED);
	WANT("CLOSE", n4_close(&root, &h, &st), NFS4_OK);
	WANT("deny", n4_open(&root2, &top, "v42", deny, &h, &denier), NFS4_OK);
	WANT("write against it", n4_open(&root, &top, "v42", write, &h, &writer), ERR_SHARE_DENIED);
	WANT("stateless write against it", n4_write(&root, &h, &(struct stateid){0}, 0, "lost", 4),
	     ERR_LOCKED);
	WANT("READ under it", n4_read(&root2, &h, &denier, 0, buf, sizeof(buf), &eof), 4);
	WANT("CLOSE", n4_close(&root2, &h, &denier), NFS4_OK);
	WANT("write after it", n4_open(&root, &top, "v42", write, &h, &writer), NFS4_OK);
	WANT("CLOSE", n4_close(&root, &h, &writer), NFS4_OK);
	WANT("REMOVE", n4_remove(&root, &top, "v42"), NFS4_OK);
}

static void holes_are_found_made_and_filled(void)
{
	static uint8_t block[65536];
	struct fh h;
	struct stateid st;
	uint32_t eof = 0;
	uint64_t off = 0;
	uint8_t in[16] = {0};
	struct open_how how = {.access = BOTH, .create = CREATE_UNCHECKED};
	memset(block, 'd', sizeof(block));
	WANT("create", n4_open(&root, &top, "v42", how, &h, &st), NFS4_OK);
	WANT("WRITE", n4_write(&root, &h, &st, 1 << 20, block, sizeof(block)), NFS4_OK);
	WANT("SEEK data", n4_seek(&root, &h, &st, 0, DATA, &eof, &off), NFS4_OK);
	WANT("data at", off, 1 << 20);
	WANT("SEEK hole", n4_seek(&root, &h, &st, 1 << 20, HOLE, &eof, &off), NFS4_OK);
	WANT("hole at the end", off, (1 << 20) + sizeof(block));
	WANT("SEEK beyond", n4_seek(&root, &h, &st, 2 << 20, DATA, &eof, &off), ERR_NXIO);
	WANT("DEALLOCATE", n4_range(&root, OP_DEALLOCATE, &h, &st, 1 << 20, 16384), NFS4_OK);
	WANT("READ", n4_read(&root, &h, &st, 1 << 20, in, sizeof(in), &eof), sizeof(in));
	WANT("first byte", in[0], 0);
	WANT("SEEK data", n4_seek(&root, &h, &st, 0, DATA, &eof, &off), NFS4_OK);
	WANT("data at", off, (1 << 20) + 16384);
	WANT("ALLOCATE", n4_range(&root, OP_ALLOCATE, &h, &st, 0, 4 << 20), NFS4_OK);
	WANT("READ at the new end", n4_read(&root, &h, &st, (4 << 20) - 16, in, 16, &eof), 16);
	WANT("end of file", eof, 1);
	WANT("CLOSE", n4_close(&root, &h, &st), NFS4_OK);
	WANT("REMOVE", n4_remove(&root, &top, "v42"), NFS4_OK);
}

static void extended_attributes_are_kept_and_guarded(void)
{
	static uint8_t big[3000], back[4096];
	struct fh h;
	struct stateid st;
	struct open_how how = {.access = BOTH, .create = CREATE_UNCHECKED};
	memset(big, 'x', sizeof(big));
	WANT("create", n4_open(&root, &top, "v42", how, &h, &st), NFS4_OK);
	WANT("CLOSE", n4_close(&root, &h, &st), NFS4_OK);
	WANT("none yet", n4_list_xattrs(&root, &h), 0);
	WANT("get of none", n4_get_xattr(&root, &h, "a", back, sizeof(back)), -ERR_NOXATTR);
	WANT("set", n4_set_xattr(&root, &h, 0, "a", "one", 3), NFS4_OK);
	WANT("create of one there", n4_set_xattr(&root, &h, 1, "a", "two", 3), ERR_EXIST);
	WANT("replace of none", n4_set_xattr(&root, &h, 2, "b", "two", 3), ERR_NOXATTR);
	WANT("set a longer one", n4_set_xattr(&root, &h, 1, "b", big, sizeof(big)), NFS4_OK);
	WANT("get", n4_get_xattr(&root, &h, "a", back, sizeof(back)), 3);
	WANT("value", memcmp(back, "one", 3), 0);
	WANT("get the longer one", n4_get_xattr(&root, &h, "b", back, sizeof(back)), sizeof(big));
	WANT("value", memcmp(back, big, sizeof(big)), 0);
	WANT("two", n4_list_xattrs(&root, &h), 2);
	/* mode 0644: another user may read them and change nothing */
	WANT("get by another", n4_get_xattr(&user, &h, "a", back, sizeof(back)), 3);
	WANT("set by another", n4_set_xattr(&user, &h, 0, "a", "no", 2), ERR_ACCESS);
	WANT("remove by another", n4_remove_xattr(&user, &h, "a"), ERR_ACCESS);
	WANT("remove", n4_remove_xattr(&root, &h, "a"), NFS4_OK);
	WANT("remove again", n4_remove_xattr(&root, &h, "a"), ERR_NOXATTR);
	WANT("one", n4_list_xattrs(&root, &h), 1);
	WANT("REMOVE", n4_remove(&root, &top, "v42"), NFS4_OK);
}

static void run(const char *name, void (*fn)(void))
{
	raw_running = name;
	fn();
	(void)printf("ok - v4.2 %s\n", name);
	(void)fflush(stdout);
}

int main(int argc, char **argv)
{
	char name[3][64];
	if (argc != 4) {
		(void)fprintf(stderr, "usage: %s ADDR PORT EXPORT\n", argv[0]);
		return 2;
	}
	alarm(30);
	(void)snprintf(name[0], sizeof(name[0]), "cowherd-v42-root-%d", (int)getpid());
	(void)snprintf(name[1], sizeof(name[1]), "cowherd-v42-user-%d", (int)getpid());
	(void)snprintf(name[2], sizeof(name[2]), "cowherd-v42-two-%d", (int)getpid());
	root = n4_session(argv[1], argv[2], 2, name[0], 0);
	root2 = n4_session(argv[1], argv[2], 2, name[2], 0);
	user = n4_session(argv[1], argv[2], 2, name[1], 1000);
	top = n4_walk(&root, argv[3]);
	run("READ_PLUS is refused and READ answers", read_plus_is_refused_and_read_answers);
	run("an unchecked create opens what is there", an_unchecked_create_opens_what_is_there);
	run("a create that is not allowed truncates nothing",
	    a_create_that_is_not_allowed_truncates_nothing);
	run("an open gains no access that is not allowed",
	    an_open_gains_no_access_that_is_not_allowed);
	run("big writes read back", big_writes_read_back);
	run("share reservations deny and end", share_reservations_deny_and_end);
	run("holes are found, made and filled", holes_are_found_made_and_filled);
	run("extended attributes are kept and guarded", extended_attributes_are_kept_and_guarded);
	return 0;
}
