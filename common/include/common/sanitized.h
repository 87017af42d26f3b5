/* SPDX-License-Identifier: LGPL-3.0-or-later
 *
 * COW_SANITIZED - 1 in a build whose run time asks the kernel for more than the program does and keeps what was
 * freed: ASan, and TSan of clang. That of gcc needs nothing more.
 */
#ifndef COW_COMMON_SANITIZED_H
#define COW_COMMON_SANITIZED_H

#if defined(__SANITIZE_ADDRESS__)
#define COW_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define COW_SANITIZED 1
#endif
#endif
#ifndef COW_SANITIZED
#define COW_SANITIZED 0
#endif

#endif
