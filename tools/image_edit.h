/* SPDX-License-Identifier: LGPL-3.0-or-later */
#ifndef COW_TOOLS_IMAGE_EDIT_H
#define COW_TOOLS_IMAGE_EDIT_H

int cow_cmd_image_edit(int argc, char **argv);

#endif
