/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * A client, of NFSv3 and v4.1 at once, while the server's disk gets full, is full, and has room again. Each
 * word on its standard input takes it a step on; it answers with the word when that is done.
 *	nfs_full ADDR NFSPORT MOUNTPORT EXPORT
 *	fill	writes until there is no room, in ever smaller pieces
 *	full	what needs room is done or answered with NOSPC, and nothing else; all that was there is read
 *	free	removes most of what it wrote
 *	room	writes again, and has everything that was acknowledged
 *	back	after the server was started again: connects anew, and has everything that was acknowledged
 *	more	writes on
 *	nfs_full pattern	writes what the image must have as /pattern
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "raw3.h"
#include "raw4.h"

#define CHUNK (256u << 10)
#define SMALLEST 512u
#define IMAGE_BYTES (4u << 20)
#define SOME 600 /* entries of /some */
#define TRIES 40

static const char *addr, *port, *mount_port, *export_path;
static struct raw c3;
static struct session s4;
static struct fh3 top3;
static struct fh top4;

/* What one file must have: @stable bytes are acknowledged as on disk; beyond it, up to @sent, there may be more. */
struct file {
	char name[32];
	unsigned key;
	int v4, unstable;
	struct fh3 h3;
	struct fh h4;
	struct stateid st;
	uint64_t stable, sent;
	int removed;
};
enum { FILES = 6 };
static struct file files[FILES];

static uint8_t byte_at(unsigned key, uint64_t off)
{
	return (uint8_t)(off * 31 + (off >> 9) * 7 + key * 101 + 1);
}

static void fill_buf(uint8_t *b, unsigned key, uint64_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		b[i] = byte_at(key, off + i);
}

static void only_ok_or_nospc(const char *what, uint32_t status)
{
	if (status != N3_OK)
		WANT(what, status, N3_NOSPC);
}

/* -------------------------------------------------- files */

static uint32_t make(struct file *f)
{
	static const struct open_how how = {.access = BOTH, .create = CREATE_GUARDED};
	if (f->v4)
		return n4_open(&s4, &top4, f->name, how, &f->h4, &f->st);
	return n3_create(&c3, &top3, f->name, N3_GUARDED, 0, &f->h3);
}

/* One WRITE at the end of what is acknowledged. Return: the status, @ret_len what is on disk now. */
static uint32_t append(struct file *f, size_t len)
{
	static uint8_t b[CHUNK];
	uint32_t stable = f->unstable ? RAW_UNSTABLE : RAW_FILE_SYNC;
	size_t n = 0;
	fill_buf(b, f->key, f->stable, len);
	uint32_t r = f->v4 ? n4_write_some(&s4, &f->h4, &f->st, f->stable, b, len, stable, &n)
			   : n3_write_some(&c3, &f->h3, f->stable, b, len, stable, &n);
	only_ok_or_nospc("WRITE", r);
	if (f->stable + len > f->sent)
		f->sent = f->stable + len;
	if (r == 0 && f->unstable) {
		r = f->v4 ? n4_commit(&s4, &f->h4) : n3_commit(&c3, &f->h3);
		only_ok_or_nospc("COMMIT", r);
	}
	if (r == 0) {
		WANT("bytes taken", n > 0 && n <= len, 1);
		f->stable += n;
	}
	return r;
}

static size_t read_some(struct file *f, uint64_t off, uint8_t *b, size_t len)
{
	uint32_t eof;
	size_t n = 0;
	if (f->v4) {
		long r = n4_read(&s4, &f->h4, &f->st, off, b, len, &eof);
		WANT("READ", r >= 0, 1);
		return (size_t)r;
	}
	WANT("READ", n3_read(&c3, &f->h3, off, b, len, &n, &eof), N3_OK);
	return n;
}

/* Everything acknowledged, and no byte behind it that was never sent. */
static void read_back(struct file *f)
{
	static uint8_t b[CHUNK];
	uint64_t off = 0;
	size_t n;
	do {
		n = read_some(f, off, b, sizeof(b));
		for (size_t i = 0; i < n; i++)
			if (off + i < f->stable ? b[i] != byte_at(f->key, off + i)
						: b[i] != byte_at(f->key, off + i) && b[i] != 0)
				raw_die("%s: %s: byte %llu of %llu is %u", raw_running, f->name,
					(unsigned long long)(off + i), (unsigned long long)f->stable, b[i]);
		off += n;
	} while (n > 0);
	WANT("length", off >= f->stable && off <= f->sent, 1);
}

static void read_all(void)
{
	for (int k = 0; k < FILES; k++)
		if (!files[k].removed)
			read_back(&files[k]);
}

/* -------------------------------------------------- what the image has */

static unsigned listed;

static void count_entry(void *arg, const char *name, uint64_t fileid, uint64_t cookie)
{
	(void)arg;
	(void)fileid;
	(void)cookie;
	listed += name[0] == 'f';
}

static void list_some(void)
{
	struct fh3 dir;
	uint64_t cookie = 0, verifier = 0;
	uint32_t eof = 0;
	listed = 0;
	WANT("LOOKUP", n3_lookup(&c3, &top3, "some", &dir), N3_OK);
	while (!eof)
		WANT("READDIR", n3_readdir(&c3, &dir, 8192, &cookie, &verifier, count_entry, NULL, &eof),
		     N3_OK);
	WANT("entries", listed, SOME);
}

/* @changed: one of its bytes may be another, see write_image(). */
static void read_image(struct file *f, int changed)
{
	static uint8_t b[CHUNK];
	for (uint64_t off = 0; off < IMAGE_BYTES; off += CHUNK) {
		WANT("bytes of the image's file", read_some(f, off, b, CHUNK), CHUNK);
		for (size_t i = 0; i < CHUNK; i++)
			if (b[i] != byte_at(0, off + i) && !(changed && off + i == 0 && b[i] == 0xee))
				raw_die("%s: byte %llu of the image's file is %u", raw_running,
					(unsigned long long)(off + i), b[i]);
	}
}

static struct file image3 = {.name = "pattern"}, image4 = {.name = "pattern", .v4 = 1};

static void find_image(void)
{
	static const struct open_how how = {.access = READ};
	struct n3_attr a;
	struct n4_attr a4;
	WANT("LOOKUP", n3_lookup(&c3, &top3, image3.name, &image3.h3), N3_OK);
	WANT("OPEN", n4_open(&s4, &top4, image4.name, how, &image4.h4, &image4.st), NFS4_OK);
	WANT("GETATTR", n3_getattr(&c3, &image3.h3, &a), N3_OK);
	WANT("size", a.size, IMAGE_BYTES);
	WANT("GETATTR", n4_getattr(&s4, &image4.h4, &a4), NFS4_OK);
	WANT("size", a4.size, IMAGE_BYTES);
	WANT("fileid", a4.fileid, a.fileid);
}

static int image_changed;

static void see_image(void)
{
	find_image();
	read_image(&image3, image_changed);
	read_image(&image4, image_changed);
	WANT("CLOSE", n4_close(&s4, &image4.h4, &image4.st), NFS4_OK);
	list_some();
}

/* -------------------------------------------------- what needs room */

/* What was answered is so: @made is the status of what makes @name. */
static void is_or_is_not(const char *what, const char *name, uint32_t status)
{
	struct fh3 h;
	only_ok_or_nospc(what, status);
	WANT(what, n3_lookup(&c3, &top3, name, &h), status ? N3_NOENT : N3_OK);
}

static unsigned refused;

static void make_names(unsigned k)
{
	char name[64], target[300];
	struct fh3 h;
	struct fh d;
	uint32_t r[5];
	static const char *const what[] = {"MKDIR", "CREATE", "SYMLINK", "CREATE of v4", "LINK"};
	(void)snprintf(name, sizeof(name), "full-%u-0", k);
	char *last = name + strlen(name) - 1;
	r[0] = n3_mkdir(&c3, &top3, name, 0755, &h);
	is_or_is_not(what[0], name, r[0]);
	*last = '1';
	r[1] = n3_create(&c3, &top3, name, N3_GUARDED, 0, &h);
	is_or_is_not(what[1], name, r[1]);
	*last = '2';
	memset(target, 't', sizeof(target) - 1);
	target[sizeof(target) - 1] = 0;
	r[2] = n3_symlink(&c3, &top3, name, target, &h);
	is_or_is_not(what[2], name, r[2]);
	*last = '3';
	r[3] = n4_mkdir(&s4, &top4, name, 0755, &d);
	is_or_is_not(what[3], name, r[3]);
	*last = '4';
	r[4] = n3_link(&c3, &files[0].h3, &top3, name);
	is_or_is_not(what[4], name, r[4]);
	for (int i = 0; i < 5; i++)
		refused += r[i] != 0;
}

static void change_image(void)
{
	static const struct open_how how = {.access = BOTH};
	struct fh3 h, dir;
	struct fh h4;
	struct stateid st;
	struct n3_attr a, b;
	WANT("LOOKUP", n3_lookup(&c3, &top3, "pattern", &h), N3_OK);
	WANT("GETATTR", n3_getattr(&c3, &h, &a), N3_OK);
	uint32_t r = n3_write(&c3, &h, 0, "\xee", 1);
	only_ok_or_nospc("WRITE to the image's file", r);
	image_changed |= r == 0;
	refused += r != 0;
	r = n4_open(&s4, &top4, "pattern", how, &h4, &st);
	only_ok_or_nospc("OPEN of the image's file for writing", r);
	if (r == 0) {
		r = n4_write(&s4, &h4, &st, 0, "\xee", 1);
		only_ok_or_nospc("WRITE to it", r);
		image_changed |= r == 0;
		WANT("CLOSE", n4_close(&s4, &h4, &st), NFS4_OK);
	}
	WANT("LOOKUP", n3_lookup(&c3, &top3, "some", &dir), N3_OK);
	r = n3_set_mode(&c3, &h, a.mode ^ 0111);
	only_ok_or_nospc("SETATTR of the image's file", r);
	WANT("GETATTR", n3_getattr(&c3, &h, &b), N3_OK);
	WANT("mode", b.mode, r ? a.mode : a.mode ^ 0111);
	r = n3_rename(&c3, &top3, "hello", &top3, "hello2");
	only_ok_or_nospc("RENAME of the image's file", r);
	WANT("the old name", n3_lookup(&c3, &top3, "hello", &h), r ? N3_OK : N3_NOENT);
	WANT("the new name", n3_lookup(&c3, &top3, "hello2", &h), r ? N3_NOENT : N3_OK);
	r = n3_remove(&c3, &dir, "x");
	only_ok_or_nospc("REMOVE of the image's file", r);
	WANT("it", n3_lookup(&c3, &dir, "x", &h), r ? N3_OK : N3_NOENT);
}

/* -------------------------------------------------- steps */

static void connect_all(void)
{
	char name[64];
	struct raw mnt = n3_connect(addr, mount_port, 0);
	c3 = n3_connect(addr, port, 0);
	(void)snprintf(name, sizeof(name), "cowherd-full-%d", (int)getpid());
	s4 = n4_session(addr, port, 1, name, 0);
	WANT("mount", n3_mount(&mnt, export_path, &top3), 0);
	top4 = n4_walk(&s4, export_path);
}

static void start(void)
{
	connect_all();
	for (unsigned k = 0; k < FILES; k++) {
		struct file *f = &files[k];
		f->key = k + 1;
		f->v4 = k % 2;
		f->unstable = k / 2 == 1;
		(void)snprintf(f->name, sizeof(f->name), "file%u", k);
		WANT("create", make(f), 0);
		WANT("first WRITE", append(f, 5000), 0);
	}
	see_image();
}

/* In turn, so that each meets the end. */
static void fill(void)
{
	for (size_t len = CHUNK; len >= SMALLEST; len /= 8)
		for (int failed = 0, k = 0, n = 0; failed < FILES && n < 2000; k = (k + 1) % FILES, n++)
			failed = append(&files[k], len) ? failed + 1 : 0;
	WANT("it is full", append(&files[0], CHUNK), N3_NOSPC);
	WANT("it is full", append(&files[1], CHUNK), ERR_NOSPC);
}

static void full(void)
{
	read_all();
	see_image();
	for (unsigned k = 0; k < TRIES; k++)
		make_names(k);
	change_image();
	see_image();
	read_all();
	(void)printf("# of %d changes %u were refused\n", TRIES * 5 + 1, refused);
}

/* The first two stay, and names made meanwhile. */
static void make_room(void)
{
	for (int k = 2; k < FILES; k++) {
		struct file *f = &files[k];
		if (f->v4)
			WANT("CLOSE", n4_close(&s4, &f->h4, &f->st), NFS4_OK);
		WANT("REMOVE", f->v4 ? n4_remove(&s4, &top4, f->name) : n3_remove(&c3, &top3, f->name), 0);
		f->removed = 1;
	}
	read_all();
}

static void room(void)
{
	int n = 0;
	while (append(&files[0], CHUNK) || append(&files[1], CHUNK)) { /* file systems give back in their own time */
		WANT("room again in a while", n++ < 100, 1);
		(void)usleep(100000);
	}
	struct file *f = &files[2];
	*f = (struct file){.name = "after", .key = 9, .unstable = 1};
	WANT("create", make(f), 0);
	WANT("WRITE", append(f, CHUNK), 0);
	read_all();
	see_image();
}

static void reopen(struct file *f)
{
	static const struct open_how how = {.access = BOTH};
	uint32_t r = ERR_GRACE;
	for (int n = 0; r == ERR_GRACE && n < 200; n++) {
		r = n4_open(&s4, &top4, f->name, how, &f->h4, &f->st);
		if (r == ERR_GRACE)
			(void)usleep(50000);
	}
	WANT("OPEN", r, NFS4_OK);
}

/* Files of v3 are found by the handles of before. */
static void back(void)
{
	connect_all();
	for (int k = 0; k < FILES; k++)
		if (files[k].v4 && !files[k].removed)
			reopen(&files[k]);
	read_all();
	see_image();
}

static void more(void)
{
	WANT("WRITE", append(&files[0], CHUNK), 0);
	WANT("WRITE", append(&files[1], CHUNK), 0);
}

static void run_steps(void)
{
	static const struct {
		const char *word;
		void (*fn)(void);
	} steps[] = {{"start", start}, {"fill", fill}, {"full", full},
		     {"free", make_room}, {"room", room}, {"back", back}, {"more", more}};
	char line[32];
	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = 0;
		for (size_t i = 0; i < sizeof(steps) / sizeof(*steps); i++)
			if (!strcmp(steps[i].word, line)) {
				raw_running = steps[i].word;
				steps[i].fn();
				(void)printf("%s\n", line);
				(void)fflush(stdout);
			}
	}
}

static int write_pattern(void)
{
	static uint8_t b[IMAGE_BYTES];
	fill_buf(b, 0, 0, sizeof(b));
	return fwrite(b, 1, sizeof(b), stdout) == sizeof(b) && fflush(stdout) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "pattern"))
		return write_pattern();
	if (argc != 5) {
		(void)fprintf(stderr, "usage: %s ADDR NFSPORT MOUNTPORT EXPORT | pattern\n", argv[0]);
		return 2;
	}
	alarm(120);
	addr = argv[1];
	port = argv[2];
	mount_port = argv[3];
	export_path = argv[4];
	run_steps();
	return 0;
}
