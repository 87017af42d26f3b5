/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * Boot sessions: see tftp/session.h.
 */
#include "tftp/session.h"

#include <string.h>

#include "tftp/loader.h"
#include "tftp/name.h"

/* Asked by every machine of a kind, early; which comes first differs between boards and firmware. */
static const struct {
	const char *name;
	enum cow_tftp_loader config; /* instead of a name: any configuration of this loader */
	bool loader; /* of a PC: the boot is the configuration that it asks for next */
	bool once;   /* asked in the first moments of a boot and not again later */
} firsts[] = {
    {.config = COW_TFTP_LOADER_IPXE, .once = true},
    {.config = COW_TFTP_LOADER_PXELINUX, .once = true},
    {.config = COW_TFTP_LOADER_GRUB, .once = true},
    {"config.txt"},
    {"tryboot.txt"},
    {"cmdline.txt"},
    {"bootcode.bin", .once = true},
    {"start4.elf", .once = true},
    {"start.elf", .once = true},
    {"undionly.kpxe", .loader = true, .once = true},
    {"ipxe.efi", .loader = true, .once = true},
    {"snponly.efi", .loader = true, .once = true},
    {"pxelinux.0", .loader = true, .once = true},
    {"grubpc.0", .loader = true, .once = true},
    {"bootx64.efi", .loader = true, .once = true},
    {"bootaa64.efi", .loader = true, .once = true},
};

/* Index and one; 0: none of them. */
static unsigned first_of(const char *path)
{
	const char *name = cow_tftp_basename(path);
	enum cow_tftp_loader config = cow_tftp_loader_of(path);

	for (unsigned i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++)
		if (firsts[i].config ? firsts[i].config == config
				     : strcmp(name, firsts[i].name) == 0)
			return i + 1;
	return 0;
}

static bool is_another(const struct cow_tftp_session *s, struct in_addr addr, unsigned first,
		       uint64_t idle_ms)
{
	if (s->seen_ms == 0 || s->addr.s_addr != addr.s_addr ||
	    idle_ms >= COW_TFTP_SESSION_MAX_IDLE_MS)
		return true;
	if (!first || !s->first)
		return false;
	if (idle_ms >= COW_TFTP_SESSION_IDLE_MS)
		return true;
	/* start.elf may come long after bootcode.bin, config.txt is read by each stage of the firmware. */
	return idle_ms >= COW_TFTP_SESSION_AGAIN_MS && (s->asked & 1u << first) != 0 &&
	       (first == s->first || firsts[first - 1].once);
}

unsigned cow_tftp_session_note(struct cow_tftp_session *s, struct in_addr addr, const char *path,
			       uint64_t now_ms)
{
	unsigned first = first_of(path), what = 0;

	if (is_another(s, addr, first, now_ms > s->seen_ms ? now_ms - s->seen_ms : 0)) {
		what |= COW_TFTP_SESSION_NEW;
		s->announced = false;
		s->first = s->asked = 0;
	}
	s->seen_ms = now_ms;
	s->addr = addr;
	if (!s->first)
		s->first = first;
	if (first)
		s->asked |= 1u << first;
	if (first && !firsts[first - 1].loader && !s->announced) {
		s->announced = true;
		what |= COW_TFTP_SESSION_BOOT;
	}
	return what;
}
