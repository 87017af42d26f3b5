/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_DOCTOR_NFT_H
#define COW_TOOLS_DOCTOR_NFT_H

#include <json-c/json.h>
#include <stdbool.h>

/*
 * cow_nft_drops - whether a ruleset drops new packets to a port for certain.
 * @ruleset: what `nft -j list ruleset` printed. @ret_chain: the base chain, borrowed from it.
 */
bool cow_nft_drops(struct json_object *ruleset, const char *proto, unsigned port,
		   const char *interface, const char **ret_chain);

#endif
