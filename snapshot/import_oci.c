/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Container images: an OCI layout ("OCI Image Layout Specification"), or what `docker save` writes.
 * Its layers are laid one upon the other. Nothing is taken that does not have the digest its
 * manifest names; of what docker writes the files are named and have none.
 */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "common/bounds.h"
#include "common/cleanup.h"
#include "common/fs.h"
#include "common/log.h"
#include "fill.h"
#include "tree.h"

#define JSON_MAX (4u << 20) /* registries take manifests of 4 MiB at most */
#define NESTED_MAX 4	    /* indexes of indexes */
#define LAYERS_MAX 512	    /* overlay file systems stop at 128 or 500 */
#define INSIDE_PREFIX ".cowherd-layout-"

static void put(struct json_object *o)
{
	(void)json_object_put(o); /* says whether it was the last */
}
COW_DEFINE_AUTO(struct json_object, put)
#define autojson COW_CLEANUP(cow_auto_put) struct json_object *

struct oci {
	int dir;
	const char *what;
	struct cow_err *err;
	struct cow_fill *f;
	struct json_object *image; /* the manifest, when it was found */
	unsigned images;
	char others[256]; /* what else there is */
};

static int bad(struct oci *i, const char *name, const char *why)
{
	return cow_err_say(i->err, COW_ERR_FAILED, -EBADMSG, "%s in the container image '%s' %s",
			   COW_Q(name), i->what, why);
}

/* ---------------------------------------------------------------- JSON */

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *v;
	if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
		return "";
	return json_object_get_string(v);
}

/* NULL: there is no such list. */
static struct json_object *list_of(struct json_object *o, const char *key)
{
	struct json_object *v;
	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_array)
		   ? v
		   : NULL;
}

static int parse(struct oci *i, const char *name, const char *text, size_t len,
		 struct json_object **ret)
{
	struct json_tokener *t = json_tokener_new_ex(32);
	if (!t)
		return cow_err_set(i->err, -ENOMEM, "read '%s'", i->what);
	*ret = len < INT32_MAX ? json_tokener_parse_ex(t, text, (int)len) : NULL;
	json_tokener_free(t);
	return *ret ? 0 : bad(i, name, "is no JSON");
}

static int read_json(struct oci *i, const char *name, struct json_object **ret)
{
	cow_autofree char *text = NULL;
	size_t len;
	int r = cow_tree_read(i->dir, name, JSON_MAX, &text, &len);
	if (r < 0)
		return cow_err_set(i->err, r, "read '%s' of the container image '%s'", name,
				   i->what);
	return parse(i, name, text, len, ret);
}

/* ---------------------------------------------------------------- blobs */

static int digest_of(int fd, char hex[65])
{
	unsigned char sum[EVP_MAX_MD_SIZE], buf[65536];
	unsigned len = 0;
	ssize_t n = 0;
	off_t at = 0;
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	int fine = md && EVP_DigestInit_ex(md, EVP_sha256(), NULL) == 1;
	while (fine && (n = cow_pread_full(fd, buf, sizeof(buf), at)) > 0) {
		fine = EVP_DigestUpdate(md, buf, (size_t)n) == 1;
		at += n;
	}
	fine = fine && n == 0 && EVP_DigestFinal_ex(md, sum, &len) == 1;
	EVP_MD_CTX_free(md);
	for (unsigned k = 0; fine && k < len && k < 32; k++)
		(void)snprintf(hex + (size_t)2 * k, 3, "%02x", sum[k]);
	if (n < 0)
		return (int)n;
	return fine ? 0 : -ENOMEM;
}

/* "sha256:" and 64 lower-case digits become a path. */
static int blob_path(const char *digest, char path[96])
{
	static const char kind[] = "sha256:";
	if (strncmp(digest, kind, sizeof(kind) - 1) != 0)
		return -EOPNOTSUPP;
	const char *hex = digest + sizeof(kind) - 1;
	if (strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64)
		return -EBADMSG;
	(void)snprintf(path, 96, "blobs/sha256/%s", hex);
	return 0;
}

/* -> descriptor of a file of the layout that is what its digest says. */
static int open_blob(struct oci *i, const char *digest)
{
	char path[96], hex[65] = "";
	int r = blob_path(digest, path);
	if (r < 0)
		return bad(i, digest, r == -EOPNOTSUPP ? "is no SHA-256" : "is no digest");
	int fd = cow_tree_open(i->dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	if (fd == -ENOENT)
		return bad(i, digest, "is missing");
	if (fd < 0)
		return cow_err_set(i->err, fd, "open '%s' of '%s'", path, i->what);
	r = digest_of(fd, hex);
	if (r == 0 && strcmp(hex, digest + strlen("sha256:")) == 0)
		return fd;
	(void)close(fd);
	return r < 0 ? cow_err_set(i->err, r, "read '%s' of '%s'", path, i->what)
		     : bad(i, digest, "is damaged: it has another digest");
}

static int read_blob(struct oci *i, const char *digest, struct json_object **ret)
{
	char path[96];
	cow_autoclose int fd = open_blob(i, digest);
	if (fd < 0)
		return fd;
	(void)blob_path(digest, path); /* open_blob() has looked at it */
	return read_json(i, path, ret);
}

/* ---------------------------------------------------------------- which image */

static int is_index(struct json_object *o)
{
	const char *type = text_of(o, "mediaType");
	return strcmp(type, "application/vnd.oci.image.index.v1+json") == 0 ||
	       strcmp(type, "application/vnd.docker.distribution.manifest.list.v2+json") == 0;
}

/* Builders put notes about a build beside it, for no platform. */
static int is_note(struct json_object *o)
{
	struct json_object *platform;
	return json_object_object_get_ex(o, "platform", &platform) &&
	       strcmp(text_of(platform, "os"), "unknown") == 0;
}

static void add_other(struct oci *i, struct json_object *o)
{
	struct json_object *platform = NULL, *notes = NULL;
	size_t len = strlen(i->others);
	(void)json_object_object_get_ex(o, "platform", &platform);
	(void)json_object_object_get_ex(o, "annotations", &notes);
	(void)snprintf(i->others + len, sizeof(i->others) - len, "%s%s%s%s", len ? ", " : "",
		       COW_Q(text_of(notes, "org.opencontainers.image.ref.name")),
		       platform ? " for " : "", platform ? text_of(platform, "architecture") : "");
}

static int find_image(struct oci *i, struct json_object *index, unsigned depth);

static int look_at(struct oci *i, struct json_object *o, unsigned depth)
{
	autojson blob = NULL;
	if (is_note(o))
		return 0;
	int r = read_blob(i, text_of(o, "digest"), &blob);
	if (r < 0)
		return r;
	if (is_index(o) || list_of(blob, "manifests"))
		return depth < NESTED_MAX ? find_image(i, blob, depth + 1)
					  : bad(i, "index.json", "is nested too deep");
	add_other(i, o);
	i->images++;
	put(i->image);
	i->image = cow_steal_ptr(&blob);
	return 0;
}

static int find_image(struct oci *i, struct json_object *index, unsigned depth)
{
	struct json_object *list = list_of(index, "manifests");
	int r = 0;
	if (!list)
		return bad(i, "index.json", "lists no manifests");
	for (size_t k = 0; r == 0 && k < json_object_array_length(list); k++)
		r = look_at(i, json_object_array_get_idx(list, k), depth);
	return r;
}

static int one_image(struct oci *i)
{
	if (i->images == 1)
		return 0;
	if (i->images == 0)
		return bad(i, "index.json", "names no image");
	return cow_err_hint(i->err,
			    cow_err_say(i->err, COW_ERR_FAILED, -EINVAL,
					"'%s' holds %u container images: %s", i->what, i->images,
					i->others),
			    "take out the one you want, with skopeo copy for instance");
}

/* ---------------------------------------------------------------- layers */

static int add_layer(struct oci *i, struct cow_layers *l, int fd)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return cow_err_set(i->err, -errno, "read '%s'", i->what);
	if (!S_ISREG(st.st_mode))
		return bad(i, "a layer", "is no file");
	return cow_layers_add(l, fd);
}

/* -> descriptor of layer @k */
static int open_layer(struct oci *i, struct json_object *list, size_t k, int is_docker)
{
	struct json_object *o = json_object_array_get_idx(list, k);
	if (!is_docker)
		return open_blob(i, text_of(o, "digest"));
	const char *name =
	    json_object_is_type(o, json_type_string) ? json_object_get_string(o) : "";
	/* Layers that are the same are links to one. */
	int fd = *name ? cow_tree_open(i->dir, name, O_RDONLY | O_NONBLOCK) : -ENOENT;
	return fd < 0 ? bad(i, name, "is missing") : fd;
}

static int flatten(struct oci *i, int is_docker)
{
	cow_autolayers l = NULL;
	struct json_object *list = list_of(i->image, is_docker ? "Layers" : "layers");
	size_t n = list ? json_object_array_length(list) : 0;
	if (n == 0 || n > LAYERS_MAX)
		return bad(i, "its manifest", n ? "has too many layers" : "has no layers");
	/* A layout's layer is what its digest says; umoci insert writes some without an end. */
	int r = cow_layers_new(i->f, i->what, is_docker ? COW_TAR_END_MARKED : COW_TAR_END_KNOWN,
			       &l, i->err);
	for (size_t k = 0; r == 0 && k < n; k++) {
		cow_autoclose int fd = open_layer(i, list, k, is_docker);
		r = fd < 0 ? fd : add_layer(i, l, fd);
		if (r < 0)
			return cow_err_prefix(i->err, r, "layer %zu of %zu", k + 1, n);
	}
	return r < 0 ? r : cow_layers_finish(l);
}

static int import_layout(struct oci *i)
{
	autojson index = NULL;
	int r = read_json(i, "index.json", &index);
	if (r == 0)
		r = find_image(i, index, 0);
	if (r == 0)
		r = one_image(i);
	return r < 0 ? r : flatten(i, 0);
}

static int import_docker(struct oci *i)
{
	autojson list = NULL;
	int r = read_json(i, "manifest.json", &list);
	if (r < 0)
		return r;
	if (!json_object_is_type(list, json_type_array))
		return bad(i, "manifest.json", "is no list");
	i->images = (unsigned)json_object_array_length(list);
	for (size_t k = 0; k < i->images; k++)
		add_other(i, json_object_array_get_idx(list, k));
	if (i->images == 0)
		return bad(i, "manifest.json", "names no image");
	r = one_image(i);
	if (r < 0)
		return r;
	i->image = json_object_get(json_object_array_get_idx(list, 0));
	return flatten(i, 1);
}

int cow_oci_is(int tree)
{
	if (cow_tree_has(tree, "oci-layout") && cow_tree_has(tree, "index.json"))
		return 1;
	return cow_tree_has(tree, "manifest.json") && !cow_tree_has(tree, "etc") &&
	       !cow_tree_has(tree, "usr");
}

static int has(const struct cow_fill *f, const char *name)
{
	struct stat st;
	return cow_fill_lstat(f, f->tree, name, &st) == 0 && cow_tree_has(f->tree, name);
}

int cow_oci_is_here(const struct cow_fill *f)
{
	if (has(f, "oci-layout") && has(f, "index.json"))
		return 1;
	return has(f, "manifest.json") && !has(f, "etc") && !has(f, "usr");
}

int cow_import_oci(struct cow_fill *f, int layout, const char *what, struct cow_err *err)
{
	struct oci i = {.dir = layout, .what = what, .err = err, .f = f};
	int r = cow_tree_has(layout, "oci-layout") ? import_layout(&i) : import_docker(&i);
	put(i.image);
	return r;
}

/* ---------------------------------------------------------------- archives */

struct aside {
	const struct cow_fill *f;
	const char *name;
};

static int move_aside(void *ctx, const char *name)
{
	struct aside *a = ctx;
	struct stat st;
	cow_autofree char *to = NULL;
	int r = cow_fill_lstat(a->f, a->f->tree, name, &st);
	if (strcmp(name, a->name) == 0 || r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	if (asprintf(&to, "%s/%s", a->name, name) < 0)
		return -ENOMEM;
	return renameat(a->f->tree, name, a->f->tree, to) < 0 ? -errno : 0;
}

int cow_import_oci_here(struct cow_fill *f, const char *what, struct cow_err *err)
{
	char inside[sizeof(INSIDE_PREFIX) + COW_HEX64_LEN] = INSIDE_PREFIX;
	struct aside a = {.f = f, .name = inside};
	int r = cow_random_hex(inside + sizeof(INSIDE_PREFIX) - 1);
	if (r == 0)
		r = cow_mkdir_at(f->tree, inside, 0700);
	if (r == 0)
		r = cow_tree_each(f->tree, ".", move_aside, &a);
	cow_autoclose int layout = r < 0 ? r : cow_opendir_at(f->tree, inside);
	if (layout < 0)
		return cow_err_set(err, layout, "look into the container image '%s'", what);
	f->inodes = 1;
	f->bytes = 0;
	r = cow_import_oci(f, layout, what, err);
	if (r < 0)
		return r;
	struct stat st = {0}; /* the root's times came with a layer */
	r = fstat(f->tree, &st) < 0 ? -errno : cow_rm_rf_at(f->tree, inside, 0);
	const struct timespec times[2] = {st.st_atim, st.st_mtim};
	if (r == 0 && futimens(f->tree, times) < 0)
		r = -errno;
	return r < 0 ? cow_err_set(err, r, "tidy up after '%s'", what) : 0;
}
