/* SPDX-License-Identifier: LGPL-3.0-or-later */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/clock.h"

int cow_cli_fail(const struct cow_err *err, int r)
{
	(void)fflush(stdout);
	(void)fprintf(stderr, "cowherd: %s\n", cow_err_str(err));
	return cow_err_exit_status(err, r);
}

int cow_cli_usage(const char *command, const char *fmt, ...)
{
	const char *blank = *command ? " " : "";
	va_list ap;
	va_start(ap, fmt);
	(void)fprintf(stderr, "cowherd%s%s: ", blank, command);
	(void)vfprintf(stderr, fmt, ap);
	(void)fprintf(stderr, "\nTry 'cowherd%s%s --help'.\n", blank, command);
	va_end(ap);
	return COW_ERR_USAGE;
}

int cow_cli_flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return COW_OK;
	perror("cowherd: write to standard output");
	return COW_ERR_FAILED;
}

int cow_cli_json(struct json_object *obj)
{
	(void)puts(json_object_to_json_string_ext(obj, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(obj);
	return cow_cli_flush();
}

void cow_cli_json_str(struct json_object *obj, const char *key, const char *value)
{
	json_object_object_add(obj, key, json_object_new_string(value ? value : ""));
}

void cow_cli_json_u64(struct json_object *obj, const char *key, uint64_t value)
{
	json_object_object_add(obj, key, json_object_new_uint64(value));
}

void cow_cli_json_time(struct json_object *obj, const char *key, int64_t realtime_s)
{
	char text[COW_TIME_TEXT_LEN + 1];
	struct json_object *value = NULL;
	if (realtime_s) {
		cow_time_text(realtime_s, text);
		value = json_object_new_string(text);
	}
	json_object_object_add(obj, key, value);
}

void cow_cli_ago(int64_t when_s, int64_t now_s, char ret[COW_AGO_LEN])
{
	static const struct {
		const char *unit;
		int64_t seconds;
	} units[] = {{"d", 86400}, {"h", 3600}, {"min", 60}, {"s", 1}};
	int64_t age = now_s > when_s ? now_s - when_s : 0;

	if (!when_s) {
		(void)snprintf(ret, COW_AGO_LEN, "never");
		return;
	}
	size_t i = 0;
	while (units[i].seconds > 1 && age < 2 * units[i].seconds)
		i++;
	(void)snprintf(ret, COW_AGO_LEN, "%lld %s ago", (long long)(age / units[i].seconds),
		       units[i].unit);
}

void cow_cli_bytes(uint64_t bytes, char ret[COW_BYTES_LEN])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t i = 0;
	while (value >= 1024 && i + 1 < sizeof(units) / sizeof(*units)) {
		value /= 1024;
		i++;
	}
	(void)snprintf(ret, COW_BYTES_LEN, i ? "%.1f %s" : "%.0f %s", value, units[i]);
}
