#ifndef CLINUX_VIRTIO_H
#define CLINUX_VIRTIO_H
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#endif
