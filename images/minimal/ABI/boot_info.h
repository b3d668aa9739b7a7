// What vmrun and the minimal guest agree on: the state in which the guest is entered and the ports that it may touch.
//
// Entry state, set by the VMM through KVM_SET_SREGS and KVM_SET_REGS, so that the guest needs no start-up code:
//   - 64-bit long mode (CR0.PE, CR0.PG, CR4.PAE, EFER.LME, EFER.LMA), flat 64-bit CS, flat data segments,
//   - CR3 at tables that map guest-physical memory onto itself, writable, at least up to `last_page`'s end,
//   - no interrupt descriptor table (limit 0: an exception is a triple fault), RFLAGS = 2 (interrupts off),
//   - RIP = MINIMAL_GUEST_LOAD_ADDRESS, where the image's first byte lies; the rest of RAM is zero,
//   - RSP = 16-byte aligned top of at least 4 KiB of stack, less 8, as after a call,
//   - RDI = guest-physical address of `struct minimal_boot_info`.
// The guest uses integer instructions only: CR4.OSFXSR and the state of the floating-point unit do not matter to it.
#ifndef MINIMAL_BOOT_INFO_H
#define MINIMAL_BOOT_INFO_H

#include <stdint.h>

// Every constant is the guest's and vmrun's alike.
enum {
  MINIMAL_GUEST_LOAD_ADDRESS = 0x100000,
  MINIMAL_BOOT_MAGIC = 0x474D5256, // "VRMG"
  MINIMAL_BOOT_VERSION = 1,
  // A flag: write 1 to the phase port as the very first thing.
  MINIMAL_BOOT_MARK_ENTRY = 1 << 0,
};

enum {
  MINIMAL_PORT_SERIAL = 0x3F8,       // a 16550's data register; always taken as ready to send
  MINIMAL_PORT_SERIAL_STATUS = 0x3FD, // its line status; bit 0: a received byte is waiting
  MINIMAL_PORT_SLEEP = 0x600,        // ACPI sleep control: 0x34 is S5 with the enable bit
  MINIMAL_PORT_RESET = 0x602,        // ACPI reset register: 1 resets
  MINIMAL_PORT_EXIT = 0x604,         // 32 bits: ends the VM; the low eight bits are the exit code
  MINIMAL_PORT_PHASE = 0x620,        // 8 bits: phase marker
};

// Little-endian, naturally aligned, 48 bytes; every address is guest-physical.
struct minimal_boot_info {
  uint32_t magic;               // MINIMAL_BOOT_MAGIC
  uint32_t version;             // MINIMAL_BOOT_VERSION
  uint32_t flags;               // MINIMAL_BOOT_*
  uint32_t cpu_count;           // virtual CPUs of the machine; the guest runs on the first
  uint64_t memory_bytes;        // RAM in all
  uint64_t last_page;           // the last RAM page that the tables map: the guest writes to it and reads it back
  uint64_t command_line;        // first byte of the command line
  uint32_t command_line_length; // in bytes, without any NUL
  uint32_t reserved;            // 0
};

#endif
