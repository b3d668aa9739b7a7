// The x86 boot protocol and ELF, as the kernel's and the C library's headers lay them out.
#ifndef CLINUX_BOOTPARAM_H
#define CLINUX_BOOTPARAM_H
#include <asm/bootparam.h>
#include <elf.h>
#include <stddef.h>

// struct boot_params is packed, so its members are reached by offset. The setup header lies at the same offset in a
// bzImage file as in the zero page, so the boot_params_hdr_* offsets serve both.
#define BOOT_PARAMS_OFFSET(name) boot_params_##name = offsetof(struct boot_params, name)
#define BOOT_HEADER_OFFSET(name) boot_params_hdr_##name = offsetof(struct boot_params, hdr.name)
enum {
  boot_params_size = sizeof(struct boot_params),
  BOOT_PARAMS_OFFSET(acpi_rsdp_addr),
  BOOT_PARAMS_OFFSET(ext_ramdisk_image),
  BOOT_PARAMS_OFFSET(ext_ramdisk_size),
  BOOT_PARAMS_OFFSET(ext_cmd_line_ptr),
  BOOT_PARAMS_OFFSET(e820_entries),
  BOOT_PARAMS_OFFSET(sentinel),
  BOOT_PARAMS_OFFSET(hdr),
  BOOT_PARAMS_OFFSET(edd_mbr_sig_buffer),
  BOOT_PARAMS_OFFSET(e820_table),
  boot_e820_entry_size = sizeof(struct boot_e820_entry),
  BOOT_HEADER_OFFSET(setup_sects),
  BOOT_HEADER_OFFSET(root_flags),
  BOOT_HEADER_OFFSET(syssize),
  BOOT_HEADER_OFFSET(vid_mode),
  BOOT_HEADER_OFFSET(boot_flag),
  BOOT_HEADER_OFFSET(jump),
  BOOT_HEADER_OFFSET(header),
  BOOT_HEADER_OFFSET(version),
  BOOT_HEADER_OFFSET(kernel_version),
  BOOT_HEADER_OFFSET(type_of_loader),
  BOOT_HEADER_OFFSET(loadflags),
  BOOT_HEADER_OFFSET(code32_start),
  BOOT_HEADER_OFFSET(ramdisk_image),
  BOOT_HEADER_OFFSET(ramdisk_size),
  BOOT_HEADER_OFFSET(heap_end_ptr),
  BOOT_HEADER_OFFSET(ext_loader_ver),
  BOOT_HEADER_OFFSET(ext_loader_type),
  BOOT_HEADER_OFFSET(cmd_line_ptr),
  BOOT_HEADER_OFFSET(initrd_addr_max),
  BOOT_HEADER_OFFSET(kernel_alignment),
  BOOT_HEADER_OFFSET(relocatable_kernel),
  BOOT_HEADER_OFFSET(min_alignment),
  BOOT_HEADER_OFFSET(xloadflags),
  BOOT_HEADER_OFFSET(cmdline_size),
  BOOT_HEADER_OFFSET(hardware_subarch),
  BOOT_HEADER_OFFSET(payload_offset),
  BOOT_HEADER_OFFSET(payload_length),
  BOOT_HEADER_OFFSET(setup_data),
  BOOT_HEADER_OFFSET(pref_address),
  BOOT_HEADER_OFFSET(init_size),
};
#undef BOOT_PARAMS_OFFSET
#undef BOOT_HEADER_OFFSET

#endif
