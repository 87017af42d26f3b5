/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "change.h"

#include <stdlib.h>

#include "cli.h"

static const struct kind {
	char letter;
	const char *name;
} kinds[] = {
    [COW_CHANGE_ADDED] = {'A', "added"},	   [COW_CHANGE_MODIFIED] = {'M', "modified"},
    [COW_CHANGE_ATTRIBUTES] = {'T', "attributes"}, [COW_CHANGE_DELETED] = {'D', "deleted"},
    [COW_CHANGE_MOVED] = {'R', "moved"},
};

char cow_change_letter(enum cow_ovl_change_kind kind)
{
	return kinds[kind].letter;
}

static const char *type_name(mode_t type)
{
	switch (type & S_IFMT) {
	case S_IFREG:
		return "file";
	case S_IFDIR:
		return "directory";
	case S_IFLNK:
		return "symlink";
	case S_IFCHR:
		return "character device";
	case S_IFBLK:
		return "block device";
	case S_IFIFO:
		return "fifo";
	case S_IFSOCK:
		return "socket";
	default:
		return "unknown";
	}
}

void cow_change_json_path(struct json_object *o, const char *key, const char *path)
{
	int escaped;
	char *text = cow_cli_json_path(path, &escaped);
	cow_cli_json_str(o, key, text);
	if (escaped)
		json_object_object_add(o, "path_escaped", json_object_new_boolean(1));
	free(text);
}

static struct json_object *what_json(unsigned what)
{
	static const struct {
		unsigned bit;
		const char *name;
	} bits[] = {
	    {COW_CHANGED_DATA, "data"},	  {COW_CHANGED_TYPE, "type"},
	    {COW_CHANGED_MODE, "mode"},	  {COW_CHANGED_OWNER, "owner"},
	    {COW_CHANGED_MTIME, "mtime"}, {COW_CHANGED_XATTRS, "xattrs"},
	};
	struct json_object *list = json_object_new_array();
	for (size_t k = 0; k < sizeof(bits) / sizeof(*bits); k++)
		if (what & bits[k].bit)
			(void)json_object_array_add(list, json_object_new_string(bits[k].name));
	return list;
}

void cow_change_json(struct json_object *o, enum cow_ovl_change_kind kind, mode_t type,
		     unsigned what)
{
	cow_cli_json_str(o, "change", kinds[kind].name);
	cow_cli_json_str(o, "type", type_name(type));
	json_object_object_add(o, "what", what_json(what));
}
