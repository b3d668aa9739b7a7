// The KVM API (Documentation/virt/kvm/api.rst) as Swift can import it.
#ifndef CLINUX_KVM_H
#define CLINUX_KVM_H

#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <stddef.h>
#include <stdint.h>

// _IO* macros are not imported: each is evaluated here once, under its own name in lower case.
#define KVM_REQUEST(name, macro) \
  static const unsigned long name = macro
KVM_REQUEST(kvm_get_api_version_request, KVM_GET_API_VERSION);
KVM_REQUEST(kvm_create_vm_request, KVM_CREATE_VM);
KVM_REQUEST(kvm_check_extension_request, KVM_CHECK_EXTENSION);
KVM_REQUEST(kvm_get_vcpu_mmap_size_request, KVM_GET_VCPU_MMAP_SIZE);
KVM_REQUEST(kvm_create_vcpu_request, KVM_CREATE_VCPU);
KVM_REQUEST(kvm_run_request, KVM_RUN);
KVM_REQUEST(kvm_set_tss_addr_request, KVM_SET_TSS_ADDR);
KVM_REQUEST(kvm_create_irqchip_request, KVM_CREATE_IRQCHIP);
KVM_REQUEST(kvm_get_supported_cpuid, KVM_GET_SUPPORTED_CPUID);
KVM_REQUEST(kvm_set_user_memory_region, KVM_SET_USER_MEMORY_REGION);
KVM_REQUEST(kvm_set_identity_map_addr, KVM_SET_IDENTITY_MAP_ADDR);
KVM_REQUEST(kvm_irq_line, KVM_IRQ_LINE);
KVM_REQUEST(kvm_signal_msi, KVM_SIGNAL_MSI);
KVM_REQUEST(kvm_set_gsi_routing, KVM_SET_GSI_ROUTING);
KVM_REQUEST(kvm_create_pit2, KVM_CREATE_PIT2);
KVM_REQUEST(kvm_irqfd_request, KVM_IRQFD);
KVM_REQUEST(kvm_ioeventfd_request, KVM_IOEVENTFD);
KVM_REQUEST(kvm_enable_cap_request, KVM_ENABLE_CAP);
KVM_REQUEST(kvm_get_regs, KVM_GET_REGS);
KVM_REQUEST(kvm_set_regs, KVM_SET_REGS);
KVM_REQUEST(kvm_get_sregs, KVM_GET_SREGS);
KVM_REQUEST(kvm_set_sregs, KVM_SET_SREGS);
KVM_REQUEST(kvm_get_msrs, KVM_GET_MSRS);
KVM_REQUEST(kvm_set_msrs, KVM_SET_MSRS);
KVM_REQUEST(kvm_set_cpuid2, KVM_SET_CPUID2);
KVM_REQUEST(kvm_get_lapic, KVM_GET_LAPIC);
KVM_REQUEST(kvm_set_lapic, KVM_SET_LAPIC);
KVM_REQUEST(kvm_get_mp_state, KVM_GET_MP_STATE);

// struct kvm_cpuid2 and struct kvm_msrs end in flexible arrays; these hold a fixed number of slots, laid out the same.
enum { KVM_CPUID_SLOTS = 256, KVM_MSR_SLOTS = 64 };
struct kvm_cpuid_table {
  uint32_t nent;
  uint32_t padding;
  struct kvm_cpuid_entry2 entries[KVM_CPUID_SLOTS];
};
struct kvm_msr_table {
  uint32_t nmsrs;
  uint32_t pad;
  struct kvm_msr_entry entries[KVM_MSR_SLOTS];
};
_Static_assert(offsetof(struct kvm_cpuid_table, entries) == sizeof(struct kvm_cpuid2), "kvm_cpuid2 header");
_Static_assert(offsetof(struct kvm_msr_table, entries) == sizeof(struct kvm_msrs), "kvm_msrs header");

struct kvm_irq_routes {
  uint32_t nr;
  uint32_t flags;
  struct kvm_irq_routing_entry entries[64];
};
_Static_assert(offsetof(struct kvm_irq_routes, entries) == sizeof(struct kvm_irq_routing), "kvm_irq_routing header");

// The run page: members of its anonymous union and flexible parts.
static inline __attribute__((always_inline)) void *kvm_run_io_data(struct kvm_run *run) {
  return (uint8_t *)run + run->io.data_offset;
}
static inline __attribute__((always_inline)) uint64_t kvm_run_mmio_value(const struct kvm_run *run) {
  uint64_t value = 0;
  __builtin_memcpy(&value, run->mmio.data, run->mmio.len < 8 ? run->mmio.len : 8);
  return value;
}
static inline __attribute__((always_inline)) void kvm_run_set_mmio_value(struct kvm_run *run, uint64_t value) {
  __builtin_memcpy(run->mmio.data, &value, 8);
}
// The instruction that emulation failed on; returns its length, 0 when the kernel does not say (api.rst, KVM_EXIT_INTERNAL_ERROR).
static inline uint32_t kvm_run_failed_instruction(const struct kvm_run *run, uint8_t *bytes) {
#ifdef KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES
  if (run->emulation_failure.ndata < 1 ||
      !(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
    return 0;
  uint32_t size = run->emulation_failure.insn_size;
  if (size > sizeof run->emulation_failure.insn_bytes) return 0;
  __builtin_memcpy(bytes, run->emulation_failure.insn_bytes, size);
  return size;
#else
  (void)run, (void)bytes;
  return 0;
#endif
}

// Elements of C arrays that Swift would import as tuples. The caller checks the index.
static inline struct kvm_cpuid_entry2 kvm_cpuid_table_get(const struct kvm_cpuid_table *table, uint32_t index) {
  return table->entries[index];
}
static inline void kvm_cpuid_table_set(struct kvm_cpuid_table *table, uint32_t index, struct kvm_cpuid_entry2 entry) {
  table->entries[index] = entry;
}
static inline struct kvm_msr_entry kvm_msr_table_get(const struct kvm_msr_table *table, uint32_t index) {
  return table->entries[index];
}
static inline void kvm_msr_table_set(struct kvm_msr_table *table, uint32_t index, struct kvm_msr_entry entry) {
  table->entries[index] = entry;
}
static inline void kvm_irq_routes_set(struct kvm_irq_routes *routes, uint32_t index, struct kvm_irq_routing_entry entry) {
  routes->entries[index] = entry;
}
static inline __attribute__((always_inline)) uint32_t kvm_run_exit_reason(const struct kvm_run *run) {
  return __atomic_load_n(&run->exit_reason, __ATOMIC_RELAXED);
}
static inline __attribute__((always_inline)) void kvm_run_set_immediate_exit(struct kvm_run *run, uint8_t value) {
  __atomic_store_n(&run->immediate_exit, value, __ATOMIC_SEQ_CST);
}

#endif
