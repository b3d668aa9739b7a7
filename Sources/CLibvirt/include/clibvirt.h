// What vmrun-libvirt needs of libvirt's C API.
#ifndef CLIBVIRT_H
#define CLIBVIRT_H

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#endif
