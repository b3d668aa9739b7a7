#ifndef CLINUX_BOOTPARAM_H
#define CLINUX_BOOTPARAM_H
#include <asm/bootparam.h>
#include <elf.h>
#endif
