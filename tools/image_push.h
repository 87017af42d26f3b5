/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_IMAGE_PUSH_H
#define COW_TOOLS_IMAGE_PUSH_H

int cow_cmd_image_push(int argc, char **argv);
int cow_cmd_image_receive(int argc, char **argv);

/*
 * What the two say to each other, lines of words; the pusher's standard output is the receiver's input.
 *	receiver	cowherd-receive 1
 *			have NAME VERSION ID	for each version
 *			end
 *	pusher		import NAME, then an archive up to the end of the stream; or the end at once
 *	receiver	done VERSION, or: failed STATUS TEXT
 */
#define COW_RECEIVE_HELLO "cowherd-receive 1"

#endif
