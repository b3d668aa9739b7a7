// The kernel's interfaces that only containers need. One header per concern, so that each stays short.
#ifndef CCONTAINER_H
#define CCONTAINER_H
#include "children.h"
#include "mounts.h"
#include "process.h"
#include "cgroups.h"
#include "json.h"
#include "constants.h"
#include "netlink.h"
#include "isolation.h"
#include "tools.h"
#include "doctor.h"
#include "bench.h"
#endif
