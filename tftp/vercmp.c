/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * deb-version(7): strings are compared in turns of non-digits and digits. Among non-digits '~'
 * sorts before the end, the end before letters, letters before everything else; digits count as
 * numbers.
 */
#include "tftp/vercmp.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int weight(char c)
{
	if (c == '~')
		return -1;
	if (c == '\0' || is_digit(c))
		return 0;
	if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))
		return c;
	return (unsigned char)c + 256;
}

static int compare_words(const char **a, const char **b)
{
	while ((**a && !is_digit(**a)) || (**b && !is_digit(**b))) {
		int d = weight(**a) - weight(**b);

		if (d)
			return d;
		(*a)++; /* equal weights: neither is at its end */
		(*b)++;
	}
	return 0;
}

/* Numbers of any length, without converting them. */
static int compare_numbers(const char **a, const char **b)
{
	while (**a == '0')
		(*a)++;
	while (**b == '0')
		(*b)++;

	size_t la = strspn(*a, "0123456789"), lb = strspn(*b, "0123456789");
	int d = la != lb ? (la < lb ? -1 : 1) : strncmp(*a, *b, la);

	*a += la;
	*b += lb;
	return d;
}

int cow_tftp_vercmp(const char *a, const char *b)
{
	while (*a || *b) {
		int d = compare_words(&a, &b);

		if (!d)
			d = compare_numbers(&a, &b);
		if (d)
			return d;
	}
	return 0;
}
