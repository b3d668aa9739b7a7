// The kernel's and the C library's headers that vmrun uses, and inline shims for what Swift cannot import
// (request macros, flexible array members, variadic functions, errno).
#ifndef CLINUX_H
#define CLINUX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#include "libc.h"
#include "timer.h"
#include "kvm.h"
#include "virtio.h"
#include "bootparam.h"

#endif
