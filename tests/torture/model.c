/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * The model of a file: its bytes and its names; what golden files hold; the models of all files
 * written to a file, to be compared with the file system later by another process.
 *
 * State file: "torture-state 1 FILES\n", and for each file "SIZE NAMES\n", each name with "\n", SIZE bytes.
 */
#include "torture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fs.h"
#include "util.h"

#define GOLDEN_BLOCK 16384u
#define GOLDEN_BLOCKS 10u

void model_write(struct file *f, const uint8_t *from, uint64_t off, uint64_t len)
{
	memmove(f->data + off, from, len);
	if (off + len > f->size)
		f->size = off + len;
}

void model_zero(struct file *f, uint64_t off, uint64_t len)
{
	if (off >= f->size)
		return;
	if (len > f->size - off)
		len = f->size - off;
	memset(f->data + off, 0, len);
}

void model_resize(struct file *f, uint64_t size)
{
	if (size < f->size)
		memset(f->data + size, 0, f->size - size);
	f->size = size;
}

/* ---------------------------------------------------------------- golden files */

unsigned pool_size(void)
{
	return opt.nfiles * NAMES + 8;
}

void pool_name(char ret[NAME_ROOM], unsigned worker, unsigned k)
{
	(void)snprintf(ret, NAME_ROOM, "t%u%c/n%u", worker, k & 1 ? 'b' : 'a', k);
}

bool golden_has(unsigned k)
{
	return k % 3 != 2;
}

bool golden_linked(unsigned k)
{
	return opt.links && k % 4 == 1;
}

static uint64_t hash_name(const char *name)
{
	uint64_t h = 0xcbf29ce484222325u;
	for (; *name; name++)
		h = (h ^ (uint8_t)*name) * 0x100000001b3u;
	return h;
}

uint64_t golden_fill(uint8_t *data, const char *name)
{
	struct rng r = rng_part(opt.seed, hash_name(name));
	uint64_t size = rng_chance(&r, 10) ? 0 : rng_below(&r, GOLDEN_BLOCKS * GOLDEN_BLOCK);
	for (uint64_t at = 0; at < size; at += GOLDEN_BLOCK) {
		bool hole = rng_chance(&r, 25);
		for (uint64_t k = at; !hole && k < at + GOLDEN_BLOCK && k < size; k++)
			data[k] = (uint8_t)(rng_next(&r) >> 32);
	}
	return size;
}

static void write_golden(const char *name)
{
	static uint8_t data[FILE_MAX], zero[GOLDEN_BLOCK];
	memset(data, 0, sizeof(data));
	uint64_t size = golden_fill(data, name);
	cow_autoclose int fd = openat(opt.dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
		trouble("make %s", name);
	for (uint64_t at = 0; at < size; at += GOLDEN_BLOCK) {
		size_t len = size - at < GOLDEN_BLOCK ? size - at : GOLDEN_BLOCK;
		if (memcmp(data + at, zero, len) == 0)
			continue; /* a hole */
		int r = cow_pwrite_full(fd, data + at, len, (off_t)at);
		if (r < 0) {
			errno = -r;
			trouble("write %s", name);
		}
	}
}

void lower_setup(void)
{
	char name[NAME_ROOM], other[NAME_ROOM];
	for (unsigned t = 0; t < opt.threads; t++) {
		for (unsigned k = 0; k < 2; k++) {
			pool_name(name, t, k);
			*strchr(name, '/') = '\0';
			if (mkdirat(opt.dir, name, 0755) < 0)
				trouble("make %s", name);
		}
		for (unsigned k = 0; k < opt.nfiles; k++) {
			pool_name(name, t, k);
			if (!golden_has(k))
				continue;
			write_golden(name);
			pool_name(other, t, k + opt.nfiles);
			if (golden_linked(k) && linkat(opt.dir, name, opt.dir, other, 0) < 0)
				trouble("make %s", other);
		}
	}
}

/* ---------------------------------------------------------------- state */

void state_dump(const struct worker *workers, const char *path)
{
	cow_autofile FILE *out = fopen(path, "we");
	if (!out)
		trouble("make %s", path);
	(void)fprintf(out, "torture-state 1 %u\n", opt.threads * opt.nfiles);
	for (unsigned t = 0; t < opt.threads; t++)
		for (unsigned k = 0; k < opt.nfiles; k++) {
			const struct file *f = &workers[t].files[k];
			(void)fprintf(out, "%" PRIu64 " %u\n", f->nnames ? f->size : 0, f->nnames);
			for (unsigned n = 0; n < f->nnames; n++)
				(void)fprintf(out, "%s\n", f->names[n]);
			if (f->nnames)
				(void)fwrite(f->data, 1, f->size, out);
		}
	FILE *closing = cow_steal_ptr(&out);
	if (ferror(closing) || fclose(closing) != 0)
		trouble("write %s", path);
}

static int wrong(const char *name, const char *what, uint64_t expected, uint64_t found)
{
	(void)printf("%s: %s: expected %" PRIu64 ", found %" PRIu64 "\n", name, what, expected,
		     found);
	return 1;
}

/* Return: number of differences. */
static unsigned verify_name(const char *name, const uint8_t *data, uint64_t size, unsigned links)
{
	static uint8_t got[FILE_MAX + 1];
	struct stat st;
	unsigned bad = 0;
	cow_autoclose int fd = openat(opt.dir, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		(void)printf("%s: %s\n", name, strerrorname_np(errno));
		return 1;
	}
	if ((uint64_t)st.st_size != size)
		bad += wrong(name, "size", size, (uint64_t)st.st_size);
	if (st.st_nlink != links)
		bad += wrong(name, "links", links, st.st_nlink);
	ssize_t n = cow_pread_full(fd, got, sizeof(got), 0);
	if (n < 0 || (uint64_t)n != size)
		return bad + wrong(name, "bytes read", size, (uint64_t)n);
	for (uint64_t k = 0; k < size; k++)
		if (got[k] != data[k]) {
			(void)printf("%s: at offset %" PRIu64 ": ", name, k);
			return bad + wrong("", "byte", data[k], got[k]);
		}
	return bad;
}

/* Names of the pool that nobody has must not be there. */
static unsigned verify_listing(char (*names)[NAME_ROOM], size_t n)
{
	unsigned bad = 0, found = 0;
	int fd = openat(opt.dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cow_autodir DIR *top = fd < 0 ? NULL : fdopendir(fd);
	if (!top)
		trouble("list the directory");
	for (struct dirent *e; (e = readdir(top));) { /* NOLINT(concurrency-mt-unsafe) */
		if (*e->d_name != 't')
			continue;
		fd = cow_opendir_at(opt.dir, e->d_name);
		cow_autodir DIR *d = fd < 0 ? NULL : fdopendir(fd);
		if (!d)
			continue;
		for (struct dirent *x; (x = readdir(d));) { /* NOLINT(concurrency-mt-unsafe) */
			char path[2 * NAME_MAX + 4];
			if (*x->d_name == '.')
				continue;
			(void)snprintf(path, sizeof(path), "%s/%s", e->d_name, x->d_name);
			size_t k = 0;
			while (k < n && strcmp(names[k], path) != 0)
				k++;
			found++;
			if (k == n) {
				(void)printf("%s: nobody made it\n", path);
				bad++;
			}
		}
	}
	if (found != n)
		bad += wrong("listing", "names", n, found);
	return bad;
}

int state_verify(const char *path)
{
	static char names[THREADS_MAX * FILES_MAX * NAMES][NAME_ROOM];
	static uint8_t data[FILE_MAX];
	unsigned files, bad = 0, links;
	size_t n = 0;
	uint64_t size;
	cow_autofile FILE *in = fopen(path, "re");
	if (!in ||
	    fscanf(in, "torture-state 1 %u%*1[\n]", &files) != 1 || /* NOLINT(cert-err34-c) */
	    files > THREADS_MAX * FILES_MAX)
		trouble("read %s", path);
	for (unsigned k = 0; k < files; k++) {
		/* NOLINTNEXTLINE(cert-err34-c): we wrote it */
		if (fscanf(in, "%" SCNu64 " %u", &size, &links) != 2 || fgetc(in) != '\n' ||
		    size > FILE_MAX || links > NAMES)
			trouble("read %s", path);
		for (unsigned l = 0; l < links; l++) {
			if (!fgets(names[n + l], NAME_ROOM, in))
				trouble("read %s", path);
			names[n + l][strcspn(names[n + l], "\n")] = '\0';
		}
		if (fread(data, 1, size, in) != size)
			trouble("read %s", path);
		for (unsigned l = 0; l < links; l++)
			bad += verify_name(names[n + l], data, size, links);
		n += links;
	}
	bad += verify_listing(names, n);
	(void)printf("verify: %u files, %zu names, %u differences\n", files, n, bad);
	return bad ? 1 : 0;
}
